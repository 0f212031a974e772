"""File transfers of the server: begun by a request, carried on without it, watched by revision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ground.errors import Forgotten, GroundError, TransferFailed
from ground.server import file_transfer as files
from ground.server.payload import Payload
from ground.server.wakeup import Wakeup
from icd.files import opened

MOST_KEPT = 100


@dataclass
class Transfer:
    """One put or get; `state` is running, done or failed."""

    id: int
    payload: str
    direction: str
    remote: str
    local: str
    state: str = "running"
    done: int = 0
    total: int = 0
    reason: str = ""
    revision: int = 0
    changed: Wakeup = field(default_factory=Wakeup, repr=False)

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "changed"}

    def advance(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.revision += 1
        self.changed.fire()

    def end(self, state: str, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self.revision += 1
        self.changed.fire()


class Transfers:
    """All transfers of this server's run."""

    def __init__(self) -> None:
        self._transfers: dict[int, Transfer] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._next = 1

    def begin_put(self, payload: Payload, local: str, remote: str) -> dict[str, Any]:
        """Start to send `local` up as `remote`."""
        try:
            opened(Path(local)).close()
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise TransferFailed(f"cannot read {local} on this computer: {said}") from None
        return self._begin(
            payload,
            "put",
            remote,
            local,
            lambda progress: files.put(payload, Path(local), remote, progress),
        )

    def begin_get(self, payload: Payload, remote: str, local: str) -> dict[str, Any]:
        """Start to fetch `remote` as `local`."""
        if not Path(local).absolute().parent.is_dir():
            raise TransferFailed(f"no folder {Path(local).parent} on this computer; make it first")
        return self._begin(
            payload,
            "get",
            remote,
            local,
            lambda progress: files.get(payload, remote, Path(local), progress),
        )

    async def state(self, number: int, revision: int, wait_s: float) -> dict[str, Any]:
        """A transfer, once it is beyond `revision` or ended."""
        transfer = self._transfers.get(number)
        if transfer is None:
            raise Forgotten(f"transfer {number} is not of this server's run; start it again")
        await transfer.changed.wait_for(
            lambda: transfer.revision > revision or transfer.state != "running", wait_s
        )
        return transfer.as_dict()

    async def listing(self, payload: Payload, path: str) -> list[dict[str, Any]]:
        return await files.listing(payload, path)

    async def close(self) -> None:
        """End what runs; it can be resumed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self,
        payload: Payload,
        direction: str,
        remote: str,
        local: str,
        work: Callable[[files.Progress], Coroutine[Any, Any, dict[str, Any]]],
    ) -> dict[str, Any]:
        files.component_of(payload.dictionary)
        for other in self._transfers.values():
            same = (other.payload, other.direction, other.remote, other.local)
            if other.state == "running" and same == (payload.name, direction, remote, local):
                return other.as_dict()
        transfer = Transfer(self._next, payload.name, direction, remote, local)
        self._next += 1
        self._transfers[transfer.id] = transfer
        while len(self._transfers) > MOST_KEPT:
            oldest = next((n for n, t in self._transfers.items() if t.state != "running"), None)
            if oldest is None:
                break
            del self._transfers[oldest]
        task = asyncio.get_running_loop().create_task(self._run(transfer, work))
        self._tasks[transfer.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(transfer.id, None))
        return transfer.as_dict()

    async def _run(
        self,
        transfer: Transfer,
        work: Callable[[files.Progress], Coroutine[Any, Any, dict[str, Any]]],
    ) -> None:
        try:
            await work(transfer.advance)
        except (GroundError, OSError) as error:
            transfer.end("failed", str(error))
        except asyncio.CancelledError:
            transfer.end("failed", "the ground server ended; start it again to resume")
            raise
        else:
            transfer.end("done")
