"""The command handler's own requests, and one end for each telecommand whatever happens."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd import reports
from icd.failures import FailureCode
from icd.reports import Service, Stage
from tests.flight.support.small_executive import COMMANDS, GADGET, Craft


@pytest.fixture
def craft() -> Craft:
    return Craft()


def answers(craft: Craft) -> list[tuple[int, int, bytes, int]]:
    return [
        (s.service, s.subtype, s.body, s.station)
        for s in craft.sent
        if s.service != Service.VERIFICATION
    ]


class TestService17:
    @pytest.mark.verifies("VA-CMD-07")
    def test_a_ping_is_answered_to_its_source_before_its_completion(self, craft: Craft) -> None:
        request = craft.request(17, 1, source=6)
        assert [(s.service, s.subtype) for s in craft.sent] == [(1, 1), (17, 2), (1, 3), (1, 7)]
        assert answers(craft) == [(17, 2, b"", 6)]
        assert craft.stages(request)[-1] is Stage.COMPLETED

    @pytest.mark.verifies("VA-CMD-07")
    def test_alive_goes_through_the_components_own_queue(self, craft: Craft) -> None:
        request = craft.request(17, 3, b"\0\x09", drain=False)
        assert answers(craft) == []
        craft.executive.drain()
        assert answers(craft) == [(17, 4, b"\0\x09", 1)]
        assert craft.stages(request)[-1] is Stage.COMPLETED

    @pytest.mark.parametrize("body", [b"", b"\x09", b"\0\x63", b"\0\x09\0"])
    def test_alive_of_nobody_is_refused(self, craft: Craft, body: bytes) -> None:
        request = craft.request(17, 3, body)
        assert craft.failure(request)[0] is FailureCode.UNKNOWN_APID

    def test_alive_of_a_stopped_component_is_refused(self, craft: Craft) -> None:
        for _ in range(4):
            craft.do("explode")
        request = craft.request(17, 3, b"\0\x09")
        assert craft.failure(request) == (FailureCode.QUEUE_FULL, "gadget takes no work")


class TestService20:
    def change(self, craft: Craft, body: str) -> bytes:
        return craft.request(20, 3, bytes.fromhex(body))

    @pytest.mark.verifies("VA-EXE-10")
    def test_parameters_are_reported_in_declared_order(self, craft: Craft) -> None:
        craft.request(20, 1)
        assert answers(craft) == [
            (
                20,
                2,
                bytes.fromhex(
                    "03"  # three parameters
                    "3f800000"  # gain 1.0
                    "01"  # colour RED
                    "0000"  # note 0
                ),
                1,
            )
        ]

    @pytest.mark.verifies("VA-EXE-10")
    def test_several_are_set_together(self, craft: Craft) -> None:
        request = self.change(craft, "02 0000 40000000 0001 02")
        assert craft.stages(request)[-1] is Stage.COMPLETED
        assert (craft.gadget.parameters.gain, craft.gadget.parameters.colour) == (2.0, 2)
        assert craft.gadget.parameters.colour.name == "BLUE"
        assert craft.events(craft.commands, "parameters_set") == [(GADGET, 2)]

    @pytest.mark.verifies("VA-EXE-10")
    @pytest.mark.parametrize(
        ("body", "code", "says"),
        [
            ("", FailureCode.ARGUMENT_LENGTH, "give a count"),
            ("00", FailureCode.ARGUMENT_LENGTH, "give a count"),
            ("01 0003 00", FailureCode.ARGUMENT_LENGTH, "indices 0 … 2"),
            ("01 00", FailureCode.ARGUMENT_LENGTH, "indices 0 … 2"),
            ("01 0002 00", FailureCode.ARGUMENT_LENGTH, "give 2: note (u16)"),
            ("01 0002 0000 00", FailureCode.ARGUMENT_LENGTH, "that many (index, value)"),
            ("02 0002 0001", FailureCode.ARGUMENT_LENGTH, "indices 0 … 2"),
            ("02 0002 0001 0000 41300000", FailureCode.ARGUMENT_RANGE, "gain = 11; give 0 … 10"),
            ("02 0002 0001 0000 7fc00000", FailureCode.ARGUMENT_RANGE, "gain = nan"),
            ("02 0002 0001 0001 03", FailureCode.ARGUMENT_ENUM, "RED = 1, BLUE = 2"),
        ],
    )
    def test_one_bad_value_changes_nothing(
        self, craft: Craft, body: str, code: FailureCode, says: str
    ) -> None:
        before = craft.gadget.parameters
        request = self.change(craft, body)
        assert craft.failure(request)[0] is code
        assert says in craft.failure(request)[1]
        assert craft.gadget.parameters == before

    def test_a_component_that_raises_at_its_new_parameters_is_itself_contained(
        self, craft: Craft
    ) -> None:
        handler, gadget = craft.handler, craft.gadget
        request = self.change(craft, "01 0002 0007")
        assert craft.failure(request) == (FailureCode.RAISED, "RuntimeError: seven")
        assert craft.handler is handler
        assert craft.gadget is not gadget


def test_a_service_of_a_components_own_is_led_to_it(craft: Craft) -> None:
    request = craft.request(200, 1, b"xyz", apid=COMMANDS)
    assert craft.stages(request)[-1] is Stage.COMPLETED
    assert craft.calls[-1] == ("custom", COMMANDS, b"xyz")


NAMES = ["paint", "later", "refuse", "explode", "fire", "work", "answer_badly"]
STEPS = st.one_of(
    st.tuples(st.just("do"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("raw"), st.binary(max_size=6), st.booleans()),
    st.tuples(st.just("request"), st.sampled_from([(17, 1), (17, 3), (20, 3)]), st.booleans()),
    st.tuples(st.just("answer"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("wait"), st.floats(0, 3), st.just(False)),
)


def carry_out(craft: Craft, what: str, how: Any, flag: bool) -> bytes | None:
    """One step of a random history; the request id of the telecommand it sent, if it did."""
    if what == "do":
        return craft.do(how, *([1] if how == "paint" else []), ack=0, drain=flag)
    if what == "raw":
        return craft.request(8, 1, how, ack=15, drain=flag)
    if what == "request":
        return craft.request(how[0], how[1], b"\0\x09", ack=0, drain=flag)
    if what == "answer" and how < len(craft.gadget.waiting):
        pending = craft.gadget.waiting[how]
        _ = pending.complete(type("Sum", (), {"total": 0})) if flag else pending.fail("no")
    if what == "wait":
        craft.step(how)
    return None


@pytest.mark.verifies("VA-CMD-01")
@given(st.lists(STEPS, max_size=30))
def test_every_telecommand_ends_exactly_once(history: list[tuple[str, Any, bool]]) -> None:
    craft = Craft(depth=4)
    craft.modes.change(craft.modes.now, "unchanged")
    requests = [r for step in history if (r := carry_out(craft, *step)) is not None]
    for _ in range(5):
        craft.step(10.0)
    hk = craft.handler.hk
    rejections = sum(s.subtype == Stage.REJECTED for s in craft.sent if s.service == 1)
    assert (hk.pending, hk.rejected) == (0, rejections)
    assert hk.accepted == len(requests) - rejections == hk.completed + hk.failed
    reported = Counter(
        s.body[:4]
        for s in craft.sent
        if s.service == Service.VERIFICATION and Stage(s.subtype).is_final
    )
    assert max(reported.values(), default=1) == 1
    assert sum(reported.values()) >= hk.failed + rejections


@pytest.mark.verifies("VA-LINK-05")
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_arbitrary_octets_are_each_rejected_and_the_next_ping_is_answered(
    noise: list[bytes],
) -> None:
    craft = Craft()
    for octets in noise:
        craft.take(octets, 1)
    assert craft.handler.hk.rejected == len(noise)
    assert craft.stages(craft.request(17, 1))[-1] is Stage.COMPLETED


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20))
def test_any_request_ends(service: int, subtype: int, data: bytes) -> None:
    craft = Craft()
    request = craft.request(service, subtype, data, ack=reports.Stage.PROGRESS * 3)
    craft.step(11)
    assert craft.stages(request)[-1].is_final
