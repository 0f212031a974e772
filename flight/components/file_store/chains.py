"""What storage is asked for, step by step, on the way from one phase of a transfer to the next."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from flight.components.file_store.put import Phase, Put
from flight.storage import file_names


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


class Row(NamedTuple):
    phase: Phase | None
    operation: str
    then: Step | None


# Each row: the phase that the transfer is in, what storage is asked for, and the step that follows
# when storage has done it. A chain that ends opens the transfer, or closes it for good.
CHAINS = {
    # put_begin
    Step.ROOM: Row(Phase.OPENING, "free", Step.CREATE),
    Step.CREATE: Row(Phase.OPENING, "write", Step.RECORD),
    Step.RECORD: Row(Phase.OPENING, "write", None),
    # put_end: the part gets its sidecar, which reads all of it; both are moved, after the sidecar
    # of an older file of that name. DIGEST when there can be no sidecar; VERIFY when the part is
    # gone because a restart fell between MOVE and FORGET
    Step.PROTECT: Row(Phase.CHECKING, "protect", Step.FOLDER),
    Step.DIGEST: Row(Phase.CHECKING, "digest", Step.FOLDER),
    Step.VERIFY: Row(Phase.CHECKING, "digest", Step.PROTECT_AGAIN),
    Step.PROTECT_AGAIN: Row(Phase.MOVING, "protect", Step.FORGET),
    Step.FOLDER: Row(Phase.MOVING, "make_dir", Step.BARE),
    Step.BARE: Row(Phase.MOVING, "remove", Step.MOVE),
    Step.MOVE: Row(Phase.MOVING, "rename", Step.COVER),
    Step.COVER: Row(Phase.MOVING, "rename", Step.FORGET),
    Step.FORGET: Row(Phase.MOVING, "remove", None),
    # put_abort, and a transfer that was idle too long
    Step.DROP: Row(Phase.ABORTING, "remove", Step.ERASE),
    Step.ERASE: Row(Phase.ABORTING, "remove", None),
    # every few segments, in any phase
    Step.SAVE: Row(None, "write", None),
}


# Steps that can be left out, and the step that follows then.
UNCOVERED = {
    Step.PROTECT: Step.DIGEST,
    Step.PROTECT_AGAIN: Step.FORGET,
    Step.COVER: Step.FORGET,
}
# Steps whose failure changes nothing: what cannot be removed is swept at the next start.
SWEPT = (Step.FORGET, Step.DROP, Step.ERASE)


def arguments_of(put: Put, step: Step) -> Mapping[str, Any]:
    """What storage needs to know for a step."""
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
