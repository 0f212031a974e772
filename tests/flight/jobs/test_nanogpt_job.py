"""The nanogpt job from its text to its products: equal runs, resumed runs, and what it refuses."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.fault_tolerance.levels import Level
from flight.jobs.api import InputError, JobCancelled, MemoryLost
from flight.jobs.local import Commit, LocalJob
from flight.jobs.nanogpt import JOB, text
from flight.jobs.nanogpt.model import Shape, count
from flight.jobs.nanogpt.training import SHARDS, SIZES, run
from hal.compute.host import HostDevice
from tests.flight.jobs.plain_gpt import hamlet, plain_loss

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

MakeJob = Callable[..., LocalJob]
Finish = Callable[[LocalJob], dict[str, bytes]]

SHORT = {
    "configuration": "tiny",
    "steps": "12",
    "batch": "3",
    "evaluation_interval": "5",
    "commit_interval": "4",
    "sample_length": "50",
}


@pytest.fixture
def play() -> dict[str, Path]:
    return {"text": hamlet()}


def test_the_job_leaves_weights_a_sample_and_its_curve(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    job = make_job(JOB, SHORT, play)
    products = finish(job)
    assert set(products) == {output.name for output in JOB.outputs}
    assert len(products["sample.txt"].decode()) == 50
    assert set(products["sample.txt"].decode()) <= set(hamlet().read_text("utf-8"))
    report = json.loads(products["training.json"])
    assert [row["step"] for row in report["curve"]] == [5, 10, 12]
    assert report["pinned"]["shards"] == 2
    assert report["pinned"]["parameters"]["configuration"] == "tiny"
    assert (job.done, job.total) == (12, 12)
    assert set(job.metrics) == {metric.name for metric in JOB.metric_fields}
    assert job.metrics["tokens_per_s"] > 0
    assert job.beats >= 12


def test_the_weights_are_of_use_with_numpy_alone(
    make_job: MakeJob, finish: Finish, play: dict[str, Path], tmp_path: Path
) -> None:
    job = make_job(JOB, SHORT, play)
    products = finish(job)
    (tmp_path / "w.npz").write_bytes(products["weights.npz"])
    with np.load(tmp_path / "w.npz") as stored:
        arrays = dict(stored)
    vocabulary = "".join(map(chr, arrays["vocabulary"]))
    sizes = [int(arrays[key]) for key in ("n_layer", "n_head", "n_embd", "block_size")]
    assert sizes == [2, 2, 32, 32]
    assert len(vocabulary) == arrays["vocab_size"]
    written = hamlet().read_text("utf-8")[:330]
    numbers = np.array([vocabulary.index(character) for character in written]).reshape(10, 33)
    weights = {name: array for name, array in arrays.items() if name.startswith("transformer.")}
    loss = plain_loss(weights, sizes[1], numbers)
    assert 2.5 < loss < math.log(len(vocabulary)), "it has learnt a little"


def test_the_page_on_jobs_reads_the_weights_and_tells_the_sizes(
    make_job: MakeJob,
    finish: Finish,
    play: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "jobs.md").read_text("utf-8")
    job = make_job(JOB, SHORT, play)
    finish(job)
    monkeypatch.chdir(job.folder)
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    assert names["weights"]["transformer.wte.weight"].shape == (len(names["characters"]), 32)
    assert names["sizes"]["block_size"] == 32
    for configuration, size in SIZES.items():
        row = (*size, f"{count(Shape(*size, 65)):,}", SHARDS[configuration])
        assert f"| `{configuration.name.lower()}` | {' | '.join(map(str, row))} |" in page


def test_every_piece_of_work_is_a_launch_that_is_waited_for(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    class Device(HostDevice):
        calls = ""

        def launch(self, function: Any, *arguments: Any) -> Any:
            self.calls += "l"
            return super().launch(function, *arguments)

        def synchronise(self) -> None:
            self.calls += "s"
            super().synchronise()

    device = Device()
    finish(make_job(JOB, SHORT, play, device=device))
    assert device.calls == "ls" * (12 + 3 + 1), "twelve steps, three validations, one sample"


@pytest.mark.verifies("VA-JOB-04")
def test_equal_runs_give_equal_products_with_one_thread_or_two(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    expected = finish(make_job(JOB, SHORT, play))
    for threads in (1, 2):
        job = make_job(JOB, SHORT, play)
        run(job, threads)
        assert {name: path.read_bytes() for name, path in job.publish().items()} == expected


class Crash(RuntimeError):
    """The worker dies here."""


@pytest.mark.native("takes beats for steps; a step of seconds, as under QEMU, beats several times")
@pytest.mark.verifies("VA-JOB-04")
@pytest.mark.parametrize("at_beat", [1, 6, 11])
def test_a_resumed_run_gives_the_products_of_an_undisturbed_one(
    make_job: MakeJob, finish: Finish, play: dict[str, Path], at_beat: int
) -> None:
    expected = finish(make_job(JOB, SHORT, play))
    broken = make_job(JOB, SHORT, play)

    def crash() -> None:
        if broken.beats == at_beat:
            raise Crash

    broken.on_beat = crash
    with pytest.raises(Crash):
        run(broken)
    kept = broken.last_commit
    assert (0 if kept is None else kept.step) == (at_beat - 1) // 4 * 4
    resumed = make_job(JOB, SHORT, play, resume=kept)
    assert finish(resumed) == expected
    assert not any("not be bit-identical" in message for message in resumed.messages)


class Struck(HostDevice):
    """A device beside whose work, the first time of each, a burst hits the job's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.job: LocalJob | None = None
        self.launches = 0
        self._last = ""

    def launch(self, function: Any, *arguments: Any) -> Any:
        assert self.job is not None
        assert self.job._arrays is not None
        self.launches += 1
        octets = self.job._arrays["weights"].view(np.uint8)
        at = self.launches * 7919 % (octets.size - 64)
        if function.__name__ != self._last or self._last == "step":
            octets[at : at + 64] ^= 0x81
        self._last = function.__name__
        return super().launch(function, *arguments)


