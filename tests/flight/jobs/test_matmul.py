"""The matmul job: it proves its products, and a wrong element does not get past it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flight.fault_tolerance.abft import SHARE
from flight.fault_tolerance.levels import Level
from flight.jobs.api import ResultError
from flight.jobs.local import LocalJob
from flight.jobs.matmul import JOB
from flight.jobs.matmul.multiply import run

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable

MakeJob = Callable[..., LocalJob]
Finish = Callable[[LocalJob], dict[str, bytes]]

SMALL = {"size": "70", "repeats": "5", "seed": "3"}


class Faulty:
    """Multiplies, and spoils one element of the products whose number is in `wrong`."""

    def __init__(self, *wrong: int, spoil: Callable[[Any], Any] = lambda value: -value) -> None:
        self.wrong = wrong
        self.spoil = spoil
        self.made = 0

    def __call__(self, left: Any, right: Any, out: Any) -> None:
        np.matmul(left, right, out=out)
        if self.made in self.wrong:
            where = np.unravel_index(np.abs(out).argmax(), out.shape)
            out[where] = self.spoil(out[where])
        self.made += 1


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_honest_products_stay_far_below_the_alarm(
    make_job: MakeJob, finish: Finish, precision: str
) -> None:
    settings = {"size": "300", "repeats": "3", "precision": precision}
    report = json.loads(finish(make_job(JOB, settings, level=Level.ABFT))["result.json"])
    assert 0 < report["worst_residual"] < SHARE / 2
    assert report["wrong_products"] == {}
    assert report["parameters"]["precision"] == precision


@pytest.mark.verifies("VA-JOB-10")
@pytest.mark.parametrize("level", [Level.ABFT, Level.DMR, Level.TMR])
def test_a_wrong_product_is_found_and_made_again(
    make_job: MakeJob, finish: Finish, level: Level
) -> None:
    expected = json.loads(finish(make_job(JOB, SMALL))["result.json"])
    job = make_job(JOB, SMALL, level=level)
    runs = {Level.ABFT: (1, 3, 4), Level.DMR: (2, 5), Level.TMR: (3, 8)}[level]
    run(job, Faulty(*runs))  # the second product; with ABFT the third twice, else once
    report = json.loads(job.publish()["result.json"].read_bytes())
    assert report["digest"] == expected["digest"], "what counts is as if nothing had happened"
    assert report["wrong_products"] == {"1": 1, "2": 2 if level is Level.ABFT else 1}
    assert job.metrics["wrong"] == job.tally.wrong > 0
    assert "wrong" in job.messages[0] or "outvoted" in job.messages[0]


def test_without_protection_a_wrong_product_passes(make_job: MakeJob, finish: Finish) -> None:
    expected = json.loads(finish(make_job(JOB, SMALL))["result.json"])
    job = make_job(JOB, SMALL, level=Level.NONE)
    run(job, Faulty(1))
    report = json.loads(job.publish()["result.json"].read_bytes())
    assert report["digest"] != expected["digest"]
    assert job.tally.checks == 0


@pytest.mark.verifies("VA-JOB-10")
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38])
def test_a_product_that_is_not_finite_is_wrong(make_job: MakeJob, wrong: float) -> None:
    job = make_job(JOB, SMALL, level=Level.ABFT)
    run(job, Faulty(0, spoil=lambda _: wrong))
    assert job.metrics["wrong"] == 1


@pytest.mark.parametrize("level", [Level.ABFT, Level.DMR, Level.TMR])
def test_a_product_that_stays_wrong_ends_the_job(make_job: MakeJob, level: Level) -> None:
    spoil = iter(range(1, 1000))
    faulty = Faulty(*range(99), spoil=lambda value: value + next(spoil))
    with pytest.raises(ResultError, match="the processor or its memory is at fault"):
        run(make_job(JOB, SMALL, level=level), faulty)


def test_equal_runs_and_resumed_runs_give_equal_octets(make_job: MakeJob, finish: Finish) -> None:
    expected = finish(make_job(JOB, SMALL))
    assert finish(make_job(JOB, SMALL)) == expected
    broken = make_job(JOB, SMALL)
    with pytest.raises(ZeroDivisionError):
        run(broken, lambda *matrices: np.matmul(*matrices) / (broken.done < 3 or 1 // 0))
    assert broken.last_commit is not None
    assert broken.last_commit.step == 3
    assert finish(make_job(JOB, SMALL, resume=broken.last_commit)) == expected
