"""The file store: files up in segments of any order, files down at the pace of the link.

What follows from a telecommand or an answer of storage is decided in `lifecycle`; here it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Concatenate, ParamSpec

from flight.components.file_store import stimuli as s
from flight.components.file_store.dictionary import (
    COUNTERS,
    Checkup,
    Digest,
    FileStoreEvents,
    FileStoreHousekeeping,
    FileStoreParameters,
    Free,
    GetBegun,
    Listed,
    Offset,
    Path,
    PutStatus,
    Transaction,
)
from flight.components.file_store.lifecycle import FileStoreLifecycle
from flight.components.file_store.listing import TIMEOUT_S
from flight.components.file_store.storage_answers import BUSY
from flight.framework.component import Component, Pending, Port, command
from flight.framework.lifecycle import Stepper
from flight.framework.ports import Storage, StorageResult
from icd.fields import U32, U64, FileName, Segment, Text128, Unit

LOG_LENGTH = 64
"""Stimuli kept; some hold 24 KiB of a file."""
P = ParamSpec("P")


class FileStore(Component[FileStoreHousekeeping, FileStoreParameters], FileStoreEvents):
    """Keeps files, takes them from ground and sends them there, resumably and checked."""

    def __init__(self, port: Port, storage: Storage) -> None:
        super().__init__(port)
        self._storage = storage
        self._asked = 0
        self._pending: dict[int, Pending[Any]] = {}
        """The telecommands that wait for an answer, by the number of their asker."""
        self.core = FileStoreLifecycle(self.parameters.policy(), deque(maxlen=LOG_LENGTH))
        self._stepper = Stepper(self, self.core, self._do, COUNTERS)

    # ------------------------------------------------------------ telecommands: up

    @command(1, timeout_s=30.0)
    def put_begin(
        self,
        transaction: Transaction,
        path: Path,
        size: Annotated[U64, "octets in the file", Unit("B")],
        crc32: Annotated[U32, "CRC-32 of the whole file"],
    ) -> Pending[None]:
        """Open a transfer for a file, or go on with it when the same one is open already."""
        return self._ask(s.PutBegin, transaction, path, size, crc32)

    @command(2)
    def put_segment(self, transaction: Transaction, offset: Offset, data: Segment) -> Pending[None]:
        """Take some octets of the file; completed once they are durable."""
        return self._ask(s.PutSegment, transaction, offset, data)

    @command(3, timeout_s=30.0)
    def put_status(self, transaction: Transaction) -> Pending[PutStatus]:
        """Tell how far a transfer is, and the first part that is missing."""
        return self._ask(s.PutStatus, transaction)

    @command(4, timeout_s=120.0)
    def put_end(self, transaction: Transaction) -> Pending[None]:
        """Check size and CRC-32 of the file, then put it in its place in one step."""
        return self._ask(s.PutEnd, transaction)

    @command(5)
    def put_abort(self, transaction: Transaction) -> Pending[None]:
        """Forget a transfer and what came of it."""
        return self._ask(s.PutAbort, transaction)

    # ------------------------------------------------------------ telecommands: down

    @command(6, timeout_s=120.0)
    def get_begin(self, transaction: Transaction, path: Path, offset: Offset) -> Pending[GetBegun]:
        """Send a file, from an offset on, to the station that asks: reports named segment."""
        return self._ask(s.GetBegin, transaction, path, offset)

    @command(7)
    def get_more(
        self,
        transaction: Transaction,
        offset: Offset,
        length: Annotated[U64, "octets to send", Unit("B")],
    ) -> Pending[None]:
        """Send a part of the file again."""
        return self._ask(s.GetMore, transaction, offset, length)

    @command(8)
    def get_end(self, transaction: Transaction) -> Pending[None]:
        """Stop sending a file: it has come, or is no longer wanted."""
        return self._ask(s.GetEnd, transaction)

    # ------------------------------------------------------------ telecommands: the store

    @command(9, timeout_s=TIMEOUT_S)
    def list(
        self, path: Annotated[Text128, "folder; empty: the whole store", FileName()]
    ) -> Pending[Listed]:
        """Report every entry of a folder to the station that asks: reports named entry."""
        return self._ask(s.List, path)

    @command(10, critical=True)
    def delete(self, path: Path) -> Pending[None]:
        """Delete one file for good."""
        return self._ask(s.Delete, path)

    @command(11, timeout_s=120.0)
    def digest(self, path: Path) -> Pending[Digest]:
        """Tell the size and the CRC-32 of a file."""
        return self._ask(s.Digest, path)

    @command(12)
    def free(self) -> Pending[Free]:
        """Tell how much room there is for files."""
        return self._ask(s.Free)

    @command(13, timeout_s=60.0, critical=True)
    def delete_folder(self, path: Path) -> Pending[None]:
        """Delete a folder and everything in it for good."""
        return self._ask(s.DeleteFolder, path)

    @command(14, timeout_s=120.0)
    def verify(self, path: Path) -> Pending[Checkup]:
        """Look at every octet of a file and of its sidecar, changing nothing."""
        return self._ask(s.Verify, path)

    @command(15, timeout_s=120.0)
    def repair(self, path: Path) -> Pending[Checkup]:
        """Look at every octet of a file, and write it anew if that makes it right."""
        return self._ask(s.Repair, path)

    # ------------------------------------------------------------ stepping

    def start(self, now: int) -> None:  # noqa: ARG002
        """Look for the transfers that a restart interrupted."""
        self.parameters_changed()
        self._stepper.step(s.Start())

    def parameters_changed(self) -> None:
        """Decide by the new parameters from now on."""
        self._stepper.step(s.SetPolicy(self.parameters.policy()))

    def run(self, now: int) -> int | None:  # noqa: ARG002
        """Send what can be sent, let go of what is idle. On-board ns in, next due time out."""
        self._stepper.step(s.Tick())
        self._serve()
        return self.core.next_due()

    def housekeeping(self) -> bytes:
        """The fields, packed."""
        hk, core = self.hk, self.core
        hk.open_puts, hk.open_gets = len(core.puts.puts), len(core.gets.gets)
        hk.segments_received, hk.octets_received = core.puts.segments, core.puts.octets
        hk.segments_sent, hk.octets_sent = core.gets.segments, core.gets.octets
        hk.segments_repeated, hk.storage_failures = core.puts.repeated, core.storage_failures
        return super().housekeeping()

    def looked_at(self, path: str, result: StorageResult) -> None:
        """Storage looked at a file, for whomever: tell ground of damage."""
        self.port.post_answer(partial(self._stepper.step, s.Looked(path, result)))

    # ------------------------------------------------------------ telling the lifecycle

    def _ask(
        self,
        telecommand: Callable[Concatenate[int, int, P], s.Telecommand],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Pending[Any]:
        """Have the telecommand in hand carried out; it is answered now or later."""
        pending = self.defer()
        self._asked += 1
        self._pending[self._asked] = pending
        self._stepper.step(telecommand(self._asked, pending.source, *args, **kwargs))
        self.port.wake()
        return pending

    def _stored(self, number: int, result: StorageResult) -> None:
        self._stepper.step(s.Stored(number, result))
        self._serve()
        self.port.wake()

    def _serve(self) -> None:
        """Say how much the link takes, if anything is on its way down."""
        if self.core.is_sending:
            room = self.port.telemetry.bulk_room
            self._stepper.step(s.Room({station: room(station) for station in self.core.stations()}))

    # ------------------------------------------------------------ doing what it says

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.Submit():
                answered = partial(self._stored, instruction.number)
                if not self._storage.submit(
                    instruction.operation, answered, **instruction.arguments
                ):
                    self._stepper.step(s.Stored(instruction.number, BUSY))
            case s.Answer():
                self._pending.pop(instruction.asker).complete(instruction.result)
            case s.Refuse():
                self.hk.refused += 1
                self._pending.pop(instruction.asker).fail(instruction.reason, instruction.code)
            case s.Forget():
                del self._pending[instruction.asker]
            case s.SendSegments():
                self._send_segments(instruction)
            case s.SendEntries():
                self._send_entries(instruction)

    def _send_segments(self, send: s.SendSegments) -> None:
        count = 0
        for offset, data in send.segments:
            if not self.segment(send.transaction, offset, data, station=send.station):  # type: ignore[call-arg]
                break
            count += 1
        self._stepper.step(s.SegmentsSent(send.station, send.transaction, count))

    def _send_entries(self, send: s.SendEntries) -> None:
        count = 0
        for entry in send.entries:
            if not self.entry(*entry, station=send.station):  # type: ignore[call-arg]
                break
            count += 1
        self._stepper.step(s.EntriesSent(send.asker, count))