@pytest.mark.verifies("VA-EDC-07")
def test_bursts_in_its_memory_at_every_step_leave_the_products_as_they_are(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    expected = finish(make_job(JOB, SHORT, play))
    device = Struck()
    job = device.job = make_job(JOB, SHORT, play, device=device)
    assert finish(job) == expected
    assert job.tally.blocks_corrected >= 12 + 3 + 1
    assert job.tally.blocks_lost == 0
    assert job.last_commit is not None


@pytest.mark.native("takes beats for steps; a step of seconds, as under QEMU, beats several times")
@pytest.mark.verifies("VA-EDC-07")
def test_memory_beyond_correction_ends_the_run_and_no_commit_holds_it(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    expected = finish(make_job(JOB, SHORT, play))
    job = make_job(JOB, SHORT, play)

    def ruin() -> None:
        if job.beats == 7:
            assert job._arrays is not None
            job._arrays["weights"][:64] += 1.0

    job.on_beat = ruin
    with pytest.raises(MemoryLost, match="of 'weights' have more wrong bits"):
        run(job)
    assert job.last_commit is not None
    assert job.last_commit.step == 4
    assert finish(make_job(JOB, SHORT, play, resume=job.last_commit)) == expected


def test_memory_that_is_wrong_again_and_again_ends_the_run(
    make_job: MakeJob, play: dict[str, Path]
) -> None:
    job = make_job(JOB, SHORT, play)
    verify = job.verify

    def stuck() -> int:
        assert job._arrays is not None
        job._arrays["weights"][5] += 1.0
        return verify()

    job.verify = stuck  # type: ignore[method-assign]
    with pytest.raises(MemoryLost, match="the state was wrong 3 times while one step"):
        run(job)


def test_a_run_resumed_under_other_conditions_says_so(
    make_job: MakeJob, finish: Finish, play: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_job(JOB, SHORT | {"steps": "4"}, play)
    run(first)
    assert first.last_commit is not None
    monkeypatch.setattr("flight.jobs.blas.core_type", lambda: "another processor")
    resumed = make_job(JOB, SHORT | {"steps": "4"}, play, resume=replace(first.last_commit, step=2))
    finish(resumed)
    assert any("not be bit-identical" in message for message in resumed.messages)


def test_a_commit_of_another_model_is_refused(make_job: MakeJob, play: dict[str, Path]) -> None:
    job = make_job(JOB, SHORT, play, resume=Commit(4, {"weights": np.zeros(3, np.float32)}))
    with pytest.raises(InputError, match=r"no array 'weights' of float32 .*; start the job anew"):
        run(job)


def test_a_cancelled_job_leaves_no_product(make_job: MakeJob, play: dict[str, Path]) -> None:
    job = make_job(JOB, SHORT, play)

    def cancel() -> None:
        if job.beats == 3:
            raise JobCancelled

    job.on_beat = cancel
    with pytest.raises(JobCancelled):
        run(job)
    job.close()
    assert not job.folder.exists() or not list(job.folder.iterdir())


def test_without_a_text_it_learns_the_prose_of_pythons_documentation(
    make_job: MakeJob, finish: Finish
) -> None:
    job = make_job(JOB, SHORT | {"steps": "1"})
    assert "training.json" in finish(job)


def test_a_short_text_and_one_that_is_not_utf_8_are_refused(tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("ab" * 164)
    with pytest.raises(InputError, match="328 characters; a context of 32 needs at least 330"):
        text.load(short, 32)
    short.write_text("ab" * 165)
    corpus = text.load(short, 32)
    assert (len(corpus.training), len(corpus.validation)) == (297, 33)
    assert corpus.held_back(4, 32, seed=1, index=0).shape == (4, 33)
    short.write_bytes(b"abc\xff")
    with pytest.raises(InputError, match="octet 3 is not UTF-8"):
        text.load(short, 32)


def test_a_text_that_was_not_staged_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        run(make_job(JOB, SHORT, {"text": tmp_path / "absent.txt"}))


@pytest.mark.verifies("VA-SEC-06")
def test_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.txt", tmp_path / "marked.txt"
    plain.write_text("wordy " * 100)
    marked.write_text("\ufeff" + "wordy " * 100)
    one, other = text.load(plain, 8), text.load(marked, 8)
    assert one.vocabulary == other.vocabulary
    assert one.training.tolist() == other.training.tolist()
    marked.write_bytes(("wordy " * 100).encode("utf-16-le"))
    with pytest.raises(InputError, match="it holds zero octets; convert the file to UTF-8"):
        text.load(marked, 8)


def test_the_vocabulary_is_the_texts_own_characters(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("häß𝄞\r\n" * 100, encoding="utf-8", newline="")
    corpus = text.load(path, 4)
    assert corpus.vocabulary == "\n\rhßä𝄞"
    everything = np.concatenate([corpus.training, corpus.validation])
    assert "".join(corpus.vocabulary[number] for number in everything) == "häß𝄞\r\n" * 100


def test_batches_are_a_function_of_seed_and_step(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("".join(map(chr, range(65, 91))) * 40)
    corpus = text.load(path, 8)
    batches: list[Any] = [
        corpus.sequences(5, 8, seed, step).tobytes() for seed, step in ((1, 1), (1, 2), (2, 1))
    ]
    assert len(set(batches)) == 3
    assert corpus.sequences(5, 8, 1, 1).tobytes() == batches[0]
    assert corpus.sequences(500, 8, 1, 1)[:, -1].max() == 25, "windows reach the last character"


class Upset:
    """Multiplies, and turns the sign of a large element of the products whose turn it is."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.made = 0
        self._lock = threading.Lock()

    def __call__(self, a: Any, b: Any, out: Any) -> None:
        np.matmul(a, b, out=out)
        with self._lock:
            self.made += 1
            is_hit = self.made % self.every == 0
        if is_hit:
            place = np.unravel_index(np.abs(out).argmax(), out.shape)
            out[place] = -out[place] if np.isfinite(out[place]) else 0


@pytest.mark.verifies("VA-PRT-09")
@pytest.mark.parametrize("level", Level)
def test_training_gives_the_same_products_at_every_level(
    make_job: MakeJob, finish: Finish, play: dict[str, Path], level: Level
) -> None:
    job = make_job(JOB, SHORT, play, level=level)
    assert finish(job) == finish(make_job(JOB, SHORT, play))
    assert (job.tally.checks > 0) == (level > Level.NONE)
    assert (job.tally.wrong, job.tally.outvoted) == (0, 0)


@pytest.mark.verifies("VA-PRT-09")
@pytest.mark.parametrize(
    ("level", "every"), [(Level.ABFT, 50), (Level.DMR, 2501), (Level.TMR, 1501)]
)
def test_training_gives_the_same_products_after_upsets_of_its_matrix_products(
    make_job: MakeJob, finish: Finish, play: dict[str, Path], level: Level, every: int
) -> None:
    job = make_job(JOB, SHORT, play, level=level)
    run(job, multiply=Upset(every))
    assert {name: path.read_bytes() for name, path in job.publish().items()} == finish(
        make_job(JOB, SHORT, play)
    )
    assert job.tally.wrong > 0
    assert job.messages, "what was found is said"


def test_without_protection_the_same_upsets_change_the_weights(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    job = make_job(JOB, SHORT, play)
    run(job, multiply=Upset(50))
    expected = finish(make_job(JOB, SHORT, play))
    assert job.publish()["weights.npz"].read_bytes() != expected["weights.npz"]
    assert job.tally.checks == 0


def test_a_level_that_changes_while_training_runs_holds_from_the_next_step(
    make_job: MakeJob, finish: Finish, play: dict[str, Path]
) -> None:
    job = make_job(JOB, SHORT, play)

    def change() -> None:
        job.level = Level(job.beats // 2 % len(Level))

    job.on_beat = change
    assert finish(job) == finish(make_job(JOB, SHORT, play))
    assert job.tally.checks > 0
