"""What `flight run` prepares: folders, keys that only their owner reads, and the plan."""

from __future__ import annotations

import json
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flight.deployment.configuration import Configuration, ConfigurationError, Link, from_mapping
from flight.deployment.launch import LONGEST_RUN_PATH, default_state_dir, make_keys, prepare
from hal.errors import HalError
from icd.link import KEY_SIZE


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, which that of tmp_path may not be."""
    with tempfile.TemporaryDirectory(prefix="va-") as path:
        yield Path(path)


class TestKeys:
    @pytest.mark.verifies("VA-SEC-03")
    def test_they_are_made_at_random_and_readable_by_their_owner_only(self, tmp_path: Path) -> None:
        one, other = tmp_path / "one.json", tmp_path / "other.json"
        assert make_keys(one, [1, 2])
        assert make_keys(other, [1])
        assert mode(one) == 0o600
        keys = json.loads(one.read_text())["slots"]
        assert set(keys) == {"1", "2"}
        assert all(len(bytes.fromhex(key)) == KEY_SIZE for key in keys.values())
        assert keys["1"] != keys["2"] != json.loads(other.read_text())["slots"]["1"]
        assert set(tmp_path.iterdir()) == {one, other}

    def test_those_that_are_there_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        make_keys(path, [1])
        before = json.loads(path.read_text())["slots"]
        assert not make_keys(path, [1])
        assert make_keys(path, [1, 3])
        after = json.loads(path.read_text())["slots"]
        assert after["1"] == before["1"]
        assert set(after) == {"1", "3"}

    @pytest.mark.verifies("VA-SEC-03")
    def test_a_leftover_that_others_can_read_does_not_become_the_keys_file(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "keys.new").write_text("")
        (tmp_path / "keys.new").chmod(0o644)
        make_keys(tmp_path / "keys.json", [1])
        assert mode(tmp_path / "keys.json") == 0o600

    @pytest.mark.verifies("VA-SEC-03")
    def test_keys_that_others_can_read_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        make_keys(path, [1])
        path.chmod(0o640)
        with pytest.raises(ConfigurationError, match=r"others can read the keys in .*; chmod 600"):
            make_keys(path, [1])

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "{}",
            '{"slots": []}',
            '{"slots": {"1": 7}}',
            '{"slots": {"1": "zz"}}',
            '{"slots": {"1": "00"}}',
            '{"slots": {"0": "' + "00" * 32 + '"}}',
            '{"slots": {"one": "' + "00" * 32 + '"}}',
            '{"slots": {"01": "' + "00" * 32 + '"}}',
            '{"slots": {"1_0": "' + "00" * 32 + '"}}',
            '{"slots": {"\uff11": "' + "00" * 32 + '"}}',
        ],
    )
    def test_what_is_no_keys_file_is_refused_and_left_alone(
        self, tmp_path: Path, content: str
    ) -> None:
        path = tmp_path / "keys.json"
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match=r"is not a keys file: .*; move it away"):
            make_keys(path, [1])
        assert path.read_text() == content


class TestPlan:
    def test_it_names_every_process_and_their_folders(self, folder: Path) -> None:
        state, run = folder / "state", folder / "run"
        plan = json.loads(prepare(Configuration(), state, run).read_text())
        names = [process["name"] for process in plan["processes"]]
        assert names == ["companion", "storage", "board", "launcher", "scrub"]
        assert (plan["state_dir"], plan["run_dir"]) == (str(state), str(run))
        limits = plan["startup_s"], plan["startup_max_s"], plan["silence_s"]
        assert limits == (10.0, 600.0, 2.0)
        (launcher,) = (p for p in plan["processes"] if p["name"] == "launcher")
        assert launcher["env"]["NUMBA_DISABLE_JIT"] == "0", "set by hand it would end every job"
        assert plan["processes"][0]["companion"]
        assert all(process["channel"] for process in plan["processes"][1:])
        assert mode(run) == mode(state) == 0o700
        assert (state / "files").is_dir()
        (run / "gpus.json").touch()
        prepare(Configuration(), state, run)
        assert not (run / "gpus.json").exists()  # each payload numbers its GPUs anew
        assert mode(state / "keys.json") == 0o600

    def test_the_executive_gets_the_configuration_as_it_was_chosen(self, folder: Path) -> None:
        chosen = from_mapping({"payload_id": 5, "stations": {"2": "observer"}})
        plan = json.loads(prepare(chosen, folder / "s", folder / "r").read_text())
        content = json.loads(Path(plan["executive"]["argv"][-1]).read_text())
        assert from_mapping(content["configuration"]) == chosen
        assert set(json.loads((folder / "s" / "keys.json").read_text())["slots"]) == {"2"}

    @pytest.mark.verifies("VA-SEC-04")
    def test_only_an_insecure_payload_has_no_keys(self, folder: Path) -> None:
        prepare(Configuration(link=Link(insecure=True)), folder / "s", folder / "r")
        assert not (folder / "s" / "keys.json").exists()

    def test_a_second_preparation_keeps_the_state(self, folder: Path) -> None:
        for _ in range(2):
            prepare(Configuration(), folder / "s", folder / "r")
        assert (folder / "s" / "keys.json").exists()

    def test_a_run_path_too_long_for_sockets_is_refused(self, folder: Path) -> None:
        long = folder / ("x" * LONGEST_RUN_PATH)
        with pytest.raises(
            ConfigurationError, match="octets; give one of at most 80, such as /tmp"
        ):
            prepare(Configuration(), folder / "s", long)
        assert not long.exists()

    def test_a_scenario_is_given_to_the_companion_of_the_board(self, folder: Path) -> None:
        chosen = from_mapping({"board": {"scenario": "saa-pass"}})
        plan = json.loads(prepare(chosen, folder / "s", folder / "r").read_text())
        assert plan["processes"][0]["argv"][-2:] == ["--scenario", "saa-pass"]

    def test_a_scenario_with_an_error_is_refused_before_anything_is_made(
        self, folder: Path
    ) -> None:
        path = folder / "storm.toml"
        path.write_text('name = "storm"\nstart = "2026-03-20T00:00:00Z"\ndurration = "1 h"\n')
        chosen = from_mapping({"board": {"scenario": str(path)}})
        with pytest.raises(ConfigurationError, match=r'storm\.toml:3: .*write "duration"'):
            prepare(chosen, folder / "s", folder / "r")
        assert list(folder.iterdir()) == [path]

    def test_an_emulated_board_may_have_several_gpus_and_no_other_may(self, folder: Path) -> None:
        chosen = from_mapping({"board": {"name": "emulated-h200", "gpus": 4}})
        plan = json.loads(prepare(chosen, folder / "s", folder / "r").read_text())
        assert plan["processes"][0]["argv"][-2:] == ["--gpus", "4"]
        for name in ("nvml", "emulated-orin"):
            chosen = from_mapping({"board": {"name": name, "gpus": 4}})
            with pytest.raises(ConfigurationError, match=f"how many GPUs {name} has"):
                prepare(chosen, folder / "s2", folder / "r2")
        with pytest.raises(ConfigurationError, match="give 1 … 8"):
            from_mapping({"board": {"gpus": 9}})

    def test_only_an_emulated_board_flies_in_a_scenario(self, folder: Path) -> None:
        chosen = from_mapping({"board": {"name": "nvml", "scenario": "saa-pass"}})
        with pytest.raises(ConfigurationError, match="needs an emulated board, which nvml is not"):
            prepare(chosen, folder / "s", folder / "r")

    def test_an_unknown_board_is_refused_before_anything_is_made(self, folder: Path) -> None:
        default = Configuration()
        unknown = replace(default, board=replace(default.board, name="abacus"))
        with pytest.raises(HalError, match="abacus"):
            prepare(unknown, folder / "s", folder / "r")
        assert not (folder / "s").exists()


def test_an_endpoint_where_nobody_can_listen_is_refused_before_anything_starts(
    folder: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        configuration = Configuration(link=Link(endpoint))
        with pytest.raises(ConfigurationError, match=r"in use; give another port, or \*"):
            prepare(configuration, folder / "s", folder / "r")
    with pytest.raises(ConfigurationError, match="an address of this computer"):
        prepare(Configuration(link=Link("tcp://192.0.2.1:*")), folder / "s", folder / "r")
    with pytest.raises(ConfigurationError, match="an address of this computer"):
        prepare(Configuration(link=Link("tcp://[2001:db8::1]:*")), folder / "s", folder / "r")


@pytest.mark.parametrize("what", ["run", "state"])
def test_a_folder_in_which_others_can_write_is_refused(folder: Path, what: str) -> None:
    folders = {name: folder / name for name in ("state", "run")}
    folders[what].mkdir()
    folders[what].chmod(0o1777)
    with pytest.raises(ConfigurationError, match=f"others can write in .*--{what} of its own"):
        prepare(Configuration(), folders["state"], folders["run"])
    assert not any(folders[what].glob("*.json"))


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_a_home_that_cannot_be_written_is_told_and_flown_around(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (folder / "file").touch()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(folder / "file" / "below"))
    said: list[str] = []
    path = prepare(Configuration(), folder / "s", folder / "r", said.append)
    assert len(said) == 1
    assert "cannot be written (Not a directory): compiled code is kept in" in said[0]
    processes = json.loads(path.read_text())["processes"]
    assert {process["env"]["XDG_CACHE_HOME"] for process in processes} == {
        str(folder / "s" / "cache")
    }


def test_a_home_that_can_be_written_is_used_without_a_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    path = prepare(Configuration(), folder / "s", folder / "r", pytest.fail)
    processes = json.loads(path.read_text())["processes"]
    assert not any("XDG_CACHE_HOME" in process["env"] for process in processes)


@pytest.mark.parametrize("what", ["state", "run"])
def test_a_folder_that_cannot_be_made_is_named_with_its_option(folder: Path, what: str) -> None:
    (folder / "file").touch()
    folders = {"state": folder / "s", "run": folder / "r", what: folder / "file" / "below"}
    with pytest.raises(
        ConfigurationError, match=rf"cannot write in .*: Not a directory; give another --{what}"
    ):
        prepare(Configuration(), folders["state"], folders["run"])


def test_a_user_without_a_home_is_asked_for_a_state_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigurationError, match="no home folder; give --state FOLDER"):
        default_state_dir()
