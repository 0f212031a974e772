"""The whole payload on a clock that jumps, and every fault of the table."""

from __future__ import annotations

from typing import Any

import pytest

from flight.components.executive_monitor.reset_cause import Boot, BootCause
from flight.components.job_runner.simulated import Behaviour
from flight.components.protection.stimuli import Why
from flight.components.recovery.fault_table import JETSON, OTHERS, XIDS, Kind, Level, Wait
from flight.components.recovery.lifecycle import RecoveryLifecycle
from flight.deployment.configuration import Configuration, RecoverySettings, from_mapping
from flight.deployment.simulated import SimulatedPayload
from flight.framework.time_units import SECOND
from flight.jobs.registry import by_name
from hal.device import FaultKind
from icd.dictionary import Mode
from icd.failures import FailureCode
from icd.reports import Stage
from tests.flight.support.simulated_station import Operator

LONG = Behaviour(steps=100_000, commit_every=5)
STARTED = ("recovery.action_started", "recovery.heavy_action_started")


def operator_of(max_level: str = "L7", devices: int = 1, **options: Any) -> Operator:
    """A flying payload whose recovery may go up to a level."""
    chosen = Configuration(recovery=RecoverySettings(max_level), **options)
    operator = Operator(SimulatedPayload(chosen, devices))
    operator.payload.launcher.default = LONG
    operator.settle(2)
    return operator


def submit(operator: Operator) -> int:
    """Have a job running; its number."""
    declaration = by_name("matmul")
    fragment = declaration.fragment()
    arguments = declaration.pack(declaration.parse({"size": "64"}))
    sent = operator.send("jobs.submit", fragment.number, fragment.hash, 5, 0, 0, 4, arguments)
    operator.settle(12)
    assert operator.outcome(sent) is Stage.COMPLETED
    return int(operator.result_of(sent)["job"])


def recovery_of(payload: SimulatedPayload) -> RecoveryLifecycle:
    """What decides about recoveries in the executive that flies now."""
    slots = payload.deployment.executive.slots
    return next(slot.component.core for slot in slots.values() if slot.name == "recovery")


def started(operator: Operator) -> list[int]:
    """The levels of all actions, in order."""
    return [event.values["level"] for event in operator.events if event.name in STARTED]


def first_step_after(operator: Operator, job: int, limit_s: float) -> float:
    """Seconds until the job's newest process has done a step."""
    payload = operator.payload
    begun = payload.now
    pid = payload.launcher.pages[job].status.pid
    while (payload.now - begun) / SECOND < limit_s:
        payload.advance(0.1)
        status = payload.launcher.pages[job].status
        if status.pid != pid and status.heartbeat > 1:
            return (payload.now - begun) / SECOND
    raise AssertionError(f"the job does not run again within {limit_s} s")


@pytest.mark.verifies("VA-RCV-01")
@pytest.mark.parametrize("code", sorted(XIDS))
def test_every_xid_leads_to_the_action_of_its_row_and_the_job_goes_on(code: int) -> None:
    operator = operator_of()
    job = submit(operator)
    row = XIDS[code]
    if row.level >= Level.GPU_RESET:
        operator.payload.board.break_down(int(row.level), lost="off the bus" * (code == 79))
    operator.payload.board.fault(FaultKind.XID, code)
    operator.settle(90)
    expected = [int(row.level)] if row.level > Level.LOG and row.wait is not Wait.JOB_END else []
    assert started(operator) == expected
    assert len(operator.seen("recovery.recovered")) == len(expected)
    assert job in operator.payload.launcher.running
    assert not operator.seen("recovery.given_up")
    assert operator.payload.deployment.modes.now is Mode.NOMINAL
    assert bool(operator.seen("recovery.deferred")) == (row.boundary > Level.LOG)


@pytest.mark.verifies("VA-RCV-01")
@pytest.mark.parametrize(("kind", "code"), sorted({**OTHERS, **JETSON}))
def test_every_other_fault_leads_to_the_action_of_its_row(kind: Kind, code: int) -> None:
    operator = operator_of()
    submit(operator)
    operator.payload.board.fault(FaultKind(int(kind)), code)
    operator.settle(60)
    level = {**OTHERS, **JETSON}[kind, code].level
    assert started(operator) == ([int(level)] if level else [])


