"""The synchronous client of a ground server: `with connect("STATE") as payload: …`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import zmq

from ground import clock
from ground.client import calls
from ground.client import connection as wire
from ground.client.calls import Ask, Call, Progress, Stages
from ground.client.results import CommandResult, Event, Value
from icd.dictionary import Dictionary

T = TypeVar("T")
LONG_S = 3600.0


def connect(server: str | Path | None = None, payload: str | None = None) -> Client:
    """A client of the server with that state folder (None: $VANALLEN_GROUND).

    `payload` names the payload where the server knows several. Raises NoServer.
    """
    client = Client(wire.endpoint_of(server), payload)
    try:
        client.status()
    except BaseException:
        client.close()
        raise
    return client


class Client:
    """One connection; not to be shared between threads. Close it, or use it in a `with`."""

    def __init__(self, endpoint: str, payload: str | None = None) -> None:
        self.payload = payload
        self.endpoint = endpoint
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = wire.open_socket(self._context, endpoint)
        self._number = 0
        self._streamed: deque[tuple[str, str, Any]] = deque(maxlen=100_000)
        self.dropped = 0
        """Streamed items that were lost because this client was too slow."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()

    # ---- telecommands

    def cmd(
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
        """Send `COMPONENT.COMMAND` and wait for a stage: sent, accepted, started or completed.

        Raises CommandRefused before sending what the dictionary does not admit, LinkDown when no
        payload answers, and, unless `check` is False, CommandFailed when it did not get there.
        For arguments named like one of ours there is `send`.
        """
        return self.send(
            name, arguments, wait=wait, timeout_s=timeout_s, check=check, on_stage=on_stage
        )

    def send(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        wait: str = "completed",
        timeout_s: float | None = None,
        check: bool = True,
        on_stage: Stages | None = None,
    ) -> CommandResult:
        """Like `cmd`, with the arguments in a mapping; texts are read as their types."""
        ask = send_ask(self.payload, name, arguments, wait, timeout_s, on_stage)
        return self._run(calls.command(ask, self.payload, wait, timeout_s, check, on_stage))

    def ping(self, timeout_s: float = 5.0) -> CommandResult:
        """Ping (17,1) the payload's executive."""
        return self.cmd("ping", timeout_s=timeout_s)

    def submit(
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
        """Submit a job by its name; the id is in the result: `.result["job"]`.

        `protection` is none, abft, dmr, tmr or adaptive (None).
        """
        limits = {"priority": priority, "wall_s": wall_s, "memory_mb": memory_mb}
        ask = calls.submit_ask(self.payload, job, arguments, limits, protection)
        return self._run(calls.command(ask, self.payload, "completed", None, check, None))

    def history(self, limit: int = 50) -> list[CommandResult]:
        """The newest telecommands, oldest first."""
        rows = self._run(calls.simple("history", {"payload": self.payload, "limit": limit}))
        return [CommandResult.of(row) for row in rows]

    # ---- telemetry

    def cursor(self) -> int:
        """The cursor of the newest packet, to anchor a wait on."""
        return self._run(calls.cursor(self.payload))

    def events(
        self, after: int = 0, *, severity: int = 1, limit: int = 2000, wait_s: float = 0.0
    ) -> list[Event]:
        """Events after a cursor, oldest first; with `wait_s`, waits so long for the first."""
        return self._run(calls.events(self.payload, after, severity, limit, wait_s))

    def expect_event(
        self,
        name: str,
        *,
        where: Mapping[str, Any] | None = None,
        after: int | None = None,
        timeout_s: float = 10.0,
    ) -> Event:
        """The first such event after a cursor (None: from now on); raises TimedOut."""
        return self._run(calls.expect_event(self.payload, name, where or {}, after, timeout_s))

    def values(
        self, component: str | None = None, *, after: int = 0, wait_s: float = 0.0
    ) -> dict[str, Value]:
        """Current housekeeping by full name ("board.power"), newer than a cursor."""
        return self._run(calls.values(self.payload, component, after, wait_s))

    def parameters(self, component: str) -> dict[str, Value]:
        """Ask a component for its parameters; set them with `cmd("COMPONENT.set", …)`."""
        return self._run(calls.parameters(self.payload, component))

    def wait_value(
        self,
        name: str,
        wanted: Any,
        *,
        comparison: str = "==",
        after: int | None = None,
        timeout_s: float = 10.0,
    ) -> Value:
        """Wait until a value compares as wanted, or `wanted(value)` is true; raises TimedOut.

        Only values after the cursor count (None: from now on; 0: the present one, too).
        """
        call = calls.wait_value(self.payload, name, wanted, comparison, after, timeout_s)
        return self._run(call)

    def reports(self, name: str, *, after: int = 0, wait_s: float = 0.0) -> dict[str, Any]:
        """Component reports of a name after a cursor: {"rows": […], "cursor": …}."""
        args = {"payload": self.payload, "name": name, "after": after, "wait_s": wait_s}
        call = calls.simple("reports", args, wait_s)
        return dict(self._run(call))

    def jobs(
        self, *, after: int = 0, wait_s: float = 0.0, refresh: bool = False
    ) -> list[dict[str, Any]]:
        """The jobs that the payload told of, by id; waits for a change after a cursor. `refresh`
        (and knowing none) asks the payload for all of them."""
        args = {"payload": self.payload, "after": after, "wait_s": wait_s, "refresh": refresh}
        return list(self._run(calls.simple("jobs", args, wait_s + calls.POLL_S))["rows"])

    # ---- files

    def put(
        self,
        local: str | Path,
        remote: str,
        progress: Progress | None = None,
        *,
        timeout_s: float = LONG_S,
    ) -> dict[str, Any]:
        """Send a file up, resuming one that broke off; raises TransferFailed."""
        args = {"payload": self.payload, "local": calls.absolute(local), "remote": remote}
        return self._run(calls.transfer("put", args, progress, timeout_s))

    def get(
        self,
        remote: str,
        local: str | Path,
        progress: Progress | None = None,
        *,
        timeout_s: float = LONG_S,
    ) -> dict[str, Any]:
        """Fetch a file, resuming one that broke off; `local` exists only when it is whole."""
        args = {"payload": self.payload, "remote": remote, "local": calls.absolute(local)}
        return self._run(calls.transfer("get", args, progress, timeout_s))

    def files(self, path: str = "") -> list[dict[str, Any]]:
        """List a folder of the payload's file store."""
        return list(self._run(calls.simple("files", {"payload": self.payload, "path": path}, 10.0)))

    # ---- the server

    def status(self) -> dict[str, Any]:
        """The server, its archive, and each payload."""
        return dict(self._run(calls.simple("status", {})))

    def dictionary(self, wait_s: float = 0.0) -> Dictionary:
        """The dictionary of the payload, once it is known."""
        call = calls.simple("dictionary", {"payload": self.payload, "wait_s": wait_s}, wait_s)
        return Dictionary.from_json(self._run(call))

    def subscribe(self, *topics: str) -> None:
        """Have event, command, identity or packets pushed; none ends it. Read with `stream`."""
        self._run(calls.simple("subscribe", {"topics": list(topics), "payload": self.payload}))

    def stream(self, timeout_s: float = 1.0) -> list[tuple[str, str, Any]]:
        """What was pushed: (payload, topic, value); waits for the first. Losses: `dropped`."""
        deadline = clock.monotonic() + timeout_s
        while not self._streamed and (left := deadline - clock.monotonic()) > 0:
            self._receive(left)
        items = list(self._streamed)
        self._streamed.clear()
        return items

    # ---- how requests travel

    def _run(self, call: Call[T]) -> T:
        try:
            ask = next(call)
            while True:
                try:
                    reply = self._request(ask)
                except Exception as error:
                    ask = call.throw(error)
                else:
                    ask = call.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value

    def _request(self, ask: Ask) -> Any:
        self._number += 1
        self._socket.send(wire.pack(self._number, ask))
        deadline = clock.monotonic() + ask.wait_s + wire.GRACE_S
        while (left := deadline - clock.monotonic()) > 0:
            message = self._receive(left)
            if message.get("id") == self._number:
                return wire.value_of(message)
        raise wire.no_answer(self.endpoint, ask)

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        if not self._socket.poll(max(1, int(timeout_s * 1000))):
            return {}
        message = wire.unpack(self._socket.recv())
        if "stream" in message:
            self._streamed.extend((p, topic, value) for p, topic, value in message["stream"])
            self.dropped += message["dropped"]
        return message


def send_ask(
    payload: str | None,
    name: str,
    arguments: Mapping[str, Any] | None,
    wait: str,
    timeout_s: float | None,
    on_stage: Stages | None,
) -> Ask:
    """The request that sends a telecommand; with stages to be shown it is answered at once."""
    wait_s = 0.0 if on_stage is not None else min(calls.POLL_S, timeout_s or calls.POLL_S)
    args = {
        "payload": payload,
        "name": name,
        "arguments": dict(arguments or {}),
        "wait": wait,
        "wait_s": wait_s,
        "timeout_s": timeout_s,
    }
    return Ask("send", args, wait_s)
