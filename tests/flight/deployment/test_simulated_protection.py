"""Protection levels in a whole payload on a clock that jumps: forecast, errors, restarts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from flight.components.job_runner.simulated import Behaviour
from flight.deployment.deployment import JOBS, PROTECTION
from flight.deployment.simulated import SimulatedPayload
from flight.fault_tolerance.levels import Level, Protection
from flight.framework.time_units import SECOND
from flight.jobs.registry import by_name
from icd.reports import Stage
from tests.flight.support.simulated_station import Operator

HOUR = 3600
NONE, ABFT, DMR, TMR = Level
ENDLESS = Behaviour(steps=10_000_000, step_ns=SECOND, commit_every=0)


@pytest.fixture
def operator() -> Operator:
    made = Operator(SimulatedPayload())
    made.payload.launcher.default = ENDLESS
    made.settle(2)
    return made


def submit(operator: Operator, protection: Protection = Protection.ADAPTIVE) -> int:
    """Have a job running; its number."""
    declaration = by_name("matmul")
    fragment = declaration.fragment()
    arguments = declaration.pack(declaration.parse({"size": "64"}))
    ask = (fragment.number, fragment.hash, 5, 0, 0, protection, arguments)
    sent = operator.send("jobs.submit", *ask)
    operator.settle(4)
    assert operator.outcome(sent) is Stage.COMPLETED
    return int(operator.result_of(sent)["job"])


def level_of(operator: Operator, job: int) -> Level:
    """The level that stands in the page of the job's process."""
    return Level(operator.payload.launcher.pages[job].status.level)


def put_forecast(operator: Operator, *passes: tuple[float, float], hours: float = 24) -> None:
    """A file in the store, passes from and to in seconds from now."""
    now = operator.payload.now

    def utc(seconds: float) -> str:
        since = timedelta(seconds=now // SECOND - 37 + seconds)
        return (datetime(1958, 1, 1) + since).strftime("%Y-%m-%dT%H:%M:%SZ")

    plain: dict[str, Any] = {
        "format": 1,
        "source": "by hand",
        "tai_minus_utc_s": 37,
        "begin": utc(-HOUR),
        "end": utc(hours * HOUR),
        "passes": [
            {"begin": utc(a), "end": utc(b), "flux": 900.0, "radiation": "raised"}
            for a, b in passes
        ],
    }
    storage = operator.payload.storage
    storage.perform("make_dir", path="state/files")
    octets = json.dumps(plain).encode()
    assert storage.perform("write", path="state/files/forecast.json", data=octets).ok


def load(operator: Operator) -> None:
    assert operator.do("protection.load_forecast", "forecast.json") == (Stage.COMPLETED, "")


@pytest.mark.verifies("VA-LVL-03", "VA-LVL-04")
def test_an_adaptive_job_is_raised_for_the_pass_and_lowered_after_it(operator: Operator) -> None:
    job, fixed = submit(operator), submit(operator, Protection.NONE)
    assert operator.payload.launcher.launches[-1]["level"] == ABFT
    put_forecast(operator, (600, 1200))
    load(operator)
    assert level_of(operator, job) is ABFT
    operator.settle(600)
    assert level_of(operator, job) is DMR
    operator.settle(700)
    assert level_of(operator, job) is ABFT
    names = [e.name for e in operator.events if e.name.startswith("protection.")]
    assert names == ["protection.forecast_loaded", "protection.raised", "protection.lowered"]
    operator.send("jobs.cancel", job)
    operator.settle(12)
    assert level_of(operator, fixed) is NONE


@pytest.mark.verifies("VA-LVL-05")
def test_a_reboot_within_a_pass_keeps_the_forecast_and_the_level_of_the_job(
    operator: Operator,
) -> None:
    job = submit(operator)
    put_forecast(operator, (0, 7200))
    load(operator)
    assert level_of(operator, job) is DMR
    operator.payload.reboot()
    operator.payload.launcher.default = ENDLESS
    operator.settle(10)
    assert operator.payload.launcher.launches[-1]["level"] == DMR
    assert level_of(operator, job) is DMR
    assert "jobs.job_interrupted" in [event.name for event in operator.events]


def test_a_job_runner_that_is_rebuilt_is_told_the_level_again(operator: Operator) -> None:
    job = submit(operator)
    operator.do("protection.set_level", DMR)
    executive = operator.payload.deployment.executive
    executive.do_now(executive.slots[JOBS], lambda _: 1 // 0)
    operator.settle(2)
    assert executive.slots[JOBS].component.core.levels.adaptive is DMR
    assert level_of(operator, job) is DMR


@pytest.mark.slow
@pytest.mark.verifies("VA-LVL-06")
def test_corrected_memory_errors_of_the_board_raise_the_level(operator: Operator) -> None:
    job = submit(operator)
    operator.payload.board.values[0]["ecc_corrected_volatile"] = (4.0, "errors")
    operator.settle(30)
    assert level_of(operator, job) is DMR
    (raised,) = operator.seen("protection.raised")
    assert raised.values["reason"] == "8.0 errors an hour"
    operator.settle(2400)
    assert level_of(operator, job) is ABFT
    assert len(operator.seen("protection.lowered")) == 1


@pytest.mark.verifies("VA-LVL-06")
def test_wrong_results_of_jobs_raise_the_level(operator: Operator) -> None:
    job = submit(operator)
    page = operator.payload.launcher.pages[job]
    page.status = page.status._replace(tally=(9, 5, 0, 5, *[0] * 7))
    operator.settle(30)
    assert level_of(operator, job) is DMR
    assert len(operator.seen("jobs.results_repaired")) == 1


@pytest.mark.slow
@pytest.mark.verifies("VA-LVL-08")
def test_a_day_with_a_forecast_spends_the_passes_and_nothing_else_at_the_higher_level(
    operator: Operator,
) -> None:
    passes = [(n * 8640.0 + 4000, n * 8640.0 + 4400) for n in range(10)]
    put_forecast(operator, *passes, hours=25)
    load(operator)
    operator.payload.advance(24 * HOUR)
    component = operator.payload.deployment.executive.slots[PROTECTION].component
    component.housekeeping()
    assert component.hk.shares[DMR] == pytest.approx(100 * 10 * 460 / 86_400, abs=0.05)
    assert sum(component.hk.shares) == pytest.approx(100.0)
    assert component.hk.changes == 20


@pytest.mark.verifies("VA-LVL-04")
def test_a_commanded_level_holds_through_passes_and_reboots_until_it_is_taken_back(
    operator: Operator,
) -> None:
    job = submit(operator)
    put_forecast(operator, (100, 200))
    load(operator)
    operator.do("protection.set_level", TMR)
    operator.settle(400)
    assert level_of(operator, job) is TMR
    operator.payload.reboot()
    operator.payload.launcher.default = ENDLESS
    operator.settle(10)
    assert level_of(operator, job) is TMR
    operator.do("protection.adaptive")
    operator.settle(4)
    assert level_of(operator, job) is ABFT
