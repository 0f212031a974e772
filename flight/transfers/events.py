"""What the file store tells ground: its events and reports."""

from __future__ import annotations

from flight.component import Port, Severity, event, report
from flight.transfers.declared import Offset
from icd.fields import U8, U32, U64, Flag, Segment, Text64, Text128


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
