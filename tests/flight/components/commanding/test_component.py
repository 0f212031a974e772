"""The command handler: every stage, every rejection, and one end for each telecommand."""

from __future__ import annotations

from typing import Any

import pytest

from flight.framework.work_queue import WhenFull
from flight.link.uplink import Rejection
from icd import reports, telecommand
from icd.dictionary import Mode
from icd.failures import FailureCode
from icd.reports import Service, Stage
from icd.telecommand import Ack
from tests.flight.support.small_executive import COMMANDS, GADGET, PERIOD, Craft, Sent

ACCEPTED, REJECTED, STARTED, START_FAILED, PROGRESS, _, COMPLETED, FAILED = Stage


def raise_something() -> None:
    raise RuntimeError("a mistake of its own")


@pytest.fixture
def craft() -> Craft:
    return Craft()


class TestStages:
    @pytest.mark.verifies("VA-CMD-02")
    def test_an_immediate_command_is_accepted_started_and_completed(self, craft: Craft) -> None:
        request = craft.do("paint", 2, source=5)
        assert craft.stages(request) == [ACCEPTED, STARTED, COMPLETED]
        assert {sent.station for sent in craft.sent} == {5}
        assert craft.calls[-1] == ("paint", 2)

    @pytest.mark.verifies("VA-CMD-02")
    def test_results_come_between_start_and_completion(self, craft: Craft) -> None:
        request = craft.do("add", 2, 3, source=4)
        result = Sent(Service.FUNCTION, 129, request + bytes.fromhex("01 00000005"), 4)
        assert [sent.service for sent in craft.sent] == [1, 1, 8, 1]
        assert craft.sent[2] == result

    def test_a_deferred_command_reports_progress_until_it_is_answered(self, craft: Craft) -> None:
        request = craft.do("later")
        (pending,) = craft.gadget.waiting
        assert craft.stages(request) == [ACCEPTED, STARTED]
        pending.progress(1)
        pending.progress(2)
        assert pending.complete(type("Sum", (), {"total": 9}))
        assert craft.stages(request) == [ACCEPTED, STARTED, PROGRESS, PROGRESS, COMPLETED]
        steps = [s.verification.step for s in craft.sent if (s.service, s.subtype) == (1, PROGRESS)]
        assert steps == [1, 2]
        assert craft.handler.hk.pending == 0

    def test_a_deferred_command_can_fail_after_its_start(self, craft: Craft) -> None:
        request = craft.do("later")
        assert craft.gadget.waiting[0].source == 1
        craft.gadget.waiting[0].fail("disk full", FailureCode.NO_SPACE)
        assert craft.stages(request) == [ACCEPTED, STARTED, FAILED]
        assert craft.failure(request) == (FailureCode.NO_SPACE, "disk full")

    def test_a_refusal_is_a_failed_start_with_its_reason(self, craft: Craft) -> None:
        request = craft.do("refuse")
        assert craft.stages(request) == [ACCEPTED, START_FAILED]
        assert craft.failure(request) == (FailureCode.NOT_FOUND, "not now; wait")

    @pytest.mark.parametrize(
        ("ack", "stages"),
        [
            (Ack.NONE, []),
            (Ack.ACCEPTANCE, [ACCEPTED]),
            (Ack.START, [STARTED]),
            (Ack.PROGRESS, [PROGRESS]),
            (Ack.COMPLETION, [COMPLETED]),
            (Ack.ALL, [ACCEPTED, STARTED, PROGRESS, COMPLETED]),
        ],
    )
    def test_only_the_stages_that_were_asked_for_are_reported(
        self, craft: Craft, ack: Ack, stages: list[Stage]
    ) -> None:
        request = craft.do("later", ack=ack)
        craft.gadget.waiting[0].progress(1)
        craft.gadget.waiting[0].complete(type("Sum", (), {"total": 1}))
        assert craft.stages(request) == stages

    @pytest.mark.parametrize("name", ["refuse", "explode"])
    def test_failures_are_reported_even_if_nothing_was_asked_for(
        self, craft: Craft, name: str
    ) -> None:
        assert craft.stages(craft.do(name, ack=Ack.NONE)) == [START_FAILED]

    def test_the_account_is_in_housekeeping(self, craft: Craft) -> None:
        craft.do("paint", 1)
        craft.do("refuse")
        craft.do("later")
        craft.request(8, 1, b"\xff")
        hk = craft.handler.hk
        assert (hk.accepted, hk.rejected, hk.completed, hk.failed, hk.pending) == (3, 1, 1, 1, 1)
        assert hk.last_failure == FailureCode.UNKNOWN_OPCODE


