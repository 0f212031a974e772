"""What ground sees of the scrubber: housekeeping, parameters, events and the rows of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.components.scrubber.regions import Kind, State
from flight.components.scrubber.stimuli import Policy
from flight.framework.component import Port, Severity, event, report
from flight.framework.lifecycle import Counters
from flight.framework.time_units import SECOND
from icd.fields import (
    F32,
    F64,
    U8,
    U16,
    U32,
    U64,
    Flag,
    Limits,
    Text32,
    Text64,
    Text128,
    Text160,
    Unit,
)

RegionName = Annotated[Text64, "name of the region, as list_regions shows it"]
SLOWEST, FASTEST = 1.0, 100_000.0
"""Rates that can be chosen, in MiB/s."""
Rate = Annotated[F32, "rate of walking", Unit("MiB/s"), Limits(SLOWEST, FASTEST)]
FilePath = Annotated[Text128, "path in the file store, such as weights/model.bin"]


@dataclass(frozen=True)
class Listed:
    """The answer to a list."""

    rows: Annotated[U16, "reports that follow"]


@dataclass(frozen=True)
class Registered:
    """The answer to a registration."""

    octets: Annotated[U64, "octets protected", Unit("B")]


@dataclass(frozen=True)
class Scrubbed:
    """The answer to scrub_now."""

    seconds: Annotated[F32, "from the first block to the last", Unit("s")]


@dataclass
class ScrubberHousekeeping:
    is_enabled: Annotated[Flag, "regions are walked"] = True
    regions: Annotated[U16, "sealed regions that are walked"] = 0
    octets: Annotated[U64, "octets in them", Unit("B")] = 0
    open_regions: Annotated[U16, "regions that their owners write now"] = 0
    unusable_regions: Annotated[U16, "regions that cannot be walked", Limits(0, 0)] = 0
    unscrubbed: Annotated[U64, "octets of our processes that nobody checks", Unit("B")] = 0
    rate: Annotated[F32, "rate of walking asked for", Unit("MiB/s")] = 0.0
    factor: Annotated[F32, "by how much it is raised: radiation, or wrong memory"] = 1.0
    measured: Annotated[F32, "rate of walking measured", Unit("MiB/s")] = 0.0
    is_crowded: Annotated[Flag, "the computer is busy: no faster than each period needs"] = False
    longest_stripe: Annotated[F32, "longest stripe since the last report", Unit("ms")] = 0.0
    passes: Annotated[U32, "walks of whole regions, by this worker"] = 0
    oldest_walk: Annotated[F32, "since the last whole walk, of the worst region", Unit("s")] = 0.0
    corrected: Annotated[U32, "blocks set right since the last start"] = 0
    checks_corrected: Annotated[U32, "blocks whose redundancy alone was set right"] = 0
    lost: Annotated[U32, "blocks found lost since the last start", Limits(0, 0)] = 0
    reloaded: Annotated[U32, "blocks or regions taken from their golden copy"] = 0
    rolled_back: Annotated[U32, "jobs sent back to their last commit"] = 0
    retired: Annotated[U32, "regions retired"] = 0
    failed_steps: Annotated[U32, "steps about lost blocks that did not help"] = 0
    owner_blocks: Annotated[U64, "blocks that running jobs checked themselves"] = 0
    owner_corrected: Annotated[U32, "of these, set right"] = 0
    owner_lost: Annotated[U32, "of these, lost"] = 0
    program_items: Annotated[U32, "code objects and tables of the executive with a checksum"] = 0
    program_passes: Annotated[U32, "times that all of them were compared"] = 0
    program_changed: Annotated[U32, "of them found changed since the last start"] = 0
    program_restarts: Annotated[U8, "restarts for that within a day"] = 0
    refused: Annotated[U32, "messages of the worker that made no sense"] = 0


@dataclass(frozen=True)
class ScrubberParameters:
    most_told: Annotated[U16, "corrected blocks told one by one in one window"] = 5
    window_s: Annotated[F32, "that window", Unit("s"), Limits(1, 86_400)] = 60.0
    patience_s: Annotated[
        F32, "time that a step about a lost block has", Unit("s"), Limits(1, 3600)
    ] = 15.0
    calm_s: Annotated[
        F32, "without wrong memory until the rate is as usual", Unit("s"), Limits(1, 86_400)
    ] = 300.0
    found_factor: Annotated[F32, "by how much it is raised till then", Limits(1, 64)] = 4.0
    raised_factor: Annotated[F32, "by how much in raised radiation", Limits(1, 64)] = 4.0
    storm_factor: Annotated[F32, "by how much in a storm", Limits(1, 64)] = 8.0

    def policy(self) -> Policy:
        """The same, as the lifecycle takes it."""
        return Policy(
            most_told=self.most_told,
            window=_ns(self.window_s),
            patience=_ns(self.patience_s),
            calm=_ns(self.calm_s),
            found_factor=self.found_factor,
            raised_factor=self.raised_factor,
            storm_factor=self.storm_factor,
        )


@dataclass(frozen=True)
class ScrubberSettings:
    """What the configuration says."""

    is_enabled: bool = True
    rate_mib_s: float = 112.0
    period_s: float = 10.0


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)


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


COUNTERS = Counters(
    ScrubberHousekeeping,
    {
        ScrubberEvents.block_lost: "lost",
        ScrubberEvents.reloaded: "reloaded",
        ScrubberEvents.job_rolled_back: "rolled_back",
        ScrubberEvents.region_retired: "retired",
        ScrubberEvents.step_failed: "failed_steps",
        ScrubberEvents.program_changed: "program_changed",
        ScrubberEvents.program_left: "program_changed",
    },
)
"""Which field counts which event that the lifecycle has sent."""
