"""Finds a ground server and speaks its API: octets to replies and errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgpack
import zmq

from ground.client.calls import Ask
from ground.client.results import CommandResult
from ground.errors import KINDS, CommandFailed, CommandRefused, GroundError, NoServer
from ground.protocol import LARGEST

VARIABLE = "VANALLEN_GROUND"
GRACE_S = 5.0
"""How much longer than it was asked to wait a server may take."""


def endpoint_of(server: str | Path | None) -> str:
    """The API endpoint of the server whose state folder this is; None: $VANALLEN_GROUND."""
    folder = server or os.environ.get(VARIABLE)
    if not folder:
        raise NoServer(
            f"which ground server? give --server DIR (its --state), or set {VARIABLE}=DIR"
        )
    path = Path(folder).absolute() / "api"
    if not path.exists():
        raise NoServer(
            f"no ground server answers at {folder}; start one: ground serve --state {folder} …"
        )
    return f"ipc://{path}"


def open_socket(context: zmq.Context[Any], endpoint: str) -> zmq.Socket[bytes]:
    """A client socket; requests wait for a server that is being restarted."""
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, 10_000)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
    socket.connect(endpoint)
    return socket


def pack(number: int, ask: Ask) -> bytes:
    """The octets of a request; raises CommandRefused for a value that no message can carry."""
    try:
        octets: bytes = msgpack.packb({"id": number, "method": ask.method, "args": ask.args})
    except UnicodeEncodeError as error:
        raise CommandRefused(
            f"{error.object!a} is not UTF-8; give a name or a text that is"
        ) from None
    except OverflowError:
        raise CommandRefused("a whole number has more than 64 bits; give a smaller one") from None
    return octets


def unpack(octets: bytes) -> dict[str, Any]:
    """A reply or a stream message; anything else is empty."""
    try:
        message = msgpack.unpackb(octets, strict_map_key=False)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def value_of(reply: dict[str, Any]) -> Any:
    """The value of a reply; raises the error that it carries."""
    if reply.get("ok"):
        return reply["value"]
    kind = KINDS.get(str(reply.get("kind")), GroundError)
    if kind is CommandFailed:
        record = reply.get("value")
        raise CommandFailed(reply["message"], CommandResult.of(record) if record else None)
    raise kind(reply.get("message", "the server answered nothing useful"))


def no_answer(endpoint: str, ask: Ask) -> NoServer:
    return NoServer(
        f"the ground server at {endpoint.removeprefix('ipc://')} did not answer "
        f"'{ask.method}' within {ask.wait_s + GRACE_S:g} s; is it running?"
    )
