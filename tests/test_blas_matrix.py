"""`make blas-matrix` counts kernels by their bits, and fails where too few of them differ."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tools import blas_matrix
from tools.blas_matrix import Found, Ran, Setting

OWN = Setting()


class Bench:
    """Settings that lead to what a test says, and what was run of them."""

    def __init__(self, folder: Path, **bits: str | None) -> None:
        self.folder = folder
        self.bits = bits
        self.ran: list[str] = []
        self.failing = ""

    def probe(self, setting: Setting, _: Path) -> Found | None:
        bits = self.bits[setting.core or "own"]
        return bits and Found(f"core of {bits}", bits, setting.target or "zen3", "sums")

    def run(self, setting: Setting, _: Path, __: Sequence[str]) -> Ran:
        self.ran.append(setting.core or setting.target or "own")
        is_failing = self.ran[-1] == self.failing
        return Ran(int(is_failing), {"failed" if is_failing else "passed": 7}, 1.6)

    def matrix(self, *tried: Setting) -> list[str]:
        made = tried or [Setting(core="" if name == "own" else name) for name in self.bits]
        return blas_matrix.matrix(self.folder, [], made, self.probe, self.run)


def test_equal_kernels_are_run_and_counted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path, own="a", Haswell="b", Zen="b", Nehalem="c")
    assert bench.matrix() == []
    assert bench.ran == ["own", "Haswell", "Nehalem"]
    said = capsys.readouterr().out
    assert "| Zen | core of b | b | host | zen3 | sums | equal to blas-Haswell-numba-host |" in said
    assert "| Nehalem | core of c | c | host | zen3 | sums | 7 passed | 2 |" in said
    assert said.endswith("kernels of OpenBLAS that differ: 3\n")


def test_fewer_than_three_kernels_prove_little(tmp_path: Path) -> None:
    bench = Bench(tmp_path, own="a", Haswell="b", Zen="b", SkylakeX=None)
    (amiss,) = bench.matrix()
    assert amiss == "only 2 kernels of OpenBLAS that differ ran; 3 are needed"


def test_what_this_processor_cannot_run_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path, own="a", SkylakeX=None, Haswell="b", Nehalem="c")
    assert bench.matrix() == []
    assert "SkylakeX" not in bench.ran
    assert "| SkylakeX | - | - | host | - | - | not on this processor | - |" in (
        capsys.readouterr().out
    )


def test_a_suite_that_fails_is_named_with_its_log_and_the_others_are_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, own="a", Haswell="b", Nehalem="c")
    bench.failing = "Haswell"
    (amiss,) = bench.matrix()
    assert amiss == (
        f"blas-Haswell-numba-host: 7 failed; see {tmp_path}/blas-Haswell-numba-host.log"
    )
    assert bench.ran == ["own", "Haswell", "Nehalem"]


def test_another_target_of_numba_is_run_though_its_sums_are_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path, own="a")
    bench.matrix(OWN, Setting(target="haswell"), Setting(target="zen3"))
    assert bench.ran == ["own", "haswell"]


def test_a_child_gets_what_is_asked_for_and_nothing_that_was_set_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX2")
    own = OWN.environment(tmp_path)
    generic = Setting("Haswell", "generic").environment(tmp_path)
    assert not {"OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NUMBA_CPU_NAME"} & set(own)
    assert (generic["OPENBLAS_CORETYPE"], generic["NUMBA_CPU_NAME"]) == ("Haswell", "generic")
    assert generic["NUMBA_CPU_FEATURES"] == "", "else Numba adds those of this processor"
    assert generic["NUMBA_CACHE_DIR"] != own["NUMBA_CACHE_DIR"]


def test_a_child_that_dies_of_a_signal_means_that_the_kernel_cannot_be_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(status: int) -> None:
        done: Any = subprocess.CompletedProcess([], status, "", "what went wrong")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    end(-4)
    assert blas_matrix.probe(OWN, tmp_path) is None
    end(1)
    with pytest.raises(RuntimeError, match="blas-own-numba-host failed:\nwhat went wrong"):
        blas_matrix.probe(OWN, tmp_path)


def test_what_pytest_counts_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = "2 failed, 10 passed, 1 skipped, 3 errors in 135.24s (0:02:15)"
    pytest_like = tmp_path / "python"
    pytest_like.write_text(f"#!/bin/sh\necho '{last}'\nexit 1\n")
    pytest_like.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pytest_like))
    ran = blas_matrix.run_suites(OWN, tmp_path, [])
    assert ran == Ran(1, {"failed": 2, "passed": 10, "skipped": 1, "errors": 3}, 135.24)
    assert "10 passed" in (tmp_path / "blas-own-numba-host.log").read_text()


def test_a_probe_names_this_processors_own_kernels(tmp_path: Path) -> None:
    found = blas_matrix.probe(OWN, tmp_path)
    assert found == blas_matrix.probe(OWN, tmp_path), "the same bits each time"
    assert found is not None
    assert found.core
    assert found.target
