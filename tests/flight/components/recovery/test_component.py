"""The recovery component on a bench: what ground may ask for, and helpers that do not help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.components.board.notifications import Condition, DevicePicture
from flight.components.board.places import UNKNOWN
from flight.components.board.readings import Fault
from flight.components.job_runner.ports import JobHolds
from flight.components.recovery import stimuli as s
from flight.components.recovery.component import Recovery
from flight.components.recovery.dictionary import RecoverySettings
from flight.components.recovery.fault_table import RUNGS, Ask, Level
from flight.components.recovery.lifecycle import RecoveryLifecycle
from flight.components.recovery.ports import Ended
from flight.components.recovery.stimuli import Running
from flight.framework.lifecycle import Tell, replay
from hal.device import FaultKind
from icd.failures import FailureCode
from tests.flight.support.component_harness import Bench


class Payload:
    """Everything that recovery is connected to, as a test sets it."""

    def __init__(self, max_level: Level = Level.SAFE_MODE) -> None:
        self.jobs = Running(frozenset({(1, 1)}))
        self.log: list[Any] = []
        self.saved: dict[str, object] = {}
        self.is_taking = self.is_listening = True
        self.is_disk_well = True
        self.ended: list[Ended] = []
        self.bench = Bench("recovery", 8)
        self.settings = RecoverySettings(max_level)
        self.plug()

    def plug(self) -> None:
        """Begin with a new component."""
        self.recovery = Recovery(self.bench.port, self, self, self, self, self, self.settings)
        self.bench.plug(self.recovery)

    def fault(self, code: int, device: int = 0) -> None:
        self.recovery.fault(Fault(device, FaultKind.XID, code, "", self.bench.now, 0))
        self.bench.step()

    # --- the ports ---

    def running(self) -> Running:
        return self.jobs

    def processes(self) -> Sequence[tuple[int, int]]:
        return [(100, 7)]

    def hold(self, reason: str) -> None:
        self.log.append(("hold", reason))

    def release(self) -> None:
        self.log.append("release")

    def recall(self, reason: str, begun_by: int) -> None:
        self.log.append(("recall", reason, begun_by))

    def picture(self) -> Sequence[DevicePicture]:
        return [DevicePicture(0, self.bench.now, Condition.WELL, 0)]

    def control(
        self, action: str, device: int, processes: Sequence[tuple[int, int]], ended: Ended
    ) -> bool:
        self.log.append((action, device, list(processes)))
        self.ended.append(ended)
        return self.is_taking

    def reboot(self, reason: str) -> None:
        self.log.append(("reboot", reason))

    def enter_safe_mode(self, reason: str) -> None:
        self.log.append(("safe mode", reason))

    def ask(self, what: Ask, reason: str) -> bool:
        self.log.append((what, reason))
        return self.is_listening

    def load(self) -> dict[str, object]:
        return self.saved

    def keep(self, content: dict[str, object], done: Callable[[], None] | None) -> None:
        self.saved = content
        if done is not None and self.is_disk_well:
            done()


@pytest.fixture
def payload() -> Payload:
    return Payload()


def test_a_started_component_lets_go_of_the_jobs_that_its_predecessor_held(
    payload: Payload,
) -> None:
    assert payload.log == ["release"]


@pytest.mark.verifies("VA-RCV-11")
def test_only_processes_of_our_jobs_may_be_killed(payload: Payload) -> None:
    payload.bench.do("act", 2, 0)
    payload.bench.step(2.5)
    assert ("kill_contexts", 0, [(100, 7)]) in payload.log


def test_an_action_by_telecommand_is_stepped_on_though_nothing_else_happens(
    payload: Payload,
) -> None:
    payload.bench.step()
    payload.bench.is_woken = False
    payload.bench.do("act", 3, 0)
    assert payload.bench.is_woken
    assert payload.bench.step() == payload.bench.now + 100_000_000


@pytest.mark.verifies("VA-RCV-14")
def test_another_part_of_the_payload_is_asked_once_for_each_event(payload: Payload) -> None:
    for _ in range(2):
        payload.fault(92)
    assert payload.log.count((Ask.PROTECTION, "GPU 0: XID 92")) == 1
    assert payload.bench.events("passed_on") == [(0, "XID 92", Ask.PROTECTION.value)]
    assert payload.bench.events("attention") == [
        (0, "XID 92", "look whether the orbit explains it")
    ]


@pytest.mark.verifies("VA-RCV-14")
@pytest.mark.parametrize("is_enabled", [True, False])
def test_what_nobody_on_board_does_is_said_to_ground(payload: Payload, is_enabled: bool) -> None:
    payload.is_listening = not is_enabled
    if not is_enabled:
        payload.bench.do("disable")
    payload.fault(95)
    assert payload.bench.events("passed_on") == []
    assert payload.bench.events("attention") == [(0, "XID 95", Ask.GOLDEN.by_ground)]
    assert payload.log.count((Ask.GOLDEN, "GPU 0: XID 95")) == is_enabled


def test_a_board_server_that_takes_nothing_leads_on_up_the_ladder(payload: Payload) -> None:
    payload.is_taking = False
    payload.jobs = Running()
    payload.fault(46)
    for _ in range(10):
        payload.bench.step(0.1)
    levels = [values[1] for values in payload.bench.events("heavy_action_started")]
    assert levels == [3, 4, 5, 6, 7]
    assert payload.bench.events("given_up")
    assert [entry for entry in payload.log if entry[0] == "safe mode"]
    assert payload.log[-1] == "release"


def test_a_disk_that_does_not_answer_delays_rail_power_by_two_seconds(payload: Payload) -> None:
    payload.is_disk_well = False
    payload.jobs = Running()
    payload.fault(79)
    payload.bench.step(1.9)
    assert payload.ended == []
    payload.bench.step(0.2)
    assert payload.log[-1] == ("rail_power_cycle", 0, [(100, 7)])


def test_an_answer_that_comes_twice_counts_once(payload: Payload) -> None:
    payload.jobs = Running()
    payload.fault(46)
    for _ in range(2):
        payload.ended[0](True, "done")
        payload.bench.step(0.1)
    payload.bench.step(0.1)
    payload.recovery.housekeeping()
    assert (payload.recovery.hk.recovered, payload.recovery.hk.stale) == (1, 1)


def test_strikes_are_not_listed_when_the_downlink_has_no_room(payload: Payload) -> None:
    payload.fault(31)
    payload.bench.room = 0
    assert "no room" in payload.bench.do("list_strikes").failure[0]
    payload.bench.room = 9
    assert payload.bench.do("list_strikes").result.rows == 1
    assert payload.bench.do("reset_strikes", 3, 0).result.causes == 0
    assert payload.bench.do("reset_strikes", 255, 0).result.causes == 1


def test_an_action_on_a_gpu_that_is_not_there_is_refused_with_those_that_are(
    payload: Payload,
) -> None:
    asker = payload.bench.do("act", 3, 5)
    assert asker.code is FailureCode.NOT_FOUND
    assert "there is 0" in asker.failure[0]


@pytest.mark.verifies("VA-BRD-15")
def test_a_fault_of_a_gpu_that_nobody_named_restarts_jobs_and_nothing_more(
    payload: Payload,
) -> None:
    payload.fault(62, device=UNKNOWN)
    started = payload.bench.events("action_started")
    assert [(device, level) for device, level, *_ in started] == [(UNKNOWN, 1)]
    payload.bench.step(4)
    assert payload.bench.events("given_up")[0][0] == UNKNOWN  # job 1 does not end
    assert payload.bench.events("heavy_action_started") == []


@pytest.mark.verifies("VA-BRD-15")
def test_a_storm_of_faults_of_an_unknown_gpu_never_climbs(payload: Payload) -> None:
    for _ in range(200):
        payload.fault(79, device=UNKNOWN)
        payload.jobs = Running(frozenset({(1, payload.bench.now)}))
        payload.bench.step(30)
    levels = [level for _, level, *_ in payload.bench.events("action_started")]
    assert levels == [1, 1, 1]
    assert payload.bench.events("heavy_action_started") == []
    assert payload.bench.events("withheld") == []


def test_a_parameter_changes_the_budget_at_once(payload: Payload) -> None:
    indices = {f.name: i for i, f in enumerate(payload.recovery.declaration.parameters)}
    payload.recovery.set_parameters([(indices["most_heavy"], 0)])
    payload.fault(46)
    assert "budget" in payload.bench.events("withheld")[0][3]


@given(kind=st.sampled_from(FaultKind), code=st.integers(-(2**40), 2**40), time=st.integers())
def test_no_fault_that_the_monitor_lets_through_makes_it_raise(
    kind: FaultKind, code: int, time: int
) -> None:
    payload = Payload()
    payload.recovery.fault(Fault(0, kind, code, "pc=0x" + "f" * 200, time, 0))
    payload.bench.step(1)
    payload.recovery.housekeeping()
    payload.bench.do("list_strikes")


def test_the_stimulus_log_of_the_component_replays_to_the_events_that_it_sent(
    payload: Payload,
) -> None:
    payload.fault(46)
    payload.jobs = Running()
    payload.bench.step(0.1)
    payload.ended[0](True, "done")
    payload.bench.step(0.1)
    payload.bench.step(0.1)
    payload.bench.do("disable")
    core = payload.recovery.core
    again = replay(RecoveryLifecycle(core.policy), payload.recovery.log)
    told = [(tell.name, *tell.values) for tell in again if isinstance(tell, Tell)]
    assert [name for name, *_ in told] == ["heavy_action_started", "recovered", "switched"]
    assert [event[:3] for event in payload.bench.events()] == [event[:3] for event in told]
    acts = [out for out in again if isinstance(out, s.Act)]
    assert [RUNGS[act.level].action for act in acts] == ["gpu_reset"]


def test_jobs_run_when_nobody_has_a_reason_to_hold_them() -> None:
    told: list[str] = []
    holds = JobHolds(lambda: told.append(holds.reason))
    holds.hold("modes", "safe mode")
    holds.hold("recovery", "GPU reset")
    holds.release("modes")
    holds.release("modes")
    holds.release("recovery")
    assert told == ["safe mode", "GPU reset", ""]