@pytest.mark.verifies("VA-RCV-02")
def test_a_job_that_a_fault_struck_runs_again_within_three_seconds() -> None:
    times = []
    for phase_ms in range(0, 1000, 50):
        operator = operator_of("L1")
        job = submit(operator)
        operator.payload.advance(phase_ms / 1000)
        operator.payload.board.fault(FaultKind.XID, 31)
        times.append(first_step_after(operator, job, 10))
    times.sort()
    assert times[int(0.95 * len(times))] <= 3.0, times


@pytest.mark.verifies("VA-RCV-02")
@pytest.mark.parametrize(("code", "level", "limit_s"), [(46, 3, 10), (119, 3, 10), (79, 5, 60)])
def test_a_gpu_is_back_with_its_job_in_time(code: int, level: int, limit_s: float) -> None:
    operator = operator_of()
    job = submit(operator)
    operator.payload.board.break_down(level, lost="off the bus" * (code == 79))
    operator.payload.board.fault(FaultKind.XID, code)
    assert first_step_after(operator, job, limit_s) <= limit_s
    operator.settle(2)
    (recovered,) = operator.seen("recovery.recovered")
    assert recovered.values["seconds"] <= limit_s
    assert operator.payload.launcher.launches[-1]["resume"]


@pytest.mark.verifies("VA-RCV-03")
def test_what_the_configuration_does_not_allow_is_withheld_and_says_what_to_write() -> None:
    operator = operator_of("L1")
    job = submit(operator)
    operator.payload.board.fault(FaultKind.XID, 62)
    operator.settle(10)
    (withheld,) = operator.seen("recovery.withheld")
    assert 'set it to "L3"' in withheld.values["enable"]
    assert withheld.severity == 4
    assert started(operator) == []
    assert operator.payload.board.done == []
    assert job in operator.payload.launcher.running
    operator.settle(15)
    hk = operator.housekeeping["recovery"]
    assert (hk["withheld"], hk["max_level"]) == (1, 1)


def test_the_default_configuration_restarts_jobs_and_nothing_else() -> None:
    assert Configuration().recovery.max_level == "L1"
    assert from_mapping({"recovery": {"max_level": "L3"}}).recovery.max_level == "L3"
    with pytest.raises(ValueError, match="L0 … L7"):
        from_mapping({"recovery": {"max_level": "reset"}})


@pytest.mark.verifies("VA-RCV-04")
def test_an_action_that_does_not_help_is_followed_by_the_next_level() -> None:
    operator = operator_of()
    submit(operator)
    operator.payload.board.break_down(5, lost="it does not train")
    operator.payload.board.fault(FaultKind.XID, 119)
    operator.settle(120)
    assert started(operator) == [3, 4, 5]
    assert [e.values["level"] for e in operator.seen("recovery.action_failed")] == [3, 4]
    assert len(operator.seen("recovery.recovered")) == 1


@pytest.mark.verifies("VA-RCV-04")
def test_a_gpu_that_nothing_brings_back_ends_in_safe_mode() -> None:
    operator = operator_of()
    job = submit(operator)
    operator.payload.board.break_down(99, lost="dead")
    operator.payload.board.fault(FaultKind.XID, 79)
    operator.settle(300)
    assert started(operator) == [5, 6, 7]
    assert operator.payload.deployment.modes.now is Mode.SAFE
    assert job not in operator.payload.launcher.running
    operator.settle(600)
    assert started(operator) == [5, 6, 7]


@pytest.mark.verifies("VA-RCV-05")
def test_one_event_told_many_times_is_acted_upon_once() -> None:
    operator = operator_of()
    submit(operator)
    board = operator.payload.board
    row = [operator.payload.now, 0, 0, 46, "GPU stopped processing"]
    for _ in range(5):
        board.say("faults", {"server": board.server, "first": 1, "faults": [row]})
        operator.settle(10)
    assert started(operator) == [3]
    assert len(operator.seen("board.xid_fatal")) == 1
    operator.settle(15)
    assert operator.housekeeping["board"]["faults"] == 1


