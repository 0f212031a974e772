"""The commands `flight` and `ground` as an operator types them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.session import Session
from ground.client.client import Client
from tests.mission.watching import run

pytestmark = pytest.mark.xdist_group("functional")
Done = subprocess.CompletedProcess[str]
Ground = Callable[..., Done]


@pytest.fixture
def ground(shared: Session, payload: Client) -> Ground:  # noqa: ARG001  (it must run)
    """Runs `ground WORDS…` at the shared payload's ground server."""

    def command(*words: str, code: int = 0) -> Done:
        environment = os.environ | {"VANALLEN_GROUND": str(shared.ground), "NO_COLOR": "1"}
        done = run("ground", *words, env=environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return command


def test_ground_ping_shows_each_stage_with_its_time(ground: Ground) -> None:
    said = ground("ping").stdout
    assert [word for word in ("accepted", "started", "completed") if word not in said] == []
    assert "ms" in said


def test_ground_send_shows_what_a_command_gives_back(ground: Ground) -> None:
    assert "free = " in ground("send", "files.free").stdout


def test_ground_send_fails_with_the_payloads_reason(ground: Ground) -> None:
    done = ground("send", "jobs.cancel", "job=4000000", code=1)
    assert "4000000" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("send", "commands.set_mod"), "commands.set_mode"),
        (("send", "commands.set", "arming_s=601"), "600"),
        (("send", "commands.set", "arming_s"), "="),
        (("jobs", "submit", "matmul", "size=1"), "8192"),
        (("get", "functional/none"), "functional/none"),
        (("jobs", "watch", "4000000"), "4000000"),
    ],
)
@pytest.mark.verifies("VA-GND-02")
def test_ground_refuses_what_is_wrong_with_a_sentence(
    ground: Ground, words: tuple[str, ...], said: str
) -> None:
    done = ground(*words, code=1)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


def test_ground_put_of_a_file_that_is_not_there_is_a_usage_error(ground: Ground) -> None:
    assert "/nowhere/at/all" in ground("put", "/nowhere/at/all", code=2).stderr


def test_ground_lists_and_explains_commands(ground: Ground) -> None:
    listed = ground("commands").stdout
    assert "jobs.submit" in listed
    assert "hk_now" not in listed
    assert "commands.hk_now" in ground("commands", "--standard").stdout
    explained = ground("commands", "board.set_power_limit").stdout
    assert "watts" in explained
    assert "W" in explained


def test_ground_watch_shows_values_with_units(ground: Ground, payload: Client) -> None:
    payload.wait_value("board.power_w", lambda watts: watts > 0, timeout_s=90)
    line = next(
        line for line in ground("watch", "--once", "board").stdout.splitlines() if "power_w" in line
    )
    assert "W" in line.split()
    assert "power_w" in ground("watch", "--once", "board.power_w").stdout


def test_ground_watch_of_an_unknown_component_names_the_nearest(ground: Ground) -> None:
    done = ground("watch", "--once", "bord", code=1)
    assert "board" in done.stderr


def test_ground_events_lists_what_happened(ground: Ground, payload: Client) -> None:
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    said = ground("events").stdout
    assert "executive.booted" in said or "commands.armed" in said
    assert "commands.armed" not in ground("events", "--severity", "high").stdout


def test_ground_events_follow_shows_an_event_as_it_comes(
    ground: Ground, payload: Client, shared: Session
) -> None:
    ground("status")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "ground", "--server", str(shared.ground), "events", "-f"],
        stdout=subprocess.PIPE,
        text=True,
        # A suite that was started in the background hands an ignored SIGINT down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as follower:
        payload.send("commands.arm", {"apid": 6, "opcode": 10})
        assert follower.stdout is not None
        # A watchdog over the blocking read: pytest's own time-out.
        lines = iter(follower.stdout.readline, "")
        assert any("commands.armed" in line and "10" in line for line in lines)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(60) in (0, 1, 130)


