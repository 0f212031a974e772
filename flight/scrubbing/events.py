"""What the scrubber tells ground: its events, and the rows of its two tables."""

from __future__ import annotations

from typing import Annotated

from flight.component import Port, Severity, event, report
from flight.scrubbing.regions import Kind, State
from icd.fields import F32, F64, U8, U32, U64, Flag, Text32, Text64, Text128, Text160, Unit


class ScrubberEvents:
    """The events and reports of `Scrubber`."""

    port: Port

    @event(1, Severity.LOW)
    def block_corrected(self, region: Text64, job: U32, block: U32, offset: U64, bits: U32) -> None:
        """Region {region}: {bits} wrong bits set right in block {block} (offset {offset:#x})."""

    @event(2, Severity.LOW)
    def checks_corrected(
        self, region: Text64, job: U32, block: U32, offset: U64, bits: U32
    ) -> None:
        """Region {region}: {bits} wrong bits in the redundancy of block {block} set right."""

    @event(3, Severity.LOW)
    def more_corrected(self, blocks: U32, seconds: Annotated[F32, Unit("s")]) -> None:
        """{blocks} more blocks were set right within {seconds:.0f} s."""

    @event(4, Severity.HIGH)
    def block_lost(self, region: Text64, job: U32, block: U32, offset: U64, action: Text64) -> None:
        """Region {region}: block {block} (offset {offset:#x}) is lost: {action}."""

    @event(5, Severity.HIGH)
    def region_unusable(self, region: Text64, job: U32, reason: Text160, action: Text64) -> None:
        """Region {region} cannot be walked ({reason}): {action}."""

    @event(6, Severity.LOW)
    def reloaded(self, region: Text64, block: U32, action: Text64) -> None:
        """Region {region}: block {block} is right again: {action}."""

    @event(7, Severity.MEDIUM)
    def job_rolled_back(self, job: U32, region: Text64) -> None:
        """Job {job} goes back to its last commit, for lost memory in region {region}."""

    @event(8, Severity.MEDIUM)
    def region_retired(self, region: Text64, job: U32) -> None:
        """Region {region} is retired: nobody walks it any more."""

    @event(9, Severity.MEDIUM)
    def step_failed(self, region: Text64, action: Text64, reason: Text160) -> None:
        """Region {region}: {action} did not help: {reason}."""

    @event(10, Severity.HIGH)
    def given_up(self, region: Text64, job: U32) -> None:
        """Region {region} stays wrong: nothing is left to do about it."""

    @event(11, Severity.INFO)
    def region_registered(self, region: Text64, file: Text128, octets: U64) -> None:
        """Region {region} holds {octets} octets of {file}."""

    @event(12, Severity.HIGH)
    def program_changed(self, name: Text160, action: Text64) -> None:
        """The executive's program memory is wrong, {name}: {action}."""

    @event(13, Severity.HIGH)
    def program_left(self, name: Text160, restarts: U8) -> None:
        """Program memory is wrong, {name}; after {restarts} restarts for that it is left so."""

    @event(14, Severity.MEDIUM)
    def program_restarted(self, reason: Text160) -> None:
        """The executive was started anew: {reason}."""

    @event(15, Severity.INFO)
    def rate_changed(self, rate: Annotated[F32, Unit("MiB/s")], factor: F32, state: Text32) -> None:
        """Scrubbing is {state}: {rate:.0f} MiB/s, times {factor:.0f}."""

    @event(16, Severity.MEDIUM)
    def message_refused(self, kind: Text64, reason: Text160) -> None:
        """A message '{kind}' of the scrub worker made no sense: {reason}."""

    @event(17, Severity.MEDIUM)
    def not_registered(self, region: Text64, reason: Text160) -> None:
        """Region {region} could not be loaded again from its golden copy: {reason}."""

    @event(18, Severity.INFO)
    def checked_all(self, reason: Text160) -> None:
        """All regions are walked at once: {reason}."""

    @report(1)
    def region(  # type: ignore[empty-body]
        self,
        name: Text64,
        kind: Kind,
        state: State,
        job: Annotated[U32, "that made it; 0: none"],
        octets: Annotated[U64, "0: not known", Unit("B")],
        passes: Annotated[U64, "walks; of owners: blocks checked"],
        age_s: Annotated[F32, "since the last whole walk; -1: none", Unit("s")],
        corrected: U32,
        lost: Annotated[U32, "blocks lost now; of owners: ever"],
    ) -> bool:
        """One region of memory, and how it is looked after."""

    @report(2)
    def memory_errors(  # type: ignore[empty-body]
        self, where: Text32, what: Text64, count: F64, is_valid: Flag
    ) -> bool:
        """What one part of the payload counted of errors in memory."""
