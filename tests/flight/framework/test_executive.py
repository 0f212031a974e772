"""The executive: rate groups on their grid, bounded queues, fair turns, containment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.framework.executive import DRAIN_LIMIT, NEVER, Executive, RateGroup, Slot
from flight.framework.ports import Port
from flight.framework.time_units import SECOND
from flight.framework.work_queue import WhenFull, WorkQueue
from icd.dictionary import Severity
from icd.reports import Stage
from tests.flight.support.small_executive import COMMANDS, PERIOD, START, Craft, Gadget


@dataclass
class Observed:
    """An observer and a telemetry sink that write down what they are told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    def contained(self, name: str, error: BaseException, restarts: int) -> None:
        self.told.append(("contained", name, str(error), restarts))

    def stopped(self, name: str, is_critical: bool) -> None:
        self.told.append(("stopped", name, is_critical))

    def slipped(self, group: str, cycles: int) -> None:
        self.told.append(("slipped", group, cycles))

    def event(self, apid: int, number: int, severity: Severity, packed: bytes) -> None: ...

    def report(self, _apid: int, _number: int, _packed: bytes, _station: int | None) -> bool:
        return True

    def bulk_room(self, _station: int | None) -> int:
        return 1


class Flight:
    """An executive with any number of gadgets."""

    def __init__(self) -> None:
        self.observed = Observed()
        self.executive = Executive(self.observed)
        self.executive.observer = self.observed
        self.calls: list[tuple[Any, ...]] = []

    def plug(self, name: str = "one", period: int = PERIOD, **options: Any) -> Slot:
        apid = 10 + len(self.executive.slots)

        def build(port: Port) -> Gadget:
            self.calls.append(("built", name))
            if options.get("breaks"):
                raise RuntimeError("in factory")
            return Gadget(port, self.calls)

        chosen = {k: v for k, v in options.items() if k != "breaks"}
        return self.executive.plug(
            name, apid, build, RateGroup(f"every {period}", period), **chosen
        )


def gadget(slot: Slot) -> Gadget:
    assert isinstance(slot.component, Gadget)
    return slot.component


@pytest.fixture
def flight() -> Flight:
    return Flight()


def boom() -> None:
    raise RuntimeError("boom")


class TestRateGroups:
    def test_every_component_runs_at_the_first_step(self, flight: Flight) -> None:
        one, two = flight.plug("one"), flight.plug("two", SECOND)
        flight.executive.start(START)
        flight.executive.step(START)
        assert gadget(one).runs == gadget(two).runs == [START]

    def test_a_component_runs_on_the_grid_of_its_group_and_not_before_it_asked(
        self, flight: Flight
    ) -> None:
        slot = flight.plug()
        now = START + 7
        gadget(slot).next_run = START + PERIOD + 1
        due = flight.executive.step(now)
        assert due == START + 2 * PERIOD
        flight.executive.step(due - 1)
        assert len(gadget(slot).runs) == 1
        flight.executive.step(due)
        assert gadget(slot).runs == [now, START + 2 * PERIOD]

    def test_idle_time_is_skipped_to_the_next_due_time(self, flight: Flight) -> None:
        slot = flight.plug()
        gadget(slot).next_run = START + 86_400 * SECOND
        assert flight.executive.step(START) == START + 86_400 * SECOND

    def test_with_nothing_due_the_executive_never_needs_to_be_called(self, flight: Flight) -> None:
        flight.plug()
        assert flight.executive.step(START) == NEVER

    def test_a_component_that_asks_for_the_past_runs_once_a_cycle(self, flight: Flight) -> None:
        slot = flight.plug()
        gadget(slot).next_run = 0
        now = START
        for _ in range(3):
            now = flight.executive.step(now)
        assert gadget(slot).runs == [START + k * PERIOD for k in range(3)]

    def test_a_woken_component_runs_in_the_next_cycle(self, flight: Flight) -> None:
        slot = flight.plug()
        flight.executive.step(START)
        slot.component.port.wake()
        due = flight.executive.step(START + 3)
        assert due == START + PERIOD
        flight.executive.step(due)
        assert gadget(slot).runs == [START, START + PERIOD]

    @pytest.mark.verifies("VA-EXE-05")
    @pytest.mark.parametrize(
        ("late", "slips"), [(0, 0), (PERIOD - 1, 0), (PERIOD, 1), (25 * PERIOD + 9, 25)]
    )
    def test_cycles_missed_are_counted(self, flight: Flight, late: int, slips: int) -> None:
        slot = flight.plug()
        gadget(slot).next_run = START + PERIOD
        due = flight.executive.step(START)
        flight.executive.step(due + late)
        counted = [told[2] for told in flight.observed.told if told[0] == "slipped"]
        assert counted == ([slips] if slips else [])

    def test_what_is_beside_is_stepped_when_it_asked_or_is_woken(self, flight: Flight) -> None:
        steps: list[int] = []

        class Beside:
            def run(self, now: int) -> int | None:
                steps.append(now)
                return START + SECOND

        flight.executive.beside(Beside())
        assert flight.executive.step(START) == START + SECOND
        flight.executive.step(START + 1)
        assert steps == [START]
        flight.executive.wake_beside()
        flight.executive.step(START + 2)
        assert steps == [START, START + 2]

    def test_one_beside_may_wake_another_while_it_runs(self, flight: Flight) -> None:
        class Idle:
            def run(self, _now: int) -> int | None:
                return None

        class Waker:
            def run(self, _now: int) -> int | None:
                flight.executive.wake_beside()
                return None

        flight.executive.beside(Idle())
        flight.executive.beside(Waker())
        assert flight.executive.step(START) == 0  # due at once, not never


