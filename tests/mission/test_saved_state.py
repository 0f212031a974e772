"""What an executive makes of saved state and keys that are damaged, or that nobody can read."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.session import Session
from flight.framework.clock import computer_boot_id
from ground.client.client import Client
from tests.mission.watching import command_again

Flying = tuple[Session, Client]
pytestmark = pytest.mark.control


def _restart(session: Session, meanwhile: Callable[[], object]) -> None:
    """End the executive, do something while none runs, and wait for the next."""
    pid = session.ready()["executive_pid"]
    os.kill(pid, signal.SIGSTOP)
    meanwhile()
    os.kill(pid, signal.SIGKILL)
    session.ready(after_pid=pid)


def _starts(session: Session) -> int:
    return (session.run / "supervisor.log").read_text().count("started executive")


def _boots(payload: Client) -> int:
    payload.send("executive.hk_now")
    return int(payload.values("executive", wait_s=5.0)["executive.boots"].raw)


@pytest.mark.verifies("VA-EXE-09")
def test_numbers_that_make_no_sense_keep_nobody_from_flying(flying: Flying) -> None:
    session, payload = flying
    clock = {"boot_id": computer_boot_id(), "offset": 10**30, "ceiling": -1}
    port = {"endpoint": session.ready()["endpoint"]}  # ground goes on asking there
    wild = {"format": 1, "boots": 10**12, "clock": clock, "replay": {"1": -5}, **port}

    def spoil() -> None:
        for name in ("executive.json", "executive.backup.json"):
            (session.state / name).write_text(json.dumps(wild))

    cursor = payload.cursor()
    _restart(session, spoil)
    command_again(payload, time.monotonic())
    assert _starts(session) == 2
    assert "boots" in payload.expect_event("executive.state_lost", after=cursor).text


@pytest.mark.verifies("VA-SEC-02")
def test_a_damaged_state_file_is_read_from_its_second_copy(flying: Flying) -> None:
    session, payload = flying
    path = session.state / "executive.json"
    before = _boots(payload)

    def flip() -> None:
        octets = bytearray(path.read_bytes())
        octets[octets.index(b"boots") + 9] ^= 1
        path.write_bytes(octets)

    cursor = payload.cursor()
    _restart(session, flip)
    command_again(payload, time.monotonic())
    assert _boots(payload) == before + 1
    booted = payload.expect_event("executive.booted", after=cursor)
    assert "second copy" in booted.arguments["reason"]


def test_a_keys_file_that_cannot_be_read_is_said_and_costs_no_restart(flying: Flying) -> None:
    session, payload = flying
    path: Path = session.state / "keys.json"
    keys = json.loads(path.read_text())
    cursor = payload.cursor()
    keys["slots"] |= {"3": "00", "x": 5}
    _restart(session, lambda: path.write_text(json.dumps(keys)))
    command_again(payload, time.monotonic())
    assert _starts(session) == 2
    said = payload.expect_event("executive.state_lost", after=cursor).text
    assert "slot 3" in said


@pytest.mark.verifies("VA-SEC-02")
def test_an_executive_that_finds_storage_hung_replaces_it_and_loses_nothing(
    flying: Flying,
) -> None:
    session, payload = flying
    before = _boots(payload)
    storage = session.ready()["workers"]["storage"]
    _restart(session, lambda: os.kill(storage, signal.SIGSTOP))
    command_again(payload, time.monotonic())
    assert _boots(payload) == before + 1
    assert session.ready()["workers"]["storage"] != storage
