"""Decides how files come up: telecommands and storage answers in, instructions out."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

from flight.components.file_store.instructions import (
    MAX_NUMBER,
    Announce,
    Answer,
    Instructions,
    Refuse,
    Submit,
    digest_of,
    failure_of,
    is_count,
    refuse,
)
from flight.components.file_store.put import Phase, Put
from flight.components.file_store.ranges import Range
from flight.framework.ports import Refused, StorageResult
from flight.storage import file_names
from icd.failures import FailureCode
from icd.fields import U64, Flag, Unit

MOST_OPEN = 16
MOST_RANGES = 256
MOST_WAITING = 8
_UNKNOWN = "no transfer {} is open; send put_begin"


@enum.unique
class Step(enum.Enum):
    """One request to storage."""

    ROOM = enum.auto()
    CREATE = enum.auto()
    RECORD = enum.auto()
    PROTECT = enum.auto()
    DIGEST = enum.auto()
    VERIFY = enum.auto()
    PROTECT_AGAIN = enum.auto()
    FOLDER = enum.auto()
    BARE = enum.auto()
    MOVE = enum.auto()
    COVER = enum.auto()
    FORGET = enum.auto()
    DROP = enum.auto()
    ERASE = enum.auto()
    SAVE = enum.auto()


class _Row(NamedTuple):
    phase: Phase | None
    operation: str
    then: Step | None


# The life of a transfer. Each row: the phase it is in, what storage is asked for, and the step that
# follows when storage has done it. A chain that ends opens the transfer, or closes it for good.
_TABLE = {
    # put_begin
    Step.ROOM: _Row(Phase.OPENING, "free", Step.CREATE),
    Step.CREATE: _Row(Phase.OPENING, "write", Step.RECORD),
    Step.RECORD: _Row(Phase.OPENING, "write", None),
    # put_end: the part gets its sidecar, which reads all of it; both are moved, after the sidecar
    # of an older file of that name. DIGEST when there can be no sidecar; VERIFY when the part is
    # gone because a restart fell between MOVE and FORGET
    Step.PROTECT: _Row(Phase.CHECKING, "protect", Step.FOLDER),
    Step.DIGEST: _Row(Phase.CHECKING, "digest", Step.FOLDER),
    Step.VERIFY: _Row(Phase.CHECKING, "digest", Step.PROTECT_AGAIN),
    Step.PROTECT_AGAIN: _Row(Phase.MOVING, "protect", Step.FORGET),
    Step.FOLDER: _Row(Phase.MOVING, "make_dir", Step.BARE),
    Step.BARE: _Row(Phase.MOVING, "remove", Step.MOVE),
    Step.MOVE: _Row(Phase.MOVING, "rename", Step.COVER),
    Step.COVER: _Row(Phase.MOVING, "rename", Step.FORGET),
    Step.FORGET: _Row(Phase.MOVING, "remove", None),
    # put_abort, and a transfer that was idle too long
    Step.DROP: _Row(Phase.ABORTING, "remove", Step.ERASE),
    Step.ERASE: _Row(Phase.ABORTING, "remove", None),
    # every few segments, in any phase
    Step.SAVE: _Row(None, "write", None),
}


# Steps that can be left out, and the step that follows then.
_UNCOVERED = {
    Step.PROTECT: Step.DIGEST,
    Step.PROTECT_AGAIN: Step.FORGET,
    Step.COVER: Step.FORGET,
}


@dataclass(frozen=True)
class PutStatus:
    """How far a transfer is."""

    received: Annotated[U64, "octets there from the start on without a gap", Unit("B")]
    missing_first: Annotated[U64, "offset of the first octet that is missing", Unit("B")]
    missing_length: Annotated[U64, "octets missing from there on", Unit("B")]
    complete: Annotated[Flag, "every octet is there"]


class Puts:
    """The table of transfers that are under way; every method is one stimulus."""

    def __init__(self) -> None:
        self.puts: dict[int, Put] = {}
        self.save_every = 64
        self.segments = 0
        self.octets = 0
        self.repeated = 0
        self.files = 0
        self.mismatches = 0
        self.expired = 0
        self._finished: OrderedDict[int, Put] = OrderedDict()

    def resume(self, put: Put, now: int) -> None:
        """Take back a transfer that a restart interrupted."""
        put.active_ns = now
        self.puts[put.transaction] = put

    def begin(
        self, asker: Any, now: int, transaction: int, path: str, size: int, crc32: int
    ) -> Instructions:
        """Open a transfer, or go on with it when it is open already; raises Refused."""
        file_names.check_writable(path)
        if size > MAX_NUMBER:
            raise Refused(f"no file can have {size} octets")
        known = self.puts.get(transaction)
        if known is not None:
            return self._begin_again(known, asker, now, path, size, crc32)
        if len(self.puts) >= MOST_OPEN:
            raise Refused(f"{MOST_OPEN} transfers are open; end or abort one first")
        put = Put(transaction, path, size, crc32, active_ns=now, askers=[asker])
        self.puts[transaction] = put
        self._finished.pop(transaction, None)
        return self._do(put, Step.ROOM)

    def _begin_again(
        self, put: Put, asker: Any, now: int, path: str, size: int, crc32: int
    ) -> Instructions:
        if not put.is_same(path, size, crc32):
            raise Refused(
                f"transfer {put.transaction} is open for {put.path}; "
                "give another number, or put_abort it first"
            )
        if put.phase is Phase.ABORTING:
            raise Refused(f"transfer {put.transaction} is being aborted; send it again")
        put.active_ns = now
        if put.phase is Phase.OPENING:
            return self._wait(put, asker)
        return [Answer(asker)]

    def segment(
        self, asker: Any, now: int, transaction: int, offset: int, data: bytes
    ) -> Instructions:
        """Take some octets, in any order and as often as they come; raises Refused."""
        put = self._open(transaction)
        span = offset, offset + len(data)
        if not data or span[1] > put.size:
            raise Refused(
                f"{len(data)} octets at {offset} of a file of {put.size}; "
                "give at least one, and none beyond its end",
                FailureCode.ARGUMENT_RANGE,
            )
        put.active_ns = now
        if put.received.covers(*span):
            self.repeated += 1
            return [Answer(asker)]
        if put.phase is not Phase.OPEN:
            raise Refused(f"transfer {transaction} is {put.phase.value}")
        if len(put.received) >= MOST_RANGES and not put.received.touches(*span):
            raise Refused(f"{MOST_RANGES} gaps are open; fill one first: put_status names it")
        arguments = {"path": put.part, "offset": offset, "data": data}
        return [Submit("write_at", arguments, partial(self._segment_stored, put, asker, span))]

    def status(self, asker: Any, now: int, transaction: int) -> Instructions:
        """How far a transfer is; raises Refused for one that is not known."""
        done = self._finished.get(transaction)
        if done is not None:
            return self._look_again(done, asker, PutStatus(done.size, done.size, 0, True))
        put = self._open(transaction)
        put.active_ns = now
        start, end = put.received.first_gap(put.size) or (put.size, put.size)
        return [Answer(asker, PutStatus(put.received.contiguous, start, end - start, put.is_whole))]

    def end(self, asker: Any, now: int, transaction: int) -> Instructions:
        """Check the file and put it in its place; raises Refused."""
        done = self._finished.get(transaction)
        if done is not None:
            return self._look_again(done, asker, None)
        put = self._open(transaction)
        put.active_ns = now
        if put.phase in (Phase.CHECKING, Phase.MOVING):
            return self._wait(put, asker)
        if put.phase is not Phase.OPEN:
            raise Refused(f"transfer {transaction} is {put.phase.value}")
        gap = put.received.first_gap(put.size)
        if gap is not None:
            raise Refused(f"{gap[1] - gap[0]} octets from {gap[0]} on are missing; send them first")
        put.askers = [asker]
        return self._do(put, Step.PROTECT)

    def abort(self, asker: Any, transaction: int) -> Instructions:
        """Forget a transfer and what came of it; raises Refused."""
        put = self._open(transaction)
        if put.phase is Phase.ABORTING:
            return self._wait(put, asker)
        if put.phase is not Phase.OPEN:
            raise Refused(f"transfer {transaction} is {put.phase.value}; wait for its answer")
        put.askers = [asker]
        return self._do(put, Step.DROP)

    def tick(self, now: int, idle_ns: int) -> Instructions:
        """Let go of the transfers that have been idle for longer than that."""
        instructions: Instructions = []
        for put in self.puts.values():
            if put.phase is Phase.OPEN and now - put.active_ns >= idle_ns:
                told = (put.transaction, put.path, put.received.total)
                self.expired += 1
                instructions += [Announce("transfer_expired", told), *self._do(put, Step.DROP)]
        return instructions

    def next_due(self, idle_ns: int) -> int | None:
        """On-board time at which `tick` may have something to do."""
        open_ = [put.active_ns for put in self.puts.values() if put.phase is Phase.OPEN]
        return min(open_) + idle_ns if open_ else None

    def _stored(self, put: Put, step: Step, result: StorageResult) -> Instructions:
        if step is Step.SAVE:
            return [] if result.ok else self._tell_space(put, result)
        if step in (Step.FORGET, Step.DROP, Step.ERASE):
            return self._next(put, step)  # what cannot be removed is swept at the next start
        if step in _UNCOVERED and not result.ok and result.error != "ENOENT":
            return self._go_without(put, step, result)
        if step in (Step.PROTECT, Step.DIGEST, Step.VERIFY):
            return self._digested(put, step, result)
        if step is Step.BARE and result.error == "ENOENT":
            return self._next(put, step)  # an older file of that name had no sidecar
        if not result.ok:
            return self._tell_space(put, result) + self._give_up(put, *failure_of(result))
        if step is Step.ROOM and not _has_room(result, put.size):
            full = StorageResult(False, error="ENOSPC")
            return self._tell_space(put, full) + self._give_up(put, *failure_of(full))
        return self._next(put, step)

    def _look_again(self, put: Put, asker: Any, result: PutStatus | None) -> Instructions:
        """Answer for a finished transfer as before, if its file is still the one it brought."""

        def looked(found: StorageResult) -> Instructions:
            if digest_of(found) == (put.size, put.crc32):
                return [Answer(asker, result)]
            self._finished.pop(put.transaction, None)
            return [Refuse(asker, _UNKNOWN.format(put.transaction), FailureCode.NOT_FOUND)]

        return [Submit("digest", {"path": file_names.file_path(put.path)}, looked)]

    def _segment_stored(
        self, put: Put, asker: Any, span: Range, result: StorageResult
    ) -> Instructions:
        if not result.ok:
            return [*self._tell_space(put, result), refuse(asker, result)]
        put.received.add(*span)
        put.unsaved += 1
        self.segments += 1
        self.octets += span[1] - span[0]
        instructions: Instructions = [Answer(asker)]
        if put.unsaved >= self.save_every or put.is_whole:
            instructions += self._save(put)
        return instructions

    def _digested(self, put: Put, step: Step, result: StorageResult) -> Instructions:
        if step is not Step.VERIFY and result.error == "ENOENT":
            return self._do(put, Step.VERIFY)
        found = digest_of(result)
        if found == (put.size, put.crc32):
            return self._next(put, step)
        if found is None and result.error != "ENOENT":
            return self._give_up(put, *failure_of(result))
        put.received.clear()
        self.mismatches += 1
        told = (put.transaction, put.path, put.crc32, found[1] if found else 0)
        reason = "the checksum is not the one announced: every octet is asked for again"
        return [
            Announce("checksum_mismatch", told),
            *self._give_up(put, reason, FailureCode.CHECKSUM_MISMATCH),
            *self._save(put),
        ]

    def _go_without(self, put: Put, step: Step, result: StorageResult) -> Instructions:
        """A file that cannot have a sidecar is right all the same."""
        put.is_bare = True
        told = Announce("file_unprotected", (put.path, failure_of(result)[0]))
        return [told, *self._do(put, _UNCOVERED[step])]

    def _next(self, put: Put, step: Step) -> Instructions:
        then = _TABLE[step].then
        if then is Step.COVER and put.is_bare:
            then = Step.FORGET
        return self._do(put, then) if then else self._finish(put)

    def _finish(self, put: Put) -> Instructions:
        """A chain has come to its end."""
        before, askers, put.askers = put.phase, put.askers, []
        answers: Instructions = [Answer(asker) for asker in askers]
        if before is Phase.OPENING:
            put.phase = Phase.OPEN
            return answers
        self.puts.pop(put.transaction, None)
        if before is Phase.ABORTING:
            return answers
        self.files += 1
        self._finished[put.transaction] = put
        if len(self._finished) > MOST_OPEN:
            self._finished.popitem(last=False)
        return [*answers, Announce("file_received", (put.transaction, put.path, put.size))]

    def _give_up(self, put: Put, reason: str, code: FailureCode) -> Instructions:
        """A chain broke: a transfer that was being opened goes; any other stays resumable."""
        askers, put.askers = put.askers, []
        refusals: Instructions = [Refuse(asker, reason, code) for asker in askers]
        if put.phase is Phase.OPENING:
            return refusals + self._do(put, Step.DROP)
        put.phase = Phase.OPEN
        return refusals

    def _tell_space(self, put: Put, result: StorageResult) -> Instructions:
        if result.error not in ("ENOSPC", "EDQUOT") or put.is_space_told:
            return []
        put.is_space_told = True
        return [Announce("no_space", (put.transaction, put.path, put.received.total))]

    def _save(self, put: Put) -> Instructions:
        put.unsaved = 0
        return self._do(put, Step.SAVE)

    def _do(self, put: Put, step: Step) -> Instructions:
        phase, operation, _ = _TABLE[step]
        if phase is not None:
            put.phase = phase
        put.is_bare &= step is not Step.PROTECT
        tolerates = "ENOENT" if step is Step.BARE else ""
        answered = partial(self._stored, put, step)
        return [Submit(operation, _arguments(put, step), answered, tolerates)]

    def _wait(self, put: Put, asker: Any) -> Instructions:
        if len(put.askers) >= MOST_WAITING:
            raise Refused(f"transfer {put.transaction} is {put.phase.value}; wait for its answer")
        put.askers.append(asker)
        return []

    def _open(self, transaction: int) -> Put:
        try:
            return self.puts[transaction]
        except KeyError:
            raise Refused(_UNKNOWN.format(transaction), FailureCode.NOT_FOUND) from None


def _arguments(put: Put, step: Step) -> Mapping[str, Any]:
    target = file_names.file_path(put.path)
    match step:
        case Step.ROOM:
            return {"path": file_names.INCOMING}
        case Step.CREATE:
            return {"path": put.part, "data": b""}
        case Step.RECORD | Step.SAVE:
            return {"path": put.record, "data": put.to_record()}
        case Step.FOLDER:
            return {"path": file_names.parent(target)}
        case Step.MOVE:
            return {"source": put.part, "destination": target}
        case Step.VERIFY | Step.PROTECT_AGAIN:
            return {"path": target}
        case Step.BARE:
            return {"path": file_names.sidecar(target)}
        case Step.COVER:
            return {
                "source": file_names.sidecar(put.part),
                "destination": file_names.sidecar(target),
            }
        case Step.FORGET | Step.ERASE:
            return {"path": put.record}
        case _:
            return {"path": put.part}


def _has_room(result: StorageResult, size: int) -> bool:
    return is_count(result.value) and result.value >= size