@pytest.mark.verifies("VA-BRD-14", "VA-RCV-16")
@pytest.mark.parametrize("code", sorted({31, 46, 79}))
@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.05, 0.25, 1.0, 4.0])
def test_a_fault_is_told_and_acted_upon_once_whenever_the_executive_is_killed(
    code: int, after_s: float
) -> None:
    operator = operator_of()
    submit(operator)
    payload = operator.payload
    level = int(XIDS[code].level)
    if level > 1:
        payload.board.break_down(level)
    payload.board.fault(FaultKind.XID, code)
    payload.advance(after_s)
    payload.reboot(keeps_board=True)
    operator.settle(200)
    begun = [action for _, action, _ in payload.board.done]
    assert len(begun) == (level > 1)
    assert started(operator).count(level) <= 1
    hk = operator.housekeeping
    assert hk["board"]["faults_lost"] == 0
    assert [count for _, count, _ in recovery_of(payload).strikes.rows(payload.now)] == [1]
    assert payload.board.kept == []


@pytest.mark.verifies("VA-BRD-14")
def test_a_fault_while_no_executive_runs_is_told_by_the_next_one() -> None:
    operator = operator_of()
    submit(operator)
    payload = operator.payload
    payload.board.on_message(lambda _: None)  # killed: nobody reads
    payload.board.fault(FaultKind.XID, 46)
    payload.reboot(keeps_board=True)
    operator.settle(60)
    assert [event.values["code"] for event in operator.seen("board.xid_fatal")] == [46]
    assert started(operator) == [3]


@pytest.mark.verifies("VA-BRD-13")
@pytest.mark.parametrize(
    "steps", [(-1.0,), (-40.0,), (-400 * 86_400.0,), (3600.0, -3600.0), (0.1, -0.2)]
)
def test_a_clock_that_is_set_is_told_once_a_step_and_nothing_else_happens(
    steps: tuple[float, ...],
) -> None:
    operator = operator_of("L5")
    job = submit(operator)
    payload = operator.payload
    operator.settle(20)
    before, steps_done = len(operator.events), payload.launcher.pages[job].status.step
    for step in steps:
        payload.date_ahead += round(step * SECOND)
        operator.settle(120)
    new = [event for event in operator.events if event.name != "jobs.job_committed"][before:]
    told = [event.values["step"] for event in operator.seen("executive.clock_stepped")]
    assert told == pytest.approx([step for step in steps if abs(step) >= 0.5])
    assert [event.name for event in new] == ["executive.clock_stepped"] * len(told)
    assert started(operator) == []
    assert payload.launcher.pages[job].status.step > steps_done
    assert operator.housekeeping["board"]["malformed"] == 0


@pytest.mark.verifies("VA-RCV-05")
def test_a_gpu_off_the_bus_is_one_recovery_whatever_tells_of_it() -> None:
    operator = operator_of()
    submit(operator)
    board = operator.payload.board
    board.break_down(5, lost="off the bus")
    board.fault(FaultKind.XID, 79)
    board.fault(FaultKind.LOST, 0, "off the bus")
    board.fault(FaultKind.OTHER, 0x4000)
    operator.settle(90)
    assert started(operator) == [5]
    assert len(board.done) == 1


@pytest.mark.verifies("VA-RCV-06")
def test_a_board_server_that_no_kill_ends_leads_straight_to_rail_power() -> None:
    operator = operator_of()
    submit(operator)
    operator.payload.deployment.unkillable("board", 4711)
    operator.settle(90)
    assert started(operator) == [5]
    assert len(operator.seen("recovery.recovered")) == 1
    operator.payload.deployment.unkillable("storage", 4712)
    operator.settle(10)
    assert started(operator) == [5]


@pytest.mark.verifies("VA-RCV-15")
@pytest.mark.parametrize("cured_by", ["gpu_reset", "rail_power_cycle"])
def test_a_job_that_no_kill_ends_leads_to_a_reset_and_on_to_rail_power(cured_by: str) -> None:
    operator = operator_of()
    board, launcher = operator.payload.board, operator.payload.launcher
    launcher.default = Behaviour(steps=100_000, hang_at=3, is_held=True)
    job = submit(operator)
    operator.send("jobs.cancel", job)
    while cured_by not in [action for _, action, _ in board.done]:
        operator.settle(1)
    operator.settle(board.durations[cured_by] / SECOND)
    launcher.let_go()
    operator.settle(30)
    expected = [3] if cured_by == "gpu_reset" else [3, 4, 5]
    assert started(operator) == expected
    assert len(operator.seen("jobs.job_unkillable")) == 1
    assert [e.values["level"] for e in operator.seen("recovery.recovered")] == expected[-1:]
    assert len(operator.seen("jobs.job_cancelled")) == 1


