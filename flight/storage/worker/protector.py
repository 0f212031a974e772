"""Encodes, checks and mends files for the storage worker, in a process of its own.

The kernels need Numba: half a second to start and some 120 MB, which the storage worker should not
have, and compiled code that may crash, which it must outlive. So this process is started by
the first request and ends when none has come for a while, or when the storage worker is gone. It
is given open files and reaches no others.

A request is msgpack, `{"do": name}`, with descriptors beside it; the answer is `{"beat": true}` as
often as there is something to wait for, then `{"value": {...}}` or `{"error": errno name, "text"}`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import select
import socket
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, BinaryIO

import msgpack

from flight.workers.kernel_cache import default_cache

IDLE_S = 30.0
BEAT_S = 0.1
LARGEST = 65_536
MOST_FILES = 4

Beat = Callable[[], None]


def serve(channel: socket.socket, idle_s: float = IDLE_S) -> None:
    """Answer requests until none comes for so long, or the other end is closed."""
    while select.select([channel], [], [], idle_s)[0]:
        octets, descriptors, _, _ = socket.recv_fds(channel, LARGEST, MOST_FILES)
        if not octets:
            return
        with ExitStack() as files:
            opened = [files.enter_context(_opened(fd)) for fd in descriptors]
            answer = _answer(str(msgpack.unpackb(octets).get("do")), opened, _beating(channel))
        channel.send(msgpack.packb(answer))


def _answer(name: str, files: list[BinaryIO], beat: Beat) -> dict[str, Any]:
    from flight.commits.format_1 import CommitError
    from flight.edac.header import ContainerError
    from flight.edac.proof import KernelWrong

    try:
        return {"value": _ACTS[name](beat, *files)}
    except (ContainerError, CommitError) as error:
        return {"error": "EBADMSG", "text": str(error)}
    except (KernelWrong, MemoryError) as error:
        return {"error": "EIO", "text": f"{type(error).__name__}: {error}"}
    except OSError as error:
        name = errno.errorcode.get(error.errno or errno.EIO, "EIO")
        return {"error": name, "text": error.strerror or str(error)}


def _protect(beat: Beat, content: BinaryIO, out: BinaryIO) -> dict[str, Any]:
    from flight.edac import sidecar

    return vars(sidecar.protect(content, out, beat))


def _examine(beat: Beat, content: BinaryIO, beside: BinaryIO) -> dict[str, Any]:
    from flight.edac import sidecar

    return _told(sidecar.examine(content, beside, beat))


def _mend(
    beat: Beat, content: BinaryIO, beside: BinaryIO, out: BinaryIO, new_beside: BinaryIO
) -> dict[str, Any]:
    from flight.edac import sidecar

    report = sidecar.mend(content, beside, out, beat)
    out.flush()
    out.seek(0)
    digest = sidecar.protect(out, new_beside, beat)
    return _told(report) | vars(digest)


def _examine_commit(_: Beat, content: BinaryIO) -> dict[str, Any]:
    told = _commit(content)[1]
    del told["record"]
    return told


def _mend_commit(_: Beat, content: BinaryIO, out: BinaryIO) -> dict[str, Any]:
    from flight.commits.record import BODY_AT, TAIL_OCTETS, trailer
    from flight.edac.header import END_OCTETS

    octets, told = _commit(content)
    end = told.pop("record") * 3
    whole = end + bytes(BODY_AT - END_OCTETS) + octets[BODY_AT:-TAIL_OCTETS].tobytes() + end
    whole += trailer(zlib.crc32(whole))
    out.write(whole)
    sha256 = hashlib.sha256(whole).digest()
    return told | {"size": len(whole), "crc32": zlib.crc32(whole), "sha256": sha256}


def _commit(content: BinaryIO) -> tuple[Any, dict[str, Any]]:
    from flight.commits.record import seal_of
    from flight.commits.slots import examine
    from flight.edac.blocks import aligned

    octets = aligned(os.fstat(content.fileno()).st_size)
    content.seek(0)
    content.readinto(octets.data)  # type: ignore[attr-defined]
    found = examine(octets, "the commit")
    told = {
        "blocks": found.blocks,
        "corrected": found.corrected,
        "rechecked": found.rechecked,
        "bits": found.bits,
        "lost": len(found.lost),
        "first_lost": found.lost[0] if found.lost else 0,
        "is_recoverable": not found.lost,
        "is_sound": not (found.mended or found.lost or found.records_damaged),
        "text": "",
        "seal": seal_of(found.record),
        "record": found.record.pack(),
    }
    return octets, told


def _told(report: Any) -> dict[str, Any]:
    return {
        "blocks": report.blocks,
        "corrected": report.corrected,
        "rechecked": report.rechecked,
        "bits": report.bits,
        "lost": len(report.lost),
        "first_lost": report.lost[0] if report.lost else 0,
        "is_recoverable": report.is_recoverable,
        "is_sound": report.is_sound,
        "text": "; ".join(report.sentences()),
    }


_ACTS: dict[str, Callable[..., dict[str, Any]]] = {
    "protect": _protect,
    "examine": _examine,
    "mend": _mend,
    "examine_commit": _examine_commit,
    "mend_commit": _mend_commit,
}


def _opened(fd: int) -> BinaryIO:
    is_writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    return os.fdopen(fd, "rb+" if is_writable else "rb")


def _beating(channel: socket.socket) -> Beat:
    due = 0.0

    def beat() -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + BEAT_S
            channel.send(msgpack.packb({"beat": True}))

    return beat


def main(argv: list[str]) -> int:
    """Serve the socket whose descriptor is the argument."""
    os.nice(10)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache()))
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with socket.socket(fileno=int(argv[0])) as channel:
        try:
            serve(channel)
        except (BrokenPipeError, ConnectionResetError):
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
