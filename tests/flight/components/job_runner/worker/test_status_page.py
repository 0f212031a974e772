"""The status page: whole pictures, whatever the writer does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flight.components.job_runner.ports import Control, JobStatus, PagePhase
from flight.components.job_runner.worker.status_page import (
    SIZE,
    StatusPage,
    StatusPages,
    StatusWriter,
)
from flight.fault_tolerance.levels import TALLIES, Level


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "jobs" / "7"
    folder.mkdir(parents=True)
    return folder / "status"


@pytest.fixture
def writer(path: Path) -> Iterator[StatusWriter]:
    made = StatusWriter.create(path, 7)
    yield made
    made.close()


@pytest.fixture
def page(path: Path, writer: StatusWriter) -> Iterator[StatusPage]:
    assert writer.status.job_id == 7
    opened = StatusPage.open(path)
    yield opened
    opened.close()


def test_what_is_written_is_read(writer: StatusWriter, page: StatusPage) -> None:
    everything = JobStatus(
        7, 1234, 1 << 40, PagePhase.PAUSED, True, 5, 6, 7, 8, 1, 10, 11, 0xFFFFFFFF,
        Level.TMR, tuple(range(TALLIES)),
        (1.5, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e300), "a sentence",
    )  # fmt: skip
    writer.update(**everything._asdict())
    assert page.read() == everything


def test_fields_not_named_keep_their_value(writer: StatusWriter, page: StatusPage) -> None:
    writer.update(step=3, total=9)
    writer.update(metrics=(2.5,))
    status = page.read()
    assert status is not None
    assert (status.step, status.total, status.metrics[0], status.job_id) == (3, 9, 2.5, 7)


def test_a_long_message_is_cut_at_a_whole_character(writer: StatusWriter, page: StatusPage) -> None:
    writer.update(message="x" + "ä" * 200)
    status = page.read()
    assert status is not None
    assert status.message == "x" + "ä" * 79


def test_a_writer_killed_in_the_middle_costs_one_update(
    writer: StatusWriter, page: StatusPage, path: Path
) -> None:
    writer.update(step=1)
    writer.update(step=2)
    content = path.read_bytes()
    found = set()
    for at in (1024, 2048):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes(40))
        status = page.read()
        found.add(None if status is None else status.step)
        path.write_bytes(content)
    assert found == {1, 2}


def test_any_flipped_octet_is_noticed_or_harmless(
    writer: StatusWriter, page: StatusPage, path: Path
) -> None:
    writer.update(step=1)
    writer.update(step=2)
    content = path.read_bytes()
    for at in range(1024, 2600):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        status = page.read()
        assert status is not None
        assert status.step in (1, 2)


@pytest.mark.verifies("VA-SEC-05")
def test_a_page_cut_short_is_no_picture_and_no_crash(page: StatusPage, path: Path) -> None:
    os.truncate(path, 100)
    assert page.read() is None
    os.truncate(path, 0)
    page.command(Control.CANCEL)
    assert page.read() is None


def test_a_phase_that_is_none_is_no_picture(writer: StatusWriter, page: StatusPage) -> None:
    writer.update(phase=99)
    writer.update(phase=98)
    assert page.read() is None


def test_the_writer_sees_what_it_is_asked(
    writer: StatusWriter, page: StatusPage, path: Path
) -> None:
    assert writer.control == Control.RUN
    page.command(Control.PAUSE)
    assert writer.control == Control.PAUSE
    with path.open("r+b") as file:
        file.seek(64)
        file.write(b"\xee")
    assert writer.control == Control.RUN
    with pytest.raises(ValueError):
        page.command(9)


@pytest.mark.usefixtures("writer")
def test_a_page_is_found_by_its_job(path: Path) -> None:
    pages = StatusPages(path.parents[2])
    assert pages.open(8) is None
    page = pages.open(7)
    assert page is not None
    page.close()
    path.write_bytes(bytes(SIZE))
    assert pages.open(7) is None


def test_a_page_that_a_job_swapped_for_something_else_costs_no_descriptor(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    pages, before = StatusPages(path.parents[2]), len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        assert pages.open(7) is None
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_new_page_does_not_disturb_who_reads_the_old_one(
    writer: StatusWriter, page: StatusPage, path: Path
) -> None:
    writer.update(step=5)
    StatusWriter.create(path, 7).close()
    status = page.read()
    assert status is not None
    assert status.step == 5


def test_the_level_of_protection_that_is_asked_for_is_read(
    writer: StatusWriter, page: StatusPage, path: Path
) -> None:
    assert writer.level is Level.NONE
    page.protect(Level.DMR)
    assert writer.level is Level.DMR
    with path.open("r+b") as file:
        file.seek(65)
        file.write(b"\xff")
    assert writer.level is Level.NONE
