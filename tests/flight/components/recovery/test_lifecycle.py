"""Recovery decided alone: the table, strikes, and whatever faults may come in whatever order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.components.board.notifications import Condition
from flight.components.board.places import BOARD
from flight.components.recovery import stimuli as s
from flight.components.recovery.cases import AT_WORK, Phase
from flight.components.recovery.dictionary import RecoveryEvents
from flight.components.recovery.fault_table import (
    ANY,
    GUIDANCE,
    OTHERS,
    RUNGS,
    WAITS,
    XIDS,
    Kind,
    Level,
    Row,
    Wait,
    controls_up_to,
    level_named,
    row_of,
)
from flight.components.recovery.lifecycle import TABLE, RecoveryLifecycle
from flight.components.recovery.stimuli import Policy
from flight.components.recovery.strikes import Budget, Cause, Strikes, packed, unpack
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND
from hal.device import CONTROLS, FaultKind
from hal.nvml.xid import NAMES

P = Phase
NOW = 1_000_000 * SECOND
ALL = Policy(max_level=Level.SAFE_MODE)
STARTS = (RecoveryEvents.action_started, RecoveryEvents.heavy_action_started)


class Scene:
    """A lifecycle, and what it asked for."""

    def __init__(self, policy: Policy = ALL) -> None:
        self.log: deque[tuple[int, s.Stimulus]] = deque()
        self.core = RecoveryLifecycle(policy, self.log)
        self.now = NOW
        self.out: list[s.Instruction | Tell] = []
        self.give(s.Running(frozenset({(1, 1)})))

    def give(self, stimulus: s.Stimulus) -> list[s.Instruction | Tell]:
        out = list(self.core.step(self.now, stimulus))
        self.out += out
        return out

    def fault(self, code: int, text: str = "", device: int = 0, kind: Kind = Kind.XID) -> None:
        self.now += 1
        self.give(s.Fault(Cause(device, kind, code), text, self.now, 0))

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.give(s.Tick())

    def read(
        self, condition: Condition = Condition.WELL, guidance: int | None = 0, device: int = 0
    ) -> None:
        self.now += 1
        self.give(s.Readings(device, self.now, condition, guidance))

    def jobs(self, *processes: tuple[int, int], failed: tuple[int, ...] = ()) -> None:
        self.give(s.Running(frozenset(processes), frozenset(failed)))

    def levels(self) -> list[int]:
        return [int(t.values[1]) for t in self.tells(*STARTS)]

    def tells(self, *events: Callable[..., None]) -> list[Tell]:
        return [o for o in self.out if isinstance(o, Tell) and o.event in events]

    def acts(self) -> list[s.Act]:
        return [out for out in self.out if isinstance(out, s.Act)]

    def saved(self) -> None:
        self.give(s.Saved(self.core.cases[0].action))

    def done(self, ok: bool = True, text: str = "") -> None:
        self.give(s.Done(self.acts()[-1].action, ok, text))


def reset_done() -> Scene:
    """A GPU reset that is done and not verified yet."""
    scene = Scene()
    scene.fault(46)
    scene.jobs()
    scene.done()
    return scene


# ---------------------------------------------------------------- the table


def test_every_known_xid_has_a_row_with_its_meaning() -> None:
    assert XIDS.keys() == NAMES.keys()
    assert all(row.meaning for row in (*XIDS.values(), *OTHERS.values(), *ANY.values()))


def test_every_kind_of_fault_has_a_row() -> None:
    assert {kind.value for kind in FaultKind} <= {kind.value for kind in Kind}
    assert ANY.keys() == set(Kind)
    assert row_of(Kind.XID, 999).level is Level.LOG


def test_every_control_of_the_ladder_is_one_that_a_board_has() -> None:
    assert set(controls_up_to(Level.SAFE_MODE)) <= CONTROLS.keys()
    assert controls_up_to(Level.RESTART_JOB) == ()
    assert controls_up_to(Level.GPU_RESET) == ("kill_contexts", "gpu_reset")
    assert RUNGS.keys() == set(Level) - {Level.LOG}


@pytest.mark.parametrize(
    ("level", "codes"),
    [
        (Level.LOG, {63, 92, 121, 154, 157, 171, 172}),
        (Level.RESTART_JOB, {8, 13, 31, 32, 43, 45, 94}),
        (
            Level.GPU_RESET,
            {46, 48, 61, 62, 64, 74, 95, 109, 110, 119, 120, 136, 140, 156, 158},
        ),
        (Level.DRIVER_RELOAD, {143}),
        (Level.RAIL_POWER_CYCLE, {79}),
    ],
)
def test_the_rows_are_those_of_the_design(level: Level, codes: set[int]) -> None:
    assert {code for code, row in XIDS.items() if row.level is level} == codes


def test_levels_have_names_and_a_wrong_one_says_what_to_write() -> None:
    assert level_named("L5") is Level.RAIL_POWER_CYCLE
    assert Level.RAIL_POWER_CYCLE.words == "L5 rail power-cycle"
    with pytest.raises(ValueError, match="give L0 … L7"):
        level_named("5")


def test_every_phase_with_a_recovery_at_work_has_a_handler_for_the_end_of_its_time() -> None:
    assert all(s.Tick in TABLE[phase] for phase in (Phase.GATHERING, *AT_WORK))


def in_verifying_with_readings() -> Scene:
    """A job is told to end, and only that it has ended is missing."""
    scene = Scene()
    scene.fault(31)
    scene.read()
    return scene


def after_fault(code: int, *, is_clear: bool = False) -> Scene:
    """A fault came, and with `is_clear` our processes have left."""
    scene = Scene()
    scene.fault(code)
    if is_clear:
        scene.jobs()
    return scene


# Phase, what comes, how to get there, how it comes, and the phase that it leads to.
TRANSITIONS: list[tuple[Phase, type, Callable[[], Scene], Callable[[Scene], object], Phase]] = [
    (P.GATHERING, s.Tick, lambda: after_fault(48), lambda x: x.wait(0.2), P.CLEARING),
    (P.GATHERING, s.Readings, lambda: after_fault(154), lambda x: x.read(guidance=1), P.CLEARING),
    (P.GATHERING, s.Running, lambda: after_fault(43), lambda x: x.jobs(failed=(1,)), P.VERIFYING),
    (P.CLEARING, s.Running, lambda: after_fault(46), lambda x: x.jobs(), P.ACTING),
    (P.CLEARING, s.Tick, lambda: after_fault(46), lambda x: x.wait(2.1), P.ACTING),
    (P.SAVING, s.Saved, lambda: after_fault(79, is_clear=True), lambda x: x.saved(), P.ACTING),
    (P.SAVING, s.Tick, lambda: after_fault(79, is_clear=True), lambda x: x.wait(2), P.ACTING),
    (P.ACTING, s.Done, lambda: after_fault(46, is_clear=True), lambda x: x.done(), P.VERIFYING),
    (P.ACTING, s.Tick, lambda: after_fault(46, is_clear=True), lambda x: x.wait(66), P.ACTING),
    (P.VERIFYING, s.Readings, reset_done, lambda x: x.read(), P.CLOSED),
    (P.VERIFYING, s.Running, in_verifying_with_readings, lambda x: x.jobs((1, 2)), P.CLOSED),
    (P.VERIFYING, s.Tick, reset_done, lambda x: x.wait(11), P.ACTING),
]


@pytest.mark.parametrize(("phase", "kind", "made", "give", "after"), TRANSITIONS)
def test_each_entry_of_the_table_leads_where_it_should(
    phase: Phase,
    kind: type,
    made: Callable[[], Scene],
    give: Callable[[Scene], object],
    after: Phase,
) -> None:
    scene = made()
    (case,) = scene.core.cases
    level = case.level
    assert case.phase is phase
    give(scene)
    assert type(scene.log[-1][1]) is kind
    assert case.phase is after
    assert case.level > level or after is not phase, "without success it goes a level up"


def test_no_entry_of_the_table_is_left_out() -> None:
    entries = {(phase, kind) for phase, row in TABLE.items() for kind in row}
    assert {(phase, kind) for phase, kind, *_ in TRANSITIONS} == entries
    assert TABLE.keys() == set(Phase) - {Phase.IDLE}


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("code", [c for c, r in XIDS.items() if r.wait is Wait.NOTHING and r.level])
def test_a_fault_that_waits_for_nothing_is_acted_upon_at_once(code: int) -> None:
    scene = Scene()
    scene.fault(code)
    assert scene.levels() == [int(XIDS[code].level)]


@pytest.mark.parametrize("code", [c for c, r in XIDS.items() if r.wait is not Wait.NOTHING])
def test_a_fault_that_waits_is_decided_when_its_time_is_over(code: int) -> None:
    scene = Scene()
    scene.fault(code)
    assert scene.levels() == []
    due = scene.core.next_due()
    assert due == scene.now + WAITS[XIDS[code].wait]
    scene.wait(WAITS[XIDS[code].wait] / SECOND)
    alone = XIDS[code].level if XIDS[code].wait is Wait.COMPANION else Level.LOG
    assert scene.levels() == ([int(alone)] if alone else [])


@pytest.mark.parametrize("first", [False, True])
def test_the_other_xid_decides_for_a_45(first: bool) -> None:
    scene = Scene()
    for code in (109, 45) if first else (45, 109):
        scene.fault(code)
    scene.wait(0.2)
    assert scene.levels() == [3]


def test_a_45_hands_over_to_a_48_which_waits_for_its_own_companions() -> None:
    scene = Scene()
    for code in (45, 48, 94):
        scene.fault(code)
    scene.wait(0.2)
    assert scene.levels() == [1]
    assert "XID 48" in str(scene.tells(*STARTS)[0].values[3])


def test_the_same_exception_again_in_the_same_job_is_its_own_mistake() -> None:
    scene = Scene()
    scene.fault(13)
    scene.read()
    scene.jobs((1, 2))
    scene.read()
    scene.fault(13)
    assert scene.levels() == [1]
    assert len(scene.tells(RecoveryEvents.taken_as_software)) == 1
    scene.jobs((2, 1))
    scene.fault(13)
    assert scene.levels() == [1, 1]


def test_the_same_exception_at_another_place_of_the_job_is_an_upset() -> None:
    scene = Scene()
    for place, attempt in (("0x7f10", 1), ("0x7f20", 2), ("0x7f20", 3)):
        scene.jobs((1, attempt))
        scene.fault(13, f"Graphics SM Warp Exception, pc={place}")
        scene.jobs((1, attempt + 1))
        scene.read()
    assert scene.levels() == [1, 1]
    assert len(scene.tells(RecoveryEvents.taken_as_software)) == 1


def test_a_fault_that_strikes_no_job_restarts_none() -> None:
    scene = Scene()
    scene.jobs()
    scene.fault(31)
    assert scene.levels() == []
    assert "no job to restart" in str(scene.tells(RecoveryEvents.fault_noted)[0].values[1])


def test_a_job_that_died_before_its_xid_was_told_is_restarted_at_once() -> None:
    scene = Scene()
    scene.jobs(failed=(1,))
    scene.fault(43)
    assert scene.levels() == [1]


def test_advice_is_told_besides_the_action() -> None:
    scene = Scene()
    for code in (92, 64):
        scene.fault(code)
    assert len(scene.tells(RecoveryEvents.attention)) == 2


def test_a_worse_fault_during_an_action_is_acted_upon_when_the_action_is_over() -> None:
    scene = reset_done()
    scene.fault(79)
    scene.read()
    assert scene.levels() == [3, 5]


def test_a_milder_fault_during_an_action_is_part_of_it() -> None:
    scene = reset_done()
    scene.fault(31)
    scene.read()
    assert scene.levels() == [3]
    assert len(scene.tells(RecoveryEvents.recovered)) == 1


def test_an_unkillable_board_server_ends_what_is_done_through_it() -> None:
    scene = Scene()
    scene.fault(46)
    scene.jobs()
    scene.fault(0, device=BOARD, kind=Kind.UNKILLABLE)
    assert scene.levels() == [3, 5]


def test_the_next_loss_after_a_gpu_came_back_is_another_event() -> None:
    scene = Scene(Policy(max_level=Level.RESTART_JOB))
    for _ in range(2):
        scene.fault(0, kind=Kind.LOST)
    assert len(scene.tells(RecoveryEvents.withheld)) == 1
    scene.give(s.Back(0))
    scene.fault(0, kind=Kind.LOST)
    assert len(scene.tells(RecoveryEvents.withheld)) == 2


def test_what_was_withheld_is_not_called_for_again_because_the_driver_recommends_it_too() -> None:
    scene = Scene(Policy(max_level=Level.RESTART_JOB))
    for _ in range(2):
        scene.fault(46)
        scene.fault(0x8000, kind=Kind.OTHER)
        scene.fault(154)
        scene.read(guidance=1)
        scene.wait(1)
        scene.fault(0, kind=Kind.OTHER)
        scene.read(guidance=0)
    assert len(scene.tells(RecoveryEvents.withheld)) == 2


# ---------------------------------------------------------------- acting and verifying


def test_our_processes_leave_the_gpu_before_it_is_reset() -> None:
    scene = Scene()
    scene.fault(46)
    kinds = [type(out) for out in scene.out]
    assert kinds.index(s.HoldJobs) < kinds.index(s.RecallJobs)
    assert scene.acts() == []
    scene.jobs()
    assert scene.acts()[0].level is Level.GPU_RESET


def test_a_process_that_does_not_leave_is_waited_for_two_seconds() -> None:
    scene = Scene()
    scene.fault(46)
    scene.wait(1.9)
    assert scene.acts() == []
    scene.wait(0.2)
    assert len(scene.acts()) == 1


def test_only_readings_after_the_action_tell_whether_it_helped() -> None:
    scene = reset_done()
    scene.give(s.Readings(0, NOW, Condition.WELL, 0))
    assert scene.tells(RecoveryEvents.recovered) == []
    scene.read()
    assert len(scene.tells(RecoveryEvents.recovered)) == 1
    assert isinstance(scene.out[-2], s.ReleaseJobs)


@pytest.mark.parametrize(
    ("condition", "guidance", "words"),
    [
        (Condition.LOST, None, "lost"),
        (Condition.UNWELL, None, "not valid"),
        (Condition.WELL, 1, "recommends 1"),
    ],
)
def test_readings_that_are_not_well_lead_to_the_next_level(
    condition: Condition, guidance: int | None, words: str
) -> None:
    scene = reset_done()
    scene.read(condition, guidance)
    scene.wait(11)
    assert scene.levels() == [3, 4]
    assert words in str(scene.tells(RecoveryEvents.action_failed)[0].values[3])


def test_the_silence_of_a_board_that_is_being_recovered_is_no_fault() -> None:
    scene = Scene()
    scene.fault(143)
    scene.jobs()
    scene.give(s.Silent(True))
    scene.wait(100)
    scene.done()
    scene.give(s.Silent(False))
    scene.read()
    scene.wait(100)
    assert scene.levels() == [4]
    scene.give(s.Silent(True))
    assert scene.core.next_due() == scene.now + 30 * SECOND
    scene.wait(30)
    assert scene.levels() == [4, 5]


def test_no_answer_leads_to_the_next_level_and_a_late_one_is_stale() -> None:
    scene = Scene()
    scene.fault(46)
    scene.jobs()
    late = scene.acts()[0].action
    scene.wait(66)
    assert scene.levels() == [3, 4]
    scene.give(s.Done(late, True, ""))
    assert scene.core.stale == 1
    assert scene.tells(RecoveryEvents.recovered) == []


def test_what_may_end_this_computer_is_durable_before_it_is_done() -> None:
    scene = Scene()
    scene.fault(79)
    scene.jobs()
    assert scene.acts() == []
    save = next(o for o in scene.out if isinstance(o, s.Save) and o.action is not None)
    assert save.content["acting"] == [0, 0, 79, 5, -1]
    scene.give(s.Saved(save.action or 0))
    assert scene.acts()[0].level is Level.RAIL_POWER_CYCLE


def rail_power_in_vain() -> Scene:
    """A board that runs from slot 0 and that rail power did not bring back."""
    scene = Scene()
    scene.give(s.Readings(0, scene.now, Condition.WELL, 0, 0))
    scene.fault(79)
    scene.jobs()
    scene.give(s.Saved(1))
    scene.done(False, "the rail does not come up")
    return scene


@pytest.mark.verifies("VA-RCV-12")
def test_the_slot_that_ran_is_saved_before_the_other_one_is_booted() -> None:
    scene = rail_power_in_vain()
    saves = [o for o in scene.out if isinstance(o, s.Save) and o.action == 2]
    assert saves[0].content["acting"] == [0, 0, 79, 6, 0]
    scene.give(s.Saved(2))
    scene.done()
    assert any(isinstance(o, s.Reboot) for o in scene.out)
    scene.wait(9)
    scene.give(s.Readings(0, scene.now, Condition.WELL, 0, 1))
    assert scene.tells(RecoveryEvents.recovered) == []  # those that start now find out


@pytest.mark.verifies("VA-RCV-12")
@pytest.mark.parametrize(("slot", "is_well"), [(1, True), (0, False), (None, True)])
def test_after_the_reboot_the_slot_tells_whether_the_other_one_booted(
    slot: int | None, is_well: bool
) -> None:
    scene = Scene()
    scene.give(s.Restore({"acting": [0, 0, 79, 6, 0]}))
    scene.now += 1
    scene.give(s.Readings(0, scene.now, Condition.WELL, 0, slot))
    assert bool(scene.tells(RecoveryEvents.recovered)) == is_well
    assert any(isinstance(o, s.ConfirmSlot) for o in scene.out) == is_well
    failed = [str(tell.values[3]) for tell in scene.tells(RecoveryEvents.action_failed)]
    assert failed == ([] if is_well else ["slot 0 runs: the other one did not boot"])
    assert scene.levels() == ([] if is_well else [7])


def test_silence_is_counted_from_the_end_of_an_action_that_nobody_could_read_during() -> None:
    scene = rail_power_in_vain()
    scene.give(s.Silent(True))
    scene.give(s.Saved(2))
    scene.wait(40)
    scene.done(False, "no such slot")
    scene.done()
    assert scene.levels() == [5, 6, 7]
    scene.wait(29)
    assert scene.levels() == [5, 6, 7]
    scene.wait(1)
    assert scene.levels() == [5, 6, 7, 5]


def test_a_disk_that_hangs_does_not_keep_the_rail_from_being_switched() -> None:
    scene = Scene()
    scene.fault(79)
    scene.jobs()
    scene.wait(2)
    assert len(scene.acts()) == 1


def test_slow_readings_are_given_the_time_of_two() -> None:
    scene = Scene(Policy(max_level=Level.SAFE_MODE, period=10 * SECOND))
    scene.fault(31)
    scene.jobs((1, 2))
    scene.wait(20)
    assert scene.levels() == [1]
    scene.wait(2)
    assert scene.levels() == [1, 2]


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"acting": 3},
        {"acting": [0, 0, 79, 5]},
        {"acting": [0, 99, 1, 1, 0]},
        {"spent": [[1]]},
        {"waiting": [[0, 0, 46, 3, "now", []], [0, 0, 46, 99, 1, []], [0, 77, 46, 3, 1, []], 5]},
        {"deferred": [[0, 0, 46, 3, None, []]], "seen": [[0, 0, 46, 1, None], "x"]},
    ],
)
def test_saved_state_that_makes_no_sense_is_left_out(saved: dict[str, Any]) -> None:
    scene = Scene()
    scene.give(s.Restore({**saved, "strikes": [[0, 0, "x", [1]], 7, [0, 0, 31, [NOW]]]}))
    assert scene.core.cases == []
    assert scene.core.strikes.count(Cause(0, Kind.XID, 31), NOW) == 1


def successor_of(scene: Scene) -> Scene:
    """What the next executive begins with: the newest content that was to be kept."""
    kept = [o.content for o in scene.out if isinstance(o, s.Save)][-1]
    after = Scene()
    after.now = scene.now + SECOND
    after.give(s.Restore(json.loads(json.dumps(dict(kept)))))
    return after


@pytest.mark.verifies("VA-RCV-16")
def test_a_recovery_that_was_not_begun_is_begun_by_the_next_executive() -> None:
    scene = Scene()
    scene.fault(46)  # the job's process has not ended yet: nothing is reset
    assert scene.acts() == []
    after = successor_of(scene)
    after.give(s.Running(frozenset({(1, 1)})))
    after.wait(4)
    assert after.levels() == []  # it does not know yet which jobs run
    after.wait(1)
    assert after.levels() == [3]
    after.jobs()
    assert [act.level for act in after.acts()] == [Level.GPU_RESET]


@pytest.mark.verifies("VA-RCV-16")
def test_a_recovery_that_may_have_begun_is_verified_and_not_done_again() -> None:
    scene = Scene()
    scene.fault(46)
    scene.jobs()
    assert len(scene.acts()) == 1
    after = successor_of(scene)
    assert len(after.tells(RecoveryEvents.resumed)) == 1
    after.wait(6)
    after.read()
    assert after.acts() == []
    assert len(after.tells(RecoveryEvents.recovered)) == 1


@pytest.mark.verifies("VA-RCV-16")
def test_what_may_end_this_computer_is_never_done_twice_for_one_fault() -> None:
    scene = Scene()
    scene.fault(79)
    scene.jobs()  # being saved; whether it was begun after that nobody can know
    after = successor_of(scene)
    after.wait(6)
    after.read()
    assert after.acts() == []


@pytest.mark.verifies("VA-RCV-16")
def test_a_fault_that_the_last_executive_took_is_a_duplicate_for_the_next_one() -> None:
    scene = Scene()
    scene.give(s.Fault(Cause(0, Kind.XID, 31), "", 7, 12))
    after = successor_of(scene)
    after.give(s.Fault(Cause(0, Kind.XID, 31), "", 7, 12))
    assert after.core.duplicates == 1
    after.give(s.Fault(Cause(0, Kind.XID, 31), "", 7, 13))
    assert after.core.strikes.count(Cause(0, Kind.XID, 31), after.now) == 2


@pytest.mark.verifies("VA-RCV-16")
def test_a_worse_fault_that_came_during_an_action_is_not_forgotten() -> None:
    scene = Scene()
    scene.fault(31)
    scene.fault(46)  # joins the restart of the job
    after = successor_of(scene)
    after.wait(6)
    after.jobs()
    after.read()
    assert 3 in after.levels()


@pytest.mark.verifies("VA-RCV-16")
def test_what_is_due_between_jobs_is_due_after_a_restart_as_well() -> None:
    scene = Scene()
    scene.fault(63)
    assert len(scene.tells(RecoveryEvents.deferred)) == 1
    after = successor_of(scene)
    after.give(s.Running(frozenset({(1, 1)})))
    after.wait(20)
    assert after.levels() == []
    after.jobs()
    assert after.levels() == [3]
    ended = successor_of(scene)  # the job ended while nobody looked
    ended.give(s.Running())
    ended.wait(20)
    assert ended.levels() == [3]


def test_an_order_takes_exactly_one_action_and_says_how_it_ended() -> None:
    scene = Scene()
    scene.give(s.Order(Level.GPU_RESET, 0, 7))
    scene.jobs()
    scene.done(False, "another process uses it")
    assert s.Answer(7, False, "another process uses it") in scene.out
    assert scene.levels() == [3]
    scene.give(s.Order(Level.LOG, 0, 8))
    assert any(isinstance(o, s.Answer) and o.number == 8 and not o.ok for o in scene.out)


def test_a_worse_fault_during_an_order_is_not_lost() -> None:
    scene = Scene()
    scene.give(s.Order(Level.GPU_RESET, 0, 7))
    scene.jobs()
    scene.fault(79)
    scene.done()
    scene.read()
    assert scene.levels() == [3, 5]


# ---------------------------------------------------------------- strikes and budget


def test_strikes_raise_the_level_by_one_for_each_so_many_and_not_above_rail_power() -> None:
    strikes = Strikes()
    row = Row("it", Level.RESTART_JOB, strikes=2)
    assert [int(strikes.level(row, n)) for n in (1, 2, 3, 5, 9, 99)] == [1, 1, 2, 3, 5, 5]
    assert strikes.level(Row("log", Level.LOG), 99) is Level.LOG
    assert strikes.level(Row("never", Level.RESTART_JOB, strikes=0), 99) is Level.RESTART_JOB


def test_strikes_decay() -> None:
    strikes, cause = Strikes(decay=10), Cause(0, Kind.XID, 31)
    assert [strikes.add(cause, time) for time in (0, 5, 10, 14)] == [1, 2, 2, 3]
    assert strikes.count(cause, 100) == 0
    assert strikes.rows(100) == []


def test_strikes_and_budget_survive_being_saved() -> None:
    strikes, budget = Strikes(), Budget()
    for code in range(300):
        strikes.add(Cause(1, Kind.XID, code), NOW + code)
    budget.spend(Level.GPU_RESET, NOW)
    strikes2, budget2 = Strikes(), Budget()
    unpack(packed(strikes, budget), strikes2, budget2)
    assert (strikes2.times, budget2.spent) == (strikes.times, budget.spent)
    assert len(strikes.times) == 256


def test_a_budget_comes_back_when_its_window_has_passed() -> None:
    budget = Budget(most=2, window=10, most_heavy=1, heavy_window=100)
    budget.spend(Level.GPU_RESET, 0)
    assert (budget.left(Level.RESTART_JOB, 5), budget.left(Level.GPU_RESET, 5)) == (1, 0)
    assert (budget.left(Level.RESTART_JOB, 10), budget.left(Level.GPU_RESET, 10)) == (2, 0)
    assert budget.left(Level.GPU_RESET, 100) == 1


# ---------------------------------------------------------------- whatever may come

DEVICES = st.sampled_from([0, 1, BOARD])
CODES = st.sampled_from([*XIDS, 999])
CAUSES = st.one_of(
    st.builds(Cause, DEVICES, st.just(Kind.XID), CODES),
    st.builds(Cause, DEVICES, st.sampled_from(list(Kind)), st.sampled_from([0, 2, 6, 8, 0x4000])),
)
FAULTS = st.builds(s.Fault, CAUSES, st.just(""), st.integers(0, 30), st.integers(0, 1))
PROCESSES = st.frozensets(st.tuples(st.integers(1, 2), st.integers(1, 3)), max_size=2)
STIMULI = st.one_of(
    FAULTS,
    FAULTS,
    st.builds(s.Running, PROCESSES, st.frozensets(st.integers(1, 2), max_size=1)),
    st.tuples(st.integers(0, 1), st.sampled_from(Condition), st.sampled_from([None, *GUIDANCE])),
    st.builds(s.Done, st.integers(1, 8), st.booleans(), st.just("so")),
    st.builds(s.Saved, st.integers(1, 8)),
    st.builds(s.Silent, st.booleans()),
    st.builds(s.Back, DEVICES),
    st.builds(s.Order, st.sampled_from(Level), DEVICES, st.integers(1, 9)),
    st.builds(s.Enable, st.booleans()),
    st.builds(s.ForgetStrikes, st.sampled_from([None, 0]), st.sampled_from([None, 46])),
    st.just(s.Tick()),
)
STEPS = st.lists(st.tuples(st.integers(0, 20 * SECOND), STIMULI), max_size=60)


def _played(scene: Scene, steps: list[tuple[int, Any]]) -> None:
    for delay, stimulus in steps:
        scene.now += delay
        if isinstance(stimulus, tuple):
            device, condition, guidance = stimulus
            stimulus = s.Readings(device, scene.now, condition, guidance)
        scene.give(stimulus)
        at_work = [case for case in scene.core.cases if case.phase in AT_WORK]
        assert len(at_work) <= 1
        assert not [case for case in scene.core.cases if case.phase is Phase.QUEUED] or at_work


@pytest.mark.verifies("VA-RCV-03", "VA-RCV-05")
@given(steps=STEPS, max_level=st.sampled_from(Level))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_one_action_at_a_time_none_above_the_highest_level_and_within_the_budget(
    steps: list[tuple[int, Any]], max_level: Level
) -> None:
    scene = Scene(Policy(max_level=max_level, most=3, most_heavy=2))
    _played(scene, steps)
    assert all(level <= max_level for level in scene.levels())
    assert all(act.level <= max_level for act in scene.acts())
    assert len({act.action for act in scene.acts()}) == len(scene.acts())
    automatic = [t for t in scene.tells(*STARTS) if t.values[3] != "by telecommand"]
    assert len(automatic) <= 3
    assert sum(int(tell.values[1]) >= 3 for tell in automatic) <= 2


@pytest.mark.verifies("VA-RCV-05")
@given(faults=st.lists(FAULTS, max_size=20))
@settings(max_examples=100, deadline=None)
def test_faults_told_twice_change_nothing(faults: list[s.Fault]) -> None:
    def outcome(told: list[s.Fault]) -> list[s.Instruction | Tell]:
        scene = Scene()
        for fault in told:
            scene.give(fault)
        return scene.out

    once = list(dict.fromkeys(faults))
    assert outcome([*once, *once]) == outcome(once)
    assert outcome(faults) == outcome(once)


@pytest.mark.verifies("VA-RCV-04")
@given(steps=STEPS, helps=st.lists(st.booleans(), max_size=10))
@settings(max_examples=100, deadline=None)
def test_every_recovery_ends_and_lets_jobs_run_again(
    steps: list[tuple[int, Any]], helps: list[bool]
) -> None:
    scene = Scene()
    _played(scene, steps)
    scene.give(s.Silent(False))
    scene.jobs()
    for _ in range(600):
        if not scene.core.cases:
            break
        case = scene.core.at_work
        if case is not None and case.phase is Phase.ACTING and helps:
            scene.give(s.Done(case.action, helps.pop(), ""))
        scene.wait(10)
    assert scene.core.cases == []
    holds = sum(isinstance(out, s.HoldJobs) for out in scene.out)
    assert holds == sum(isinstance(out, s.ReleaseJobs) for out in scene.out)
    orders = sum(isinstance(st, s.Order) for _, st in scene.log)
    assert orders == sum(isinstance(out, s.Answer) for out in scene.out)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_a_stimulus_log_replays_to_the_same_instructions(steps: list[tuple[int, Any]]) -> None:
    scene = Scene()
    _played(scene, steps)
    assert replay(RecoveryLifecycle(ALL), scene.log) == scene.out