@pytest.mark.verifies("VA-RCV-15")
def test_a_job_that_no_kill_ends_is_said_to_call_for_a_reset_that_is_not_allowed() -> None:
    operator = operator_of("L1")
    operator.payload.launcher.default = Behaviour(steps=100_000, hang_at=3, is_held=True)
    operator.send("jobs.cancel", submit(operator))
    operator.settle(60)
    (withheld,) = operator.seen("recovery.withheld")
    assert withheld.values["level"] == 3


@pytest.mark.verifies("VA-RCV-06")
def test_a_driver_that_hangs_every_board_server_leads_to_rail_power_once() -> None:
    operator = operator_of("L4")
    operator.payload.board.is_hung = True
    operator.payload.supervisor.workers.pop("board")  # the next one hangs as well
    operator.settle(200)
    (withheld,) = operator.seen("recovery.withheld")
    assert withheld.values["level"] == 5


@pytest.mark.verifies("VA-RCV-07")
def test_a_recorded_row_remap_is_done_when_the_job_has_ended() -> None:
    operator = operator_of()
    job = submit(operator)
    operator.payload.board.fault(FaultKind.XID, 63)
    operator.settle(60)
    assert started(operator) == []
    operator.send("jobs.cancel", job)
    operator.settle(20)
    assert started(operator) == [3]
    assert [action for _, action, _ in operator.payload.board.done] == ["gpu_reset"]


def test_when_no_job_runs_a_recorded_row_remap_is_done_at_once() -> None:
    operator = operator_of()
    operator.payload.board.fault(FaultKind.XID, 63)
    operator.settle(20)
    assert started(operator) == [3]


@pytest.mark.verifies("VA-RCV-01")
@pytest.mark.parametrize(
    ("companions", "expected"),
    [((), 3), ((94,), 1), ((95,), 3), ((63,), 1), ((64,), 3), ((94, 95), 3)],
)
def test_a_double_bit_error_waits_for_what_tells_how_bad_it_is(
    companions: tuple[int, ...], expected: int
) -> None:
    operator = operator_of()
    submit(operator)
    board = operator.payload.board
    board.fault(FaultKind.XID, 48)
    operator.payload.advance(0.05)
    for code in companions:
        board.fault(FaultKind.XID, code)
    operator.settle(30)
    assert started(operator) == [expected]


def test_the_companion_may_come_first() -> None:
    operator = operator_of()
    submit(operator)
    for code in (63, 48):
        operator.payload.board.fault(FaultKind.XID, code)
    operator.settle(30)
    assert started(operator) == [1]


@pytest.mark.parametrize(("value", "expected"), [(0, []), (1, [3]), (2, [5]), (4, [])])
def test_what_the_driver_recommends_is_obeyed(value: int, expected: list[int]) -> None:
    operator = operator_of()
    submit(operator)
    operator.payload.board.set("recovery_action", value)
    operator.payload.board.fault(FaultKind.XID, 154)
    operator.settle(60)
    assert started(operator) == expected
    assert bool(operator.seen("recovery.deferred")) == (value == 4)


def test_a_channel_that_was_reset_restarts_a_job_only_if_ours_died_of_it() -> None:
    operator = operator_of()
    job = submit(operator)
    operator.payload.board.fault(FaultKind.XID, 43)
    operator.payload.launcher.running[job].kill(11)
    operator.settle(10)
    assert started(operator) == [1]


@pytest.mark.verifies("VA-RCV-08")
def test_ground_can_act_after_arming_and_the_answer_says_whether_it_helped() -> None:
    operator = operator_of("L3")
    job = submit(operator)
    refused = operator.do("recovery.act", 3, 0)
    assert refused[0] is Stage.REJECTED
    operator.do("commands.arm", *_arming(operator, "recovery.act"))
    assert operator.do("recovery.act", 3, 0, seconds=15)[0] is Stage.COMPLETED
    assert started(operator) == [3]
    operator.settle(3)
    assert job in operator.payload.launcher.running
    operator.do("commands.arm", *_arming(operator, "recovery.act"))
    stage, reason = operator.do("recovery.act", 5, 0)
    assert (stage, 'set it to "L5"' in reason) == (Stage.START_FAILED, True)


