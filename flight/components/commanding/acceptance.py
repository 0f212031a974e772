"""The checks before a telecommand is taken: its source, whether it may be sent now, its form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flight.framework.component import Component, FieldError
from flight.framework.invocation import Invocation
from flight.framework.modes import Modes
from flight.framework.ports import Work
from flight.framework.time_units import SECOND
from icd import reports
from icd.codec import Codec, FieldFault
from icd.failures import FailureCode
from icd.reports import Service
from icd.space_packet import PacketError, PacketFault
from icd.telecommand import Telecommand

REQUEST_TIMEOUT = 10 * SECOND
FIELD_CODE = {
    FieldFault.LENGTH: FailureCode.ARGUMENT_LENGTH,
    FieldFault.TYPE: FailureCode.ARGUMENT_TYPE,
    FieldFault.RANGE: FailureCode.ARGUMENT_RANGE,
    FieldFault.ENUM: FailureCode.ARGUMENT_ENUM,
}
_PACKET_CODE = {
    PacketFault.LENGTH: FailureCode.BAD_LENGTH,
    PacketFault.CHECKSUM: FailureCode.BAD_CHECKSUM,
    PacketFault.HEADER: FailureCode.BAD_PACKET,
}
_FUNCTION = (Service.FUNCTION, reports.FUNCTION_PERFORM)
OBSERVER_MAY = frozenset(
    {
        (Service.TEST, reports.PING),
        (Service.TEST, reports.ALIVE_REQUEST),
        (Service.HOUSEKEEPING, reports.HK_ONE_SHOT),
        (Service.PARAMETER, reports.PARAMETER_REPORT_REQUEST),
    }
)
"""What a station with the role of an observer may ask."""


class Target(Protocol):
    """A plugged-in component, as the command handler sees it."""

    name: str
    apid: int
    is_stopped: bool
    current: Invocation | None
    pending: dict[Invocation, None]
    component: Component[Any, Any]

    def post(self, work: Work) -> bool: ...

    def ping(self, key: int, answer: Callable[[int], None]) -> bool: ...


class Rejected(Exception):
    """The telecommand is not taken: the failure code, and what to send instead."""

    def __init__(self, code: FailureCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    @classmethod
    def of(cls, error: PacketError | FieldError) -> Rejected:
        """The rejection of octets or of an argument."""
        codes: Mapping[Any, FailureCode] = (
            _PACKET_CODE if isinstance(error, PacketError) else FIELD_CODE
        )
        return cls(codes[error.fault], str(error))


class Call(NamedTuple):
    """What is to be called, once accepted."""

    target: Target
    method: str
    arguments: tuple[Any, ...]
    results: Codec | None
    timeout: int


@dataclass(frozen=True)
class Armed:
    """One critical command that its source may send until then (on-board ns)."""

    source: int
    apid: int
    opcode: int
    until: int


class Acceptance:
    """Judges telecommands; remembers only what is armed, and for one telecommand."""

    def __init__(
        self, targets: Mapping[int, Target], modes: Modes, observers: Iterable[int] = ()
    ) -> None:
        self._targets = targets
        self._modes = modes
        self._observers = frozenset(observers)
        self._armed: Armed | None = None
        self._requests: dict[int, tuple[Target, str]] = {}

    def learn_requests(self) -> None:
        """Learn which component carries out which standard request."""
        self._requests = {
            key: (target, method)
            for target in self._targets.values()
            for key, method in target.component.declaration.requests.items()
        }

    def arm(self, armed: Armed) -> None:
        """Let a critical command pass, if it is the next telecommand."""
        self._armed = armed

    def judge(self, tc: Telecommand, station: int | None, now: int) -> Call:
        """What a telecommand calls; raises Rejected or FieldError. It disarms what was armed.

        `station` is whose key it came with, None on a link in clear.
        """
        armed, self._armed = self._armed, None
        target = self._targets.get(tc.apid)
        if target is None:
            raise Rejected(
                FailureCode.UNKNOWN_APID,
                f"no component has APID {tc.apid}; give one of "
                + ", ".join(f"{t.apid} ({t.name})" for t in self._targets.values()),
            )
        if station is not None and station != tc.source:
            raise Rejected(
                FailureCode.SOURCE_REFUSED, f"source {tc.source} came with station {station}'s key"
            )
        kind = (tc.service, tc.subtype)
        if tc.source in self._observers and kind not in OBSERVER_MAY:
            raise Rejected(
                FailureCode.SOURCE_REFUSED,
                f"station {tc.source} only observes; it may not command",
            )
        if kind == _FUNCTION:
            return self._judge_function(tc, target, armed, now)
        owner, method = self._requests.get(tc.service << 8 | tc.subtype, (None, ""))
        if owner is None:
            raise Rejected(
                FailureCode.UNKNOWN_SERVICE, f"no request {tc.service},{tc.subtype} here"
            )
        return Call(owner, method, (tc.apid, tc.data), None, REQUEST_TIMEOUT)

    def _judge_function(
        self, tc: Telecommand, target: Target, armed: Armed | None, now: int
    ) -> Call:
        plan = target.component.declaration.commands.get(tc.data[0]) if tc.data else None
        if plan is None:
            given = tc.data[0] if tc.data else "none"
            raise Rejected(FailureCode.UNKNOWN_OPCODE, f"{target.name} has no opcode {given}")
        entry = plan.entry
        if self._modes.now not in plan.modes:
            raise Rejected(
                FailureCode.WRONG_MODE,
                f"{entry.name} is not allowed in {self._modes.now.name}; "
                f"allowed in {', '.join(entry.modes)}",
            )
        arguments = plan.decode(tc.data[1:])
        if entry.is_critical and not _is_armed(tc, armed, now):
            raise Rejected(
                FailureCode.NOT_ARMED,
                f"arm it first: commands.arm apid={target.apid} opcode={entry.opcode}",
            )
        return Call(target, plan.method_name, arguments, plan.results, plan.timeout_ns)


def _is_armed(tc: Telecommand, armed: Armed | None, now: int) -> bool:
    return (
        armed is not None
        and (armed.source, armed.apid, armed.opcode) == (tc.source, tc.apid, tc.data[0])
        and now <= armed.until
    )
