"""The emulated library as an unmodified NVML client sees it, its builder and its shared state."""

from __future__ import annotations

import concurrent.futures
import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from sim_hw.nvml_library import build, layout
from sim_hw.nvml_library.state import StateError, StateFile
from tests.sim_hw.support.emulated import SteppedBoard

CLIENT = """
import pynvml as n
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
assert n.nvmlDeviceGetCount() == 2
assert n.nvmlDeviceGetName(h) == "NVIDIA H100 PCIe"
assert n.nvmlDeviceGetPciInfo(h).busId == "00000000:01:00.0"
assert n.nvmlDeviceGetPciInfo(h).busIdLegacy == "0000:01:00.0"
assert n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID(n.nvmlDeviceGetUUID(h).encode())) == 0
assert n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByPciBusId(b"0000:02:00.0")) == 1
assert n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleBySerial(n.nvmlDeviceGetSerial(h).encode())) == 0
assert n.nvmlDeviceGetMemoryInfo(h).used == 551 << 20
assert n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2).used == 0
assert n.nvmlDeviceGetTemperature(h, 0) == n.nvmlDeviceGetTemperatureV(h, 0) == 6
assert n.nvmlDeviceGetMarginTemperature(h) == 83 - 6
assert n.nvmlDeviceGetTemperatureThreshold(h, 0) == 92
assert n.nvmlDeviceGetCudaComputeCapability(h) == (9, 0)
assert n.nvmlDeviceGetPowerManagementLimitConstraints(h) == [200000, 350000]
assert n.nvmlDeviceGetEccMode(h) == [1, 1]
assert n.nvmlDeviceGetMemoryErrorCounter(h, 0, 0, 2) == 0
assert n.nvmlDeviceGetRemappedRows(h) == (0, 0, 0, 0)
assert n.nvmlDeviceGetRowRemapperHistogram(h).max == 640
assert (n.nvmlDeviceGetMigMode(h), n.nvmlDeviceGetMaxMigDeviceCount(h)) == ([0, 0], 7)
n.nvmlDeviceSetMigMode(h, 1)
assert n.nvmlDeviceGetMigMode(h) == [0, 1]
n.nvmlDeviceSetEccMode(h, 0)
assert n.nvmlDeviceGetEccMode(h) == [1, 0]
n.nvmlDeviceSetEccMode(h, 1)
assert n.nvmlDeviceGetComputeRunningProcesses(h) == []
assert n.nvmlDeviceGetPcieThroughput(h, 0) == 0
status = n.c_nvmlEccSramErrorStatus_v1_t()
n.nvmlDeviceGetSramEccErrorStatus(h, n.byref(status))
assert status.volatileCor == 0
fields = n.nvmlDeviceGetFieldValues(h, [82, 83, 186, 193, 230, 9999])
assert [f.nvmlReturn for f in fields] == [0, 0, 0, 0, 0, n.NVML_ERROR_NOT_SUPPORTED]
assert fields[3].value.siVal == 83 - 92
numbers = [*range(1, 7), 94, *range(142, 146), *range(173, 184), *range(185, 197), 301, 302]
assert {f.nvmlReturn for f in n.nvmlDeviceGetFieldValues(h, numbers)} == {0}
n.nvmlDeviceClearFieldValues(h, [173])
for failing in (
    lambda: n.nvmlDeviceGetFanSpeed(h),
    lambda: n.nvmlDeviceGetHandleByIndex(7),
    lambda: n.nvmlDeviceSetPowerManagementLimit(h, 1),
    lambda: n.nvmlDeviceGetMigDeviceHandleByIndex(h, 0),
    lambda: n.nvmlDeviceGetRetiredPages(h, 1),
    lambda: n.nvmlDeviceGetProcessesUtilizationInfo(h, 0),
):
    try:
        failing()
    except n.NVMLError:
        continue
    raise AssertionError("no error")
n.nvmlDeviceSetPowerManagementLimit(h, 300000)
assert n.nvmlDeviceGetEnforcedPowerLimit(h) == 300000
n.nvmlShutdown()
try:
    n.nvmlDeviceGetCount()
except n.NVMLError_Uninitialized:
    print("all well")
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[SteppedBoard]:
    stepped = SteppedBoard(tmp_path, gpus=2)
    yield stepped
    stepped.close()


@pytest.fixture
def environment(board: SteppedBoard) -> dict[str, str]:
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(build.library().parent),
        layout.ENVIRONMENT: str(board.folder / "nvml.state"),
    }


def client(program: str, environment: dict[str, str]) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.verifies("VA-SIM-01")
def test_an_unmodified_client_finds_the_library_and_every_answer_agrees(
    board: SteppedBoard, environment: dict[str, str]
) -> None:
    assert client(CLIENT, environment) == "all well\n"
    assert board.world.gpu(0).power_limit_mw == 300_000
    assert board.world.gpu(1).power_limit_mw == 350_000


OLD_BOARD = """
import pynvml as n
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
pages = [int(address) for address in n.nvmlDeviceGetRetiredPages(h, 1)]
print(pages, n.nvmlDeviceGetRetiredPagesPendingStatus(h))
print([f.value.uiVal for f in n.nvmlDeviceGetFieldValues(h, [29, 30, 31])])
"""


def test_a_board_that_retires_pages_lists_them_by_cause(
    board: SteppedBoard, environment: dict[str, str]
) -> None:
    board.world.gpu(0).retires_pages = 1
    board.world.retire_page(0, 0x1000, is_double_bit=True)
    board.world.retire_page(0, 0x2000, is_double_bit=False)
    board.world.retire_page(0, 0x3000, is_double_bit=True)
    assert client(OLD_BOARD, environment) == "[4096, 12288] 1\n[1, 2, 1]\n"


def test_a_client_without_a_board_is_told_that_no_driver_is_loaded(
    environment: dict[str, str],
) -> None:
    program = """