class TestRejection:
    @pytest.mark.verifies("VA-CMD-03")
    @pytest.mark.parametrize(
        ("service", "subtype", "data", "code", "says"),
        [
            (8, 1, b"", FailureCode.UNKNOWN_OPCODE, "gadget has no opcode none"),
            (8, 1, b"\xff", FailureCode.UNKNOWN_OPCODE, "gadget has no opcode 255"),
            (8, 2, b"", FailureCode.UNKNOWN_SERVICE, "no request 8,2 here"),
            (99, 1, b"", FailureCode.UNKNOWN_SERVICE, "no request 99,1 here"),
            (8, 1, b"\1\0", FailureCode.ARGUMENT_LENGTH, "give 4: one (u16), other (u16)"),
            (8, 1, b"\1\0\0\0\0", FailureCode.ARGUMENT_RANGE, "one = 0 m; give 1 … 100 m"),
            (8, 1, b"\1\0e\0\0", FailureCode.ARGUMENT_RANGE, "one = 101 m"),
            (8, 1, b"\2\7", FailureCode.ARGUMENT_ENUM, "give one of RED = 1, BLUE = 2"),
            (8, 1, b"\x08\0\5x", FailureCode.ARGUMENT_LENGTH, "data says 5 octets"),
        ],
    )
    def test_each_mistake_has_its_code_and_sentence_and_nothing_is_executed(
        self,
        craft: Craft,
        service: int,
        subtype: int,
        data: bytes,
        code: FailureCode,
        says: str,
    ) -> None:
        before = list(craft.calls)
        request = craft.request(service, subtype, data)
        assert craft.stages(request) == [REJECTED]
        assert craft.failure(request)[0] is code
        assert says in craft.failure(request)[1]
        assert craft.calls == before
        assert craft.events(craft.commands, "telecommand_rejected")[0][:2] == (1, code)

    def test_an_unknown_apid_is_told_the_known_ones(self, craft: Craft) -> None:
        request = craft.request(17, 1, apid=1000)
        code, reason = craft.failure(request)
        assert code is FailureCode.UNKNOWN_APID
        assert "give one of 1 (commands), 9 (gadget)" in reason

    @pytest.mark.verifies("VA-LINK-01")
    @pytest.mark.parametrize(
        ("packet", "code"),
        [
            (b"", FailureCode.BAD_LENGTH),
            (telecommand.build(9, 0, 17, 1)[:-1], FailureCode.BAD_LENGTH),
            (telecommand.build(9, 0, 17, 1)[:-1] + b"\0", FailureCode.BAD_CHECKSUM),
            (b"\x08\x09\xc0\0\0\2\0\xe0\x3e", FailureCode.BAD_CHECKSUM),
            (reports.time_packet(0, 4, 0), FailureCode.BAD_PACKET),
        ],
    )
    def test_what_is_no_telecommand_is_rejected_under_its_first_octets(
        self, craft: Craft, packet: bytes, code: FailureCode
    ) -> None:
        craft.take(packet, 3)
        assert craft.failure(packet[:4].ljust(4, b"\0"))[0] is code
        assert craft.sent[0].station == 3

    @pytest.mark.verifies("VA-CMD-05")
    def test_a_command_that_the_mode_does_not_allow_is_rejected(self, craft: Craft) -> None:
        craft.modes.change(Mode.SAFE, "test")
        request = craft.do("work")
        assert craft.failure(request) == (
            FailureCode.WRONG_MODE,
            "work is not allowed in SAFE; allowed in NOMINAL",
        )
        craft.modes.change(Mode.NOMINAL, "test")
        assert COMPLETED in craft.stages(craft.do("work"))

    @pytest.mark.verifies("VA-CMD-05")
    def test_a_station_cannot_speak_for_another(self, craft: Craft) -> None:
        request = craft.do("paint", 1, source=2, station=1)
        assert craft.failure(request) == (
            FailureCode.SOURCE_REFUSED,
            "source 2 came with station 1's key",
        )
        assert COMPLETED in craft.stages(craft.do("paint", 1, source=2, station=2))

    @pytest.mark.verifies("VA-CMD-05")
    def test_an_observer_may_ask_but_not_command(self) -> None:
        craft = Craft(observers=[8])
        request = craft.do("paint", 1, source=8)
        assert craft.failure(request)[0] is FailureCode.SOURCE_REFUSED
        assert "only observes" in craft.failure(request)[1]
        assert COMPLETED in craft.stages(craft.request(17, 1, source=8))
        assert COMPLETED in craft.stages(craft.request(20, 1, source=8))

    @pytest.mark.verifies("VA-EXE-04")
    def test_a_full_queue_rejects(self) -> None:
        craft = Craft(depth=2)
        requests = [craft.do("paint", 1, drain=False) for _ in range(3)]
        assert craft.failure(requests[2]) == (
            FailureCode.QUEUE_FULL,
            "the queue of gadget is full; send it again",
        )
        craft.step()
        assert [craft.stages(r)[-1] for r in requests] == [COMPLETED, COMPLETED, REJECTED]
        assert craft.slot.inbox.dropped == 1

    @pytest.mark.verifies("VA-EXE-04", "VA-CMD-01")
    def test_work_that_a_queue_dropped_still_ends_by_its_time_out(self) -> None:
        craft = Craft(depth=1, when_full=WhenFull.DROP_OLDEST)
        first, second = (craft.do("paint", 1, drain=False) for _ in range(2))
        craft.step()
        assert craft.stages(second) == [ACCEPTED, STARTED, COMPLETED]
        craft.step(10.2)
        assert craft.failure(first)[0] is FailureCode.TIMED_OUT

    def test_no_more_than_512_telecommands_of_a_component_are_pending(self, craft: Craft) -> None:
        for _ in range(512):
            craft.do("later")
        request = craft.do("later")
        assert craft.failure(request)[0] is FailureCode.TOO_MANY_PENDING
        craft.step(2.2)
        assert craft.handler.hk.pending == 0
        assert ACCEPTED in craft.stages(craft.do("later"))

    def test_a_component_that_answers_nothing_keeps_no_other_from_being_commanded(
        self, craft: Craft
    ) -> None:
        for _ in range(512):
            craft.do("later")
        assert craft.stages(craft.request(17, 1, b"", apid=COMMANDS))[-1] is COMPLETED

    def test_what_is_settled_is_not_kept_until_its_time_out(self, craft: Craft) -> None:
        for _ in range(20):
            craft.do("paint", 1)
        assert len(craft.handler._deadlines) == 0

    def test_a_stopped_component_takes_no_commands(self, craft: Craft) -> None:
        for _ in range(4):
            craft.do("explode")
        assert craft.slot.is_stopped
        request = craft.do("paint", 1)
        assert craft.stages(request) == [REJECTED]
        assert craft.failure(request)[0] is FailureCode.COMPONENT_STOPPED

    def test_link_messages_not_taken_are_counted_by_kind_and_never_answered(
        self, craft: Craft
    ) -> None:
        for why in Rejection:
            craft.handler.frame_rejected(why)
        hk = craft.handler.hk
        assert hk.frames_rejected == len(Rejection)
        assert (hk.frames_not_authentic, hk.frames_replayed) == (1, 1)
        assert craft.events(craft.commands, "link_message_rejected") == [(w,) for w in Rejection]
        assert craft.sent == []


