"""What follows from wrong memory: the decisions of the scrubber.

A lost block opens a case of its region. The case takes the steps of `regions.STEPS` for its kind,
one after another, until the block is right again or the region is gone:

    step                done when                     next step when
    ROLL_BACK           the region is another one     the block is still lost after `patience`
    RELOAD, REMAKE      the worker says so            it says no, or is silent twice
    RETIRE              the worker says so            (none)
    RESTART_EXECUTIVE   at once                       (none; withheld when it came too often)
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass, field

from flight.components.scrubber import stimuli as s
from flight.components.scrubber.dictionary import ScrubberEvents
from flight.components.scrubber.regions import STEPS, Found, Kind, Step, Unusable, Verdict
from flight.framework.lifecycle import Lifecycle
from flight.framework.time_units import SECOND

WHOLE = -1
"""In place of a block: the whole region."""
MOST_TRIES = 2
FIRST_NUMBER = 1 << 32
"""Of a question to the worker; the requests of ground have lower numbers."""
ASKS = {Step.RELOAD: "reload", Step.REMAKE: "remake", Step.RETIRE: "retire"}


@dataclass(eq=False)
class Case:
    """One region with lost blocks."""

    name: str
    kind: Kind
    job: int
    made: int
    blocks: set[int] = field(default_factory=set)
    rung: int = 0
    tries: int = 0
    due: int = 0
    """Until then the step under way has time."""
    asked: dict[int, int] = field(default_factory=dict)
    """Number of a question to the worker → the block that it is about."""

    @property
    def step(self) -> Step | None:
        """The step under way; None when there is none left."""
        steps = STEPS[self.kind]
        return steps[self.rung] if self.rung < len(steps) else None

    @property
    def words(self) -> str:
        """What is done now, for events."""
        return self.step.words if self.step else "nothing left"


class ScrubberLifecycle(Lifecycle[s.Stimulus, s.Instruction]):
    """The cases of one payload."""

    def __init__(
        self,
        policy: s.Policy | None = None,
        log: MutableSequence[tuple[int, s.Stimulus]] | None = None,
    ) -> None:
        super().__init__(log)
        self.policy = policy or s.Policy()
        self.cases: dict[str, Case] = {}
        self.factor = 1.0
        self.restarts: tuple[int, ...] = ()
        """When the executive was restarted for its program memory."""
        self._next_number = FIRST_NUMBER
        self._radiation = 0
        self._calm_at = 0
        self._window_ends = 0
        self._told = 0
        self._untold = 0

    def next_due(self) -> int | None:
        """When time alone brings something, in on-board ns."""
        times = [self._window_ends] if self._untold else []
        if self._calm_at:
            times.append(self._calm_at)
        return min(times, default=None)

    def _take(self, stimulus: s.Stimulus) -> None:
        match stimulus:
            case s.Wrong():
                self._wrong(stimulus.found)
            case s.Broken():
                self._broken(stimulus.what)
            case s.Table():
                self._close_healed({row.name: row.made for row in stimulus.rows})
            case s.Done():
                self._done(stimulus)
            case s.ProgramChanged():
                self._program_changed(stimulus.name)
            case s.Radiation():
                self._radiation = stimulus.level
            case s.Restore():
                self.restarts = stimulus.restarts
            case s.SetPolicy():
                self.policy = stimulus.policy

    def _settle(self) -> None:
        self._end_window()
        self._set_factor()

    # ------------------------------------------------------------ wrong blocks

    def _wrong(self, found: Found) -> None:
        if found.kind is not Kind.TEST:
            self._calm_at = self._now + self.policy.calm
        if found.verdict is Verdict.LOST:
            case = self._case(found.name, found.kind, found.job, found.made)
            if found.block not in case.blocks:
                case.blocks.add(found.block)
                self._tell_lost(found, case.words)
                self._begin(case, found.block)
            elif self._now >= case.due:
                self._insist(case, found.block)
        elif self._has_room_to_tell():
            self._tell_corrected(found)

    def _broken(self, what: Unusable) -> None:
        case = self._case(what.name, what.kind, what.job, what.made)
        if WHOLE in case.blocks:
            if self._now >= case.due:
                self._insist(case, WHOLE)
            return
        case.blocks.add(WHOLE)
        self._tell(ScrubberEvents.region_unusable, what.name, what.job, what.reason, case.words)
        self._begin(case, WHOLE)

    def _case(self, name: str, kind: Kind, job: int, made: int) -> Case:
        case = self.cases.get(name)
        if case is None or case.made != made:
            case = self.cases[name] = Case(name, kind, job, made)
        return case

    def _close_healed(self, made: dict[str, int]) -> None:
        """A region that is gone, or is another one, has no lost blocks any more."""
        for name, case in list(self.cases.items()):
            if made.get(name) != case.made and not case.asked:
                del self.cases[name]

    def _insist(self, case: Case, block: int) -> None:
        """The block is still lost after the step had its time: again, or the next step."""
        step = case.step
        if step is None:
            return
        case.asked.clear()
        case.tries += 1
        if case.tries >= MOST_TRIES or step is Step.ROLL_BACK:
            self._next_step(case, f"block {block} is still lost")
        else:
            self._begin(case, block)

    def _next_step(self, case: Case, reason: str) -> None:
        step = case.step
        if step is not None:
            self._tell(ScrubberEvents.step_failed, case.name, step.words, reason)
            case.rung, case.tries = case.rung + 1, 0
            case.asked.clear()
        if case.step is None:
            self._tell(ScrubberEvents.given_up, case.name, case.job)
        for block in sorted(case.blocks):
            self._begin(case, block)
            if case.step is not Step.RELOAD:
                return  # the other steps are about the whole region

    def _begin(self, case: Case, block: int) -> None:
        """Take the case's step for a block, unless it is under way for the whole region."""
        step = case.step
        is_busy = bool(case.asked) or self._now < case.due
        if step is None or (step is not Step.RELOAD and is_busy and case.tries == 0):
            return
        case.due = self._now + self.policy.patience
        if step is Step.ROLL_BACK:
            if case.job:
                self._out.append(s.RollBack(case.job, f"lost memory in {case.name}"))
                self._tell(ScrubberEvents.job_rolled_back, case.job, case.name)
        elif step in ASKS:
            self._ask(case, step, block)

    def _ask(self, case: Case, step: Step, block: int) -> None:
        self._next_number += 1
        case.asked[self._next_number] = block
        body: dict[str, int | str] = {"region": case.name}
        if step is Step.RELOAD:
            body["block"] = block
        self._out.append(s.Ask(self._next_number, ASKS[step], body))

    def _done(self, done: s.Done) -> None:
        case = next((c for c in self.cases.values() if done.number in c.asked), None)
        if case is None or case.step is None:
            return
        block = case.asked.pop(done.number)
        if not done.ok:
            case.due = 0
            self._next_step(case, done.text or "the worker did not say why")
            return
        step, case.due = case.step, 0
        if step is Step.RETIRE:
            self._tell(ScrubberEvents.region_retired, case.name, case.job)
            self._out.append(s.Forget(case.name))
            case.blocks.clear()
        else:
            self._tell(ScrubberEvents.reloaded, case.name, max(block, 0), step.words)
            case.blocks.discard(block)
            if step is Step.REMAKE or block == WHOLE:
                case.blocks.clear()
        if not case.blocks:
            del self.cases[case.name]

    # ------------------------------------------------------------ telling

    def _tell_lost(self, found: Found, action: str) -> None:
        lost = ScrubberEvents.block_lost
        self._tell(lost, found.name, found.job, found.block, found.offset, action)

    def _tell_corrected(self, found: Found) -> None:
        is_data = found.verdict is Verdict.CORRECTED
        right = ScrubberEvents.block_corrected if is_data else ScrubberEvents.checks_corrected
        bits = found.data_bits + found.check_bits
        self._tell(right, found.name, found.job, found.block, found.offset, bits)

    def _has_room_to_tell(self) -> bool:
        """Whether a corrected block is told by itself; else it is counted for `more_corrected`."""
        if self._now >= self._window_ends:
            self._end_window()
            self._window_ends, self._told = self._now + self.policy.window, 0
        self._told += 1
        if self._told > self.policy.most_told:
            self._untold += 1
            return False
        return True

    def _end_window(self) -> None:
        if self._untold and self._now >= self._window_ends:
            seconds = self.policy.window / SECOND
            self._tell(ScrubberEvents.more_corrected, self._untold, seconds)
            self._untold = 0

    # ------------------------------------------------------------ program memory, and how fast

    def _program_changed(self, name: str) -> None:
        since = self._now - self.policy.restart_window
        recent = tuple(time for time in self.restarts if since < time <= self._now)
        self._calm_at = self._now + self.policy.calm
        if len(recent) >= self.policy.most_restarts:
            self._tell(ScrubberEvents.program_left, name, len(recent))
            return
        (step,) = STEPS[Kind.PROGRAM]
        self._tell(ScrubberEvents.program_changed, name, step.words)
        self.restarts = (*recent, self._now)
        self._out.append(s.RestartExecutive(f"program memory changed: {name}", self.restarts))

    def _set_factor(self) -> None:
        if self._calm_at and self._now >= self._calm_at:
            self._calm_at = 0
        policy = self.policy
        by_radiation = (1.0, policy.raised_factor, policy.storm_factor)[min(self._radiation, 2)]
        factor = max(by_radiation, policy.found_factor if self._calm_at else 1.0)
        if factor != self.factor:
            self.factor = factor
            self._out.append(s.SetFactor(factor))
