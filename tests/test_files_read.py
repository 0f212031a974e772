"""Every file that a person may give: what is no such file is that file's own error, a sentence."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flight.campaign import plan as campaign_plan
from flight.campaign.settings import SettingsError as CampaignError
from flight.components.protection import forecast
from flight.deployment.configuration import ConfigurationError as FlightError
from flight.deployment.configuration import from_toml
from flight.deployment.launch import make_keys
from flight.storage import saved_state
from flight.supervisor import plan as supervisor_plan
from flight.workers.lifeline import WorkerError, load_configuration
from ground.errors import ConfigurationError as GroundError
from ground.server import keys as ground_keys
from ground.server.config import parse_payload
from ground.server.dictionaries import DictionaryStore
from hal.errors import HalError
from hal.recording import trace
from icd import flips, host_bus
from icd.dictionary import Dictionary
from sim_hw.orin import inject
from sim_hw.world import records, scenario
from sim_hw.world.settings import SettingsError as ScenarioError

DEEP = "[" * 200_000 + "]" * 200_000


def a_file(folder: Path, content: str) -> Path:
    path = folder / "given"
    path.write_text(content)
    path.chmod(0o600)
    return path


def a_trace(folder: Path, content: str) -> Path:
    path = folder / "given"
    path.write_bytes(gzip.compress(content.encode()))
    return path


TOML = [
    (from_toml, FlightError),
    (campaign_plan.load, CampaignError),
    (scenario.load, ScenarioError),
]
JSON: list[tuple[Callable[[Path], Any], type[Exception]]] = [
    (lambda path: Dictionary.from_json(path.read_text()), ValueError),
    (lambda path: DictionaryStore(path.parent / "kept", [path]), GroundError),
    (lambda path: make_keys(path, [1]), FlightError),
    (ground_keys.read, GroundError),
    (lambda path: parse_payload(f"lab={path}"), GroundError),
    (lambda path: forecast.parse(path.read_bytes()), forecast.ForecastError),
    (lambda path: saved_state.parse(path.read_bytes()), ValueError),
    (supervisor_plan.load, supervisor_plan.PlanError),
    (lambda path: load_configuration(["worker", str(path)]), WorkerError),
    (flips.read_log, flips.FlipLogError),
    (records.read, records.TruthLogError),
]


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize(("read", "error"), TOML)
@pytest.mark.parametrize("content", [f"a = {DEEP}", f"[{'a.' * 5000}a]\nb = 1", "a = 1_0_", "\0"])
def test_a_toml_file_that_is_none_is_refused_by_its_own_error(
    read: Callable[[Path], Any], error: type[Exception], content: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as refused:
        read(a_file(tmp_path, content))
    assert "given" in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(("read", "error"), TOML)
def test_a_toml_file_in_another_encoding_is_refused_with_what_to_do(
    read: Callable[[Path], Any], error: type[Exception], tmp_path: Path
) -> None:
    path = a_file(tmp_path, "")
    path.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(error, match=r"octet 8 is not UTF-8; save it as UTF-8 text"):
        read(path)


def test_a_toml_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = a_file(tmp_path, "\ufeffpayload_id = 12\n")
    assert from_toml(path).payload_id == 12


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize(("read", "error"), JSON)
@pytest.mark.parametrize("content", [DEEP, f'{{"slots": {DEEP}}}', "[" * 200_000, "7", '"a"'])
def test_a_json_file_that_is_none_is_refused_by_its_own_error(
    read: Callable[[Path], Any], error: type[Exception], content: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as refused:
        read(a_file(tmp_path, content))
    assert str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("slot", ["01", "1_0", "\uff11", "0", "65536", " 1"])
def test_a_slot_is_written_in_one_way_only(slot: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, f'{{"slots": {{"{slot}": "{"00" * 32}"}}}}')
    with pytest.raises(GroundError, match=r"is no keys file|must be 1 … 65535"):
        ground_keys.read(path)
    with pytest.raises(FlightError, match="is not a keys file"):
        make_keys(path, [1])


@pytest.mark.parametrize("number", ["1_0", "\uff11", "x", "-1", "65536"])
def test_a_payload_id_is_a_number_in_digits(number: str) -> None:
    with pytest.raises(GroundError, match="must be 0 … 65535"):
        parse_payload(f"lab@{number}=tcp://127.0.0.1:5555")


@pytest.mark.parametrize("name", ["-rf", "-", " ", "a b", "", "a/b"])
def test_a_payload_has_a_name_that_no_tool_takes_for_an_option(name: str) -> None:
    with pytest.raises(GroundError, match="names no payload; write NAME=ENDPOINT"):
        parse_payload(f"{name}=tcp://127.0.0.1:5555")
    assert parse_payload("büro-2_b=tcp://[::1]:5905").endpoint == "tcp://[::1]:5905"


def test_a_trace_that_nests_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HalError, match="line 1 is no part of a trace"):
        trace.read(a_trace(tmp_path, DEEP))


def test_what_the_board_reads_each_second_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    (tmp_path / inject.FILE).write_text(DEEP)
    assert inject.load(tmp_path) == inject.Injections()
    (tmp_path / "request").write_text(DEEP)
    assert host_bus._read(tmp_path / "request") == {}
