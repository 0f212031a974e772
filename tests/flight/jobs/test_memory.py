"""A job's sealed memory and its regions, in the job that runs in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_jobs import JOB, Parameters

from flight.jobs.api import MemoryLost
from flight.jobs.local import LocalJob

pytestmark = pytest.mark.portable


@pytest.fixture
def job(tmp_path: Path) -> LocalJob:
    return LocalJob(JOB, Parameters(), tmp_path)


def test_sealed_arrays_of_any_size_and_type_are_set_right(job: LocalJob) -> None:
    arrays = {
        "one": np.array(3.0),
        "flags": np.array([True, False]),
        "small": np.arange(500),
        "large": np.random.default_rng(1).normal(size=(300, 200)),
        "empty": np.zeros((0, 4)),
    }
    before = {name: array.copy() for name, array in arrays.items()}
    job.state(**arrays)
    job.seal()
    for array in arrays.values():
        octets = array.reshape(-1).view(np.uint8)
        octets[:8] ^= 0xFF
    assert job.verify() == 4
    assert all((arrays[name] == before[name]).all() for name in arrays)
    assert (job.tally.blocks_corrected, job.tally.blocks_lost) == (4, 0)


def test_what_changes_after_it_was_verified_is_the_jobs_own_doing(job: LocalJob) -> None:
    numbers = np.zeros(100)
    job.state(numbers=numbers)
    assert job.verify() == 0, "nothing is sealed yet"
    job.seal()
    job.verify()
    numbers += 1
    assert job.verify() == 0
    job.commit(1)
    assert (numbers == 1).all()


def test_a_commit_of_sealed_arrays_holds_no_wrong_bit_and_leaves_them_sealed(
    job: LocalJob,
) -> None:
    numbers = np.zeros(100)
    job.state(numbers=numbers)
    job.seal()
    numbers[7] = 9.0
    job.commit(1)
    assert job.last_commit is not None
    assert (job.last_commit.arrays["numbers"] == 0).all()
    numbers[8] = 9.0
    assert job.verify() == 1


def test_what_cannot_be_set_right_is_lost_by_name(job: LocalJob) -> None:
    sound, ruined = np.zeros(100), np.zeros(5000)
    job.state(sound=sound, ruined=ruined)
    job.seal()
    ruined[:16] = 1.0
    with pytest.raises(MemoryLost, match="1 blocks of 'ruined' have more wrong bits"):
        job.verify()
    assert job.tally.blocks_lost == 1


def test_memory_is_registered_before_it_is_sealed(job: LocalJob) -> None:
    with pytest.raises(ValueError, match=r"with state\(\) before they are sealed"):
        job.seal()


def test_a_region_is_a_copy_that_cannot_be_written(job: LocalJob) -> None:
    array = np.arange(10)
    region = job.region("numbers", array)
    array[0] = 9
    assert region.tolist() == list(range(10))
    with pytest.raises(ValueError, match="read-only"):
        region[0] = 1


@pytest.mark.parametrize("name", ["", "Up", "a/b", "..", "x" * 33])
def test_a_region_is_named_so_that_it_can_be_a_file(job: LocalJob, name: str) -> None:
    with pytest.raises(ValueError, match="use 1 to 32 of a-z"):
        job.region(name, np.arange(3))


@pytest.mark.parametrize("array", [np.zeros(0), np.array([None])])
def test_a_region_holds_numbers(job: LocalJob, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="give numbers"):
        job.region("numbers", array)
