"""Transfers that break off, and go on where they were."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from examples.session import Session
from ground.client.client import Client, connect
from tests.mission.watching import command_again

pytestmark = pytest.mark.control
SIZE = 8_000_000
Flying = tuple[Session, Client]


@pytest.mark.verifies("VA-FIL-03", "VA-FIL-01", "VA-FIL-02")
def test_a_put_and_a_get_go_on_when_the_ground_server_is_killed_in_the_middle(
    flying: Flying, tmp_path: Path
) -> None:
    session, _ = flying
    original, back = tmp_path / "up.bin", tmp_path / "down.bin"
    original.write_bytes(os.urandom(SIZE))
    for name, way in (("put", (original, "big.bin")), ("get", ("big.bin", back))):
        with connect(session.ground, "payload") as client:
            broken = _broken_transfer(session, client, name, way)
        assert 0 < broken < SIZE
    assert back.read_bytes() == original.read_bytes()


def _broken_transfer(
    session: Session, client: Client, name: str, way: tuple[str | Path, str | Path]
) -> int:
    """Run a transfer whose ground server is killed at a third of it; the octets done by then."""
    middle = threading.Event()
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        if not seen and 0 < total // 3 < done < total:
            seen.append(done)
            middle.set()

    def restart() -> None:
        if middle.wait(60):
            session.end("ground", signal.SIGKILL)
            session.start_ground(wait=False).close()

    other = threading.Thread(target=restart)
    other.start()
    try:
        getattr(client, name)(*way, progress, timeout_s=90)
    finally:
        middle.set()
        other.join()
    return seen[0] if seen else 0


@pytest.mark.verifies("VA-FIL-03")
def test_a_put_and_a_get_go_on_when_the_executive_is_killed_in_the_middle(
    flying: Flying, tmp_path: Path
) -> None:
    session, payload = flying
    original, back = tmp_path / "up.bin", tmp_path / "down.bin"
    original.write_bytes(os.urandom(SIZE))
    killed: list[int] = []

    def kill_once(done: int, total: int) -> None:
        if not killed and done > total // 3:
            killed.append(session.kill_executive())

    payload.put(original, "big.bin", kill_once, timeout_s=90)
    assert killed
    command_again(payload, time.monotonic())
    killed.clear()
    payload.get("big.bin", back, kill_once, timeout_s=90)
    assert killed
    assert back.read_bytes() == original.read_bytes()
