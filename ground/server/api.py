"""The one API of the ground server: msgpack requests and streams over a Unix socket.

Request {id, method, args}; reply {id, ok, value} or {id, ok: false, kind, message, value};
stream {stream: [[payload, topic, value], …], dropped}.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import zmq

from ground.errors import CommandFailed, GroundError, nearest
from ground.protocol import LARGEST
from ground.zmq_asyncio import SocketDrain

Method = Callable[..., Awaitable[Any]]
MOST_REQUESTS = 256
"""Requests of one client that may be under way."""
STREAM_DEPTH = 2000
STREAM_PERIOD_S = 0.02


@dataclass
class _Subscriber:
    topics: frozenset[str]
    payload: str | None
    waiting: deque[list[Any]] = field(default_factory=deque)
    dropped: int = 0


class Api:
    """Answers requests by calling `methods`, and pushes what was subscribed to."""

    def __init__(
        self, context: zmq.Context[Any], path: Path, methods: Mapping[str, Method]
    ) -> None:
        self._methods = methods
        self._subscribers: dict[bytes, _Subscriber] = {}
        self._under_way: dict[bytes, set[asyncio.Task[None]]] = {}
        self._loop = asyncio.get_running_loop()
        self._flush_timer: asyncio.TimerHandle | None = None
        self.malformed = 0
        self.failed = 0
        self.undelivered = 0
        self._drain = SocketDrain(_router(context, path), self._receive, multipart=True)

    def publish(self, payload: str, topic: str, value: Any) -> None:
        """Queue a value for those who subscribed; a slow client loses its oldest, and is told."""
        for subscriber in self._subscribers.values():
            if topic in subscriber.topics and subscriber.payload in (None, payload):
                if len(subscriber.waiting) >= STREAM_DEPTH:
                    subscriber.waiting.popleft()
                    subscriber.dropped += 1
                subscriber.waiting.append([payload, topic, value])
                if self._flush_timer is None:
                    self._flush_timer = self._loop.call_later(STREAM_PERIOD_S, self._flush)

    def counts(self) -> dict[str, int]:
        """What went wrong on the way from and to clients, and how many subscribed."""
        return {
            "malformed": self.malformed,
            "failed": self.failed,
            "undelivered": self.undelivered,
            "subscribers": len(self._subscribers),
        }

    def close(self) -> None:
        for tasks in self._under_way.values():
            for task in tasks:
                task.cancel()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        self._drain.close()

    def _receive(self, batch: list[list[bytes]]) -> None:
        for frames in batch:
            try:
                client, octets = frames
                request = msgpack.unpackb(octets, strict_map_key=False)
                number, method, args = request["id"], request["method"], request.get("args", {})
                if not isinstance(args, dict) or not isinstance(method, str):
                    raise TypeError("args must be a map and method a text")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.malformed += 1
                continue
            self._begin(client, number, method, args)

    def _begin(self, client: bytes, number: Any, method: str, args: dict[str, Any]) -> None:
        if method == "subscribe":
            self._subscribe(client, number, args)
            return
        tasks = self._under_way.setdefault(client, set())
        if len(tasks) >= MOST_REQUESTS:
            self._refuse(client, number, GroundError("too many requests at once; await some"))
            return
        task = self._loop.create_task(self._answer(client, number, method, args))
        tasks.add(task)
        task.add_done_callback(lambda done: self._finished(client, done))

    def _finished(self, client: bytes, task: asyncio.Task[None]) -> None:
        tasks = self._under_way.get(client, set())
        tasks.discard(task)
        if not tasks:
            self._under_way.pop(client, None)

    async def _answer(self, client: bytes, number: Any, method: str, args: dict[str, Any]) -> None:
        try:
            handler = self._methods.get(method)
            if handler is None:
                known = sorted(self._methods)
                raise GroundError(f"no method '{method}'; {nearest(method, known)}")
            value = await handler(**args)
        except GroundError as error:
            self._refuse(client, number, error)
        except TypeError as error:
            self._refuse(client, number, GroundError(f"{method}: {error}"))
        except Exception as error:  # one request may fail, the server may not
            self.failed += 1
            self._refuse(client, number, GroundError(f"{method} failed here: {error!r}"))
        else:
            self._send(client, {"id": number, "ok": True, "value": value})

    def _refuse(self, client: bytes, number: Any, error: GroundError) -> None:
        value = error.result if isinstance(error, CommandFailed) else None
        about = {"kind": type(error).__name__, "message": str(error), "value": value}
        self._send(client, {"id": number, "ok": False} | about)

    def _subscribe(self, client: bytes, number: Any, args: dict[str, Any]) -> None:
        asked = args.get("topics", ())
        if not isinstance(asked, list | tuple):
            self._refuse(client, number, GroundError("topics must be a list of texts"))
            return
        topics = frozenset(map(str, asked))
        if topics:
            self._subscribers[client] = _Subscriber(topics, args.get("payload"))
        else:
            self._subscribers.pop(client, None)
        self._send(client, {"id": number, "ok": True, "value": sorted(topics)})

    def _flush(self) -> None:
        self._flush_timer = None
        for client, subscriber in list(self._subscribers.items()):
            if subscriber.waiting:
                items = list(subscriber.waiting)
                message = {"stream": items, "dropped": subscriber.dropped}
                if self._send(client, message):
                    subscriber.waiting.clear()
                    subscriber.dropped = 0

    def _send(self, client: bytes, message: dict[str, Any]) -> bool:
        try:
            is_sent = self._drain.send([client, msgpack.packb(message, default=_plain)])
        except zmq.ZMQError:  # it is gone
            self._subscribers.pop(client, None)
            is_sent = False
        self.undelivered += not is_sent
        return is_sent


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _router(context: zmq.Context[Any], path: Path) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, 1000)
    socket.setsockopt(zmq.RCVHWM, 1000)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    try:
        socket.bind(f"ipc://{path}")
    except zmq.ZMQError:
        socket.close()
        raise
    return socket
