"""Deciding and doing, apart: one stimulus after another, typed events, counters, replay."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from flight.framework.component import Severity, event
from flight.framework.lifecycle import Counters, Lifecycle, Stepper, Tell, on, replay
from icd.fields import U32, DeclarationError


@dataclass(frozen=True)
class Drop:
    """A drop fell."""

    size: int


@dataclass(frozen=True)
class Spill:
    """The bucket is to be emptied."""

    litres: int


class BucketEvents:
    port: Any

    @event(1, Severity.LOW)
    def overflown(self, litres: U32) -> None:
        """{litres} litres are too many."""


class Bucket(Lifecycle[Drop, Spill]):
    """Spills what is above 3 litres."""

    def __init__(self, log: Any = None) -> None:
        super().__init__(log)
        self.litres = 0
        self.settled = 0

    def _take(self, stimulus: Drop) -> None:
        self.litres += stimulus.size
        if self.litres > 3:
            self._tell(BucketEvents.overflown, self.litres)
            self._out.append(Spill(self.litres - 3))
            self.litres = 3

    def _settle(self) -> None:
        self.settled += 1


@dataclass
class BucketHousekeeping:
    overflows: int = 0


class Component(BucketEvents):
    """Does what the bucket says; pours back `again` at the first spill."""

    def __init__(self, again: int = 0) -> None:
        self.now, self.again = 100, again
        self.sent: list[bytes] = []
        self.spilt: list[int] = []
        self.hk = BucketHousekeeping()
        telemetry = SimpleNamespace(event=lambda *report: self.sent.append(report[-1]))
        self.port = SimpleNamespace(clock=lambda: self.now, apid=1, telemetry=telemetry)
        self.log: deque[tuple[int, Drop]] = deque(maxlen=3)
        counters = Counters(BucketHousekeeping, {BucketEvents.overflown: "overflows"})
        self.core = Bucket(self.log)
        self.stepper = Stepper(self, self.core, self.do, counters)

    def do(self, spill: Spill) -> None:
        self.spilt.append(spill.litres)
        if self.again:
            again, self.again = self.again, 0
            assert self.stepper.step(Drop(again)) == (), "it waits for its turn"
            assert len(self.spilt) == 1


def test_what_is_decided_is_done_in_order_and_events_are_sent_and_counted() -> None:
    component = Component()
    assert component.stepper.step(Drop(2)) == ()
    assert component.stepper.step(Drop(4)) == (Tell(BucketEvents.overflown, (6,)), Spill(3))
    assert component.spilt == [3]
    assert component.sent == [(6).to_bytes(4, "big")]
    assert component.hk.overflows == 1
    assert component.core.settled == 2


def test_a_stimulus_that_an_instruction_brings_is_taken_next_and_never_in_between() -> None:
    component = Component(again=5)
    first = component.stepper.step(Drop(4))
    assert first == (Tell(BucketEvents.overflown, (4,)), Spill(1))
    assert component.spilt == [1, 5]
    assert component.hk.overflows == 2


def test_a_step_that_raises_does_not_leave_the_stepper_stuck() -> None:
    component = Component()
    component.do = None  # type: ignore[assignment]
    stepper = Stepper(component, component.core, lambda _: 1 / 0)  # type: ignore[arg-type, func-returns-value, return-value]
    with pytest.raises(ZeroDivisionError):
        stepper.step(Drop(9))
    with pytest.raises(ZeroDivisionError):
        stepper.step(Drop(9))


def test_a_replayed_log_brings_the_same_instructions() -> None:
    component = Component()
    log: list[tuple[int, Drop]] = []
    first = Bucket(log)
    said = [out for size in (1, 3, 5) for out in first.step(component.now + size, Drop(size))]
    assert replay(Bucket(), log) == said
    assert [now for now, _ in log] == [101, 103, 105]


def test_a_counter_that_is_no_housekeeping_field_is_refused_at_import() -> None:
    with pytest.raises(DeclarationError, match="'spills', which BucketHousekeeping has not"):
        Counters(BucketHousekeeping, {BucketEvents.overflown: "spills"})


def test_the_values_of_an_event_are_given_by_position() -> None:
    with pytest.raises(TypeError, match="overflown: give the values of an event by position"):
        Bucket()._tell(BucketEvents.overflown, litres=4)


def test_a_table_of_handlers_is_joined_from_single_entries() -> None:
    def fill(bucket: Bucket, times: int, drop: Drop) -> int:
        return bucket.litres + times * drop.size

    def spill(_bucket: Bucket, times: int, spill: Spill) -> int:
        return -times * spill.litres

    table = on(Drop, fill) | on(Spill, spill)
    assert [table[type(given)](Bucket(), 2, given) for given in (Drop(3), Spill(4))] == [6, -8]