class TestQueues:
    @pytest.mark.verifies("VA-EXE-04")
    def test_a_full_queue_rejects_the_new(self) -> None:
        inbox = WorkQueue(2)
        done: list[int] = []
        assert [inbox.put(partial(done.append, n)) for n in range(4)] == [
            True,
            True,
            False,
            False,
        ]
        while len(inbox):
            inbox.take()()
        assert done == [0, 1]
        assert (inbox.dropped, inbox.high_water) == (2, 2)

    @pytest.mark.verifies("VA-EXE-04")
    def test_or_drops_the_oldest(self) -> None:
        inbox = WorkQueue(2, WhenFull.DROP_OLDEST)
        done: list[int] = []
        assert all(inbox.put(partial(done.append, n)) for n in range(4))
        while len(inbox):
            inbox.take()()
        assert done == [2, 3]
        assert (inbox.dropped, inbox.high_water) == (2, 2)

    def test_answers_to_own_questions_are_never_dropped(self) -> None:
        inbox = WorkQueue(1)
        inbox.put(boom)
        inbox.put_answer(boom)
        assert len(inbox) == inbox.high_water == 2
        assert (inbox.clear(), len(inbox)) == (2, 0)

    def test_queues_are_drained_a_fair_turn_each(self, flight: Flight) -> None:
        slots = [flight.plug(name) for name in ("one", "two")]
        order: list[str] = []
        for slot in slots:
            for _ in range(3):
                slot.post(partial(order.append, slot.name))
        flight.executive.drain()
        assert order == ["one", "two"] * 3

    def test_endless_work_leaves_rate_groups_their_turn(self, flight: Flight) -> None:
        slot, other = flight.plug("busy"), flight.plug("other")
        done: list[int] = []

        def again() -> None:
            done.append(1)
            slot.post(again)

        slot.post(again)
        assert flight.executive.step(START) == START  # call again at once: work is left
        assert len(done) == 2 * DRAIN_LIMIT
        assert gadget(other).runs == [START]


