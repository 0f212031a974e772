"""Scrubbing in the whole payload, on a clock that jumps."""

from __future__ import annotations

import pytest

from flight.components.job_runner.simulated import Behaviour
from flight.components.protection.notifications import Radiation
from flight.components.scrubber.regions import Kind
from flight.components.scrubber.simulated import SimulatedRegion
from flight.deployment.configuration import Configuration, ScrubberSettings
from flight.deployment.simulated import SimulatedPayload
from flight.jobs.registry import by_name
from hal.device import FaultKind
from icd.reports import Stage
from tests.flight.support.simulated_station import Operator, SeenEvent

MIB = 1 << 20


def flying(configuration: Configuration | None = None) -> Operator:
    operator = Operator(SimulatedPayload(configuration))
    operator.payload.launcher.default = Behaviour(steps=100_000, commit_every=5)
    operator.payload.storage.files["state/files/w.bin"] = bytearray(MIB)
    operator.settle(5)
    return operator


def named(operator: Operator, name: str) -> list[SeenEvent]:
    """Every event of that name."""
    return [event for event in operator.events if event.name == name]


@pytest.fixture
def operator() -> Operator:
    return flying()


@pytest.mark.verifies("VA-SCR-02", "VA-SCR-03", "VA-SCR-06")
def test_a_registered_file_is_kept_right_across_worker_and_executive(operator: Operator) -> None:
    payload = operator.payload
    assert operator.do("scrubber.register", "w.bin", "weights")[0] is Stage.COMPLETED
    payload.scrub.regions["weights"].flipped[4] = 2
    operator.settle(20)
    (told,) = named(operator, "scrubber.block_corrected")
    assert (told.values["block"], told.values["bits"]) == (4, 2)
    payload.scrub.regions["weights"].lost.add(9)
    operator.settle(20)
    assert [event.values["block"] for event in named(operator, "scrubber.reloaded")] == [9]
    payload.scrub.regions.clear()
    payload.scrub.is_hung = True
    operator.settle(10)
    assert "scrub" in payload.supervisor.replaced
    assert "weights" in payload.scrub.regions
    payload.reboot()
    again = Operator(payload)
    again.settle(10)
    assert "weights" in payload.scrub.regions


@pytest.mark.verifies("VA-SCR-03")
def test_lost_memory_of_a_job_sends_that_job_back_to_its_commit(operator: Operator) -> None:
    declaration = by_name("matmul")
    fragment = declaration.fragment()
    arguments = declaration.pack(declaration.parse({"size": "64"}))
    sent = operator.send("jobs.submit", fragment.number, fragment.hash, 5, 0, 0, 4, arguments)
    operator.settle(6)
    job = int(operator.result_of(sent)["job"])
    region = SimulatedRegion(MIB, Kind.JOB, job, lost={3})
    operator.payload.scrub.regions[f"job-{job}.state"] = region
    operator.settle(15)
    (told,) = named(operator, "scrubber.job_rolled_back")
    assert told.values["job"] == job
    starts = [event.values for event in named(operator, "jobs.job_started")]
    assert [(start["job"], start["attempt"]) for start in starts] == [(job, 1), (job, 2)]
    assert starts[1]["step"] > 0


@pytest.mark.verifies("VA-SCR-03", "VA-SCR-07")
def test_a_test_region_that_lost_a_block_is_made_anew(operator: Operator) -> None:
    operator.do("scrubber.make_test_region", MIB, seconds=6)
    made = operator.payload.scrub.regions["test"].made
    operator.do("scrubber.inject_error", "test", 1, 5, 2, 512, seconds=20)
    assert named(operator, "scrubber.block_lost")
    assert operator.payload.scrub.regions["test"].made == made + 1
    assert named(operator, "scrubber.reloaded")


@pytest.mark.verifies("VA-SCR-03")
def test_a_file_whose_golden_copy_is_gone_is_retired_for_good(operator: Operator) -> None:
    operator.do("scrubber.register", "w.bin", "weights", seconds=6)
    operator.payload.scrub.golden_is_gone = True
    operator.payload.scrub.regions["weights"].lost.add(9)
    operator.settle(30)
    assert named(operator, "scrubber.region_retired")
    assert "weights" not in operator.payload.scrub.regions
    operator.payload.reboot()
    again = Operator(operator.payload)
    again.settle(10)
    assert "weights" not in operator.payload.scrub.regions


@pytest.mark.verifies("VA-SCR-08")
def test_radiation_raises_the_rate_of_scrubbing(operator: Operator) -> None:
    operator.payload.deployment.adaptive.signals.tell(Radiation.STORM)
    operator.settle(2)
    assert operator.payload.scrub.settings["factor"] == 8.0
    operator.payload.deployment.adaptive.signals.tell(Radiation.QUIET)
    operator.settle(2)
    assert operator.payload.scrub.settings["factor"] == 1.0


def test_wrong_blocks_count_as_radiation_and_injected_ones_do_not(operator: Operator) -> None:
    totals = operator.payload.deployment.adaptive.errors.totals
    operator.do("scrubber.make_test_region", MIB, seconds=6)
    operator.do("scrubber.inject_error", "test", 1, 5, 1, 1, seconds=15)
    assert named(operator, "scrubber.block_corrected")
    assert totals()["scrubber"] == 0
    operator.payload.scrub.regions["x"] = SimulatedRegion(MIB, flipped={1: 1})
    operator.settle(15)
    assert totals()["scrubber"] == 1


@pytest.mark.verifies("VA-SCR-03")
def test_an_uncontained_memory_error_of_the_gpu_has_all_regions_walked(operator: Operator) -> None:
    operator.do("scrubber.register", "w.bin", "weights", seconds=6)
    before = operator.payload.scrub.regions["weights"].passes
    operator.payload.board.fault(FaultKind.XID, 95)
    operator.settle(4)
    assert named(operator, "scrubber.checked_all")
    assert operator.payload.scrub.regions["weights"].passes > before


@pytest.mark.verifies("VA-SCR-09")
def test_hardware_counters_are_in_the_picture(operator: Operator) -> None:
    operator.payload.board.set("ecc_corrected_volatile", 7.0)
    operator.settle(3)
    operator.do("scrubber.list_memory_errors", seconds=4)
    rows = [values for name, values in operator.reports if name == "scrubber.memory_errors"]
    (row,) = [row for row in rows if row["what"] == "ecc_corrected_volatile"]
    assert (row["where"], row["count"], row["is_valid"]) == ("gpu0", 7.0, True)


@pytest.mark.verifies("VA-SCR-06")
def test_what_the_configuration_says_is_how_it_begins() -> None:
    operator = flying(Configuration(scrubber=ScrubberSettings(False, 50.0, 3.0)))
    settings = operator.payload.scrub.settings
    assert settings == {
        "is_enabled": False,
        "rate": 50.0 * MIB,
        "period_s": 3.0,
        "factor": 1.0,
    }
