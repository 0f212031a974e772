"""What the service manager hears of the payload, and who may say it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flight.supervisor.core import Core, Finish, Notify
from flight.supervisor.notify import Notifier, without_notification
from flight.supervisor.plan import parse
from tests.flight.support.processes import Payload, wait_for

PLAN = {
    "run_dir": "/run/va",
    "state_dir": "/state/va",
    "payload_id": 3,
    "processes": [],
    "executive": {"argv": ["executive"]},
}


class Manager:
    """Stands for systemd: a datagram socket with a name."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def has_heard(self, text: str) -> bool:
        """True when a notification with this line has come, ever."""
        try:
            while True:
                self.heard += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return text in self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    opened = Manager(tmp_path / "notify")
    yield opened
    opened.close()


def flying() -> Core:
    core = Core(parse(PLAN))
    core.begin(0.0)
    core.started("executive", 77, 0.0)
    return core


def notified(instructions: list[object]) -> list[str]:
    return [i.text for i in instructions if isinstance(i, Notify)]


def test_ready_is_said_once_and_a_new_endpoint_is_a_new_status() -> None:
    core = flying()
    ready = {"endpoint": "tcp://127.0.0.1:5"}
    assert notified([*core.message("ready", ready, 0.1)]) == [
        "READY=1\nSTATUS=payload 3 at tcp://127.0.0.1:5"
    ]
    assert notified([*core.message("ready", ready, 0.2)]) == [
        "STATUS=payload 3 at tcp://127.0.0.1:5"
    ]


@pytest.mark.verifies("VA-EXE-08")
def test_a_stroke_of_the_executive_is_passed_on() -> None:
    assert notified([*flying().message("stroke", {}, 0.1)]) == ["WATCHDOG=1"]


def test_a_beat_alone_is_no_stroke() -> None:
    assert notified([*flying().message("beat", {}, 0.1)]) == []


def test_the_last_words_of_a_killed_executive_are_no_stroke() -> None:
    core = flying()
    core.message("beat", {}, 0.0)
    core.tick(2.5)  # silent: killed
    assert notified([*core.message("stroke", {}, 2.5)]) == []


def test_a_stop_is_announced_and_nothing_is_stroked_after_it() -> None:
    core = flying()
    assert notified([*core.asked_to_stop(1.0)]) == ["STOPPING=1"]
    assert notified([*core.message("stroke", {}, 1.1)]) == []


def test_a_reboot_of_the_payload_is_no_stop_for_the_service_manager() -> None:
    core = flying()
    given = [*core.message("reboot", {}, 1.0), *core.exited(77, 0, 1.1)]
    assert notified(given) == []
    assert Finish(0, reboot=True) in given


def test_nothing_is_sent_where_nobody_asked() -> None:
    notifier = Notifier.from_environment({})
    assert not notifier.send("READY=1")
    notifier.close()


def test_an_address_outside_the_file_system_is_understood() -> None:
    name = f"vanallen-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        notifier = Notifier(f"@{name}")
        assert notifier.send("READY=1")
        assert manager.recv(64) == b"READY=1"
        notifier.close()


def test_a_service_manager_that_is_gone_or_does_not_read_holds_nobody_up(
    tmp_path: Path, manager: Manager
) -> None:
    gone = Notifier(str(tmp_path / "nobody"))
    assert not gone.send("WATCHDOG=1")
    gone.close()
    deaf = Notifier(manager.address)
    assert not all(deaf.send("WATCHDOG=1") for _ in range(100_000))
    deaf.close()


def test_children_are_not_told_where_to_notify() -> None:
    told = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "HOME": "/tmp"}
    assert without_notification(told) == {"HOME": "/tmp"}


def test_systemd_hears_ready_strokes_and_stopping_of_a_real_payload(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    payload = Payload(tmp_path)
    try:
        ready = payload.ready()
        wait_for(lambda: manager.has_heard("READY=1"))
        environment = Path(f"/proc/{ready['executive_pid']}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in environment
        assert not manager.has_heard("WATCHDOG=1")
        payload.order("stroke")
        wait_for(lambda: manager.has_heard("WATCHDOG=1"))
        payload.process.send_signal(signal.SIGTERM)
        wait_for(lambda: manager.has_heard("STOPPING=1"))
        assert payload.stop() == 0
    finally:
        payload.close()
