"""Kernel files, the vendors' tools and the error counters read from them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hal.errors import BoardError, DriverFault, DriverMissing, NotPermitted, TimedOut, Unsupported
from hal.linux.edac import Edac, ErrorCount, risen
from hal.linux.programs import runner
from hal.linux.sysfs import Sysfs, Vanished, slug
from hal.reading import Validity

pytestmark = pytest.mark.portable


@pytest.fixture
def files(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_a_number_is_read_without_what_stands_around_it(files: Sysfs, tmp_path: Path) -> None:
    (tmp_path / "n").write_text(" -42\n\0")
    assert files.number("n") == -42


@pytest.mark.parametrize("text", ["", "x", "1.5", "0x10", "1_000", "٣", "1" * 21, "1 2"])
def test_what_is_no_number_is_quoted(files: Sysfs, tmp_path: Path, text: str) -> None:
    (tmp_path / "n").write_text(text)
    with pytest.raises(DriverFault, match=r"/n holds .*not a number"):
        files.number("n")


def test_a_missing_file_and_one_below_a_file_have_vanished(files: Sysfs, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("none", "file/below"):
        with pytest.raises(Vanished, match="is not there"):
            files.text(path)


def test_a_pipe_with_nobody_at_the_other_end_does_not_block(files: Sysfs, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DriverFault, match="holds nothing"):
        files.number("pipe")


def test_a_name_that_is_too_long_or_turns_in_circles_is_an_error_of_ours(
    files: Sysfs, tmp_path: Path
) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for path in ("x" * 300, "circle"):
        with pytest.raises(BoardError):
            files.text(path)
        assert not files.has(path)


def test_writing_makes_no_file_that_is_not_there(files: Sysfs, tmp_path: Path) -> None:
    with pytest.raises(Vanished):
        files.write("none", "1")
    assert not (tmp_path / "none").exists()


def test_files_are_found_with_their_numbers_in_order(files: Sysfs, tmp_path: Path) -> None:
    for number in (10, 2, 1):
        (tmp_path / f"zone{number}").mkdir()
    assert files.find("zone*") == ["zone1", "zone2", "zone10"]
    assert files.find("nothing/*") == []


@pytest.mark.parametrize(
    ("label", "name"),
    [("VDD_GPU_SOC", "vdd_gpu_soc"), ("Tboard_tegra", "tboard_tegra"), ("a b-c.", "a_b_c")],
)
def test_a_label_becomes_part_of_a_readings_name(label: str, name: str) -> None:
    assert slug(label) == name


def tool(root: Path, text: str) -> None:
    place = root / "usr/sbin/tool"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o700)


def test_a_tool_answers_what_it_printed_and_no_shell_reads_its_words(tmp_path: Path) -> None:
    tool(tmp_path, 'echo "$#:$1"')
    assert runner(tmp_path)(["tool", "; rm -rf $HOME"]) == "1:; rm -rf $HOME"


def test_a_tool_that_is_missing_fails_hangs_or_may_not_be_run_is_an_error_of_ours(
    tmp_path: Path,
) -> None:
    with pytest.raises(DriverMissing, match="comes with JetPack"):
        runner(tmp_path)(["tool"])
    tool(tmp_path, "echo why; exit 3")
    with pytest.raises(DriverFault, match="tool: why"):
        runner(tmp_path)(["tool"])
    tool(tmp_path, "exit 3")
    with pytest.raises(DriverFault, match="exit status 3"):
        runner(tmp_path)(["tool"])
    tool(tmp_path, "exec tail -f /dev/null")
    with pytest.raises(TimedOut, match=r"within 0.2 s"):
        runner(tmp_path, 0.2)(["tool"])
    (tmp_path / "usr/sbin/tool").chmod(0o600)
    with pytest.raises(NotPermitted):
        runner(tmp_path)(["tool"])


def controller(root: Path, name: str, corrected: int, uncorrected: int) -> None:
    folder = root / "sys/devices/system/edac" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ce_count").write_text(f"{corrected}\n")
    (folder / "ue_count").write_text(f"{uncorrected}\n")


def test_memory_controllers_and_caches_are_counted_together_and_apart(
    files: Sysfs, tmp_path: Path
) -> None:
    controller(tmp_path, "mc/mc0", 3, 1)
    controller(tmp_path, "mc/mc0/csrow0", 2, 1)
    controller(tmp_path, "mc/mc1", 4, 0)
    controller(tmp_path, "cpu/cpu0", 5, 0)
    edac = Edac(files)
    assert edac.totals() == (12.0, 1.0)
    assert ErrorCount("cpu/cpu0", 5, 0) in edac.counts()
    assert edac.rows() == [ErrorCount("mc/mc0/csrow0", 2, 1)]


def test_a_kernel_that_counts_no_errors_says_so_and_zero_is_not_made_up(files: Sysfs) -> None:
    edac = Edac(files)
    with pytest.raises(Unsupported, match="counts no errors"):
        edac.totals()
    with pytest.raises(Unsupported, match="can be cleared"):
        edac.clear()
    assert edac.places == ()


def test_every_place_is_a_reading_of_the_computer_and_trouble_is_in_it(
    files: Sysfs, tmp_path: Path
) -> None:
    controller(tmp_path, "mc/mc0", 3, 1)
    controller(tmp_path, "mc/mc0/csrow0", 2, 1)
    edac = Edac(files)
    found = {reading.name: reading for reading in edac.readings(7)}
    assert found["edac.corrected"].value == 3.0
    assert found["edac.mc_mc0_uncorrected"].value == 1.0
    assert found["edac.mc_mc0_csrow0_corrected"].value == 2.0
    assert all(re.fullmatch(r"edac\.[a-z][a-z0-9_]{0,40}", name) for name in found)
    (tmp_path / "sys/devices/system/edac/mc/mc0/ce_count").unlink()
    after = {reading.name: reading for reading in edac.readings(8)}
    assert after["edac.mc_mc0_corrected"].validity is not Validity.VALID
    assert after["edac.mc_mc0_csrow0_corrected"].value == 2.0


def test_a_kernel_without_counters_gives_totals_that_are_not_supported(files: Sysfs) -> None:
    found = Edac(files).readings(7)
    assert [reading.name for reading in found] == ["edac.corrected", "edac.uncorrected"]
    assert {reading.validity for reading in found} == {Validity.UNSUPPORTED}


def test_counters_are_cleared_where_the_controller_can(files: Sysfs, tmp_path: Path) -> None:
    controller(tmp_path, "mc/mc0", 3, 1)
    reset = tmp_path / "sys/devices/system/edac/mc/mc0/reset_counters"
    reset.write_text("0\n")
    Edac(files).clear()
    assert reset.read_text() == "1\n"


def test_what_rose_is_told_by_place_and_a_cleared_counter_counts_from_zero() -> None:
    before = [ErrorCount("mc/mc0", 3, 1), ErrorCount("mc/mc1", 9, 0)]
    after = [ErrorCount("mc/mc0", 3, 2), ErrorCount("mc/mc1", 2, 0), ErrorCount("cpu/cpu0", 1, 0)]
    assert risen(before, after) == [
        ErrorCount("mc/mc0", 0, 1),
        ErrorCount("mc/mc1", 2, 0),
        ErrorCount("cpu/cpu0", 1, 0),
    ]
