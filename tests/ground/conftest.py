"""A fake payload, a ground server in a thread, and a client of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ground.client.client import Client, connect
from ground.server.config import PayloadConfig, ServerConfig
from ground.server.server import GroundServer
from tests.ground.support.dictionaries import DICTIONARY
from tests.ground.support.fake_payload import KEY, FakePayload

DEADLINE_S = 10.0


class RunningServer:
    """A ground server in a thread with its own loop."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.server: GroundServer | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground server")
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            self._ready.set()

    async def _serve(self) -> None:
        self.loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self.server = GroundServer(self.config)
        try:
            self.server.start()
            self._ready.set()
            await self._ended.wait()
        finally:
            await self.server.finish()

    def close(self) -> None:
        if self._thread.is_alive():
            assert self.loop is not None
            assert self._ended is not None
            self.loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()


def write_keys(path: Path) -> Path:
    """A keys file as flight writes it."""
    path.touch(mode=0o600)
    path.write_text(json.dumps({"slots": {"1": KEY.hex()}}))
    return path


@pytest.fixture
def payload() -> Iterator[FakePayload]:
    fake = FakePayload()
    yield fake
    fake.close()


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a path short enough for a socket."""
    return tmp_path_factory.mktemp("g")


@pytest.fixture
def configure(state: Path, tmp_path: Path) -> Callable[..., ServerConfig]:
    """Makes a server configuration for some payloads."""
    dictionary = tmp_path / "dictionary.json"
    dictionary.write_text(DICTIONARY.to_json())
    keys = write_keys(tmp_path / "keys.json")

    def make(*payloads: FakePayload, **changes: Any) -> ServerConfig:
        settings: dict[str, Any] = {"state": state, "dictionaries": (dictionary,)} | changes
        listed = tuple(
            PayloadConfig(f"lab{fake.payload_id}", fake.endpoint, fake.payload_id, keys)
            for fake in payloads
        )
        return ServerConfig(payloads=listed, **settings)

    return make


@pytest.fixture
def server(configure: Callable[..., ServerConfig], payload: FakePayload) -> Iterator[RunningServer]:
    running = RunningServer(configure(payload))
    yield running
    running.close()


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """A client, once the payload has answered."""
    with connect(server.config.state) as connected:
        connected.dictionary(wait_s=DEADLINE_S)
        yield connected
