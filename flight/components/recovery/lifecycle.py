"""Recovery, decided: stimuli in, instructions out; no clock, no board, no processes.

What each fault leads to is the table in `flight.components.recovery.fault_table`; here is how a
recovery proceeds. `TABLE`, at the end, says what each phase does with each stimulus:

  GATHERING → QUEUED → CLEARING → SAVING → ACTING → VERIFYING → CLOSED

L1 goes from QUEUED to VERIFYING, levels below L5 skip SAVING, and an action that does not help
leads from ACTING or VERIFYING to CLEARING of the next level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableSequence
from typing import Any

from flight.components.board.notifications import Condition
from flight.components.board.places import BOARD, UNKNOWN
from flight.components.recovery import stimuli as s
from flight.components.recovery.board_view import BoardView
from flight.components.recovery.cases import Case, Phase
from flight.components.recovery.dictionary import RecoveryEvents
from flight.components.recovery.fault_table import CLEAR, RUNGS, SILENCE, Kind, Level, row_of
from flight.components.recovery.saved_cases import pack_all, unpack_all
from flight.components.recovery.stimuli import Policy
from flight.components.recovery.strikes import Cause, packed, unpack
from flight.components.recovery.triage import Triage
from flight.framework.lifecycle import on
from flight.framework.time_units import SECOND

P = Phase

SAVE_TIME = 2 * SECOND
"""A disk that takes longer does not keep the board from being recovered."""
ADOPTION = 5 * SECOND
"""What an executive waits until it begins what its predecessor had not: by then it knows which
jobs run."""
RESUME_TIME = 30 * SECOND
"""What an executive grants, besides, to an action that its predecessor began."""
REBOOT_TIME = 10 * SECOND
"""Within which an executive that asked for a reboot is ended."""
LevelEvent = Callable[[RecoveryEvents, int, int, str, str], None]
"""An event with device, level, the level's words and a reason."""


