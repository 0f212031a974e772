"""What the recovery component tells ground: its events, and the report on strikes."""

from __future__ import annotations

from typing import Annotated

from flight.component import Port, Severity, event, report
from flight.recovery.declared import Device
from flight.recovery.table import Kind, Level
from icd.fields import F32, U8, U16, U32, Text32, Text64, Text160, Unit

LevelNumber = Annotated[U8, "level of the ladder, 0 … 7"]


class RecoveryEvents:
    """The events and reports of `Recovery`."""

    port: Port

    @event(1, Severity.INFO)
    def fault_noted(self, device: Device, reason: Text160) -> None:
        """GPU {device}, nothing to do: {reason}."""

    @event(2, Severity.LOW)
    def action_started(
        self, device: Device, level: LevelNumber, action: Text32, reason: Text160
    ) -> None:
        """GPU {device}: {action}, because of {reason}."""

    @event(3, Severity.HIGH)
    def heavy_action_started(
        self, device: Device, level: LevelNumber, action: Text32, reason: Text160
    ) -> None:
        """GPU {device}: {action}, because of {reason}."""

    @event(4, Severity.INFO)
    def recovered(
        self,
        device: Device,
        level: LevelNumber,
        action: Text32,
        seconds: Annotated[F32, "since the fault", Unit("s")],
    ) -> None:
        """GPU {device} is well {seconds:.1f} s after the fault, through {action}."""

    @event(5, Severity.MEDIUM)
    def action_failed(
        self, device: Device, level: LevelNumber, action: Text32, reason: Text160
    ) -> None:
        """GPU {device}: {action} did not help: {reason}."""

    @event(6, Severity.HIGH)
    def withheld(self, device: Device, level: LevelNumber, action: Text32, enable: Text160) -> None:
        """GPU {device}: {action} is called for, but withheld: {enable}."""

    @event(7, Severity.HIGH)
    def given_up(self, device: Device, reason: Text160) -> None:
        """GPU {device} is not recovered: {reason}."""

    @event(8, Severity.MEDIUM)
    def deferred(self, device: Device, level: LevelNumber, action: Text32, reason: Text160) -> None:
        """GPU {device}: {action} when the jobs that run now have ended: {reason}."""

    @event(9, Severity.INFO)
    def fault_joined(self, device: Device, fault: Text32, other: Text32) -> None:
        """GPU {device}: {fault} is taken as part of {other}."""

    @event(10, Severity.LOW)
    def taken_as_software(self, device: Device, code: U32) -> None:
        """GPU {device}: XID {code} again in the same job: taken as its own, left to its retries."""

    @event(11, Severity.MEDIUM)
    def attention(self, device: Device, fault: Text32, advice: Text160) -> None:
        """GPU {device}, {fault}: {advice}."""

    @event(12, Severity.HIGH)
    def resumed(self, device: Device, level: LevelNumber, action: Text32, fault: Text32) -> None:
        """The executive restarted during {action} of GPU {device} ({fault}); it is verified."""

    @event(13, Severity.INFO)
    def switched(self, state: Text32) -> None:
        """Automatic recovery is {state}."""

    @event(14, Severity.INFO)
    def strikes_reset(self, causes: U16) -> None:
        """Strikes of {causes} causes are forgotten."""

    @event(15, Severity.INFO)
    def slot_confirmed(self) -> None:
        """The boot loader was told that the running slot booted well."""

    @event(16, Severity.MEDIUM)
    def slot_not_confirmed(self, reason: Text160) -> None:
        """The boot loader was not told that the running slot booted well: {reason}."""

    @event(17, Severity.LOW)
    def passed_on(self, device: Device, fault: Text32, what: Text64) -> None:
        """GPU {device}, {fault}: another part of the payload is asked {what}."""

    @report(1)
    def strikes(  # type: ignore[empty-body]
        self,
        device: Device,
        kind: Kind,
        code: Annotated[U32, "XID, or event code"],
        meaning: Text64,
        count: Annotated[U16, "strikes within the decay time"],
        next_level: Annotated[Level, "where the next one begins"],
        age_s: Annotated[F32, "since the last one", Unit("s")],
    ) -> bool:
        """How often one cause struck one GPU lately."""
