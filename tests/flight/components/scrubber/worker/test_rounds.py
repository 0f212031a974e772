"""The rounds of the scrub worker over region files on disk, on a clock of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.components.scrubber import worker_messages as messages
from flight.components.scrubber.regions import MOST_REGIONS, Kind, Row, State, Verdict
from flight.components.scrubber.worker.mapped_regions import MOST_DEATHS, SUSPICION
from flight.components.scrubber.worker.rounds import SEARCH_NS, Rounds, own_octets
from flight.edac import region_file
from flight.edac.region_file import RegionFile
from flight.framework.time_units import SECOND

BLOCK = 32 << 10


class Scene:
    """A run directory with region files, and rounds over it."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.now = 1000 * SECOND
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.is_full = False
        self.owned: list[RegionFile] = []
        self.rounds = self.another()

    def another(self) -> Rounds:
        """The rounds of a worker that takes the place of another."""
        self.rounds = Rounds(self.run_dir, self._send)
        return self.rounds

    def _send(self, kind: str, body: dict[str, Any]) -> bool:
        if not self.is_full:
            self.sent.append((kind, json.loads(json.dumps(body))))
        return not self.is_full

    def make(self, name: str, length: int = 5 * BLOCK, job: int = 0, golden: str = "") -> Any:
        """Seal a region of random octets; the region as its owner has it."""
        folder = self.run_dir / "jobs" / str(job) if job else self.run_dir
        folder.mkdir(parents=True, exist_ok=True)
        made = region_file.create(folder / "regions" / name, name, length, golden=golden)
        made.data[:] = np.random.default_rng(1).integers(0, 256, length, np.uint8)
        made.seal()
        self.owned.append(made)
        return made

    def pass_time(self, seconds: float) -> None:
        """Step as the worker does, whenever something is due."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.rounds.step(self.now)
            self.now = min(end, max(self.now + 1_000_000, self.rounds.due()))

    def rows(self) -> dict[str, Row]:
        """The newest table of regions."""
        body = [body for kind, body in self.sent if kind == "regions"][-1]
        return {row.name: row for row in messages.regions(body)}

    def found(self) -> list[Any]:
        """Every block that was found wrong."""
        bodies = [body for kind, body in self.sent if kind == "found"]
        return [row for body in bodies for row in messages.found(body)]

    def unusable(self) -> dict[str, str]:
        """Regions that cannot be walked, and why."""
        bodies = [body for kind, body in self.sent if kind == "unusable"]
        return {row.name: row.reason for body in bodies for row in messages.unusable(body)}

    def close(self) -> None:
        self.rounds.close()
        for region in self.owned:
            region.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


# ---------------------------------------------------------------- walking


@pytest.mark.verifies("VA-SCR-01")
def test_sealed_regions_are_found_and_walked_once_a_period(scene: Scene) -> None:
    scene.make("weights")
    scene.make("state", job=3)
    scene.pass_time(35)
    rows = scene.rows()
    assert rows.keys() == {"weights", "job-3.state"}
    assert (rows["weights"].kind, rows["job-3.state"].kind) == (Kind.FILE, Kind.JOB)
    assert rows["job-3.state"].job == 3
    assert all(row.passes in (3, 4) and row.state is State.WALKED for row in rows.values())
    assert all(0 <= row.age_ms < 10_100 for row in rows.values())
    assert scene.found() == []


@pytest.mark.verifies("VA-SCR-01")
def test_a_large_region_is_walked_at_the_rate_and_no_faster(scene: Scene) -> None:
    scene.make("large", 64 * BLOCK)
    scene.rounds.pace.rate = 16.0 * BLOCK
    scene.rounds.stripe.took(BLOCK, 1_000_000, 1_000_000)
    scene.rounds.stripe.took = lambda *_: None  # type: ignore[method-assign]
    scene.pass_time(3.5)
    assert scene.rows()["large"].passes == 0
    scene.pass_time(1.5)
    scene.rounds.tell_again()
    scene.pass_time(0.1)
    assert scene.rows()["large"].passes == 1


@pytest.mark.verifies("VA-SCR-02")
def test_a_flipped_bit_is_set_right_in_the_owners_memory_and_told(scene: Scene) -> None:
    region = scene.make("state", job=3)
    before = region.data.copy()
    scene.pass_time(3)
    region.data[2 * BLOCK + 7] ^= 4
    scene.pass_time(17)
    (found,) = scene.found()
    assert (found.name, found.job, found.block, found.offset) == ("job-3.state", 3, 2, 2 * BLOCK)
    assert (found.verdict, found.data_bits) == (Verdict.CORRECTED, 1)
    assert (region.data == before).all()
    assert scene.rows()["job-3.state"].corrected == 1


@pytest.mark.verifies("VA-SCR-02")
def test_a_lost_block_is_told_at_every_walk_until_it_is_right(scene: Scene) -> None:
    region = scene.make("weights")
    before = region.data.copy()
    region.data[BLOCK] ^= 1
    region.data[BLOCK + 64] ^= 1
    scene.pass_time(25)
    assert [found.block for found in scene.found()] == [1, 1, 1]
    assert {found.verdict for found in scene.found()} == {Verdict.LOST}
    assert scene.rows()["weights"].lost == 1
    mapped = scene.rounds.mapped["weights"]
    assert not mapped.put_right(1, bytes(BLOCK))
    assert mapped.put_right(1, before[BLOCK : 2 * BLOCK].tobytes())
    assert (region.data == before).all()
    scene.pass_time(12)
    assert scene.rows()["weights"].lost == 0


@pytest.mark.verifies("VA-SCR-02")
def test_what_could_not_be_told_is_told_later(scene: Scene) -> None:
    region = scene.make("weights")
    region.data[0] ^= 1
    scene.is_full = True
    scene.pass_time(12)
    assert scene.found() == []
    scene.is_full = False
    scene.pass_time(1)
    assert len(scene.found()) == 1


def test_a_damaged_copy_of_a_header_is_made_anew(scene: Scene) -> None:
    region = scene.make("weights")
    path = scene.run_dir / "regions" / "weights"
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(64))
    scene.pass_time(3)
    assert path.read_bytes()[1024:1032] == b"VAREGION"
    assert region.description.is_sealed
    assert scene.rounds.mapped["weights"].corrected == 1


# ---------------------------------------------------------------- owners


@pytest.mark.verifies("VA-SCR-04")
def test_a_region_that_its_owner_writes_is_left_alone_and_walked_when_it_is_sealed_again(
    scene: Scene,
) -> None:
    region = scene.make("state", job=3)
    scene.pass_time(3)
    region.unseal()
    region.data[:] = 9
    scene.pass_time(13)
    assert scene.rows()["job-3.state"].state is State.OPEN
    assert scene.found() == []
    made = scene.rows()["job-3.state"].made
    region.seal()
    region.data[5] ^= 1
    scene.pass_time(13)
    row = scene.rows()["job-3.state"]
    assert row.state is State.WALKED
    assert row.made != made
    assert len(scene.found()) == 1
    assert (region.data == 9).all()


@pytest.mark.verifies("VA-SCR-04")
def test_a_region_that_somebody_holds_waits_for_its_next_turn(scene: Scene) -> None:
    region = scene.make("weights")
    with region.held():
        scene.pass_time(5)
        assert scene.rows()["weights"].passes == 0
    scene.pass_time(12)
    assert scene.rows()["weights"].passes >= 1


@pytest.mark.verifies("VA-SCR-04")
def test_a_region_of_a_job_that_has_ended_is_let_go_and_not_taken_up_again(scene: Scene) -> None:
    script = (
        "import sys, pathlib; from flight.edac.region_file import create\n"
        "made = create(pathlib.Path(sys.argv[1]), 'state', 100000)\n"
        "made.seal(); print('made', flush=True); sys.stdin.read()"
    )
    path = scene.run_dir / "jobs" / "4" / "regions" / "state"
    path.parent.mkdir(parents=True)
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"made\n"
        scene.pass_time(3)
        assert "job-4.state" in scene.rows()
    finally:
        owner.kill()
        owner.communicate()
    scene.pass_time(6)
    assert scene.rows() == {}
    assert path.exists()
    assert scene.unusable() == {}


def test_a_region_that_is_replaced_is_another_one(scene: Scene) -> None:
    scene.make("weights")
    scene.pass_time(3)
    made = scene.rows()["weights"].made
    scene.make("weights")
    scene.pass_time(3)
    assert scene.rows()["weights"].made != made


def test_a_region_that_is_removed_is_forgotten(scene: Scene) -> None:
    scene.make("weights")
    scene.pass_time(3)
    (scene.run_dir / "regions" / "weights").unlink()
    scene.pass_time(3)
    assert scene.rows() == {}


def test_a_retired_region_of_a_job_is_left_to_the_job_and_one_of_our_own_removed(
    scene: Scene,
) -> None:
    scene.make("weights")
    scene.make("state", job=3)
    scene.pass_time(3)
    scene.rounds.retire("weights")
    scene.rounds.retire("job-3.state")
    scene.pass_time(5)
    assert {row.name: row.state for row in scene.rows().values()} == {"job-3.state": State.RETIRED}
    assert not (scene.run_dir / "regions" / "weights").exists()
    assert (scene.run_dir / "jobs" / "3" / "regions" / "state").exists()


# ---------------------------------------------------------------- what cannot be walked


def cut(path: Path) -> None:
    os.truncate(path, 8192)


def fill(path: Path) -> None:
    path.write_bytes(b"nothing of the kind" * 1000)


def clear_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


@pytest.mark.verifies("VA-SCR-05")
@pytest.mark.parametrize("damage", [cut, fill, clear_header])
def test_a_region_that_is_damaged_while_it_is_mapped_is_left_out_and_told(
    scene: Scene, damage: Callable[[Path], None]
) -> None:
    scene.make("weights")
    scene.make("other")
    scene.pass_time(3)
    damage(scene.run_dir / "regions" / "weights")
    scene.pass_time(13)
    assert scene.unusable().keys() == {"weights"}
    assert scene.unusable()["weights"]
    rows = scene.rows()
    assert rows["weights"].state is State.UNUSABLE
    assert rows["other"].passes >= 2
    scene.owned[0].close()


@pytest.mark.verifies("VA-SCR-05")
@pytest.mark.parametrize("content", [b"", b"x", b"VAREGION" + bytes(9000), os.urandom(10_000)])
def test_a_file_that_never_was_a_region_is_left_out_and_told(scene: Scene, content: bytes) -> None:
    folder = scene.run_dir / "regions"
    folder.mkdir()
    (folder / "garbage").write_bytes(content)
    scene.pass_time(3)
    assert scene.unusable().keys() == {"garbage"}
    (folder / "garbage").unlink()
    scene.make("garbage")
    scene.pass_time(5)
    assert scene.rows()["garbage"].state is State.WALKED


@pytest.mark.verifies("VA-SCR-05")
def test_links_pipes_and_folders_are_not_opened(scene: Scene) -> None:
    real = scene.make("real", job=9)
    folder = scene.run_dir / "regions"
    folder.mkdir()
    (folder / "link").symlink_to(scene.run_dir / "jobs" / "9" / "regions" / "real")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    scene.pass_time(3)
    assert scene.unusable().keys() == {"link", "pipe", "folder"}
    assert real.description.is_sealed


def test_files_beyond_the_limit_or_of_other_names_are_counted(scene: Scene) -> None:
    folder = scene.run_dir / "regions"
    folder.mkdir()
    for i in range(MOST_REGIONS + 5):
        (folder / f"r{i}").write_bytes(b"")
    (folder / "a b").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"")
    scene.pass_time(1)
    assert scene.rounds.files.left_out == 6
    assert len(scene.rows()) == MOST_REGIONS


@pytest.mark.verifies("VA-SCR-05")
def test_a_region_at_which_workers_die_again_and_again_is_left_out(scene: Scene) -> None:
    scene.make("weights", 40 * BLOCK)
    scene.make("other")
    for _ in range(MOST_DEATHS):
        assert "weights" not in scene.unusable()
        scene.rounds.stripe.took = lambda *_: None  # type: ignore[method-assign]
        scene.rounds.walk.want = lambda _: None  # type: ignore[method-assign]
        scene.rounds.step(scene.now)
        while json.loads((scene.run_dir / SUSPICION).read_text())["at"] != "weights":
            scene.now += 1_000_000
            scene.rounds.step(scene.now)
        scene.another()  # without a goodbye
    scene.pass_time(12)
    assert "died again and again" in scene.unusable()["weights"]
    assert scene.rows()["other"].passes >= 1
    scene.make("weights")
    scene.pass_time(SEARCH_NS / SECOND + 5)
    assert scene.rows()["weights"].state is State.WALKED


@pytest.mark.verifies("VA-SCR-05")
def test_a_whole_walk_clears_a_region_of_suspicion(scene: Scene) -> None:
    scene.make("weights")
    (scene.run_dir / SUSPICION).write_text(json.dumps({"at": "weights", "deaths": {"weights": 1}}))
    scene.another()
    scene.pass_time(3)
    assert json.loads((scene.run_dir / SUSPICION).read_text())["deaths"] == {}


@pytest.mark.parametrize("content", ["", "[]", '{"at": 3, "deaths": {"a": "b"}}', '{"at": "x"}'])
def test_a_note_of_suspicion_that_makes_no_sense_accuses_nobody(scene: Scene, content: str) -> None:
    (scene.run_dir / SUSPICION).write_text(content)
    scene.make("weights")
    scene.another()
    scene.pass_time(3)
    assert scene.rows()["weights"].state is State.WALKED


# ---------------------------------------------------------------- telling


@pytest.mark.verifies("VA-SCR-09")
def test_status_tells_rate_stripes_and_memory_that_nobody_checks(scene: Scene) -> None:
    scene.make("weights")
    scene.rounds.processes = [("executive", os.getpid()), ("gone", 1 << 22)]
    scene.pass_time(16)
    status = messages.status([body for kind, body in scene.sent if kind == "status"][-1])
    assert status.octets >= 5 * BLOCK
    assert status.stripes >= 1
    assert status.unscrubbed[0][1] > 1 << 20
    assert status.unscrubbed[1] == ("gone", 0)
    assert own_octets(1 << 22) == 0


def test_without_regions_there_is_little_to_do(scene: Scene) -> None:
    scene.pass_time(60)
    assert len(scene.sent) <= 26
    assert scene.rounds.due() - scene.now <= SEARCH_NS


def test_a_disabled_scrubber_walks_nothing_and_still_tells(scene: Scene) -> None:
    region = scene.make("weights")
    scene.rounds.is_enabled = False
    region.data[0] ^= 1
    scene.pass_time(30)
    assert scene.found() == []
    assert scene.rows()["weights"].passes == 0
