"""Decides how files come up: what each phase of a transfer does with each telecommand.

`TABLE`, at the end, says it by phase and telecommand; `chains.CHAINS` says what storage is asked
for on the way from one phase to the next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flight.components.file_store import stimuli as s
from flight.components.file_store.chains import CHAINS, SWEPT, UNCOVERED, Step, arguments_of
from flight.components.file_store.dictionary import FileStoreEvents, PutStatus
from flight.components.file_store.outbox import Outbox
from flight.components.file_store.put import Phase, Put
from flight.components.file_store.ranges import Range
from flight.components.file_store.storage_answers import (
    MAX_NUMBER,
    digest_of,
    failure_of,
    is_count,
)
from flight.framework.lifecycle import on
from flight.framework.ports import Refused, StorageResult
from flight.storage import file_names
from icd.failures import FailureCode

MOST_OPEN = 16
MOST_RANGES = 256
MOST_WAITING = 8
_UNKNOWN = "no transfer {} is open; send put_begin"

AboutPut = s.PutBegin | s.PutSegment | s.PutEnd | s.PutAbort


class Puts:
    """The transfers that are under way, by number."""

    def __init__(self, outbox: Outbox) -> None:
        self.puts: dict[int, Put] = {}
        self.save_every = 64
        """Segments between two records of progress."""
        self.segments = 0
        """Made durable since the start, as are the octets."""
        self.octets = 0
        self.repeated = 0
        self._outbox = outbox
        self._finished: OrderedDict[int, Put] = OrderedDict()

    def resume(self, put: Put, now: int) -> None:
        """Take back a transfer that a restart interrupted; it is idle since `now`."""
        put.active_ns = now
        self.puts[put.transaction] = put

    def next_due(self, idle: int) -> int | None:
        """On-board time at which `expire` may have something to do; `idle` in ns."""
        times = [put.active_ns for put in self.puts.values() if put.phase is Phase.OPEN]
        return min(times) + idle if times else None

    def expire(self, idle: int) -> None:
        """Let go of the transfers that have been idle for that many ns."""
        for put in self.puts.values():
            if put.phase is Phase.OPEN and self._outbox.now - put.active_ns >= idle:
                told = put.transaction, put.path, put.received.total
                self._outbox.tell(FileStoreEvents.transfer_expired, *told)
                self._do(put, Step.DROP)

    # ------------------------------------------------------------ telecommands

    def begin(self, asked: s.PutBegin) -> None:
        """Open a transfer, or go on with it when it is open already; raises Refused."""
        file_names.check_writable(asked.path)
        if asked.size > MAX_NUMBER:
            raise Refused(f"no file can have {asked.size} octets")
        known = self.puts.get(asked.transaction)
        if known is not None:
            self._begin_again(known, asked)
            return
        if len(self.puts) >= MOST_OPEN:
            raise Refused(f"{MOST_OPEN} transfers are open; end or abort one first")
        put = Put(
            asked.transaction, asked.path, asked.size, asked.crc32, active_ns=self._outbox.now
        )
        put.askers = [asked.asker]
        self.puts[put.transaction] = put
        self._finished.pop(put.transaction, None)
        self._do(put, Step.ROOM)

    def _begin_again(self, put: Put, asked: s.PutBegin) -> None:
        if not put.is_same(asked.path, asked.size, asked.crc32):
            raise Refused(
                f"transfer {put.transaction} is open for {put.path}; "
                "give another number, or put_abort it first"
            )
        put.active_ns = self._outbox.now
        self._take(put, asked)

    def segment(self, asked: s.PutSegment) -> None:
        """Take some octets, in any order and as often as they come; raises Refused."""
        put = self._open(asked.transaction)
        start, end = _span(asked)
        if not asked.data or end > put.size:
            raise Refused(
                f"{len(asked.data)} octets at {start} of a file of {put.size}; "
                "give at least one, and none beyond its end",
                FailureCode.ARGUMENT_RANGE,
            )
        put.active_ns = self._outbox.now
        if put.received.covers(start, end):
            self.repeated += 1
            self._outbox.answer(asked.asker)
        else:
            self._take(put, asked)

    def status(self, asked: s.PutStatus) -> None:
        """How far a transfer is; raises Refused for one that is not known."""
        done = self._finished.get(asked.transaction)
        if done is not None:
            self._look_again(done, asked.asker, PutStatus(done.size, done.size, 0, True))
            return
        put = self._open(asked.transaction)
        put.active_ns = self._outbox.now
        start, end = put.received.first_gap(put.size) or (put.size, put.size)
        status = PutStatus(put.received.contiguous, start, end - start, put.is_whole)
        self._outbox.answer(asked.asker, status)

    def end(self, asked: s.PutEnd) -> None:
        """Check the file and put it in its place; raises Refused."""
        done = self._finished.get(asked.transaction)
        if done is not None:
            self._look_again(done, asked.asker, None)
            return
        put = self._open(asked.transaction)
        put.active_ns = self._outbox.now
        self._take(put, asked)

    def abort(self, asked: s.PutAbort) -> None:
        """Forget a transfer and what came of it; raises Refused."""
        self._take(self._open(asked.transaction), asked)

    def _open(self, transaction: int) -> Put:
        try:
            return self.puts[transaction]
        except KeyError:
            raise Refused(_UNKNOWN.format(transaction), FailureCode.NOT_FOUND) from None

    def _take(self, put: Put, asked: AboutPut) -> None:
        handler = TABLE[put.phase].get(type(asked))
        if handler is None:
            hint = _HINTS.get(type(asked), "")
            raise Refused(f"transfer {put.transaction} is {put.phase.value}{hint}")
        handler(self, put, asked)

    # ------------------------------------------------------------ what a phase does

    def _is_open(self, _: Put, asked: s.PutBegin) -> None:
        self._outbox.answer(asked.asker)

    def _wait(self, put: Put, asked: s.PutBegin | s.PutEnd | s.PutAbort) -> None:
        """The answer comes at the end of the chain that is under way."""
        if len(put.askers) >= MOST_WAITING:
            raise Refused(f"transfer {put.transaction} is {put.phase.value}; wait for its answer")
        put.askers.append(asked.asker)

    def _write(self, put: Put, asked: s.PutSegment) -> None:
        span = _span(asked)
        if len(put.received) >= MOST_RANGES and not put.received.touches(*span):
            raise Refused(f"{MOST_RANGES} gaps are open; fill one first: put_status names it")
        then = partial(self._written, put, asked.asker, span)
        self._outbox.submit("write_at", then, path=put.part, offset=span[0], data=asked.data)

    def _check(self, put: Put, asked: s.PutEnd) -> None:
        gap = put.received.first_gap(put.size)
        if gap is not None:
            raise Refused(f"{gap[1] - gap[0]} octets from {gap[0]} on are missing; send them first")
        put.askers = [asked.asker]
        self._do(put, Step.PROTECT)

    def _abort(self, put: Put, asked: s.PutAbort) -> None:
        put.askers = [asked.asker]
        self._do(put, Step.DROP)

    # ------------------------------------------------------------ what storage answered

    def _written(self, put: Put, asker: int, span: Range, result: StorageResult) -> None:
        if not result.ok:
            self._tell_space(put, result)
            self._outbox.fail(asker, result)
            return
        put.received.add(*span)
        put.unsaved += 1
        self.segments += 1
        self.octets += span[1] - span[0]
        self._outbox.answer(asker)
        if put.unsaved >= self.save_every or put.is_whole:
            self._save(put)

    def _look_again(self, put: Put, asker: int, answer: PutStatus | None) -> None:
        """Answer for a finished transfer as before, if its file is still the one it brought."""
        then = partial(self._looked_again, put, asker, answer)
        self._outbox.submit("digest", then, path=file_names.file_path(put.path))

    def _looked_again(
        self, put: Put, asker: int, answer: PutStatus | None, result: StorageResult
    ) -> None:
        if digest_of(result) == (put.size, put.crc32):
            self._outbox.answer(asker, answer)
            return
        self._finished.pop(put.transaction, None)
        self._outbox.refuse(asker, _UNKNOWN.format(put.transaction), FailureCode.NOT_FOUND)

    def _stored(self, put: Put, step: Step, result: StorageResult) -> None:
        """Storage answered a step of a chain."""
        if step is Step.SAVE:
            self._tell_space(put, result)
        elif step in SWEPT:
            self._next(put, step)
        elif step in UNCOVERED and not result.ok and result.error != "ENOENT":
            self._go_without(put, step, result)
        elif step in (Step.PROTECT, Step.DIGEST, Step.VERIFY):
            self._digested(put, step, result)
        elif step is Step.BARE and result.error == "ENOENT":
            self._next(put, step)  # an older file of that name had no sidecar
        elif not result.ok:
            self._broke(put, result)
        elif step is Step.ROOM and not _has_room(result, put.size):
            self._broke(put, StorageResult(False, error="ENOSPC"))
        else:
            self._next(put, step)

    def _digested(self, put: Put, step: Step, result: StorageResult) -> None:
        found = digest_of(result)
        if step is not Step.VERIFY and result.error == "ENOENT":
            self._do(put, Step.VERIFY)
        elif found == (put.size, put.crc32):
            self._next(put, step)
        elif found is None and result.error != "ENOENT":
            self._give_up(put, *failure_of(result))
        else:
            self._mismatched(put, found[1] if found else 0)

    def _mismatched(self, put: Put, crc32: int) -> None:
        put.received.clear()
        told = put.transaction, put.path, put.crc32, crc32
        self._outbox.tell(FileStoreEvents.checksum_mismatch, *told)
        reason = "the checksum is not the one announced: every octet is asked for again"
        self._give_up(put, reason, FailureCode.CHECKSUM_MISMATCH)
        self._save(put)

    def _go_without(self, put: Put, step: Step, result: StorageResult) -> None:
        """A file that cannot have a sidecar is right all the same."""
        put.is_bare = True
        self._outbox.tell(FileStoreEvents.file_unprotected, put.path, failure_of(result)[0])
        self._do(put, UNCOVERED[step])

    # ------------------------------------------------------------ chains

    def _do(self, put: Put, step: Step) -> None:
        phase, operation, _ = CHAINS[step]
        if phase is not None:
            put.phase = phase
        put.is_bare &= step is not Step.PROTECT
        tolerates = "ENOENT" if step is Step.BARE else ""
        then = partial(self._stored, put, step)
        self._outbox.submit(operation, then, tolerates, **arguments_of(put, step))

    def _next(self, put: Put, step: Step) -> None:
        then = CHAINS[step].then
        if then is Step.COVER and put.is_bare:
            then = Step.FORGET
        if then:
            self._do(put, then)
        else:
            self._finish(put)

    def _finish(self, put: Put) -> None:
        """A chain has come to its end."""
        before, askers, put.askers = put.phase, put.askers, []
        for asker in askers:
            self._outbox.answer(asker)
        if before is Phase.OPENING:
            put.phase = Phase.OPEN
            return
        self.puts.pop(put.transaction, None)
        if before is not Phase.ABORTING:
            self._keep_finished(put)
            told = put.transaction, put.path, put.size
            self._outbox.tell(FileStoreEvents.file_received, *told)

    def _keep_finished(self, put: Put) -> None:
        self._finished[put.transaction] = put
        if len(self._finished) > MOST_OPEN:
            self._finished.popitem(last=False)

    def _broke(self, put: Put, result: StorageResult) -> None:
        self._tell_space(put, result)
        self._give_up(put, *failure_of(result))

    def _give_up(self, put: Put, reason: str, code: FailureCode) -> None:
        """A chain broke: a transfer that was being opened goes; any other stays resumable."""
        askers, put.askers = put.askers, []
        for asker in askers:
            self._outbox.refuse(asker, reason, code)
        if put.phase is Phase.OPENING:
            self._do(put, Step.DROP)
        else:
            put.phase = Phase.OPEN

    def _save(self, put: Put) -> None:
        put.unsaved = 0
        self._do(put, Step.SAVE)

    def _tell_space(self, put: Put, result: StorageResult) -> None:
        if result.error not in ("ENOSPC", "EDQUOT") or put.is_space_told:
            return
        put.is_space_told = True
        told = put.transaction, put.path, put.received.total
        self._outbox.tell(FileStoreEvents.no_space, *told)


Handler = Callable[[Puts, Put, Any], None]
TABLE: Mapping[Phase, Mapping[type[AboutPut], Handler]] = {
    Phase.OPENING: on(s.PutBegin, Puts._wait),
    Phase.OPEN: (
        on(s.PutBegin, Puts._is_open)
        | on(s.PutSegment, Puts._write)
        | on(s.PutEnd, Puts._check)
        | on(s.PutAbort, Puts._abort)
    ),
    Phase.CHECKING: on(s.PutBegin, Puts._is_open) | on(s.PutEnd, Puts._wait),
    Phase.MOVING: on(s.PutBegin, Puts._is_open) | on(s.PutEnd, Puts._wait),
    Phase.ABORTING: on(s.PutAbort, Puts._wait),
}
"""What each phase does with each telecommand; one that is not there is refused with the phase."""

_HINTS: Mapping[type[AboutPut], str] = {
    s.PutBegin: "; send it again",
    s.PutAbort: "; wait for its answer",
}


def _has_room(result: StorageResult, size: int) -> bool:
    return is_count(result.value) and result.value >= size


def _span(segment: s.PutSegment) -> Range:
    return segment.offset, segment.offset + len(segment.data)