class RecoveryLifecycle(Triage):
    """The recoveries of one board, one at work at a time; `step` is the only way in."""

    def __init__(
        self,
        policy: Policy | None = None,
        log: MutableSequence[tuple[int, s.Stimulus]] | None = None,
    ) -> None:
        super().__init__(log)
        self.stale = 0
        self._set_policy(policy or Policy())
        self._picture = BoardView()
        self._silent_since: int | None = None
        self._next_action = 0
        self._adopted = 0
        """After a restart: when it can be told which jobs run; then 0."""

    def next_due(self) -> int | None:
        """When time alone brings something, in on-board ns."""
        times = [case.due for case in self.cases if case.phase is not P.QUEUED]
        if self._silent_since is not None and self.at_work is None:
            times.append(self._silent_since + SILENCE)
        return min(times, default=None)

    def received(self, device: int) -> int | None:
        """When the readings came that it knows of a device; None: it knows of none."""
        return self._picture.received(device)

    # ------------------------------------------------------------ taking stimuli

    def _take(self, stimulus: s.Stimulus) -> None:
        match stimulus:
            case s.Fault():
                self._fault(stimulus)
                self._heed_unkillable(stimulus.cause)
            case s.Readings():
                self._picture.take(stimulus)
                if stimulus.condition is Condition.WELL and stimulus.guidance == 0:
                    self._unwell.pop(stimulus.device, None)
                self._hand_out(stimulus)
            case s.Running():
                self.jobs = stimulus
                self._hand_out(stimulus)
                if self._now >= self._adopted:
                    self._look_for_boundaries()
            case s.Back():
                self._unwell.pop(stimulus.device, None)
            case s.Done() | s.Saved():
                self._answered(stimulus)
            case s.Tick():
                self._tick(stimulus)
            case s.Silent():
                self._silent_since = self._now if stimulus.is_silent else None
            case _:
                self._obey(stimulus)

    def _obey(self, stimulus: s.Directive) -> None:
        match stimulus:
            case s.Order():
                self._order(stimulus)
            case s.Enable():
                self.is_enabled, self._is_changed = stimulus.is_enabled, True
                self._tell(RecoveryEvents.switched, "enabled" if self.is_enabled else "disabled")
            case s.ForgetStrikes():
                gone = self.strikes.forget(stimulus.device, stimulus.code)
                self._is_changed = True
                self._tell(RecoveryEvents.strikes_reset, gone)
            case s.SetPolicy():
                self._set_policy(stimulus.policy)
            case s.Restore():
                self._restore(stimulus.saved)

    def _settle(self) -> None:
        self._next_turn()
        if self._is_changed:
            self._is_changed = False
            self._out.append(s.Save(self._content()))

    def _tick(self, stimulus: s.Tick) -> None:
        for case in list(self.cases):
            if case.phase is not P.QUEUED and case.due <= self._now:
                self._give(case, stimulus)
        if self._adopted and self._now >= self._adopted:
            self._adopted = 0
            self._look_for_boundaries()
        since = self._silent_since
        # A board that is being recovered is silent, and says so by its answer or by none.
        if since is not None and self._now - since >= SILENCE and self.at_work is None:
            self._silent_since = None  # once, until readings have been there again
            text = f"no readings for {SILENCE // SECOND} s"
            self._fault(s.Fault(Cause(BOARD, Kind.SILENT, 0), text, since, 0))

    def _answered(self, stimulus: s.Done | s.Saved) -> None:
        case = self.at_work
        is_awaited = case is not None and case.action == stimulus.action
        if case is None or not is_awaited or not self._give(case, stimulus):
            self.stale += 1

    def _hand_out(self, stimulus: s.Readings | s.Running) -> None:
        for case in list(self.cases):
            if isinstance(stimulus, s.Running) or case.device in (stimulus.device, BOARD, UNKNOWN):
                self._give(case, stimulus)

    def _give(self, case: Case, stimulus: s.Stimulus) -> bool:
        handler = TABLE[case.phase].get(type(stimulus))
        if handler is not None:
            handler(self, case, stimulus)
        return handler is not None

    def _heed_unkillable(self, cause: Cause) -> None:
        """What is done through a driver that holds its caller will not end: go to rail power."""
        case = self.at_work
        is_hopeless = case is not None and case.level < case.floor and cause in case.joined
        if case is not None and is_hopeless and cause.kind is Kind.UNKILLABLE:
            self._fail(case, row_of(cause.kind, cause.code).meaning)

    def _set_policy(self, policy: Policy) -> None:
        self.policy = policy
        self.strikes.decay = policy.decay
        self.budget.most, self.budget.window = policy.most, policy.window
        self.budget.most_heavy = policy.most_heavy
        self.budget.heavy_window = policy.heavy_window

    # ------------------------------------------------------------ acting

    def _next_turn(self) -> None:
        """Begin the worst recovery that waits, unless one is at work."""
        while self.at_work is None:
            waiting = [case for case in self.cases if case.phase is P.QUEUED]
            if not waiting:
                return
            self._begin(min(waiting, key=lambda case: (-case.level, case.opened)))

    def _begin(self, case: Case) -> None:
        """Take the action of the case's level, if it may be taken."""
        if case.level is Level.RESTART_JOB and case.order is None and not self._has_job(case):
            case.reason += "; no job to restart"
            self._noted(case)
            return
        if obstacle := self._obstacle(case):
            self._tell_level(RecoveryEvents.withheld, case, obstacle)
            self._close(case, obstacle)
            return
        self._next_action += 1
        case.action, case.floor = self._next_action, Level.LOG
        self.budget.spend(case.level, self._now)
        self._is_changed = True
        is_heavy = case.level >= Level.GPU_RESET
        started = RecoveryEvents.heavy_action_started if is_heavy else RecoveryEvents.action_started
        self._tell_level(started, case, case.reason)
        self._out.append(s.CountAction(case.level))
        self._clear(case)

    def _tell_level(self, event: LevelEvent, case: Case, reason: str) -> None:
        self._tell(event, case.device, int(case.level), case.level.words, reason)

    def _has_job(self, case: Case) -> bool:
        """Whether a process that it struck still runs, or waits to be tried again."""
        return bool(self.jobs.processes & case.jobs or self.jobs.failed)

    def _obstacle(self, case: Case) -> str:
        """Why an action is not taken, and what would allow it; empty: it is."""
        level, highest = case.level, self.policy.max_level
        if level > highest:
            return (
                f"recovery.max_level is L{int(highest)}; "
                f'set it to "L{int(level)}" in the configuration'
            )
        if case.order is not None:
            return ""
        if not self.is_enabled:
            return "automatic recovery is disabled; send recovery.enable"
        if not self.budget.left(level, self._now):
            return "the action budget is spent; send recovery.act, or raise the budget"
        return ""

    def _clear(self, case: Case) -> None:
        if case.level is Level.SAFE_MODE:
            self._act(case)  # it holds the jobs itself
            return
        if case.level is Level.RESTART_JOB:
            case.jobs &= self.jobs.processes
            self._out.append(s.RecallJobs(case.reason, case.opened))
            self._verify(case)
            return
        case.jobs = self.jobs.processes
        if not case.is_holding:
            case.is_holding = True
            self._out.append(s.HoldJobs(case.level.words))
        self._out.append(s.RecallJobs(case.reason, self._now))
        case.phase, case.due = P.CLEARING, self._now + CLEAR
        self._look_if_clear(case)

    def _look_if_clear(self, case: Case, _: s.Running | None = None) -> None:
        if not self.jobs.processes:
            self._commit_to(case)

    def _commit_to(self, case: Case, _: s.Tick | None = None) -> None:
        """Our processes are gone, or had their time."""
        case.slot = self._picture.slot() if case.level is Level.OTHER_SLOT else None
        if RUNGS[case.level].is_durable:
            case.phase, case.due = P.SAVING, self._now + SAVE_TIME
            self._out.append(s.Save(self._content(), case.action))
        else:
            self._act(case)

    def _act(self, case: Case, _: s.Saved | s.Tick | None = None) -> None:
        case.phase, case.due = P.ACTING, self._now + RUNGS[case.level].done
        self._is_changed = True
        self._out.append(s.Act(case.action, case.level, case.device, case.reason))

    def _done(self, case: Case, done: s.Done) -> None:
        if not done.ok:
            self._fail(case, done.text or "it was not done, and not said why")
        elif case.level is Level.SAFE_MODE:
            self._end_in_safe_mode(case)
        else:
            self._verify(case)
            if case.level is Level.OTHER_SLOT:
                # Where the rail carries this computer nobody comes so far. It is for those that
                # start now to find out whether all is well.
                self._out.append(s.Reboot(case.reason))
                case.acted, case.due = case.acted + REBOOT_TIME, case.due + REBOOT_TIME

    def _end_in_safe_mode(self, case: Case) -> None:
        if case.order is not None:
            self._close(case, ok=True)
        else:
            reason = f"safe mode is entered; {case.reason}"
            self._tell(RecoveryEvents.given_up, case.device, reason)
            self._close(case)

    def _overdue(self, case: Case, _: s.Tick) -> None:
        self._fail(case, f"no answer within {RUNGS[case.level].done // SECOND} s")

    # ------------------------------------------------------------ verifying

    def _verify(self, case: Case, grace: int = 0) -> None:
        case.phase, case.acted = P.VERIFYING, self._now
        time = max(RUNGS[case.level].verify, 2 * self.policy.period + SECOND)
        case.due = self._now + time + grace

    def _look_if_well(self, case: Case, _: s.Readings | s.Running) -> None:
        if case.slot is not None and self._picture.slot(case.acted) == case.slot:
            self._fail(case, f"slot {case.slot} runs: the other one did not boot")
        if case.phase is not P.VERIFYING or self._picture.why_not_well(case, self.jobs.processes):
            return
        if case.floor > case.level and case.order is None:
            self._fail(case, f"{case.joined[-1].words} came meanwhile")
        else:
            self._recovered(case)

    def _not_well(self, case: Case, _: s.Tick) -> None:
        self._fail(
            case,
            self._picture.why_not_well(case, self.jobs.processes) or "its readings are not valid",
        )

    def _recovered(self, case: Case) -> None:
        seconds = (self._now - case.opened) / SECOND
        level = case.level
        self._tell(RecoveryEvents.recovered, case.device, int(level), level.words, seconds)
        self._out.append(s.KeepRecoveryTime(seconds))
        if case.level is Level.OTHER_SLOT:
            self._out.append(s.ConfirmSlot(case.device))
        if case.level >= Level.GPU_RESET:
            self.deferrals.pop(case.device, None)
            case.boundary = Level.LOG
        self._close(case, ok=True)

    def _fail(self, case: Case, why: str) -> None:
        """The action did not help: the next level, if there is one."""
        if self._silent_since is not None:
            self._silent_since = self._now  # nobody could read during the action
        self._tell_level(RecoveryEvents.action_failed, case, why)
        if case.order is not None or case.level is Level.SAFE_MODE or case.device == UNKNOWN:
            self._tell(RecoveryEvents.given_up, case.device, case.reason)
            self._close(case, why)
            return
        case.level = Level(max(case.level + 1, case.floor, self._picture.guided(case.device)))
        case.reason = f"{case.cause.words}: {why}"
        case.phase = P.QUEUED
        self._begin(case)

    # ------------------------------------------------------------ ground

    def _order(self, order: s.Order) -> None:
        if order.level is Level.LOG:
            text = "L0 only writes the fault down; give L1 … L7"
            self._out.append(s.Answer(order.number, False, text))
            return
        if self.cases:
            case = self.at_work or self.cases[0]
            text = f"{case.level.words} ({case.reason}) is under way; wait for its end"
            self._out.append(s.Answer(order.number, False, text))
            return
        cause = Cause(order.device, Kind.ORDER, 0)
        row = row_of(cause.kind, cause.code)
        case = Case(cause, row, order.level, self._now, row.meaning, order=order.number)
        case.jobs = self.jobs.processes
        self.cases.append(case)

    # ------------------------------------------------------------ across restarts

    def _content(self) -> dict[str, Any]:
        """What the next executive needs: also which faults it need not hear of again."""
        kept = packed(self.strikes, self.budget)
        cases = pack_all(self.cases, self.deferrals, self._seen)
        return {**kept, "enabled": self.is_enabled, **cases}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        unpack(dict(saved), self.strikes, self.budget)
        self.is_enabled = saved.get("enabled") is not False
        found = unpack_all(saved, self._now)
        self._seen.extend(found.seen)
        self.deferrals.update(found.deferrals)
        self._adopted = self._now + ADOPTION
        for case in found.waiting:
            case.phase, case.due = P.GATHERING, self._adopted
            self.cases.append(case)
        if (acting := found.acting) is not None:
            level, words = acting.level, acting.cause.words
            self.cases.append(acting)
            self._tell(RecoveryEvents.resumed, acting.device, int(level), level.words, words)
            self._verify(acting, RESUME_TIME)


Handler = Callable[[RecoveryLifecycle, Case, Any], None]
TABLE: Mapping[Phase, Mapping[type, Handler]] = {
    P.GATHERING: (
        on(s.Tick, RecoveryLifecycle._decide)
        | on(s.Readings, RecoveryLifecycle._take_guidance)
        | on(s.Running, RecoveryLifecycle._look_for_job_end)
    ),
    P.QUEUED: {},
    P.CLEARING: (
        on(s.Running, RecoveryLifecycle._look_if_clear) | on(s.Tick, RecoveryLifecycle._commit_to)
    ),
    P.SAVING: on(s.Saved, RecoveryLifecycle._act) | on(s.Tick, RecoveryLifecycle._act),
    P.ACTING: on(s.Done, RecoveryLifecycle._done) | on(s.Tick, RecoveryLifecycle._overdue),
    P.VERIFYING: (
        on(s.Readings, RecoveryLifecycle._look_if_well)
        | on(s.Running, RecoveryLifecycle._look_if_well)
        | on(s.Tick, RecoveryLifecycle._not_well)
    ),
    P.CLOSED: {},
}
"""What each phase does with each stimulus; Tick stands for: its time is over."""
