"""Deciding and doing, apart: a lifecycle decides, its component does what it says.

A lifecycle is told stimuli and answers with instructions. It has no clock, no files and no
processes, so a log of its stimuli, given to another one, brings the same instructions again
(`replay`). Its component owns a `Stepper`, which gives it one stimulus after another and has each
instruction done before the next is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableSequence
from dataclasses import dataclass, fields
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from icd.fields import DeclarationError

P = ParamSpec("P")
Stimulus = TypeVar("Stimulus")
Instruction = TypeVar("Instruction")
Owner = TypeVar("Owner")
Subject = TypeVar("Subject")
Result = TypeVar("Result")
Event = Callable[..., None]
"""The declaration of an event, taken from its class: `JobEvents.job_done`."""


@dataclass(frozen=True)
class Tell:
    """An instruction that every lifecycle has: send this event with these values."""

    event: Event
    values: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The event's name in the dictionary."""
        return self.event.__name__


def told(event: Callable[Concatenate[Any, P], None], *args: P.args, **kwargs: P.kwargs) -> Tell:
    """The instruction to send an event; its values are checked as those of a call are."""
    if kwargs:
        raise TypeError(f"{event.__name__}: give the values of an event by position")
    return Tell(event, args)


class Teller(Protocol):
    """`Lifecycle._tell`, for the parts that a lifecycle is composed of."""

    def __call__(
        self, event: Callable[Concatenate[Any, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> None: ...


class Lifecycle(Generic[Stimulus, Instruction]):
    """What decides, in one component; `step` is its only way in.

    A subclass says in `_take` what follows from a stimulus and in `_settle` what follows from any:
    both put instructions into `_out`, at on-board time `_now`.
    """

    def __init__(self, log: MutableSequence[tuple[int, Stimulus]] | None = None) -> None:
        """`log` gets every stimulus with its time, for `replay`; it may be bounded."""
        self._log = log
        self._now = 0
        self._out: list[Instruction | Tell] = []

    def step(self, now: int, stimulus: Stimulus) -> tuple[Instruction | Tell, ...]:
        """Take one stimulus at on-board time `now` (ns); what is to be done, in order."""
        if self._log is not None:
            self._log.append((now, stimulus))
        self._now, self._out = now, []
        self._take(stimulus)
        self._settle()
        return tuple(self._out)

    def _take(self, stimulus: Stimulus) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        """What follows once a stimulus was taken, whichever it was."""

    def _tell(
        self, event: Callable[Concatenate[Any, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have an event sent; its arguments are checked as those of a call are."""
        self._out.append(told(event, *args, **kwargs))


def on(
    kind: type[Stimulus], handler: Callable[[Owner, Subject, Stimulus], Result]
) -> dict[type[Any], Callable[[Owner, Subject, Any], Result]]:
    """A table of one handler; mypy checks that it takes such a stimulus. Join them by `|`."""
    return {kind: handler}


def replay(
    lifecycle: Lifecycle[Stimulus, Instruction], log: Iterable[tuple[int, Stimulus]]
) -> list[Instruction | Tell]:
    """The instructions of a new lifecycle for the stimuli that an earlier one logged."""
    return [out for now, stimulus in log for out in lifecycle.step(now, stimulus)]


class Counters:
    """Which housekeeping field counts which event that a lifecycle has sent.

    Raises DeclarationError, at import, for a field that the housekeeping has not.
    """

    def __init__(self, housekeeping: type, field_of: Mapping[Event, str]) -> None:
        known = {field.name for field in fields(housekeeping)}
        for event, field in field_of.items():
            if field not in known:
                raise DeclarationError(
                    f"{event.__name__} is to be counted in '{field}', which "
                    f"{housekeeping.__name__} has not; name one of its fields"
                )
        self._field_of = dict(field_of)

    def count(self, hk: object, event: Event) -> None:
        """Count one event, if it is counted."""
        field = self._field_of.get(event)
        if field is not None:
            setattr(hk, field, getattr(hk, field) + 1)


NO_COUNTERS = Counters(Tell, {})


class Stepper(Generic[Stimulus, Instruction]):
    """Gives a lifecycle its stimuli, and has its instructions done.

    `do` is called for each instruction but `Tell`, which becomes an event of the component, and is
    counted. What an instruction brings at once (a stimulus while one is being worked off) is taken
    next, never in between.
    """

    def __init__(
        self,
        component: Any,
        lifecycle: Lifecycle[Stimulus, Instruction],
        do: Callable[[Instruction], None],
        counters: Counters = NO_COUNTERS,
    ) -> None:
        self._component = component
        self._lifecycle = lifecycle
        self._do = do
        self._counters = counters
        self._waiting: deque[Stimulus] = deque()
        self._is_stepping = False

    def step(self, stimulus: Stimulus) -> tuple[Instruction | Tell, ...]:
        """Take a stimulus now; what it led to, which is done by then.

        While another is being worked off it is only queued, and the answer is empty.
        """
        self._waiting.append(stimulus)
        if self._is_stepping:
            return ()
        self._is_stepping = True
        first: tuple[Instruction | Tell, ...] | None = None
        try:
            while self._waiting:
                now: int = self._component.port.clock()
                out = self._lifecycle.step(now, self._waiting.popleft())
                first = out if first is None else first
                for instruction in out:
                    self.carry_out(instruction)
        finally:
            self._is_stepping = False
        return first or ()

    def carry_out(self, instruction: Instruction | Tell) -> None:
        """Do one instruction."""
        if isinstance(instruction, Tell):
            instruction.event(self._component, *instruction.values)
            self._counters.count(self._component.hk, instruction.event)
        else:
            self._do(instruction)
