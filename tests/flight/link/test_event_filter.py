"""The event filter: a token bucket an event, and what ground disabled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.framework.time_units import SECOND
from flight.link.event_filter import BURST, REFILL_NS, EventFilter
from icd.dictionary import Severity


class Source:
    """Events of APID 6 at a time moved by hand."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND
        self.filter = EventFilter(lambda: self.now)

    def send(self, times: int, number: int = 1, severity: Severity = Severity.LOW) -> int:
        """How many of so many pass."""
        return sum(self.filter.admits(6, number, severity) for _ in range(times))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.mark.verifies("VA-TLM-03")
def test_a_burst_of_32_passes_and_then_15_a_second(source: Source) -> None:
    assert source.send(100) == 32
    passed = 0
    for _ in range(100):
        source.now += SECOND // 50
        passed += source.send(3)
    assert passed == 30  # two seconds
    source.now += 10 * SECOND
    assert source.send(100) == 32


@pytest.mark.verifies("VA-TLM-03")
def test_each_event_has_its_own_bucket(source: Source) -> None:
    assert source.send(50, number=1) == BURST
    assert source.send(50, number=2) == BURST


@pytest.mark.verifies("VA-TLM-03")
def test_high_is_never_held_back(source: Source) -> None:
    assert source.send(10_000, severity=Severity.HIGH) == 10_000
    source.filter.enable(6, 1, on=False)
    assert source.send(10, severity=Severity.HIGH) == 10


@pytest.mark.verifies("VA-TLM-03")
def test_what_was_held_back_is_told_once_with_its_number(source: Source) -> None:
    source.send(40, number=1)
    source.send(35, number=2)
    assert source.filter.take_suppressed() == {(6, 1): 8, (6, 2): 3}
    assert source.filter.take_suppressed() == {}
    assert source.filter.total_suppressed == 11


@pytest.mark.verifies("VA-TLM-03")
def test_a_disabled_event_is_counted_but_is_no_news(source: Source) -> None:
    source.filter.enable(6, 1, on=False)
    assert source.send(5) == 0
    assert source.filter.take_suppressed() == {}
    assert source.filter.total_suppressed == 5
    source.filter.enable(6, 1, on=True)
    assert source.send(5) == 5


@given(st.lists(st.integers(0, SECOND), max_size=200))
def test_any_second_admits_at_most_a_burst_and_fifteen(gaps: list[int]) -> None:
    source = Source()
    admitted: list[int] = []
    for gap in gaps:
        source.now += gap // 20
        if source.send(1):
            admitted.append(source.now)
    for first in admitted:
        within = [t for t in admitted if first <= t < first + SECOND]
        assert len(within) <= BURST + SECOND // REFILL_NS + 1