class TestArming:
    def arm(self, craft: Craft, opcode: int = 6, **options: Any) -> bytes:
        return craft.do("arm", GADGET, opcode, slot=craft.commands, **options)

    @pytest.mark.verifies("VA-CMD-04")
    def test_a_critical_command_needs_arming_each_time(self, craft: Craft) -> None:
        refused = craft.do("fire")
        assert craft.failure(refused) == (
            FailureCode.NOT_ARMED,
            "arm it first: commands.arm apid=9 opcode=6",
        )
        self.arm(craft)
        assert COMPLETED in craft.stages(craft.do("fire"))
        assert craft.stages(craft.do("fire")) == [REJECTED]
        assert craft.calls.count(("fire",)) == 1
        assert craft.events(craft.commands, "armed") == [(9, 6, 30.0)]

    @pytest.mark.verifies("VA-CMD-04")
    @pytest.mark.parametrize(("seconds", "end"), [(30.0, COMPLETED), (30.001, REJECTED)])
    def test_an_arming_expires(self, craft: Craft, seconds: float, end: Stage) -> None:
        self.arm(craft)
        craft.step(seconds)
        assert craft.stages(craft.do("fire"))[-1] is end

    @pytest.mark.verifies("VA-CMD-04")
    @pytest.mark.parametrize(
        "between",
        [
            lambda craft: craft.request(17, 1, apid=COMMANDS),
            lambda craft: craft.do("paint", 1),
            lambda craft: craft.do("paint", 1, source=2),
            lambda craft: craft.request(8, 1, b"\xff"),  # even one that is rejected
            lambda craft: craft.request(17, 1, apid=1000),
            lambda craft: craft.do("paint", 1, source=2, station=3),
        ],
    )
    def test_any_other_telecommand_disarms(self, craft: Craft, between: Any) -> None:
        self.arm(craft)
        between(craft)
        assert craft.stages(craft.do("fire")) == [REJECTED]

    @pytest.mark.verifies("VA-CMD-04")
    def test_an_arming_holds_for_its_source_only(self, craft: Craft) -> None:
        self.arm(craft, source=1)
        assert craft.stages(craft.do("fire", source=2)) == [REJECTED]

    @pytest.mark.parametrize(("apid", "opcode"), [(GADGET, 1), (GADGET, 200), (77, 1)])
    def test_what_is_not_critical_cannot_be_armed(
        self, craft: Craft, apid: int, opcode: int
    ) -> None:
        request = craft.do("arm", apid, opcode, slot=craft.commands)
        assert craft.failure(request) == (
            FailureCode.NOT_FOUND,
            f"APID {apid} has no critical command {opcode}",
        )

    def test_the_mode_is_changed_by_an_armed_command(self, craft: Craft) -> None:
        craft.do("arm", COMMANDS, 2, slot=craft.commands)
        assert COMPLETED in craft.stages(craft.do("set_mode", 1, slot=craft.commands))
        assert craft.modes.now is Mode.SAFE
        assert craft.handler.hk.mode is Mode.SAFE


