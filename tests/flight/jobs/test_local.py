"""A job run by hand, and the in-memory job that tests use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numba.core.registry import cpu_target

from flight.fault_tolerance.levels import Level
from flight.jobs import blas, compiled
from flight.jobs.local import Commit, LocalJob, LocalResult, replaying, run_local
from flight.jobs.matmul import JOB
from icd.codec import FieldError
from icd.flips import Applied, begun_line

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

MakeJob = Callable[..., LocalJob]


def test_a_run_by_hand_leaves_its_products_and_nothing_else(tmp_path: Path) -> None:
    seen: list[int] = []
    result = run_local(
        "matmul",
        {"size": "16", "repeats": "3"},
        tmp_path / "out",
        on_progress=lambda job: seen.append(job.done),
    )
    assert seen == [1, 2, 3]
    assert result.metrics["wrong"] == 0
    assert {name: path.name for name, path in result.files.items()} == {
        "result.json": "result.json"
    }
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]


def test_a_run_by_hand_takes_files_by_any_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 200)
    folder.mkdir()
    np.save(folder / "scene.npy", np.ones((2, 3, 3), np.uint16))
    result = run_local("imaging", {"scene": str(folder / "scene.npy")}, tmp_path / "out")
    assert set(result.files) == {"index.npy", "report.json"}


def test_a_run_by_hand_refuses_an_unknown_job_and_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no job 'matmull'"):
        run_local("matmull", {}, tmp_path)
    with pytest.raises(FieldError, match="size = 1; give 2 … 8192"):
        run_local("matmul", {"size": "1"}, tmp_path)


def struck(folder: Path, repeats: int = 4) -> tuple[Path, LocalResult]:
    """A matmul job whose second product got wrong bits, and the log that says which."""
    log = folder / "flips.jsonl"
    flip = Applied(
        id=1,
        kind="logic",
        pattern="test",
        job=7,
        step=1,
        call=0,
        moment="after",
        array="result 0",
        offset=40,
        mask="0000c07f",
        operation="or",
        t=0.0,
        pid=1,
        unix_ns=1,
        acceleration=1.0,
    )
    log.write_text(begun_line(7, 0, 1) + flip.line())
    settings = {"size": "16", "repeats": str(repeats)}
    with replaying(log, 7) as device:
        return log, run_local("matmul", settings, folder, device=device, level=Level.ABFT)


def test_the_flips_of_a_log_happen_again_in_a_run_by_hand(tmp_path: Path) -> None:
    _, result = struck(tmp_path)
    report = json.loads(result.files["result.json"].read_text())
    assert report["wrong_products"] == {"1": 1}


def test_a_log_without_flips_of_the_job_or_for_other_settings_is_refused(tmp_path: Path) -> None:
    log, _ = struck(tmp_path)
    with pytest.raises(ValueError, match="has no flips of job 8"), replaying(log, 8):
        pass
    with pytest.raises(ValueError, match="1 flips of job 7 found no place"):
        struck(tmp_path, repeats=1)
    with replaying(None, 0) as device:
        assert device is None


def test_undeclared_outputs_and_metrics_are_refused(make_job: MakeJob) -> None:
    job = make_job(JOB)
    with pytest.raises(ValueError, match="declares no output 'other'"):
        job.output("other")
    with pytest.raises(ValueError, match="declares no metric 'other'"):
        job.metric(gflops=1.0, other=1.0)


def test_state_is_registered_once_and_filled_in_place(make_job: MakeJob) -> None:
    array = np.zeros(3)
    job = make_job(JOB, resume=Commit(5, {"a": np.arange(3.0)}))
    job.state(a=array)
    assert array.tolist() == [0, 1, 2]
    assert job.step == 5
    with pytest.raises(ValueError, match="once"):
        job.state(a=array)


def test_a_commit_is_a_copy(make_job: MakeJob) -> None:
    array = np.zeros(3)
    job = make_job(JOB)
    job.state(a=array)
    job.commit(2)
    array += 1
    assert job.last_commit is not None
    assert job.last_commit.step == 2
    assert job.last_commit.arrays["a"].tolist() == [0, 0, 0]


def test_what_a_job_says_is_kept_and_passed_on(make_job: MakeJob) -> None:
    heard: list[str] = []
    job = make_job(JOB, on_log=heard.append)
    job.log("half way")
    assert heard == job.messages == ["half way"]


def test_blas_says_its_kernels_and_keeps_to_one_thread() -> None:
    blas.limit_to_one_thread()
    assert blas.core_type()


def test_without_openblas_the_core_type_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_LIBRARIES", ())
    blas.limit_to_one_thread()
    assert blas.core_type() == "unknown"


def test_what_numba_compiles_for_differs_by_the_features_of_a_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    codegen = type(cpu_target.target_context.codegen())
    for features in ("+avx2,+fma", "+avx2,-fma"):
        told = ("x86_64-linux", "znver3", features)
        monkeypatch.setattr(codegen, "magic_tuple", lambda _, told=told: told)
        found.append(compiled.target())
    assert found[0][:2] == found[1][:2] == ("x86_64-linux", "znver3")
    assert found[0] != found[1]


def test_declarations_load_without_numpy_or_a_compiler() -> None:
    program = "import sys, flight.jobs.registry as r; r.jobs(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"numpy", "numba", "hal.compute.device"} & set(done.stdout.split())
