"""Takes telecommands through verification: acceptance, start, progress, completion or failure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Protocol

from flight.components.commanding.acceptance import (
    FIELD_CODE,
    Acceptance,
    Armed,
    Call,
    Rejected,
    Target,
)
from flight.components.commanding.parameters import pack_parameters, unpack_changes
from flight.framework.component import (
    Component,
    FieldError,
    Mode,
    Pending,
    Port,
    Refused,
    Severity,
    command,
    event,
    request,
)
from flight.framework.invocation import ACCEPTED, Invocation
from flight.framework.modes import Modes
from flight.framework.time_units import SECOND
from flight.link.uplink import Rejection
from icd import reports, telecommand
from icd.failures import FailureCode
from icd.fields import F32, U8, U16, U32, Limits, Text128, Unit
from icd.reports import Service, Stage
from icd.space_packet import PacketError
from icd.telecommand import Telecommand

MOST_PENDING = 512
"""Of one component: one that answers nothing keeps no other from being commanded."""


class Replies(Protocol):
    """The part of the downlink that the command handler needs."""

    def verification(self, apid: int, stage: Stage, body: bytes, station: int) -> None: ...

    def answer(self, apid: int, service: int, subtype: int, body: bytes, station: int) -> None: ...


@dataclass
class CommandHousekeeping:
    accepted: Annotated[U32, "telecommands accepted since boot"] = 0
    rejected: Annotated[U32, "telecommands rejected at acceptance since boot"] = 0
    completed: Annotated[U32, "telecommands completed since boot"] = 0
    failed: Annotated[U32, "telecommands that failed after acceptance since boot"] = 0
    timed_out: Annotated[U32, "of these, those that passed their time-out"] = 0
    pending: Annotated[U16, "telecommands now being carried out"] = 0
    refused_answers: Annotated[U32, "second or late answers that were refused"] = 0
    frames_rejected: Annotated[U32, "link messages not taken since boot"] = 0
    frames_not_authentic: Annotated[U32, "of these, those with a wrong MAC"] = 0
    frames_replayed: Annotated[U32, "of these, those with an old sequence number"] = 0
    last_failure: Annotated[U16, "failure code of the last rejection or failure"] = 0
    mode: Annotated[Mode, "what the payload is allowed to do"] = Mode.NOMINAL


@dataclass(frozen=True)
class CommandParameters:
    arming_s: Annotated[F32, "how long an arming lasts", Unit("s"), Limits(1.0, 600.0)] = 30.0


class CommandHandler(Component[CommandHousekeeping, CommandParameters]):
    """Checks every telecommand, hands it to its component, and reports each stage to its source."""

    def __init__(
        self,
        port: Port,
        targets: Mapping[int, Target],
        replies: Replies,
        modes: Modes,
        observers: Iterable[int] = (),
    ) -> None:
        super().__init__(port)
        self._targets = targets
        self._replies = replies
        self._modes = modes
        self._acceptance = Acceptance(targets, modes, observers)
        self._deadlines: list[tuple[int, int, Invocation]] = []
        self._number = 0

    def start(self, now: int) -> None:  # noqa: ARG002
        """Learn which component carries out which standard request; what a former instance left
        unanswered is answered now, for its time-outs are lost with it."""
        for target in self._targets.values():
            for invocation in list(target.pending):
                invocation.abandon()
        self._acceptance.learn_requests()
        self.hk.mode = self._modes.now

    def run(self, now: int) -> int | None:
        """Fail what passed its time-out."""
        while self._deadlines and self._deadlines[0][0] <= now:
            invocation = heapq.heappop(self._deadlines)[2]
            if not invocation.is_settled:
                self.hk.timed_out += 1
                invocation.fail("no answer within its time-out", FailureCode.TIMED_OUT)
        self.hk.mode = self._modes.now
        return self._deadlines[0][0] if self._deadlines else None

    # --- telecommands in ---

    def take(self, packet: bytes, station: int | None) -> None:
        """Take one packet that a station sent (None: the link is not authenticated)."""
        try:
            tc = telecommand.parse(packet)
        except PacketError as error:
            self._reject(packet[:4].ljust(4, b"\0"), station or 0, Rejected.of(error))
            return
        try:
            self._hand_over(tc, self._acceptance.judge(tc, station, self.port.clock()))
        except Rejected as verdict:
            self._reject(tc.request_id, tc.source, verdict)
        except FieldError as error:
            self._reject(tc.request_id, tc.source, Rejected.of(error))

    def frame_rejected(self, why: Rejection) -> None:
        """Count a link message that was not taken; it is never answered."""
        self.hk.frames_rejected += 1
        if why is Rejection.NOT_AUTHENTIC:
            self.hk.frames_not_authentic += 1
        elif why is Rejection.REPLAYED:
            self.hk.frames_replayed += 1
        self.link_message_rejected(why)

    def _hand_over(self, tc: Telecommand, call: Call) -> None:
        target = call.target
        if len(target.pending) >= MOST_PENDING:
            raise Rejected(
                FailureCode.TOO_MANY_PENDING,
                f"{MOST_PENDING} of {target.name} are pending; wait for completions",
            )
        if target.is_stopped:
            raise Rejected(
                FailureCode.COMPONENT_STOPPED,
                f"{target.name} was stopped after raising again and again",
            )
        deadline = self.port.clock() + call.timeout
        invocation = Invocation(self, tc, target.pending, call.results, deadline)
        if not target.post(partial(self._perform, invocation, call)):
            raise Rejected(
                FailureCode.QUEUE_FULL, f"the queue of {target.name} is full; send it again"
            )
        self._accepted(invocation, deadline)

    def _accepted(self, invocation: Invocation, deadline: int) -> None:
        self.hk.accepted += 1
        self.hk.pending += 1
        invocation.owner[invocation] = None
        self._number += 1
        heapq.heappush(self._deadlines, (deadline, self._number, invocation))
        if self._deadlines[0][2] is invocation:
            self.port.wake()
        if invocation.wants(ACCEPTED):
            self.stage(invocation, ACCEPTED)

    def _perform(self, invocation: Invocation, call: Call) -> None:
        if invocation.is_settled:
            return
        target = call.target
        target.current = invocation
        try:
            outcome = getattr(target.component, call.method)(*call.arguments)
        except Refused as verdict:
            invocation.fail(verdict.reason, verdict.code)
        except FieldError as error:
            invocation.fail(str(error), FIELD_CODE[error.fault])
        except Exception as error:
            invocation.fail(f"{type(error).__name__}: {error}", FailureCode.RAISED)
            raise
        else:
            if not invocation.is_deferred:
                invocation.complete(outcome)
            else:
                invocation.started()
        finally:
            target.current = None

    def _reject(self, request_id: bytes, source: int, verdict: Rejected) -> None:
        code, reason = verdict.code, verdict.reason
        self.hk.rejected += 1
        self.hk.last_failure = code
        body = reports.verification(Stage.REJECTED, request_id, code=code, reason=reason)
        self._replies.verification(self.port.apid, Stage.REJECTED, body, source)
        self.telecommand_rejected(source, code, reason)

    # --- the account of each telecommand (flight.framework.invocation.Verifier) ---

    def stage(
        self,
        invocation: Invocation,
        stage: Stage,
        *,
        step: int = 0,
        code: int = 0,
        reason: str = "",
    ) -> None:
        """Report a stage."""
        body = reports.verification(
            stage, invocation.request_id, step=step, code=code, reason=reason
        )
        self._replies.verification(self.port.apid, stage, body, invocation.source)

    def result(self, invocation: Invocation, packed: bytes) -> None:
        """Report what a command gives back."""
        tc = invocation.telecommand
        body = reports.result(tc.request_id, tc.data[0], packed)
        self._replies.answer(tc.apid, Service.FUNCTION, reports.FUNCTION_RESULT, body, tc.source)

    def settled(self, code: int) -> None:
        """One telecommand less is pending: completed, or failed with this code."""
        self.hk.pending -= 1
        while self._deadlines and self._deadlines[0][2].is_settled:
            heapq.heappop(self._deadlines)
        if code:
            self.hk.failed += 1
            self.hk.last_failure = code
        else:
            self.hk.completed += 1

    def refused_answer(self, invocation: Invocation) -> None:
        """A component answered a telecommand that was settled already."""
        self.hk.refused_answers += 1
        self.answer_refused(invocation.telecommand.apid, invocation.telecommand.sequence_count)

    # --- commands and requests of its own ---

    @command(1)
    def arm(
        self,
        apid: Annotated[U16, "APID of the component whose command is armed"],
        opcode: Annotated[U8, "opcode of the critical command"],
    ) -> None:
        """Arm one critical command for this source; any other telecommand disarms it."""
        target = self._targets.get(apid)
        plan = target.component.declaration.commands.get(opcode) if target else None
        if plan is None or not plan.entry.is_critical:
            raise Refused(f"APID {apid} has no critical command {opcode}", FailureCode.NOT_FOUND)
        source = self._own_invocation().source
        until = self.port.clock() + int(self.parameters.arming_s * SECOND)
        self._acceptance.arm(Armed(source, apid, opcode, until))
        self.armed(apid, opcode, self.parameters.arming_s)

    @command(2, critical=True)
    def set_mode(self, mode: Annotated[Mode, "the mode to enter"]) -> None:
        """Change what the payload is allowed to do; safe mode holds every job."""
        self._modes.change(mode, "telecommand")
        self.hk.mode = mode

    @command(3)
    def no_operation(self) -> None:
        """Do nothing, successfully."""

    @request(Service.TEST, reports.PING)
    def ping(self, apid: int, body: bytes) -> None:  # noqa: ARG002
        """Answer a ping (17,1) with a pong (17,2)."""
        source = self._own_invocation().source
        self._replies.answer(apid, Service.TEST, reports.PONG, b"", source)

    @request(Service.TEST, reports.ALIVE_REQUEST)
    def is_alive(self, apid: int, body: bytes) -> Pending[None]:  # noqa: ARG002
        """Ask a component, through its own queue, whether it is alive (17,3 → 17,4)."""
        target = self._targets.get(int.from_bytes(body, "big")) if len(body) == 2 else None
        if target is None:
            raise Refused("give the 16-bit APID of a component", FailureCode.UNKNOWN_APID)
        invocation = self._own_invocation()
        pending = self.defer()

        def answer(_key: int) -> None:
            self._replies.answer(
                self.port.apid, Service.TEST, reports.ALIVE_REPORT, body, invocation.source
            )
            pending.complete()

        if not target.ping(0, answer):
            raise Refused(f"{target.name} takes no work", FailureCode.QUEUE_FULL)
        return pending

    @request(Service.PARAMETER, reports.PARAMETER_REPORT_REQUEST)
    def report_parameters(self, apid: int, body: bytes) -> None:  # noqa: ARG002
        """Report all parameters of a component (20,1 → 20,2)."""
        packed = pack_parameters(self._targets[apid].component)
        source = self._own_invocation().source
        self._replies.answer(apid, Service.PARAMETER, reports.PARAMETER_REPORT, packed, source)

    @request(Service.PARAMETER, reports.PARAMETER_SET)
    def set_component_parameters(self, apid: int, body: bytes) -> Pending[None]:
        """Set parameters of a component, all that are named or none (20,3), in its own turn."""
        target = self._targets[apid]
        changes = unpack_changes(target.component, body)
        pending = self.defer()

        def change() -> None:
            try:
                target.component.set_parameters(changes)
            except FieldError as error:
                pending.fail(str(error), FIELD_CODE[error.fault])
            except Exception as error:  # the owner's mistake, contained as the owner's
                pending.fail(f"{type(error).__name__}: {error}", FailureCode.RAISED)
                raise
            else:
                self.parameters_set(apid, len(changes))
                pending.complete()

        if not target.post(change):
            raise Refused(f"{target.name} takes no work", FailureCode.QUEUE_FULL)
        return pending

    def _own_invocation(self) -> Invocation:
        invocation = self._targets[self.port.apid].current
        if invocation is None:
            raise RuntimeError("called outside a telecommand")
        return invocation

    # --- events ---

    @event(1, Severity.LOW)
    def telecommand_rejected(self, source: U16, code: U16, reason: Text128) -> None:
        """Telecommand of station {source} rejected, code {code}: {reason}."""

    @event(2, Severity.LOW)
    def link_message_rejected(self, why: Rejection) -> None:
        """Link message not taken: {why}."""

    @event(3, Severity.LOW)
    def answer_refused(self, apid: U16, sequence_count: U16) -> None:
        """A second or late answer of APID {apid} to telecommand {sequence_count} was refused."""

    @event(4, Severity.INFO)
    def armed(self, apid: U16, opcode: U8, seconds: F32) -> None:
        """Command {opcode} of APID {apid} is armed for {seconds} s."""

    @event(5, Severity.INFO)
    def parameters_set(self, apid: U16, count: U8) -> None:
        """{count} parameters of APID {apid} were set."""