@pytest.mark.verifies("VA-GND-04")
def test_ground_history_shows_how_commands_ended(ground: Ground) -> None:
    ground("ping")
    ground("send", "jobs.cancel", "job=4000000", code=1)
    ping, cancel = ground("history", "--limit", "2").stdout.strip().splitlines()[-2:]
    assert "ping" in ping
    assert "completed" in ping
    assert "jobs.cancel" in cancel
    assert "failed" in cancel


def test_ground_status_is_for_people_and_for_programs(ground: Ground, shared: Session) -> None:
    assert "payload" in ground("status").stdout
    about = json.loads(ground("status", "--json").stdout)
    assert about["payloads"][0]["is_alive"] is True
    assert about["state"] == str(shared.ground)


def test_ground_submits_watches_and_lists_jobs(ground: Ground) -> None:
    done = ground("jobs", "submit", "matmul", "size=64", "repeats=3")
    job = next(word for word in done.stdout.replace("=", " ").split() if word.isdecimal())
    watched = ground("jobs", "watch", job).stdout
    assert "3/3" in watched.replace(" ", "")
    assert "done" in watched.lower()
    assert "matmul" in ground("jobs").stdout


def test_ground_watch_of_a_cancelled_job_ends_with_a_failure(ground: Ground) -> None:
    done = ground("jobs", "submit", "matmul", "size=64", "repeats=1000000")
    job = next(word for word in done.stdout.replace("=", " ").split() if word.isdecimal())
    ground("jobs", "pause", job)
    ground("jobs", "resume", job)
    ground("jobs", "cancel", job)
    assert "cancelled" in ground("jobs", "watch", job, code=1).stdout.lower()


def test_ground_puts_lists_and_gets_a_file(ground: Ground, tmp_path: Path) -> None:
    original, back = tmp_path / "up.bin", tmp_path / "down.bin"
    original.write_bytes(os.urandom(50_000))
    ground("put", str(original), "lines/up.bin")
    assert "up.bin" in ground("files", "lines").stdout
    ground("get", "lines/up.bin", str(back))
    assert back.read_bytes() == original.read_bytes()


def test_ground_without_a_server_says_where_it_looked(tmp_path: Path) -> None:
    done = run("ground", "--server", str(tmp_path), "ping")
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr


def test_flight_lists_boards_and_shows_the_emulated_one(shared: Session) -> None:
    assert "emulated-h100" in run("flight", "board", "list").stdout
    shown = run("flight", "board", "show", "emulated-h100", "--run", str(shared.run))
    assert shown.returncode == 0, shown.stderr
    assert "power_w" in shown.stdout
    unknown = run("flight", "board", "show", "emulated-h10")
    assert unknown.returncode == 1
    assert "did you mean" in unknown.stderr


def test_flight_prints_its_dictionary(tmp_path: Path) -> None:
    printed = run("flight", "dictionary").stdout
    run("flight", "dictionary", "--out", str(tmp_path / "dictionary.json"))
    assert (tmp_path / "dictionary.json").read_text() == printed
    assert json.loads(printed)


@pytest.mark.verifies("VA-SEC-03")
def test_flight_makes_keys_once(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    assert "keys made" in run("flight", "keygen", str(keys), "--slot", "1", "--slot", "4").stdout
    first = keys.read_text()
    assert set(json.loads(first)["slots"]) == {"1", "4"}
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert "already" in run("flight", "keygen", str(keys)).stdout
    assert keys.read_text() == first


def test_flight_runs_a_job_by_hand(tmp_path: Path) -> None:
    assert "matmul" in run("flight", "jobs", "list").stdout
    words = ("flight", "jobs", "run", "matmul", "--set", "size=64", "--set", "repeats=2")
    done = run(*words, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert json.loads((tmp_path / "result.json").read_text())["wrong_products"] == {}
    wrong = run("flight", "jobs", "run", "matmul", "--set", "size=1")
    assert wrong.returncode == 1
    assert "8192" in wrong.stderr
