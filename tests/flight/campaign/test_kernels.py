"""The shipped kernels: what protects them holds, and what does not is seen."""

from __future__ import annotations

from collections import Counter

import pytest

from flight.campaign import plan
from flight.campaign.fault_models import Outcome, Shield
from flight.campaign.kernels.payload import Payload, PayloadSettings
from flight.campaign.trials import Trials

pytestmark = pytest.mark.numerical

SMALL = """\
name = "small"
seed = 5
trials = 64
no_fault = 3
[kernel.matmul]
rows = 20
inner = 30
columns = 24
[kernel.nanogpt-step]
inputs = 2
trials = 32
[kernel.imaging]
rows = 16
columns = 32
sites = ["host memory", "accumulator", "load"]
[kernel.edac-region]
size = "9000 octets"
n = 64
"""


@pytest.fixture(scope="module")
def laboratory() -> Trials:
    return Trials(plan.loads(SMALL))


def outcomes(laboratory: Trials, kernel: str, level: str) -> Counter[Outcome]:
    campaign = laboratory.campaign
    (block,) = (b for b in campaign.blocks if (b.kernel, b.shield.value) == (kernel, level))
    numbers = range(block.first, block.last)
    return Counter(laboratory.run(laboratory.prepare(number)).outcome for number in numbers)


@pytest.mark.parametrize("kernel", ["matmul", "nanogpt-step", "imaging", "edac-region"])
@pytest.mark.verifies("VA-CAM-04")
def test_without_protection_faults_end_in_silent_corruption(
    laboratory: Trials, kernel: str
) -> None:
    counted = outcomes(laboratory, kernel, "none")
    silent = counted[Outcome.TOLERABLE] + counted[Outcome.CRITICAL]
    assert silent > 0.5 * (counted.total() - counted[Outcome.CLEAN])
    assert counted[Outcome.CLEAN] == 3


@pytest.mark.parametrize("level", ["dmr", "tmr"])
@pytest.mark.parametrize("kernel", ["matmul", "nanogpt-step", "imaging"])
def test_compared_runs_and_memory_under_the_code_leave_nothing_silent(
    laboratory: Trials, kernel: str, level: str
) -> None:
    counted = outcomes(laboratory, kernel, level)
    assert not counted[Outcome.TOLERABLE] + counted[Outcome.CRITICAL]
    assert counted[Outcome.CLEAN] == 3


STUCK = """\
name = "stuck"
seed = 3
trials = 60
levels = ["none", "known answers", "dmr"]
[kernel.imaging]
rows = 1024
columns = 32
sites = ["stuck kernel"]
"""


def test_a_stuck_kernel_is_caught_by_known_answers_unless_it_sticks_at_the_end() -> None:
    laboratory = Trials(plan.loads(STUCK))
    assert not outcomes(laboratory, "imaging", "none")[Outcome.ABORT]
    for level in ("known answers", "dmr"):
        counted = outcomes(laboratory, "imaging", level)
        assert counted[Outcome.ABORT] > 40
        assert counted[Outcome.ABORT] + counted[Outcome.RECOVERED] < 60


def test_memory_under_the_code_is_never_silently_wrong(laboratory: Trials) -> None:
    counted = outcomes(laboratory, "edac-region", "edac")
    assert set(counted) == {Outcome.CORRECTED, Outcome.RECOVERED, Outcome.CLEAN}


def test_checksums_find_what_is_critical_in_a_product(laboratory: Trials) -> None:
    counted = outcomes(laboratory, "matmul", "abft")
    assert not counted[Outcome.CRITICAL]
    assert counted[Outcome.CLEAN] == 3


def test_no_trial_leaves_anything_to_the_next(laboratory: Trials) -> None:
    numbers = range(0, laboratory.campaign.trials, 7)
    first = [_record(laboratory, n) for n in numbers]
    other = Trials(laboratory.campaign)
    assert first[::-1] == [_record(other, n) for n in reversed(numbers)]


def _record(laboratory: Trials, number: int) -> dict[str, object]:
    prepared = laboratory.prepare(number)
    return prepared.record(laboratory.run(prepared))


PAYLOAD = """\
name = "payload"
seed = 2
trials = 42
no_fault = 1
[kernel.payload]
"""


@pytest.mark.verifies("VA-CAM-08")
@pytest.mark.slow
def test_the_whole_payload_does_its_job_once_whatever_befalls_it() -> None:
    laboratory = Trials(plan.loads(PAYLOAD))
    sites: dict[str, Counter[Outcome]] = {}
    for number in range(laboratory.campaign.trials):
        prepared = laboratory.prepare(number)
        ended = laboratory.run(prepared)
        site = prepared.trial.site
        sites.setdefault(site.value if site else "", Counter())[ended.outcome] += 1
    assert sites.pop("") == {Outcome.CLEAN: 1}
    for counted in sites.values():
        assert set(counted) <= {Outcome.MASKED, Outcome.RECOVERED}
        assert counted[Outcome.RECOVERED] >= 3


def test_a_payload_that_is_given_no_time_has_hung() -> None:
    settings = PayloadSettings(within=0.5)
    assert Payload(settings, 1).attempt(Shield.SYSTEM, 0, ()).outcome is Outcome.HANG