class TestTimeOutsAndAnswers:
    @pytest.mark.verifies("VA-CMD-06")
    def test_a_command_without_answer_fails_and_a_late_answer_is_refused(
        self, craft: Craft
    ) -> None:
        request = craft.do("later")
        craft.step(1.9)
        assert craft.stages(request) == [ACCEPTED, STARTED]
        craft.step(0.2)
        assert craft.stages(request) == [ACCEPTED, STARTED, FAILED]
        assert craft.failure(request)[0] is FailureCode.TIMED_OUT
        assert not craft.gadget.waiting[0].complete()
        assert not craft.gadget.waiting[0].fail("too late")
        craft.gadget.waiting[0].progress(3)
        hk = craft.handler.hk
        assert (hk.timed_out, hk.refused_answers, hk.failed) == (1, 3, 1)
        assert len(craft.events(craft.commands, "answer_refused")) == 3
        assert craft.stages(request) == [ACCEPTED, STARTED, FAILED]

    @pytest.mark.verifies("VA-CMD-06")
    def test_a_second_answer_is_refused(self, craft: Craft) -> None:
        request = craft.do("later")
        assert craft.gadget.waiting[0].complete(type("Sum", (), {"total": 1}))
        assert not craft.gadget.waiting[0].complete(type("Sum", (), {"total": 1}))
        assert craft.stages(request).count(COMPLETED) == 1

    def test_the_executive_asks_to_be_called_when_the_time_out_is_due(self, craft: Craft) -> None:
        craft.do("later")
        due = craft.step(PERIOD / 1e9)
        assert craft.now < due <= craft.now + 2 * 10**9 + PERIOD


class TestContainment:
    @pytest.mark.verifies("VA-EXE-03", "VA-CMD-01")
    def test_a_raising_handler_fails_its_command_and_restarts_its_component(
        self, craft: Craft
    ) -> None:
        waiting = craft.do("later")
        old = craft.gadget
        raising = craft.do("explode")
        assert craft.failure(raising) == (FailureCode.RAISED, "RuntimeError: boom")
        assert craft.gadget is not old
        assert craft.failure(waiting)[0] is FailureCode.RESTARTED
        assert old.waiting[0].complete() is False
        assert COMPLETED in craft.stages(craft.do("paint", 1))
        assert craft.events(craft.monitor_slot, "component_raised") == [
            ("gadget", 1, "RuntimeError: boom")
        ]

    @pytest.mark.verifies("VA-CMD-01")
    def test_a_result_that_does_not_fit_its_declaration_still_ends_the_command(
        self, craft: Craft
    ) -> None:
        request = craft.do("answer_badly")
        assert craft.stages(request) == [ACCEPTED, STARTED, FAILED]
        assert craft.failure(request)[0] is FailureCode.RESTARTED

    @pytest.mark.verifies("VA-CMD-01")
    def test_a_rebuilt_command_handler_ends_what_its_predecessor_left(self, craft: Craft) -> None:
        waiting = craft.do("later")
        old = craft.handler
        craft.executive.do_now(craft.commands, lambda _: raise_something())
        assert craft.handler is not old
        assert craft.failure(waiting)[0] is FailureCode.RESTARTED
        assert COMPLETED in craft.stages(craft.do("paint", 1))
        assert not craft.slot.pending
