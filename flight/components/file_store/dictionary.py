"""What ground sees of the file store: answers, housekeeping, parameters, events and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.components.file_store.stimuli import Policy
from flight.framework.component import Port, Severity, event, report
from flight.framework.lifecycle import Counters
from flight.framework.time_units import SECOND
from icd.fields import U8, U16, U32, U64, FileName, Flag, Limits, Segment, Text64, Text128, Unit

Transaction = Annotated[U32, "number of the transfer, chosen by whoever begins it"]
Path = Annotated[Text128, "path in the file store, such as inputs/text.txt", FileName()]
Offset = Annotated[U64, "position in the file", Unit("B")]


@dataclass(frozen=True)
class Digest:
    """What a file is."""

    size: Annotated[U64, "octets in the file", Unit("B")]
    crc32: Annotated[U32, "CRC-32 of the whole file"]


@dataclass(frozen=True)
class Free:
    """What room there is."""

    free: Annotated[U64, "octets free for files", Unit("B")]


@dataclass(frozen=True)
class PutStatus:
    """How far a transfer is."""

    received: Annotated[U64, "octets there from the start on without a gap", Unit("B")]
    missing_first: Annotated[U64, "offset of the first octet that is missing", Unit("B")]
    missing_length: Annotated[U64, "octets missing from there on", Unit("B")]
    complete: Annotated[Flag, "every octet is there"]


@dataclass(frozen=True)
class GetBegun:
    """What file is now being sent."""

    size: Annotated[U64, "octets in the file", Unit("B")]
    crc32: Annotated[U32, "CRC-32 of the whole file"]


@dataclass(frozen=True)
class Listed:
    """How much a folder holds."""

    entries: Annotated[U32, "entries sent"]
    left_out: Annotated[U32, "entries whose path is too long to be named"]


@dataclass(frozen=True)
class Checkup:
    """What a look at every octet of a file found."""

    protected: Annotated[Flag, "there is a sidecar to check it by"]
    blocks: Annotated[U32, "blocks looked at"]
    corrected: Annotated[U32, "blocks with wrong content that can be, or was, corrected"]
    rechecked: Annotated[U32, "blocks of which only check symbols or hashes were wrong"]
    bits: Annotated[U64, "wrong bits in these blocks"]
    lost: Annotated[U32, "blocks that cannot be corrected"]
    first_lost: Annotated[U32, "number of the first of them"]
    repaired: Annotated[Flag, "the file was written anew, all of it right"]


@dataclass
class FileStoreHousekeeping:
    open_puts: Annotated[U8, "files on their way up"] = 0
    open_gets: Annotated[U8, "files on their way down"] = 0
    files_received: Annotated[U32, "files checked and put in place since the last start"] = 0
    segments_received: Annotated[U32, "segments made durable"] = 0
    segments_repeated: Annotated[U32, "segments that were there already"] = 0
    octets_received: Annotated[U64, "octets made durable", Unit("B")] = 0
    segments_sent: Annotated[U32, "segments handed to the downlink"] = 0
    octets_sent: Annotated[U64, "octets handed to the downlink", Unit("B")] = 0
    refused: Annotated[U32, "telecommands refused or failed"] = 0
    mismatches: Annotated[U32, "files whose checksum was not the one announced"] = 0
    expired: Annotated[U32, "transfers let go because they were idle"] = 0
    storage_failures: Annotated[U32, "requests that storage did not carry out"] = 0


@dataclass(frozen=True)
class FileStoreParameters:
    idle_s: Annotated[U32, "a transfer is let go when idle for", Unit("s"), Limits(10, 604800)] = (
        3600
    )
    save_every: Annotated[U16, "segments between two records of progress", Limits(1, 4096)] = 64
    read_ahead: Annotated[U8, "reads of 24 KiB under way for each file", Limits(1, 8)] = 3

    def policy(self) -> Policy:
        """The same, for the lifecycle."""
        return Policy(self.idle_s * SECOND, self.save_every, self.read_ahead)


class FileStoreEvents:
    """The events and reports of `FileStore`."""

    port: Port

    @event(1, Severity.INFO)
    def file_received(self, transaction: U32, path: Text128, size: U64) -> None:
        """{path} received by transfer {transaction}: {size} octets, checked."""

    @event(2, Severity.MEDIUM)
    def no_space(self, transaction: U32, path: Text128, received: U64) -> None:
        """No space for {path} (transfer {transaction}) after {received} octets: delete files."""

    @event(3, Severity.MEDIUM)
    def checksum_mismatch(
        self, transaction: U32, path: Text128, announced: U32, found: U32
    ) -> None:
        """{path} (transfer {transaction}) has CRC-32 {found:#010x}, announced {announced:#010x}."""

    @event(4, Severity.LOW)
    def transfer_expired(self, transaction: U32, path: Text128, received: U64) -> None:
        """Transfer {transaction} of {path} was idle and is let go after {received} octets."""

    @event(5, Severity.LOW)
    def get_failed(self, transaction: U32, path: Text128, reason: Text64) -> None:
        """{path} can no longer be sent (transfer {transaction}): {reason}."""

    @event(6, Severity.MEDIUM)
    def record_damaged(self, name: Text64) -> None:
        """The record {name} of a transfer cannot be read; that transfer is lost."""

    @event(7, Severity.INFO)
    def transfers_resumed(self, count: U8) -> None:
        """{count} transfers that a restart interrupted go on."""

    @event(8, Severity.INFO)
    def deleted(self, path: Text128) -> None:
        """{path} was deleted."""

    @event(9, Severity.MEDIUM)
    def storage_unusable(self, reason: Text64) -> None:
        """The table of transfers cannot be read ({reason}); it is tried again every second."""

    @event(10, Severity.MEDIUM)
    def file_repaired(self, path: Text128, blocks: U32, bits: U64) -> None:
        """{path} had {bits} wrong bits in {blocks} blocks; it was written anew, all of it right."""

    @event(11, Severity.HIGH)
    def file_damaged(self, path: Text128, lost: U32, first_lost: U32, reason: Text64) -> None:
        """{path} is damaged from block {first_lost} on: {reason}."""

    @event(12, Severity.LOW)
    def file_unprotected(self, path: Text128, reason: Text64) -> None:
        """{path} was stored without a sidecar, so that upsets will not be corrected: {reason}."""

    @report(1)
    def segment(self, transaction: U32, offset: Offset, data: Segment) -> bool:  # type: ignore[empty-body]
        """Some octets of a file that is being sent."""

    @report(2)
    def entry(self, path: Text128, size: U64, is_folder: Flag) -> bool:  # type: ignore[empty-body]
        """One entry of a folder that is being listed."""


COUNTERS = Counters(
    FileStoreHousekeeping,
    {
        FileStoreEvents.file_received: "files_received",
        FileStoreEvents.checksum_mismatch: "mismatches",
        FileStoreEvents.transfer_expired: "expired",
    },
)
