"""The console commands, as an operator types them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from ground.__main__ import ground
from ground.server.config import ServerConfig
from tests.ground.conftest import RunningServer, write_keys
from tests.ground.support.dictionaries import DICTIONARY
from tests.ground.support.fake_payload import FakePayload

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line against the server; the payload has answered already."""
    monkeypatch.setenv("VANALLEN_GROUND", str(server.config.state))

    def call(*words: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(ground, words)

    assert call("commands").exit_code == 0
    return call


def test_a_ping_shows_a_tick_for_each_stage(run: Run) -> None:
    result = run("ping")
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.output.splitlines()] == [
        ["✓", stage] for stage in ("queued", "sent", "accepted", "started", "completed")
    ]


def test_send_ends_well_only_when_the_command_completed(run: Run, payload: FakePayload) -> None:
    assert run("send", "board.set_state", "state=busy", "hold=no").exit_code == 0
    payload.handlers["board.measure"] = lambda tc, _: payload.fail(tc, "off")
    failed = run("send", "board.measure")
    assert failed.exit_code == 1
    assert "✗ failed" in failed.output
    assert "refused: off" in failed.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("send", "board.set_level", "level=9"), "give 16 … 8192 W"),
        (("send", "board.set_level", "9"), "write NAME=VALUE"),
        (("send", "bord.measure"), "did you mean 'board.measure'"),
        (("sned", "board.measure"), "did you mean 'send'"),
        (("--payload", "x", "ping"), "no payload 'x'"),
        (("watch", "--once"), "no housekeeping has come yet"),
        (("jobs", "submit", "matmul", "size=1"), "give 16 … 4096"),
        (("jobs", "watch", "99"), "knows no job 99"),
        (("--server", "/nonexistent", "ping"), "start one: ground serve"),
    ],
)
def test_wrong_words_get_a_sentence_and_exit_code(
    run: Run, words: tuple[str, ...], sentence: str
) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_watch_shows_units_and_limits(run: Run, payload: FakePayload) -> None:
    payload.do(lambda: payload.housekeeping(450.0, 20.0, 5, 1, False))
    result = run("watch", "board", "--once")
    while result.exit_code:
        result = run("watch", "board", "--once")
    power = next(line for line in result.output.splitlines() if "board.power" in line)
    assert power.split() == ["board.power", "450", "W", "H"]
    assert run("watch", "board.powr", "--once").output.startswith("✗ no field 'board.powr'; did")


def test_events_are_listed_in_words(run: Run, payload: FakePayload) -> None:
    payload.do(lambda: payload.event("board.hot", 3, 95.0, 7))
    run("ping")
    output = run("events").output
    assert "HIGH   board.hot: 3 at 95.0 °C is LOST" in output
    assert run("events", "--severity", "high").output == output


def test_commands_are_listed_and_explained_with_ranges_and_units(run: Run) -> None:
    assert "board.set_level level=" in run("commands").output
    assert "board.hk_period period_ms=" in run("commands", "board").output
    explained = run("commands", "board.set_level").output
    assert "level = u16, 16 … 8192 W; power level" in explained
    assert "state = IDLE | BUSY | LOST" in run("commands", "board.set_state").output
    assert "power : f32 W" in run("commands", "board.measure").output


def test_history_shows_ticks_and_reasons(run: Run) -> None:
    run("send", "board.set_state", "state=IDLE", "hold=no")
    line = run("history").output.splitlines()[-1]
    assert "ASC completed board.set_state state=IDLE hold=False" in line


def test_status_says_who_is_in_contact(run: Run) -> None:
    output = run("status").output
    assert "lab1 (payload 1)" in output
    assert "in contact" in output
    assert json.loads(run("status", "--json").output)["payloads"][0]["station"] == 1


def test_files_go_up_down_and_are_listed(run: Run, payload: FakePayload, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello" * 2000)
    assert "10000 B, checked on board" in run("put", str(tmp_path / "a.txt"), "in/a.txt").output
    assert payload.files["in/a.txt"] == (tmp_path / "a.txt").read_bytes()
    assert run("files").output.split() == ["10000", "in/a.txt"]
    assert run("get", "in/a.txt", str(tmp_path / "b.txt")).exit_code == 0
    assert (tmp_path / "b.txt").read_bytes() == payload.files["in/a.txt"]


def test_jobs_are_submitted_watched_and_cancelled(run: Run, payload: FakePayload) -> None:
    def submitted(tc: object, _: object) -> None:
        payload.complete(tc, 7)  # type: ignore[arg-type]
        for phase, step in ((0, 0), (1, 20), (4, 40)):
            report = (7, 1, phase, step, 40, "", [1.5] * 8)
            payload.component_report("jobs.job_status", *report)

    def listed(tc: object, _: object) -> None:
        payload.component_report("jobs.job_status", 7, 1, 4, 40, 40, "", [1.5] * 8)
        payload.complete(tc, 1)  # type: ignore[arg-type]

    payload.handlers |= {"jobs.submit": submitted, "jobs.list": listed}
    result = run("jobs", "submit", "matmul", "size=64", "--watch")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].split()[:4] == ["job", "7", "matmul", "done"]
    assert "40/40" in result.output
    assert "gflops=1.5" in run("jobs").output
    assert run("jobs", "cancel", "7").exit_code == 0
    assert payload.taken[-1] == ("jobs.cancel", (7,))
    assert run("jobs", "submit", "matmul", "--protection", "dmr").exit_code == 0
    assert payload.taken[-1][1][5] == 2
    assert run("jobs", "protect", "7", "tmr").exit_code == 0
    assert payload.taken[-1] == ("jobs.set_protection", (7, 3))
    assert "NONE | ABFT" in run("jobs", "protect", "7", "double").output


