"""Kernels are kept between processes, and whatever became of them there, there is a kernel."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numba import config
from numba.core.errors import NumbaError

from flight.edac.compiled_kernels import kept

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable

SOURCE = """
from flight.edac.compiled_kernels import kept

@kept("u8(u8)")
def doubled(number):
    return number + number
"""

BOTH = """
import sys
from kernels_of_a_test import doubled
sys.stdout.write(str(sum(doubled.stats.cache_hits.values())))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels are kept; Numba makes a folder in it for each source folder."""
    (tmp_path / "kernels_of_a_test.py").write_text(SOURCE)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def load(folder: Path) -> ModuleType:
    """Import the module as a new process would."""
    spec = importlib.util.spec_from_file_location(
        "kernels_of_a_test", folder / "kernels_of_a_test.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.doubled(21) == 42
    return module


def from_disk(module: ModuleType) -> bool:
    return sum(module.doubled.stats.cache_hits.values()) == 1


def files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / "cache").rglob(f"*.{kind}"))


def flip(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 0x10
    path.write_bytes(octets)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def test_a_kernel_is_taken_from_the_disk_the_second_time(folder: Path) -> None:
    assert not from_disk(load(folder))
    assert from_disk(load(folder))
    assert [len(files(folder, kind)) for kind in ("nbc", "nbi", "crc")] == [1, 1, 2]


@pytest.mark.parametrize("damage", [flip, cut, empty])
@pytest.mark.parametrize("kind", ["nbc", "nbi", "crc"])
@pytest.mark.verifies("VA-EDC-11")
def test_a_damaged_kernel_is_not_executed_but_said_and_made_anew(
    folder: Path, kind: str, damage: Callable[[Path], Any]
) -> None:
    load(folder)
    damage(files(folder, kind)[0])
    if (kind, damage) == ("crc", empty):  # as though it had never been written
        assert not from_disk(load(folder))
    else:
        with pytest.warns(RuntimeWarning, match="doubled is compiled anew: .* is damaged"):
            assert not from_disk(load(folder))
    assert from_disk(load(folder))


@pytest.mark.parametrize("kind", ["nbc", "nbi", "crc"])
def test_a_missing_file_is_made_anew(folder: Path, kind: str) -> None:
    load(folder)
    files(folder, kind)[0].unlink()
    assert not from_disk(load(folder))
    assert from_disk(load(folder))


def test_a_kernel_that_numba_cannot_read_is_said_and_made_anew(folder: Path) -> None:
    # Its checksum is right: another version wrote it, say.
    load(folder)
    (kernel,) = files(folder, "nbc")
    kernel.write_bytes(b"another format")
    kernel.with_suffix(".crc").write_text(f"{zlib.crc32(b'another format'):08x}")
    with pytest.warns(RuntimeWarning, match=r"or read it: UnpicklingError.*Give \$NUMBA_CACHE_DIR"):
        assert not from_disk(load(folder))
    assert from_disk(load(folder))


@pytest.mark.verifies("VA-EDC-11")
def test_without_room_on_the_disk_the_kernel_serves_this_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_data", full)
    with pytest.warns(RuntimeWarning, match=r"No space left.*Give \$NUMBA_CACHE_DIR"):
        load(folder)
    assert files(folder, "nbc") == []


def test_where_no_folder_can_be_written_the_kernel_serves_this_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.warns(RuntimeWarning, match="no locator available"):
        load(folder)


def test_a_function_that_cannot_be_compiled_is_an_error_and_no_warning() -> None:
    def nonsense(number: Any) -> Any:
        return number.of_no_use

    compile_it = kept("u8(u8)")
    with pytest.raises(NumbaError):
        compile_it(nonsense)


@pytest.mark.native("its deadline is for compilers ten times as fast")
@pytest.mark.slow
def test_processes_that_start_together_compile_once(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", BOTH]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{Path(__file__).parents[3]}:{folder}",
        "NUMBA_CACHE_DIR": str(folder / "cache"),
    }

    def start(_: int) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=100, check=False
        )
        return done.stdout + done.stderr

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(start, range(3))) == ["0", "1", "1"]


def test_a_lock_that_is_never_given_back_is_waited_for_in_vain_but_not_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder)
    (cache,) = {path.parent for path in files(folder, "nbc")}
    monkeypatch.setattr("flight.edac.compiled_kernels._TRIES", 2)
    with (cache / "kept.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert from_disk(load(folder))
