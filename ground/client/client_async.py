"""The asyncio client: the same calls as the sync one, awaited; many may be under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import zmq

from ground.client import calls
from ground.client import connection as wire
from ground.client.calls import Ask, Call, Progress, Stages
from ground.client.client import LONG_S, send_ask
from ground.client.results import CommandResult, Event, Value
from ground.zmq_asyncio import SocketDrain
from icd.dictionary import Dictionary

T = TypeVar("T")


async def connect_async(
    server: str | Path | None = None, payload: str | None = None
) -> AsyncClient:
    """An asyncio client of the server with that state folder (None: $VANALLEN_GROUND)."""
    client = AsyncClient(wire.endpoint_of(server), payload)
    try:
        await client.status()
    except BaseException:
        client.close()
        raise
    return client


class AsyncClient:
    """One connection in the running loop; `ground.client.client.Client` says what a call does."""

    def __init__(self, endpoint: str, payload: str | None = None) -> None:
        self.payload = payload
        self.endpoint = endpoint
        self._context: zmq.Context[Any] = zmq.Context()
        socket = wire.open_socket(self._context, endpoint)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._streamed: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue(100_000)
        self._number = 0
        self.dropped = 0
        self._drain = SocketDrain(socket, self._receive)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._drain.close()
        self._context.term()

    async def cmd(
        self,
        name: str,
        /,
        *,
        wait: str = "completed",
        timeout_s: float | None = None,
        check: bool = True,
        on_stage: Stages | None = None,
        **arguments: Any,
    ) -> CommandResult:
        """Send a telecommand and wait for a stage."""
        return await self.send(
            name, arguments, wait=wait, timeout_s=timeout_s, check=check, on_stage=on_stage
        )

    async def send(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        wait: str = "completed",
        timeout_s: float | None = None,
        check: bool = True,
        on_stage: Stages | None = None,
    ) -> CommandResult:
        """Like `cmd`, with the arguments in a mapping."""
        ask = send_ask(self.payload, name, arguments, wait, timeout_s, on_stage)
        return await self._run(calls.command(ask, self.payload, wait, timeout_s, check, on_stage))

    async def ping(self, timeout_s: float = 5.0) -> CommandResult:
        """Ping (17,1) the payload's executive."""
        return await self.cmd("ping", timeout_s=timeout_s)

    async def submit(
        self,
        job: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        priority: int | None = None,
        wall_s: int | None = None,
        memory_mb: int | None = None,
        protection: str | None = None,
        check: bool = True,
    ) -> CommandResult:
        """Submit a job by its name; `protection` is none, abft, dmr, tmr or adaptive (None)."""
        limits = {"priority": priority, "wall_s": wall_s, "memory_mb": memory_mb}
        ask = calls.submit_ask(self.payload, job, arguments, limits, protection)
        return await self._run(calls.command(ask, self.payload, "completed", None, check, None))

    async def history(self, limit: int = 50) -> list[CommandResult]:
        """The newest telecommands, oldest first."""
        args = {"payload": self.payload, "limit": limit}
        return [CommandResult.of(row) for row in await self._run(calls.simple("history", args))]

    async def cursor(self) -> int:
        """The cursor of the newest packet."""
        return await self._run(calls.cursor(self.payload))

    async def events(
        self, after: int = 0, *, severity: int = 1, limit: int = 2000, wait_s: float = 0.0
    ) -> list[Event]:
        """Events after a cursor, oldest first."""
        return await self._run(calls.events(self.payload, after, severity, limit, wait_s))

    async def expect_event(
        self,
        name: str,
        *,
        where: Mapping[str, Any] | None = None,
        after: int | None = None,
        timeout_s: float = 10.0,
    ) -> Event:
        """The first such event after a cursor; raises TimedOut."""
        call = calls.expect_event(self.payload, name, where or {}, after, timeout_s)
        return await self._run(call)

    async def values(
        self, component: str | None = None, *, after: int = 0, wait_s: float = 0.0
    ) -> dict[str, Value]:
        """Current housekeeping by full name."""
        return await self._run(calls.values(self.payload, component, after, wait_s))

    async def parameters(self, component: str) -> dict[str, Value]:
        """Ask a component for its parameters; set them with `cmd("COMPONENT.set", …)`."""
        return await self._run(calls.parameters(self.payload, component))

    async def wait_value(
        self,
        name: str,
        wanted: Any,
        *,
        comparison: str = "==",
        after: int | None = None,
        timeout_s: float = 10.0,
    ) -> Value:
        """Wait until a value is as wanted; raises TimedOut."""
        call = calls.wait_value(self.payload, name, wanted, comparison, after, timeout_s)
        return await self._run(call)

    async def reports(self, name: str, *, after: int = 0, wait_s: float = 0.0) -> dict[str, Any]:
        """Component reports of a name after a cursor."""
        args = {"payload": self.payload, "name": name, "after": after, "wait_s": wait_s}
        return dict(await self._run(calls.simple("reports", args, wait_s)))

    async def jobs(
        self, *, after: int = 0, wait_s: float = 0.0, refresh: bool = False
    ) -> list[dict[str, Any]]:
        """The jobs that the payload told of, by id."""
        args = {"payload": self.payload, "after": after, "wait_s": wait_s, "refresh": refresh}
        return list((await self._run(calls.simple("jobs", args, wait_s + calls.POLL_S)))["rows"])

    async def put(
        self,
        local: str | Path,
        remote: str,
        progress: Progress | None = None,
        *,
        timeout_s: float = LONG_S,
    ) -> dict[str, Any]:
        """Send a file up; raises TransferFailed."""
        args = {"payload": self.payload, "local": calls.absolute(local), "remote": remote}
        return await self._run(calls.transfer("put", args, progress, timeout_s))

    async def get(
        self,
        remote: str,
        local: str | Path,
        progress: Progress | None = None,
        *,
        timeout_s: float = LONG_S,
    ) -> dict[str, Any]:
        """Fetch a file; raises TransferFailed."""
        args = {"payload": self.payload, "remote": remote, "local": calls.absolute(local)}
        return await self._run(calls.transfer("get", args, progress, timeout_s))

    async def files(self, path: str = "") -> list[dict[str, Any]]:
        """List a folder of the payload's file store."""
        args = {"payload": self.payload, "path": path}
        return list(await self._run(calls.simple("files", args, 10.0)))

    async def status(self) -> dict[str, Any]:
        """The server, its archive, and each payload."""
        return dict(await self._run(calls.simple("status", {})))

    async def dictionary(self, wait_s: float = 0.0) -> Dictionary:
        """The dictionary of the payload, once it is known."""
        args = {"payload": self.payload, "wait_s": wait_s}
        return Dictionary.from_json(await self._run(calls.simple("dictionary", args, wait_s)))

    async def subscribe(self, *topics: str) -> None:
        """Have event, command, identity or packets pushed; none ends it. Read with `next_item`."""
        args = {"topics": list(topics), "payload": self.payload}
        await self._run(calls.simple("subscribe", args))

    async def next_item(self) -> tuple[str, str, Any]:
        """The next pushed (payload, topic, value)."""
        return await self._streamed.get()

    async def _run(self, call: Call[T]) -> T:
        try:
            ask = next(call)
            while True:
                try:
                    reply = await self._request(ask)
                except Exception as error:
                    ask = call.throw(error)
                else:
                    ask = call.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _request(self, ask: Ask) -> Any:
        self._number += 1
        number = self._number
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._drain.send([wire.pack(number, ask)])
            reply = await asyncio.wait_for(answer, ask.wait_s + wire.GRACE_S)
        except asyncio.TimeoutError:
            raise wire.no_answer(self.endpoint, ask) from None
        finally:
            del self._answers[number]
        return wire.value_of(reply)

    def _receive(self, batch: list[bytes]) -> None:
        for octets in batch:
            message = wire.unpack(octets)
            answer = self._answers.get(message.get("id", 0))
            if answer is not None and not answer.done():
                answer.set_result(message)
            self.dropped += message.get("dropped", 0)
            for payload, topic, value in message.get("stream", ()):
                if self._streamed.full():
                    self._streamed.get_nowait()
                    self.dropped += 1
                self._streamed.put_nowait((payload, topic, value))
