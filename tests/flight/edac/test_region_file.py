"""Regions in files: found, believed only as far as they are sound, and set right from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flight.edac import region_file
from flight.edac.blocks import Verdict
from flight.edac.region_file import COPIES_AT, PAGE, RegionError, RegionFile, State

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

LENGTH = 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "regions" / "weights"


@pytest.fixture
def region(path: Path) -> RegionFile:
    made = region_file.create(path, "weights", LENGTH, golden="state/files/weights.npz")
    made.data[:] = np.random.default_rng(0).integers(0, 256, LENGTH, np.uint8)
    made.seal()
    yield made
    made.close()


@pytest.mark.usefixtures("region")
def test_a_region_says_what_it_is(path: Path) -> None:
    said = region_file.describe(path)
    assert (said.name, said.golden, said.length) == ("weights", "state/files/weights.npz", LENGTH)
    assert (said.n, said.blocks, said.is_sealed) == (512, 4, True)
    assert said.pid == os.getpid()
    assert said.start_time == region_file.start_time_of(os.getpid()) > 0
    assert region_file.discover(path.parent) == [path]


def test_what_another_opening_corrects_is_right_in_the_owners_memory_too(
    path: Path, region: RegionFile
) -> None:
    owners = region.data
    before = owners.copy()
    owners[5_000:5_064] ^= 0xFF
    other = region_file.open_region(path)
    (mended,) = other.region().scrub()
    assert mended.verdict is Verdict.CORRECTED
    assert (owners == before).all()
    other.close()


def test_an_open_region_is_not_for_others(path: Path, region: RegionFile) -> None:
    region.unseal()
    said = region_file.describe(path)
    assert (said.state, said.generation) == (State.OPEN, 3)
    region.seal()
    assert region_file.describe(path).is_sealed


def test_who_holds_a_region_keeps_others_off_without_blocking_them(
    path: Path, region: RegionFile
) -> None:
    other = region_file.open_region(path)
    with region.held() as mine, other.held(wait=False) as theirs:
        assert mine
        assert not theirs
    with other.held(wait=False) as theirs:
        assert theirs
    other.close()


def test_the_kernel_lets_go_for_an_owner_that_was_killed(path: Path, region: RegionFile) -> None:
    code = (
        "import sys; from pathlib import Path; from flight.edac import region_file\n"
        "region = region_file.open_region(Path(sys.argv[1]))\n"
        "with region.held():\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with region.held(wait=False) as is_held:
            assert not is_held
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with region.held(wait=False) as is_held:
        assert is_held


@pytest.mark.usefixtures("region")
@pytest.mark.parametrize("sound", COPIES_AT)
def test_any_one_copy_of_the_header_will_do(path: Path, sound: int) -> None:
    before = region_file.describe(path)
    content = bytearray(path.read_bytes())
    for at in COPIES_AT:
        if at != sound:
            content[at + 100] ^= 1
    path.write_bytes(content)
    assert region_file.describe(path) == before
    other = region_file.open_region(path)
    with other.held():
        assert other.mend_header() == 3
        assert other.mend_header() == 0
    other.close()


@pytest.mark.usefixtures("region")
def test_without_a_sound_copy_it_is_no_region(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in COPIES_AT:
        content[at + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(RegionError, match="weights: not a region, or all copies"):
        region_file.open_region(path)


@pytest.mark.usefixtures("region")
def test_a_file_cut_short_is_refused_before_it_is_mapped(path: Path) -> None:
    os.truncate(path, PAGE + 10)
    with pytest.raises(RegionError, match="4106 octets; its header says"):
        region_file.open_region(path)


def test_a_header_that_lies_about_its_redundancy_is_refused(path: Path, region: RegionFile) -> None:
    liar = region.description._replace(redundancy_octets=64, generation=9)
    with path.open("r+b") as file:
        file.write(region_file._pack(liar))
    other = region_file.open_region(path)
    with pytest.raises(RegionError, match="redundancy of 64 octets"):
        other.region()
    other.close()


def test_a_half_written_change_of_state_counts_as_the_newer_one(
    path: Path, region: RegionFile
) -> None:
    newer = region.description._replace(state=State.OPEN, generation=8)
    with path.open("r+b") as file:
        file.seek(COPIES_AT[2])
        file.write(region_file._pack(newer))
    assert region_file.describe(path) == newer


@pytest.mark.parametrize(("name", "length"), [("x" * 65, 1), ("a\0b", 1), ("fine", 0)])
def test_a_name_or_length_that_cannot_be_is_refused(path: Path, name: str, length: int) -> None:
    with pytest.raises(RegionError, match="give"):
        region_file.create(path, name, length)
    assert region_file.discover(path.parent) == []


def test_a_folder_that_is_not_there_holds_no_regions(tmp_path: Path) -> None:
    assert region_file.discover(tmp_path / "none") == []