@pytest.mark.verifies("VA-GND-03")
def test_the_archive_is_exported_as_csv(
    run: Run, payload: FakePayload, state: Path, tmp_path: Path
) -> None:
    payload.do(lambda: payload.housekeeping(450.0, 20.0, 5, 1, False))
    run("ping")
    run("history")  # flushes the archive
    out = tmp_path / "out.csv"
    assert run("decode", "--state", str(state), "-o", str(out)).exit_code == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    power = next(row for row in rows if row["field"] == "power")
    assert (power["value"], power["unit"], power["limit"]) == ("450", "W", "high")
    state_row = next(row for row in rows if row["field"] == "state")
    assert (state_row["raw"], state_row["value"]) == ("1", "BUSY")
    wrong = run("decode", "--state", str(tmp_path / "none"))
    assert "no archive at" in wrong.output


def completions(state: Path, words: str) -> list[str]:
    environment = os.environ | {
        "_GROUND_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "VANALLEN_GROUND": str(state),
    }
    found = subprocess.run(
        [sys.executable, "-m", "ground"], env=environment, capture_output=True, text=True
    )
    return [line.partition(",")[2] for line in found.stdout.splitlines()]


def test_the_shell_completes_names_and_arguments_from_the_dictionary(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path
) -> None:
    RunningServer(configure(payload)).close()
    assert completions(state, "ground send board.set_") == ["board.set_level", "board.set_state"]
    assert completions(state, "ground send board.set_state ") == ["state=", "hold="]
    assert completions(state, "ground send board.set_state state=B") == ["state=BUSY"]
    assert completions(state, "ground jobs submit mat") == ["matmul"]
    assert completions(state, "ground jobs submit matmul s") == ["size="]


@pytest.fixture
def served(payload: FakePayload, state: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`ground serve` as a process, ready."""
    dictionary = tmp_path / "dictionary.json"
    dictionary.write_text(DICTIONARY.to_json())
    keys = write_keys(tmp_path / "keys.json")
    words = ["serve", "--state", str(state), "--payload", f"lab={payload.endpoint}"]
    words += ["--keys", str(keys), "--dictionary", str(dictionary)]
    command = [sys.executable, "-m", "ground", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "ground server ready: export VANALLEN_GROUND=" in process.stdout.readline()
        yield process
        process.kill()


def test_a_served_payload_is_pinged_and_ctrl_c_leaves_nothing(
    served: subprocess.Popen[str], state: Path
) -> None:
    runner = click.testing.CliRunner()
    words = ["--server", str(state)]
    assert runner.invoke(ground, [*words, "commands"]).exit_code == 0
    assert runner.invoke(ground, [*words, "ping"]).exit_code == 0
    served.send_signal(signal.SIGINT)
    assert served.wait(60) == 0
    assert not (state / "api").exists()


def test_a_killed_server_is_started_again_in_the_same_folder(
    served: subprocess.Popen[str], configure: Callable[..., ServerConfig], payload: FakePayload
) -> None:
    served.kill()
    served.wait(10)
    again = RunningServer(configure(payload))
    result = click.testing.CliRunner().invoke(
        ground, ["--server", str(again.config.state), "commands"]
    )
    again.close()
    assert result.exit_code == 0


def test_serve_says_what_is_missing(tmp_path: Path) -> None:
    result = click.testing.CliRunner().invoke(ground, ["serve", "--state", str(tmp_path)])
    assert result.exit_code == 1
    assert "no payload; name one" in result.output


def test_a_subcommand_imports_only_what_it_needs() -> None:
    program = (
        "import sys; from ground.__main__ import ground\n"
        "ground(['ping', '--help'], standalone_mode=False)\n"
        "print([m for m in ('zmq', 'numpy', 'sqlite3', 'asyncio', 'numba') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "[]"
