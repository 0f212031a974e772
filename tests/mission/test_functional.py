"""What every payload must do over the link, emulated or real."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ground.client.client import Client
from ground.errors import CommandFailed, CommandRefused, TransferFailed

COMPONENTS = ("commands", "telemetry", "watchdog", "board", "jobs", "files", "executive")
WITH_PARAMETERS = ("commands", "telemetry", "watchdog", "board", "jobs", "files")
pytestmark = pytest.mark.xdist_group("functional")


@pytest.mark.verifies("VA-CMD-07", "VA-CMD-02")
def test_a_ping_completes_and_every_stage_is_reported_to_its_source(payload: Client) -> None:
    result = payload.ping()
    assert result.ok
    stages = [stage for stage, _ in result.stages]
    assert stages[-4:] == ["sent", "accepted", "started", "completed"]


@pytest.mark.verifies("VA-LINK-07")
def test_the_payload_says_who_it_is(payload: Client) -> None:
    dictionary = payload.dictionary(wait_s=5.0)
    (of,) = payload.status()["payloads"]
    assert of["identity"]["wire_hash"] == dictionary.wire_hash
    assert of["identity"]["text_hash"] == dictionary.text_hash
    assert of["identity"]["boot_count"] >= 1


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_says_that_it_is_alive(payload: Client, component: str) -> None:
    assert payload.send(f"{component}.alive").ok


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.verifies("VA-TLM-01")
def test_housekeeping_of_every_component_comes_on_demand(payload: Client, component: str) -> None:
    before = payload.cursor()
    payload.send(f"{component}.hk_now")
    values = payload.values(component, after=before, wait_s=5.0)
    assert values
    assert all(value.validity == "valid" for value in values.values())


@pytest.mark.verifies("VA-TLM-01")
def test_ground_sets_how_often_housekeeping_comes(payload: Client) -> None:
    payload.send("files.hk_period", {"period_ms": 200})
    cursor = payload.cursor()
    for _ in range(3):
        value = payload.wait_value("files.open_puts", lambda _: True, after=cursor, timeout_s=90)
        assert value.cursor > cursor
        cursor = value.cursor
    payload.send("files.hk_disable")
    payload.send("files.hk_period", {"period_ms": 10_000})
    payload.send("files.hk_enable")


@pytest.mark.verifies("VA-TLM-01")
def test_housekeeping_comes_when_it_changes(payload: Client) -> None:
    payload.send("commands.hk_on_change", {"shortest_ms": 100, "longest_ms": 60_000})
    before = payload.wait_value("commands.completed", lambda count: count > 0)
    payload.cmd("commands.no_operation")
    after = payload.wait_value(
        "commands.completed", lambda count: count > before.value, after=before.cursor, timeout_s=90
    )
    assert after.cursor > before.cursor
    payload.send("commands.hk_on_change", {"shortest_ms": 0, "longest_ms": 0})


@pytest.mark.verifies("VA-TLM-03")
def test_an_event_that_ground_disabled_does_not_come_until_it_is_enabled(payload: Client) -> None:
    arm = {"apid": 1, "opcode": 2}
    payload.send("commands.event_disable", {"event": "armed"})
    before = payload.cursor()
    payload.send("commands.arm", arm)
    payload.send("commands.event_enable", {"event": "armed"})
    anchor = payload.cursor()
    payload.send("commands.arm", arm)
    payload.expect_event("commands.armed", after=anchor, timeout_s=90)
    payload.ping()
    seen = [event for event in payload.events(before) if event.name == "commands.armed"]
    assert len(seen) == 1


@pytest.mark.parametrize("component", WITH_PARAMETERS)
@pytest.mark.verifies("VA-EXE-10")
def test_parameters_of_every_component_are_reported(payload: Client, component: str) -> None:
    parameters = payload.parameters(component)
    assert parameters
    assert all(name.startswith(f"{component}.") for name in parameters)


@pytest.mark.verifies("VA-EXE-10")
def test_a_parameter_that_ground_sets_is_the_one_it_reads_back(payload: Client) -> None:
    before = payload.parameters("commands")["commands.arming_s"].value
    try:
        payload.send("commands.set", {"arming_s": 12.5})
        assert payload.parameters("commands")["commands.arming_s"].value == 12.5
    finally:
        payload.send("commands.set", {"arming_s": before})


@pytest.mark.verifies("VA-CMD-03", "VA-GND-02")
def test_a_parameter_out_of_range_is_refused_before_it_is_sent_with_range_and_unit(
    payload: Client,
) -> None:
    sent = payload.status()["payloads"][0]["link"]["sent"]
    with pytest.raises(CommandRefused, match=r"arming_s.*1.*600.* s"):
        payload.send("commands.set", {"arming_s": 601.0})
    assert payload.status()["payloads"][0]["link"]["sent"] == sent


@pytest.mark.verifies("VA-CMD-03", "VA-GND-02")
def test_a_command_out_of_range_is_refused_before_it_is_sent(payload: Client) -> None:
    with pytest.raises(CommandRefused, match="give"):
        payload.send("commands.arm", {"apid": 70_000, "opcode": 1})


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("commands.set_mod", {}, "did you mean 'commands.set_mode'"),
        ("commands.set_mode", {"mode": "NOMINALL"}, "NOMINAL | SAFE"),
        ("commands.set_mode", {}, "needs mode"),
        ("jobs.cancel", {"jobb": 1}, "did you mean 'job'"),
        ("board.set_power_limit", {"device": 0, "watts": 5000}, "W"),
    ],
)
@pytest.mark.verifies("VA-GND-02")
def test_a_wrong_command_is_refused_with_what_to_write_instead(
    payload: Client, name: str, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(CommandRefused) as refusal:
        payload.send(name, arguments)
    assert said in str(refusal.value)


@pytest.mark.verifies("VA-CMD-04")
def test_a_critical_command_must_be_armed_and_any_other_disarms_it(payload: Client) -> None:
    safe = {"mode": "NOMINAL"}
    with pytest.raises(CommandFailed, match="arm it first"):
        payload.send("commands.set_mode", safe)
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    assert payload.send("commands.set_mode", safe).ok
    payload.send("commands.arm", {"apid": 1, "opcode": 2})
    payload.ping()
    with pytest.raises(CommandFailed, match="arm it first"):
        payload.send("commands.set_mode", safe)


@pytest.mark.verifies("VA-FIL-01", "VA-FIL-02")
def test_a_file_goes_up_and_comes_back_octet_for_octet(payload: Client, tmp_path: Path) -> None:
    original = tmp_path / "up.bin"
    original.write_bytes(random.Random(1).randbytes(300_001))
    payload.put(original, "functional/up.bin")
    payload.get("functional/up.bin", tmp_path / "down.bin")
    assert (tmp_path / "down.bin").read_bytes() == original.read_bytes()
    names = [row["path"] for row in payload.files("functional")]
    assert any(name.endswith("up.bin") for name in names)


@pytest.mark.parametrize("size", [0, 1, 3072, 3073])
@pytest.mark.verifies("VA-FIL-01", "VA-FIL-02")
def test_files_of_awkward_sizes_come_back_whole(payload: Client, tmp_path: Path, size: int) -> None:
    original = tmp_path / "up.bin"
    original.write_bytes(random.Random(size).randbytes(size))
    payload.put(original, f"functional/{size}.bin")
    payload.get(f"functional/{size}.bin", tmp_path / "down.bin")
    assert (tmp_path / "down.bin").read_bytes() == original.read_bytes()


def test_a_file_is_deleted_by_an_armed_command_only(payload: Client, tmp_path: Path) -> None:
    (tmp_path / "gone").write_bytes(b"soon gone")
    payload.put(tmp_path / "gone", "functional/gone")
    with pytest.raises(CommandFailed, match="arm it first"):
        payload.send("files.delete", {"path": "functional/gone"})
    payload.send("commands.arm", {"apid": 6, "opcode": 10})
    payload.send("files.delete", {"path": "functional/gone"})
    with pytest.raises(TransferFailed, match=r"functional/gone"):
        payload.get("functional/gone", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../outside", "a//b", ".."])
@pytest.mark.verifies("VA-STO-04")
def test_a_path_out_of_the_file_store_is_refused_up_and_down(
    payload: Client, tmp_path: Path, path: str
) -> None:
    local = tmp_path / "x"
    local.write_bytes(b"x")
    with pytest.raises((TransferFailed, CommandRefused), match=r"path|\.\."):
        payload.put(local, path)
    with pytest.raises((TransferFailed, CommandRefused), match=r"path|\.\."):
        payload.get(path, tmp_path / "y")


@pytest.mark.verifies("VA-BRD-01")
def test_the_board_reports_power_and_temperature_with_validity(payload: Client) -> None:
    payload.send("board.read_now")
    cursor = payload.cursor()
    payload.send("board.hk_now")
    values = payload.values("board", after=cursor, wait_s=5.0)
    power, temperature = values["board.power_w"], values["board.temperature_c"]
    assert (power.unit, temperature.unit) == ("W", "°C")
    assert power.value > 0
    assert values["board.validity"].value[0] == 0
    rows = payload.send("board.list_readings").result["rows"]
    assert rows > 10


@pytest.mark.verifies("VA-GND-04")
def test_the_history_shows_how_each_command_ended(payload: Client) -> None:
    payload.ping()
    newest = payload.history(limit=1)[-1]
    assert newest.name == "ping"
    assert newest.state == "completed"
    failed = payload.send("jobs.cancel", {"job": 4_000_000}, check=False)
    newest = payload.history(limit=1)[-1]
    assert (newest.id, newest.state, newest.reason) == (failed.id, "failed", failed.reason)
    assert "4000000" in newest.reason


def test_the_watchdog_reports_on_every_component_and_worker(payload: Client) -> None:
    before = payload.cursor()
    count = payload.send("watchdog.status").result["rows"]
    rows: list[dict[str, object]] = []
    cursor = before
    while len(rows) < count:
        answer = payload.reports("watchdog.watched", after=cursor, wait_s=5.0)
        assert answer["rows"], f"{len(rows)} of {count} rows came"
        rows += answer["rows"]
        cursor = answer["cursor"]
    names = {row["name"] for row in rows}
    assert {"commands", "jobs", "storage", "board", "launcher"} <= names
    assert {row["health"] for row in rows} <= {"WELL", "STARTING"}
