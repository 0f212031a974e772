"""How payloads start, what they refuse to start on, and that they leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.session import Session
from ground.client.client import Client, connect
from ground.errors import LinkDown
from icd.reports import Stage
from tests.mission.conftest import cleanly, start
from tests.mission.station import Station
from tests.mission.watching import command_again, is_alive, run, until

pytestmark = pytest.mark.control
Measured = Callable[[str, float], None]


def _refusal(*words: str) -> str:
    """What `flight run` says when it does not start."""
    done = run("flight", "run", *words, timeout_s=90)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_payload_is_ready_soon_after_its_start(session: Session, measured: Measured) -> None:
    since = time.monotonic()
    start(session)
    took = time.monotonic() - since
    measured("flight run, until it is ready", took)


@pytest.mark.verifies("VA-SUP-06")
def test_a_second_start_on_the_same_run_directory_is_refused_with_a_sentence(
    session: Session,
) -> None:
    start(session)
    pid = session.pid("payload")
    folders = ("--state", str(session.root / "other"), "--run", str(session.run))
    said = _refusal(*folders, "--payload-id", "9")
    assert f"in use by pid {pid}" in said
    assert "--run" in said
    with session.start_ground() as payload:
        session.ready(after_pid=session.kill_executive())
        command_again(payload, time.monotonic())  # as the payload that it was


def test_a_second_start_on_the_same_state_directory_is_refused_too(session: Session) -> None:
    start(session)
    other = session.root / "other"
    said = _refusal("--state", str(session.state), "--run", str(other))
    assert "in use" in said
    assert "--state" in said


@pytest.mark.verifies("VA-SUP-06", "VA-GND-05")
def test_two_payloads_side_by_side_are_told_apart_at_one_ground_server(
    session: Session, board_name: str
) -> None:
    start(session)
    with cleanly(board_name, payload_id=7) as other:
        start(other)
        with (
            session.start_ground(
                *("--payload", f"other@7={other.run / 'ready.json'}"),
                *("--keys", f"other={other.state / 'keys.json'}"),
            ) as first,
            connect(session.ground, "other") as second,
        ):
            second.dictionary(wait_s=10.0)
            assert {p["payload_id"] for p in first.status()["payloads"]} == {1, 7}
            assert first.ping().ok
            assert second.ping().ok
            job = first.submit("matmul", {"size": 16, "repeats": 1}).result["job"]
            assert [row["job"] for row in first.jobs(refresh=True)] == [job]
            assert second.jobs(refresh=True) == []
            assert {result.name for result in second.history()} <= {"ping", "jobs.list"}
            other.end("payload")
            with pytest.raises(LinkDown):
                until(lambda: not second.ping(timeout_s=0.3), 10.0, "silence")
            assert first.ping().ok
        session.end("ground")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.verifies("VA-SUP-05")
def test_a_signal_ends_everything_and_leaves_nothing_behind(
    session: Session, number: int, measured: Measured
) -> None:
    start(session)
    with session.start_ground() as payload:
        payload.submit("matmul", {"size": 64, "repeats": 1_000_000})
        before = payload.cursor()
        payload.expect_event("jobs.job_starting", after=before - 5, timeout_s=90)
    ready = session.ready()
    pids = [ready["executive_pid"], *ready["workers"].values()]
    since = time.monotonic()
    assert session.end("payload", number) == 0
    measured("signal, until the payload has ended", time.monotonic() - since)
    assert not any(map(is_alive, pids))
    assert session.end("ground", number) == 0
    assert not session.survivors()
    assert not (session.run / "ready.json").exists()
    assert not [path for path in session.root.rglob("*") if path.is_socket()]
    start(session)  # and nothing of it is in the way of the next


def test_ctrl_c_before_a_payload_is_ready_ends_it_too(session: Session) -> None:
    session.launch_payload()
    until(lambda: (session.run / "run.lock").exists(), 20.0, "the lock of the supervisor")
    until(lambda: (session.run / "supervisor.log").exists(), 20.0, "its first process")
    assert session.end("payload", signal.SIGINT) == 0
    assert not session.survivors()


def test_a_run_directory_with_too_long_a_path_is_refused(tmp_path: Path) -> None:
    said = _refusal("--state", str(tmp_path / "s"), "--run", str(tmp_path / ("long" * 30)))
    assert "give one of at most" in said


def test_an_unknown_board_is_refused_naming_the_nearest(tmp_path: Path) -> None:
    folders = ("--state", str(tmp_path / "s"), "--run", "/tmp/va-never")
    assert "did you mean 'emulated-h100'" in _refusal("--board", "emulated-h10", *folders)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[link]\nendpont = 'tcp://127.0.0.1:*'\n", "did you mean 'endpoint'"),
        ("payload_idd = 3\n", "did you mean 'payload_id'"),
        ("payload_id = 0\n", "give 1 … 65535"),
        ("payload_id = 'one'\n", "give a whole number"),
        ("[stations]\n1 = 'oprator'\n", "operator or observer"),
        ("[housekeeping]\nperiod_s = 0.0\n", "0.1 … 86400 s"),
        ("= 3\n", "not TOML"),
    ],
)
def test_a_wrong_configuration_is_refused_with_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "payload.toml").write_text(text)
    options = ("--config", str(tmp_path / "payload.toml"), "--run", "/tmp/va-never")
    assert said in _refusal(*options, "--state", str(tmp_path / "s"))


@pytest.mark.verifies("VA-SEC-03")
def test_keys_are_made_at_the_first_start_for_their_owner_only_and_kept(session: Session) -> None:
    start(session)
    keys = session.state / "keys.json"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    first = json.loads(keys.read_text())["slots"]
    assert len(set(first.values())) == 3
    assert all(len(bytes.fromhex(key)) == 32 for key in first.values())
    session.end("payload")
    keys.chmod(0o644)
    folders = ("--state", str(session.state), "--run", str(session.run))
    assert "chmod 600" in _refusal(*folders)


@pytest.mark.verifies("VA-LINK-08", "VA-SEC-04")
def test_only_a_payload_started_insecure_obeys_in_clear_and_it_says_so(session: Session) -> None:
    start(session, "--insecure")
    assert session.ready()["endpoint"].startswith("tcp://127.0.0.1:")
    assert "anyone who reaches the link may command" in (session.root / "payload.log").read_text()
    with session.start_ground(insecure=True) as payload:
        assert payload.ping().ok
        booted = next(e for e in payload.events() if e.name == "executive.booted")
        assert "anyone may command" in booted.text
    with Station.of(session, 0) as clear:
        stage, _ = clear.ask(clear.function(1, 3))
        assert stage is Stage.COMPLETED


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    said = _refusal("--state", str(blocker / "s"), "--run", f"/tmp/va-{os.getpid()}")
    assert "Error" in said


def test_telecommands_before_any_payload_answers_say_that_the_link_is_down(
    session: Session,
) -> None:
    start(session)
    with session.start_ground() as payload:
        session.end("payload")
        _down(payload)


def _down(payload: Client) -> None:
    def refused() -> str:
        try:
            payload.ping(timeout_s=0.3)
        except LinkDown as error:
            return str(error)
        except Exception:
            return ""
        return ""

    assert re.search("nothing was sent|takes nothing now", until(refused, 10.0, "LinkDown"))