class TestContainment:
    @pytest.mark.verifies("VA-EXE-03")
    def test_a_component_that_raises_in_run_is_rebuilt_and_the_others_run_on(
        self, flight: Flight
    ) -> None:
        bad, good = flight.plug("bad"), flight.plug("good")
        first = gadget(bad)
        first.raises_in_run = True
        flight.executive.step(START)
        assert gadget(bad) is not first
        assert flight.observed.told == [("contained", "bad", "in run", 1)]
        assert gadget(good).runs == [START]
        assert ("start", START) in flight.calls
        flight.executive.step(START + PERIOD)
        assert gadget(bad).runs == [START + PERIOD]

    @pytest.mark.verifies("VA-EXE-03")
    def test_after_more_than_three_in_a_minute_it_is_stopped(self, flight: Flight) -> None:
        slot = flight.plug()
        for k in range(3):
            slot.post(boom)
            flight.executive.step(START + k * 20 * SECOND)
        assert [told[0] for told in flight.observed.told].count("contained") == 3
        slot.post(boom)
        flight.executive.step(START + 60 * SECOND)
        assert slot.is_stopped
        assert flight.observed.told[-1] == ("stopped", "one", False)
        assert not flight.executive.ends_because
        assert not slot.post(boom)
        assert not slot.ping(1, lambda _key: None)
        assert flight.executive.step(START + 61 * SECOND) == NEVER

    def test_three_in_a_minute_are_forgiven_when_the_minute_is_over(self, flight: Flight) -> None:
        slot = flight.plug()
        for k in range(10):
            slot.post(boom)
            flight.executive.step(START + k * 21 * SECOND)
        assert not slot.is_stopped

    @pytest.mark.verifies("VA-EXE-03")
    def test_a_critical_component_that_keeps_raising_ends_the_executive(
        self, flight: Flight
    ) -> None:
        slot = flight.plug("vital", is_critical=True)
        for _ in range(4):
            slot.post(boom)
            flight.executive.step(START)
        assert flight.executive.ends_because == "critical component vital kept raising"
        assert flight.observed.told[-1] == ("stopped", "vital", True)

    def test_one_that_raises_at_its_start_is_rebuilt_and_started_again(
        self, flight: Flight
    ) -> None:
        slot = flight.plug()

        def start(_now: int) -> None:
            raise RuntimeError("in start")

        gadget(slot).__dict__["start"] = start
        flight.executive.start(START)
        assert flight.calls[-1] == ("start", START)
        assert flight.observed.told == [("contained", "one", "in start", 1)]

    def test_one_whose_factory_raises_is_stopped(self, flight: Flight) -> None:
        options: dict[str, Any] = {}

        def build(port: Port) -> Gadget:
            if options:
                raise RuntimeError("in factory")
            return Gadget(port, flight.calls)

        slot = flight.executive.plug("one", 10, build, RateGroup("fast", PERIOD))
        options["broken"] = True
        slot.post(boom)
        flight.executive.step(START)
        assert slot.is_stopped
        assert [told[2] for told in flight.observed.told[:4]] == ["boom"] + ["in factory"] * 3

    def test_work_that_waited_for_one_that_raised_is_let_go(self, flight: Flight) -> None:
        slot = flight.plug()
        slot.post(boom)
        slot.post(lambda: flight.calls.append(("stale",)))
        flight.executive.step(START)
        assert ("stale",) not in flight.calls

    @pytest.mark.verifies("VA-SUP-07")
    def test_answers_that_an_earlier_instance_waited_for_are_let_go(self, flight: Flight) -> None:
        slot = flight.plug()
        answer_to_the_old = gadget(slot).port.post_answer
        slot.post(boom)
        flight.executive.step(START)
        answer_to_the_old(lambda: flight.calls.append(("for the old",)))
        gadget(slot).port.post_answer(lambda: flight.calls.append(("for the new",)))
        flight.executive.drain()
        assert ("for the old",) not in flight.calls
        assert ("for the new",) in flight.calls

    def test_nothing_is_done_for_a_stopped_component(self, flight: Flight) -> None:
        slot = flight.plug()
        slot.is_stopped = True
        flight.executive.do_now(slot, lambda _: boom())
        slot.component.port.post_answer(boom)
        assert not flight.executive.drain()

    def test_defer_is_only_for_handlers(self, flight: Flight) -> None:
        with pytest.raises(RuntimeError, match="only valid inside a command"):
            flight.plug().component.defer()


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["paint", "later", "explode", "refuse"]), st.integers(0, 2_000_000_000)
    ),
    max_size=12,
)


@pytest.mark.verifies("VA-EXE-06")
@given(ACTS)
def test_the_same_stimuli_give_the_same_telemetry(acts: list[tuple[str, int]]) -> None:
    def fly() -> tuple[Any, ...]:
        craft = Craft()
        for name, later in acts:
            craft.do(name, *([1] if name == "paint" else []))
            craft.step(later / SECOND)
        return craft.sent, craft.told, craft.calls, craft.executive.steps

    assert fly() == fly()


def test_a_telecommand_is_carried_out_without_waiting_for_a_cycle() -> None:
    craft = Craft()
    request = craft.request(17, 1, apid=COMMANDS)
    assert craft.stages(request)[-1] is Stage.COMPLETED
    assert craft.executive.steps == 1
