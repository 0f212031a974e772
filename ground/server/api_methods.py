"""What clients may ask of the ground server; every wait is anchored on a cursor or a revision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ground.errors import CommandFailed, Forgotten, GroundError, nearest
from ground.server import archive_queries, jobs
from ground.server.api import Api, Method
from ground.server.archive import Archive
from ground.server.config import ServerConfig
from ground.server.payload import Numbers, Payload
from ground.server.transfers import Transfers
from ground.server.verification import WAITABLE, CommandRecord

LONGEST_WAIT_S = 10.0
"""A request waits at most so long; the client asks again, from where it was."""
MOST_ROWS = 2000


class Served(Protocol):
    """What the handlers need of the ground server."""

    started_ns: int

    @property
    def config(self) -> ServerConfig: ...

    @property
    def archive(self) -> Archive: ...

    @property
    def api(self) -> Api | None: ...

    @property
    def numbers(self) -> Numbers: ...

    @property
    def payloads(self) -> Mapping[str, Payload]: ...


class Methods:
    """The handlers of the API, by name."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._transfers = Transfers()

    async def close(self) -> None:
        """End what goes on without a client."""
        await self._transfers.close()

    def table(self) -> dict[str, Method]:
        """Every public handler below, and those of file transfers."""
        handlers: list[Callable[..., Any]] = [
            self.status,
            self.dictionary,
            self.send,
            self.command,
            self.values,
            self.parameters,
            self.events,
            self.reports,
            self.history,
            self.jobs,
            self.submit,
            self.put,
            self.get,
            self.transfer,
            self.files,
        ]
        return {handler.__name__: handler for handler in handlers}

    def _payload(self, name: str | None) -> Payload:
        payloads = self._server.payloads
        if name is None and len(payloads) == 1:
            return next(iter(payloads.values()))
        if name is None:
            raise GroundError(f"which payload? give --payload: {', '.join(payloads)}")
        found = payloads.get(str(name))
        if found is None:
            raise GroundError(f"no payload '{name}'; {nearest(str(name), list(payloads))}")
        return found

    async def status(self) -> dict[str, Any]:
        """The server, its archive, and each payload."""
        server = self._server
        return {
            "state": str(server.config.state),
            "started_ns": server.started_ns,
            "archive": vars(server.archive.state),
            "api": server.api.counts() if server.api else {},
            "payloads": [payload.status() for payload in server.payloads.values()],
        }

    async def dictionary(self, payload: str | None = None, wait_s: float = 0.0) -> str:
        """The dictionary file of a payload, as text."""
        of = self._payload(payload)
        await of.changed.wait_for(lambda: of.dictionary is not None, _bounded(wait_s))
        if of.dictionary is None:
            raise GroundError(of.why_no_dictionary())
        return of.dictionary.to_json()

    async def send(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        payload: str | None = None,
        wait: str = "completed",
        wait_s: float = LONGEST_WAIT_S,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Send a telecommand; answers once it reached the stage `wait`, ended, or `wait_s`."""
        if wait not in WAITABLE:
            raise GroundError(f"cannot wait for '{wait}'; give one of {', '.join(WAITABLE)}")
        of = self._payload(payload)
        record = of.send(of.request(name, arguments or {}), timeout_s=timeout_s)
        return await _reached(of, record, wait, wait_s)

    async def command(
        self,
        id: int,
        payload: str | None = None,
        revision: int = 0,
        wait: str = "",
        wait_s: float = 0.0,
    ) -> dict[str, Any]:
        """A command's record, once it reached `wait` or changed since `revision`, or `wait_s`."""
        of = self._payload(payload)
        record = of.records.get(id)
        if record is None:
            raise Forgotten(f"command {id} is not of this server's run; see: ground history")
        if wait:
            return await _reached(of, record, wait, wait_s)
        await of.changed.wait_for(
            lambda: record.revision > revision or record.is_settled, _bounded(wait_s)
        )
        return _shown(record)

    async def values(
        self,
        component: str | None = None,
        payload: str | None = None,
        after: int = 0,
        wait_s: float = 0.0,
    ) -> dict[str, Any]:
        """Current housekeeping values newer than a cursor, once there are some."""
        of = self._payload(payload)
        if component is not None and of.dictionary is not None:
            known = [c.name for c in of.dictionary.components if c.housekeeping]
            if component not in known:
                raise GroundError(f"no housekeeping of '{component}'; {nearest(component, known)}")
        newer = of.housekeeping
        await of.changed.wait_for(
            lambda: any(
                latest.cursor > after and component in (None, name)
                for name, latest in newer.items()
            ),
            _bounded(wait_s),
        )
        return {"rows": of.values(component, after), "cursor": self._server.numbers.cursor - 1}

    async def parameters(
        self, component: str, payload: str | None = None, wait_s: float = LONGEST_WAIT_S
    ) -> list[dict[str, Any]]:
        """Ask a component for its parameters; their values."""
        of = self._payload(payload)
        record = of.send(of.request(f"{component}.parameters", {}))
        await _reached(of, record, "completed", wait_s)
        if record.state != "completed":
            raise CommandFailed(f"{record.name}: {record.reason}", _shown(record))
        after = record.cursor
        await of.changed.wait_for(lambda: bool(of.parameter_values(component, after)), wait_s)
        return of.parameter_values(component, after)

    async def events(
        self,
        payload: str | None = None,
        after: int | None = None,
        severity: int = 1,
        limit: int = MOST_ROWS,
        wait_s: float = 0.0,
    ) -> dict[str, Any]:
        """Events after a cursor, oldest first; without `after` only the present cursor."""
        of = self._payload(payload)
        if after is None:
            return {"events": [], "cursor": self._server.numbers.cursor - 1}
        listed = await self._events_after(of, after, limit)
        if not listed and wait_s:
            await of.changed.wait_for(
                lambda: bool(of.events) and of.events[-1]["cursor"] > after, _bounded(wait_s)
            )
            listed = await self._events_after(of, after, limit)
        cursor = listed[-1]["cursor"] if listed else after
        return {"events": [e for e in listed if e["severity"] >= severity], "cursor": cursor}

    async def _events_after(self, of: Payload, after: int, limit: int) -> list[dict[str, Any]]:
        """From memory where it reaches back so far, else from the archive and then memory."""
        limit = max(1, min(limit, MOST_ROWS))
        if after >= of.events_since:
            return [event for event in of.events if event["cursor"] > after][:limit]
        path = self._server.config.archive_path
        query = archive_queries.events
        listed = await asyncio.to_thread(query, path, of.payload_id, after, limit)
        last = listed[-1]["cursor"] if listed else after
        return (listed + [e for e in of.events if e["cursor"] > last])[:limit]

    async def reports(
        self, name: str, payload: str | None = None, after: int = 0, wait_s: float = 0.0
    ) -> dict[str, Any]:
        """Component reports of one name after a cursor, oldest first."""
        of = self._payload(payload)
        await of.changed.wait_for(lambda: bool(of.reports_after(name, after)), _bounded(wait_s))
        found = of.reports_after(name, after)[:MOST_ROWS]
        rows = [{"cursor": cursor} | row for cursor, row in found]
        return {"rows": rows, "cursor": found[-1][0] if found else after}

    async def history(self, payload: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """The newest telecommands, oldest first, those under way included."""
        of = self._payload(payload)
        await asyncio.to_thread(self._server.archive.flush)
        path = self._server.config.archive_path
        rows = await asyncio.to_thread(
            archive_queries.commands, path, of.payload_id, max(1, min(limit, MOST_ROWS))
        )
        newest = {row["id"]: row for row in rows}
        for record in of.records.values():
            if not record.is_quiet and (record.id in newest or self._is_unwritten(record)):
                newest[record.id] = _shown(record)
        return [newest[number] for number in sorted(newest)][-limit:]

    def _is_unwritten(self, record: CommandRecord) -> bool:
        return record.queued_ns >= self._server.started_ns

    async def jobs(
        self,
        payload: str | None = None,
        after: int = 0,
        wait_s: float = 0.0,
        refresh: bool = False,
    ) -> dict[str, Any]:
        """The jobs that the payload told of; waits for one that changed after a cursor."""
        of = self._payload(payload)
        if refresh or not jobs.rows(of):
            await jobs.refresh(of, LONGEST_WAIT_S)
        await of.changed.wait_for(lambda: bool(jobs.rows(of, after)), _bounded(wait_s))
        return {"rows": jobs.rows(of), "cursor": self._server.numbers.cursor - 1}

    async def submit(
        self,
        job: str,
        arguments: dict[str, Any] | None = None,
        payload: str | None = None,
        priority: int | None = None,
        wall_s: int | None = None,
        memory_mb: int | None = None,
        protection: str | None = None,
        wait_s: float = LONGEST_WAIT_S,
    ) -> dict[str, Any]:
        """Submit a job by the name and arguments of its fragment."""
        of = self._payload(payload)
        limits = {"priority": priority, "wall_s": wall_s, "memory_mb": memory_mb}
        chosen: dict[str, int | str | None] = {**limits, "protection": protection}
        record = of.send(jobs.submit_request(of, job, arguments or {}, chosen))
        return await _reached(of, record, "completed", wait_s)

    async def put(self, local: str, remote: str, payload: str | None = None) -> dict[str, Any]:
        """Begin to send a local file up; answers the transfer's state."""
        return self._transfers.begin_put(self._payload(payload), local, remote)

    async def get(self, remote: str, local: str, payload: str | None = None) -> dict[str, Any]:
        """Begin to fetch a file; answers the transfer's state."""
        return self._transfers.begin_get(self._payload(payload), remote, local)

    async def transfer(self, id: int, revision: int = 0, wait_s: float = 0.0) -> dict[str, Any]:
        """A transfer's state, once it changed since `revision`."""
        return await self._transfers.state(id, revision, _bounded(wait_s))

    async def files(self, path: str = "", payload: str | None = None) -> list[dict[str, Any]]:
        """List a folder of the payload's file store."""
        return await self._transfers.listing(self._payload(payload), path)


def _bounded(wait_s: float) -> float:
    return max(0.0, min(float(wait_s), LONGEST_WAIT_S))


async def _reached(
    payload: Payload, record: CommandRecord, stage: str, wait_s: float
) -> dict[str, Any]:
    await payload.changed.wait_for(lambda: record.has_reached(stage), _bounded(wait_s))
    return _shown(record)


def _shown(record: CommandRecord) -> dict[str, Any]:
    return record.as_dict() | {"is_settled": record.is_settled}