def test_ground_cannot_act_on_a_gpu_that_is_not_there_or_while_another_action_is_under_way() -> (
    None
):
    operator = operator_of(devices=2)
    operator.do("commands.arm", *_arming(operator, "recovery.act"))
    request = operator.send("recovery.act", 3, 7)
    operator.settle()
    assert operator.codes[request] == FailureCode.NOT_FOUND
    operator.payload.board.fault(FaultKind.XID, 46, device=1)
    operator.do("commands.arm", *_arming(operator, "recovery.act"))
    stage, reason = operator.do("recovery.act", 3, 0)
    assert (stage, "under way" in reason) == (Stage.START_FAILED, True)


@pytest.mark.verifies("VA-RCV-08")
def test_disabled_recovery_counts_and_says_what_it_would_do() -> None:
    operator = operator_of()
    submit(operator)
    assert operator.do("recovery.disable")[0] is Stage.COMPLETED
    operator.payload.board.fault(FaultKind.XID, 46)
    operator.settle(5)
    assert started(operator) == []
    assert "recovery.enable" in operator.seen("recovery.withheld")[0].values["enable"]
    operator.payload.reboot()
    operator.settle(15)
    assert not operator.housekeeping["recovery"]["is_enabled"]
    operator.do("recovery.enable")
    operator.payload.board.fault(FaultKind.XID, 46)
    operator.settle(10)
    assert started(operator) == [3]


@pytest.mark.verifies("VA-RCV-04", "VA-RCV-08")
def test_strikes_raise_the_level_until_they_are_reset_and_ground_sees_them() -> None:
    operator = operator_of()
    submit(operator)
    for _ in range(4):
        operator.payload.board.fault(FaultKind.XID, 31)
        operator.settle(15)
    assert started(operator) == [1, 1, 1, 2]
    assert operator.do("recovery.list_strikes")[0] is Stage.COMPLETED
    rows = [row for name, row in operator.reports if name == "recovery.strikes"]
    assert [(row["code"], row["count"]) for row in rows] == [(31, 4)]
    operator.do("recovery.reset_strikes", 255, 31)
    operator.payload.board.fault(FaultKind.XID, 31)
    operator.settle(15)
    assert started(operator)[-1] == 1


@pytest.mark.verifies("VA-RCV-09")
def test_an_action_that_ended_the_executive_is_verified_and_not_taken_again() -> None:
    operator = operator_of()
    submit(operator)
    operator.payload.board.break_down(5, lost="off the bus")
    operator.payload.board.fault(FaultKind.XID, 79)
    operator.payload.advance(5)
    assert len(operator.payload.board.done) == 1
    operator.payload.reboot()  # with it, the power: the board is well again
    operator.settle(60)
    assert len(operator.seen("recovery.resumed")) == 1
    assert operator.payload.board.done == []
    assert len(operator.seen("recovery.recovered")) == 1


def rail_power_in_vain(*, is_broken: bool = False) -> Operator:
    """A board with two boot slots, which only the other one brings back; up to its reboot."""
    operator = operator_of()
    board = operator.payload.board
    board.slot, board.is_other_slot_broken = 0, is_broken
    operator.settle(2)
    submit(operator)
    board.break_down(6, lost="off the bus")
    board.fault(FaultKind.XID, 79)
    while not operator.payload.supervisor.reboot_reasons:
        operator.settle(0.1)
    assert [action for _, action, _ in board.done] == ["rail_power_cycle", "other_slot"]
    slot = board.slot
    operator.payload.supervisor.reboot_reasons.clear()
    operator.payload.reboot()
    operator.payload.board.slot = slot
    return operator


@pytest.mark.verifies("VA-RCV-12", "VA-RCV-13")
def test_the_other_slot_is_booted_verified_by_the_next_executive_and_confirmed() -> None:
    operator = rail_power_in_vain()
    operator.settle(15)
    assert operator.payload.board.slot == 1
    assert [e.values["level"] for e in operator.seen("recovery.resumed")] == [6]
    assert [e.values["level"] for e in operator.seen("recovery.recovered")] == [6]
    assert len(operator.seen("recovery.slot_confirmed")) == 1
    assert operator.payload.board.confirmed == [1]
    assert operator.payload.board.done == []  # of the new board server: nothing was done again
    assert operator.housekeeping["executive"]["boot_cause"] == BootCause.HOST_BUS
    booted = operator.seen("executive.booted")[-1]
    assert booted.values["reason"] == "reboot, recovery had the power switched"