import pynvml
try:
    pynvml.nvmlInit()
except pynvml.NVMLError_DriverNotLoaded:
    print("told")
"""
    environment[layout.ENVIRONMENT] = "/nonexistent"
    assert client(program, environment) == "told\n"


@pytest.mark.parametrize("content", [b"short", bytes(layout.SIZE)])
def test_a_state_file_of_another_version_is_refused_by_the_library_and_by_us(
    environment: dict[str, str], tmp_path: Path, content: bytes
) -> None:
    wrong = tmp_path / "wrong.state"
    wrong.write_bytes(content)
    program = """
import pynvml
try:
    pynvml.nvmlInit()
except pynvml.NVMLError as error:
    print(error.value)
"""
    environment[layout.ENVIRONMENT] = str(wrong)
    assert client(program, environment) == f"{pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH}\n"
    with pytest.raises(StateError, match="another version"):
        StateFile.attach(wrong)


@pytest.mark.verifies("VA-SIM-01")
def test_every_function_of_the_python_binding_is_exported() -> None:
    library = ctypes.CDLL(str(build.library()))
    wanted = set(re.findall(r'"(nvml[A-Z]\w+)"', Path(pynvml.__file__).read_text()))
    assert len(wanted) > 300
    assert [name for name in sorted(wanted) if not hasattr(library, name)] == []


def test_functions_the_emulation_lacks_answer_not_supported() -> None:
    library = ctypes.CDLL(str(build.library()))
    for name in build.unsupported():
        assert library[name]() == pynvml.NVML_ERROR_NOT_SUPPORTED


def test_error_texts_exist_for_every_code() -> None:
    library = ctypes.CDLL(str(build.library()))
    library.nvmlErrorString.restype = ctypes.c_char_p
    assert library.nvmlErrorString(15) == b"GPU is lost"
    assert library.nvmlErrorString(30) == b"Reset type not supported"
    assert library.nvmlErrorString(999) == library.nvmlErrorString(-1) == b"Unknown Error"


def test_the_layout_in_c_is_checked_against_the_layout_here() -> None:
    header = layout.header()
    assert f"sizeof(State) == {layout.SIZE}" in header
    assert f"offsetof(Gpu, processes) == {layout.Gpu.processes.offset}" in header


def test_builds_at_the_same_time_all_give_the_same_whole_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda _: build.library(), range(3)))
    assert len(set(paths)) == 1
    ctypes.CDLL(str(paths[0]))
    assert [path.name for path in paths[0].parent.iterdir()] == [build.NAME]


def test_a_machine_without_a_c_compiler_builds_with_zig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert build.compiler()[1:] == ["-m", "ziglang", "cc"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(build.BuildError, match=r"apt install gcc, or pip install '\.\[zig\]'"):
        build.compiler()


@pytest.mark.heavy("zig")
@pytest.mark.timeout(300)  # zig compiles a part of its own library first
def test_the_library_that_zig_builds_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    loaded = ctypes.CDLL(str(build.library()))
    assert all(hasattr(loaded, name) for name in build.calls())


def test_a_source_that_does_not_compile_shows_what_the_compiler_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "--no-such-flag"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(build.BuildError, match="no-such-flag"):
        build.library()
    assert not list(tmp_path.rglob(build.NAME))


def test_a_cache_that_cannot_be_written_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(build.BuildError, match=r"cannot keep .*; set XDG_CACHE_HOME to a folder"):
        build.library()


POSTER = """
import sys
from pathlib import Path
from sim_hw.nvml_library.state import StateFile
file = StateFile.attach(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 1500):
    file.post(0, 8, number)
"""
WAITER = f"""
import os, subprocess, sys
import pynvml as n
n.nvmlInit()
events = n.nvmlEventSetCreate()
n.nvmlDeviceRegisterEvents(n.nvmlDeviceGetHandleByIndex(0), 8, events)
path = os.environ["{layout.ENVIRONMENT}"]
command = [sys.executable, "-c", {POSTER!r}, path]
posters = [subprocess.Popen([*command, start]) for start in ("1000", "5000")]
for _ in range(3000):
    print(n.nvmlEventSetWait_v2(events, 30000).eventData)
assert [poster.wait() for poster in posters] == [0, 0]
"""


@pytest.mark.verifies("VA-SIM-11")
def test_events_of_two_posters_reach_a_waiter_whole_and_in_order(
    environment: dict[str, str], board: SteppedBoard
) -> None:
    seen = [int(line) for line in client(WAITER, environment).split()]
    for start in (1000, 5000):
        of_one = [code for code in seen if start <= code < start + 1500]
        assert of_one == list(range(start, start + 1500))
    assert board.world.nvml.state.events_lost == 0


def test_an_event_that_cannot_be_posted_is_said_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> Path:
        raise build.BuildError("no C compiler for the emulated board; apt install gcc")

    file = StateFile.create(tmp_path / "nvml.state", 1)
    monkeypatch.setattr(build, "library", nothing)
    with pytest.raises(StateError, match="cannot post an event: no C compiler"):
        file.post(0, 8, 13)
    file.close()


def test_a_missing_board_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="python -m sim_hw board"):
        StateFile.attach(tmp_path / "nvml.state")


@pytest.mark.parametrize("count", [0, 9])
def test_a_gpu_count_out_of_range_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(StateError, match=r"give 1 … 8"):
        StateFile.create(tmp_path / "nvml.state", count)
