"""The ground server: links, payloads, archive and API in one asyncio loop."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

import zmq

from ground import clock
from ground.errors import ConfigurationError
from ground.server import archive_queries
from ground.server.api import Api
from ground.server.api_methods import Methods
from ground.server.archive import Archive
from ground.server.config import PayloadConfig, ServerConfig, key_of
from ground.server.dictionaries import DictionaryStore
from ground.server.link import LinkSettings, PayloadLink
from ground.server.link_sequence import LinkSequence, replace_durably
from ground.server.payload import Numbers, Payload
from ground.server.verification import CommandRecord

EXPIRE_S = 0.1
STEP_NS = 500_000_000
"""A date that moved by so much between two looks was set."""


class GroundServer:
    """Owns everything; `start` inside a running loop, then `close`."""

    def __init__(self, config: ServerConfig, wall_ns: Callable[[], int] = clock.wall_ns) -> None:
        """Opens the state folder; raises ConfigurationError when it cannot be used."""
        self.config = config
        self._keys = {p.name: key_of(p, insecure=config.insecure) for p in config.payloads}
        self._lock = _lock(config.state)
        try:
            self.dictionaries = DictionaryStore(config.state / "dictionaries", config.dictionaries)
            self.archive = Archive(config.archive_path)
        except BaseException:
            self._lock.close()
            raise
        self.started_ns = wall_ns()
        path = config.archive_path
        self.numbers = Numbers(
            wall_ns,
            archive_queries.next_sequence(path),
            archive_queries.next_command_id(path),
            archive_queries.last_counts(path),
        )
        self.payloads: dict[str, Payload] = {}
        self.api: Api | None = None
        self.methods: Methods | None = None
        self._context: zmq.Context[Any] | None = None
        self._ahead: int | None = None
        """How far the date is ahead of the monotonic clock, in ns, as last seen."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Open the links and the API; from then on everything happens in the running loop."""
        self._context = zmq.Context()
        for config in self.config.payloads:
            self.payloads[config.name] = self._open(config)
        self.methods = Methods(self)
        self.api = Api(self._context, self.config.api_path, self.methods.table())
        about = {"endpoint": f"ipc://{self.config.api_path}", "pid": os.getpid()}
        replace_durably(self.config.state / "server.json", json.dumps(about).encode())
        self._expire()

    async def finish(self) -> None:
        """End transfers, then `close`."""
        if self.methods is not None:
            await self.methods.close()
        self.close()

    def close(self) -> None:
        """Close links and API, write what waits, unlock the state folder."""
        if self._timer is not None:
            self._timer.cancel()
        if self.api is not None:
            self.api.close()
        for payload in self.payloads.values():
            if payload.link is not None:
                payload.link.close()
        if self._context is not None:
            self._context.destroy(linger=0)
        self.archive.close()
        for name in ("server.json", "api"):
            (self.config.state / name).unlink(missing_ok=True)
        self._lock.close()

    def publish(self, payload: str, topic: str, value: Any) -> None:
        if self.api is not None:
            self.api.publish(payload, topic, value)

    def _open(self, config: PayloadConfig) -> Payload:
        assert self._context is not None
        slot, key = self._keys[config.name]
        settings = LinkSettings(config.name, config.endpoint, config.payload_id, slot, key)
        payload = Payload(
            config.name,
            config.payload_id,
            self.archive,
            self.numbers,
            self.dictionaries,
            self.publish,
        )
        sequence = LinkSequence(
            self.config.state / "links" / f"payload-{config.payload_id}-slot-{slot}.sequence",
            self.numbers.wall_ns() // 1000,
        )
        try:
            payload.link = PayloadLink(
                self._context, settings, sequence, payload.ingest, payload.identified
            )
        except zmq.ZMQError as error:
            raise ConfigurationError(
                f"payload '{config.name}': '{config.endpoint}' is no endpoint ({error}); "
                "write tcp://HOST:PORT, or tcp://[::1]:PORT for an IPv6 address"
            ) from error
        known = {f.name for f in fields(CommandRecord)}
        path = self.config.archive_path
        for row in archive_queries.commands(path, config.payload_id, 4096, pending=True):
            record = CommandRecord(**{k: v for k, v in row.items() if k in known})
            record.stages = [(stage, time) for stage, time in record.stages]
            payload.resume(record)
        return payload

    def _expire(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EXPIRE_S, self._expire)
        now = self.numbers.wall_ns()
        ahead = now - round(clock.monotonic() * 1e9)
        step, self._ahead = ahead - (self._ahead or ahead), ahead
        for payload in self.payloads.values():
            if abs(step) >= STEP_NS:
                payload.tracker.shift(step)
            payload.tracker.expire(now)


def _lock(state: Path) -> TextIO:
    """The state folder, private and ours alone while the file is open."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if mode := stat.S_IMODE(state.stat().st_mode) & 0o077:
            raise ConfigurationError(
                f"others can look into {state} (mode {0o700 | mode:o}); write: chmod 700 {state}, "
                "or give a --state of this server's own"
            )
        lock = (state / "lock").open("a+")
    except OSError as error:
        raise ConfigurationError(
            f"cannot use {state}: {error.strerror}; give another --state"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ConfigurationError(
            f"another ground server already uses {state}; give this one its own --state"
        ) from None
    return lock