@pytest.mark.verifies("VA-RCV-12")
def test_a_slot_that_did_not_boot_is_not_confirmed_and_safe_mode_follows() -> None:
    operator = rail_power_in_vain(is_broken=True)
    operator.settle(200)
    (failed,) = [e for e in operator.seen("recovery.action_failed") if e.values["level"] == 6]
    assert "did not boot" in failed.values["reason"]
    assert operator.payload.board.confirmed == []
    assert operator.payload.deployment.modes.now is Mode.SAFE


@pytest.mark.verifies("VA-RCV-14")
def test_a_gpu_with_many_errors_has_adaptive_jobs_protected_better_for_a_while() -> None:
    operator = operator_of()
    operator.payload.board.fault(FaultKind.XID, 92)
    operator.settle(15)
    (raised,) = operator.seen("protection.raised")
    assert raised.values["reason"] == "GPU 0: XID 92"
    assert operator.housekeeping["protection"]["why"] == Why.ALARM
    operator.settle(1830)
    assert len(operator.seen("protection.lowered")) == 1


@pytest.mark.verifies("VA-RCV-13")
def test_a_watchdog_that_reset_the_computer_is_the_cause_of_the_boot() -> None:
    operator = operator_of()
    operator.payload.boot = Boot("computer 2", "supervisor 2")
    operator.payload.reboot()
    operator.settle(15)
    assert operator.housekeeping["executive"]["boot_cause"] == BootCause.POWER
    for _ in range(2):
        operator.payload.deployment.watchdog_reset()
    operator.settle(15)
    assert operator.housekeeping["executive"]["boot_cause"] == BootCause.WATCHDOG
    assert len(operator.seen("executive.watchdog_reset")) == 1
    operator.payload.reboot()
    operator.payload.deployment.watchdog_reset()  # it is still told, and was told before
    operator.settle(15)
    assert operator.housekeeping["executive"]["boot_cause"] == BootCause.EXECUTIVE


@pytest.mark.verifies("VA-RCV-03")
def test_a_spent_budget_ends_what_is_done_without_ground() -> None:
    operator = operator_of()
    submit(operator)
    for _ in range(12):
        operator.payload.board.break_down(3)
        operator.payload.board.fault(FaultKind.XID, 46)
        operator.settle(30)
        operator.send("recovery.reset_strikes", 255, 0)
        operator.settle(1)
    assert started(operator) == [3] * 8
    assert any("budget" in e.values["enable"] for e in operator.seen("recovery.withheld"))


@pytest.mark.verifies("VA-RCV-10")
def test_two_gpus_are_recovered_one_after_the_other_the_worse_first() -> None:
    operator = operator_of(devices=2)
    board = operator.payload.board
    for device, code in ((0, 46), (1, 46)):
        board.break_down(3, device)
        board.fault(FaultKind.XID, code, device=device)
    operator.settle(30)
    times = [(now, device) for now, _, device in board.done]
    assert [device for _, device in times] == [0, 1]
    assert times[1][0] - times[0][0] >= 3 * SECOND
    assert len(operator.seen("recovery.recovered")) == 2


def test_safe_mode_keeps_its_hold_on_jobs_through_a_recovery() -> None:
    operator = operator_of()
    job = submit(operator)
    operator.payload.deployment.modes.change(Mode.SAFE, "by the test")
    operator.payload.board.break_down(3)
    operator.payload.board.fault(FaultKind.XID, 46)
    operator.settle(30)
    assert started(operator) == [3]
    assert job not in operator.payload.launcher.running
    operator.payload.deployment.modes.change(Mode.NOMINAL, "by the test")
    operator.settle(10)
    assert job in operator.payload.launcher.running


def _arming(operator: Operator, name: str) -> tuple[int, int]:
    component, _, command = name.partition(".")
    of = operator.payload.deployment.dictionary.component(component)
    return of.apid, next(c.opcode for c in of.commands if c.name == command)
