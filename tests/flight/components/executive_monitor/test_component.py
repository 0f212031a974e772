"""The executive monitor: an account of raising components, slipped cycles and full queues."""

from __future__ import annotations

from typing import Any

import pytest

from flight.components.executive_monitor.component import ExecutiveMonitor, NoMeter
from flight.framework.ports import Port
from flight.framework.work_queue import WorkQueue
from icd.dictionary import Severity
from tests.flight.support.small_executive import GADGET, Craft, Gadget


class Watched:
    """A plugged-in component, as the monitor sees it."""

    is_stopped = False

    def __init__(self, name: str, depth: int) -> None:
        self.name = name
        self.inbox = WorkQueue(depth)

    def flood(self, count: int) -> None:
        for _ in range(count):
            self.inbox.put(lambda: None)


class Meter(NoMeter):
    """A meter that shows what the test says."""

    def rss_mib(self) -> float:
        return 48.5

    def cpu_percent(self) -> float:
        return 0.25


def events(craft: Craft, name: str) -> list[tuple[Any, ...]]:
    return craft.events(craft.monitor_slot, name)


@pytest.mark.verifies("VA-EXE-04")
def test_a_full_queue_is_reported_once_with_what_it_cost() -> None:
    craft = Craft()
    one, two = Watched("one", 2), Watched("two", 9)
    port = Port("executive", craft.monitor_slot.apid, craft)
    monitor = ExecutiveMonitor(port, {1: one, 2: two}, Meter(), 3)
    one.flood(5)
    two.flood(6)
    assert monitor.run(0) == 5_000_000_000
    monitor.run(5_000_000_000)
    one.flood(1)
    monitor.run(10_000_000_000)
    assert events(craft, "queue_overflowed") == [("one", 3), ("one", 1)]
    hk = monitor.hk
    assert (hk.queue_drops, hk.fullest, hk.boots) == (4, 6, 3)
    assert (hk.rss, hk.cpu) == (48.5, 0.25)


@pytest.mark.verifies("VA-BRD-13")
def test_a_date_that_was_set_is_told_once_and_one_that_is_steered_is_not() -> None:
    craft = Craft()
    port = Port("executive", craft.monitor_slot.apid, craft)
    dates = iter([7e9, 7e9, 6e9, 6e9, 6.4e9, 6.8e9, 3606.8e9, 6.8e9])
    monitor = ExecutiveMonitor(port, {}, Meter(), 3, lambda: round(next(dates)))
    for second in range(8):
        monitor.run(second * 1_000_000_000)
    assert events(craft, "clock_stepped") == [(-1.0,), (3600.0,), (-3600.0,)]


@pytest.mark.verifies("VA-EXE-03")
def test_a_contained_error_is_an_event_of_severity_high() -> None:
    craft = Craft()
    craft.do("explode")
    assert events(craft, "component_raised") == [("gadget", 1, "RuntimeError: boom")]
    assert {severity for apid, _, severity, _ in craft.told} == {Severity.HIGH}
    monitor = craft.monitor_slot.component
    assert (monitor.hk.raised, monitor.hk.stopped) == (1, 0)


@pytest.mark.verifies("VA-EXE-03")
def test_a_stopped_component_is_named() -> None:
    craft = Craft()
    for _ in range(4):
        craft.do("explode")
    assert events(craft, "component_stopped") == [("gadget",)]
    assert events(craft, "restarting") == []
    assert craft.monitor_slot.component.hk.stopped == 1


def test_a_stopped_critical_component_is_said_to_end_the_executive() -> None:
    craft = Craft()

    def fail(_: object) -> None:
        raise RuntimeError

    for _ in range(4):
        craft.executive.do_now(craft.commands, fail)
    assert events(craft, "restarting") == [("commands",)]


@pytest.mark.verifies("VA-EXE-05")
def test_slipped_cycles_are_counted_and_reported() -> None:
    craft = Craft()
    craft.gadget.next_run = craft.now + 100_000_000
    craft.slot.component.port.wake()
    due = craft.executive.step(craft.now)
    craft.executive.step(due + 300_000_000)
    assert events(craft, "cycles_slipped") == [("fast", 3)]
    assert craft.monitor_slot.component.hk.slips == 3


def test_a_monitor_that_was_rebuilt_is_told_from_then_on() -> None:
    craft = Craft()
    first = craft.monitor_slot.component

    def fail(_: object) -> None:
        raise RuntimeError("of the monitor itself")

    craft.executive.do_now(craft.monitor_slot, fail)
    second = craft.monitor_slot.component
    assert second is not first
    craft.do("explode")
    assert (first.hk.raised, second.hk.raised) == (1, 1)
    assert isinstance(craft.slot.component, Gadget)
    assert craft.slot.apid == GADGET


def test_a_boot_is_reported_with_its_reason() -> None:
    craft = Craft()
    monitor = craft.monitor_slot.component
    assert isinstance(monitor, ExecutiveMonitor)
    monitor.booted(7, "first start")
    assert events(craft, "booted") == [(7, "first start")]
