"""The emulated Orin: its physics, its tree of files, its tools and its companion process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from icd.board_state import BoardState
from icd.host_bus import Request, read_answer, write_request
from sim_hw.__main__ import main
from sim_hw.model import gpu as model
from sim_hw.model.constants import provenance
from sim_hw.model.gpu import GpuInputs
from sim_hw.orin import constants as orin
from sim_hw.orin.board import EmulatedOrin
from sim_hw.orin.constants import FREQUENCIES_HZ, MODES, ORIN, RAILS, THERMAL
from sim_hw.orin.inject import OrinWorld, load
from sim_hw.orin.sysfs_tree import SysfsTree
from tests.sim_hw.support.emulated import wait_until
from tests.sim_hw.support.emulated_orin import SteppedOrin

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def stepped_orin(tmp_path: Path) -> Iterator[SteppedOrin]:
    (tmp_path / "board").mkdir()
    stepped = SteppedOrin(tmp_path / "board")
    yield stepped
    stepped.close()


def inject(folder: Path, *words: str) -> None:
    result = CliRunner().invoke(main, ["inject-orin", "--dir", str(folder), *words])
    assert result.exit_code == 0, result.output


# --- physics ---


@given(st.floats(1.0, 90.0))
def test_the_rails_carry_the_modules_power_neither_more_nor_less(total_w: float) -> None:
    power = orin.spread(RAILS, ORIN.idle_power_w, total_w)
    assert power.gpu_soc + power.cpu_cv + power.system == pytest.approx(total_w)
    assert min(power.gpu_soc, power.cpu_cv, power.memory) >= 0.0
    assert power.memory < power.system


@given(st.floats(0.0, 90.0), st.sampled_from([RAILS.input_v, RAILS.system_v, RAILS.memory_v]))
def test_what_the_monitor_says_is_within_half_a_step_of_what_flows(
    power_w: float, volts: float
) -> None:
    milli_v, milli_a = orin.sensed(RAILS, power_w, volts)
    assert milli_v == pytest.approx(volts * 1e3, abs=4.5)
    assert milli_a == pytest.approx(power_w / volts * 1e3, abs=4.5)


def test_full_load_at_the_chosen_sink_settles_below_the_throttle_point() -> None:
    state = model.initial(ORIN, THERMAL, ORIN.sink_c)
    inputs = GpuInputs(1.0, ORIN.max_power_w, ORIN.sink_c)
    for _ in range(1800):
        state = model.step(ORIN, THERMAL, state, inputs, 10.0)
    assert ORIN.throttle_c - 20.0 < state.sensor_c < ORIN.throttle_c
    assert state.power_w == pytest.approx(ORIN.max_power_w, rel=0.15)


@pytest.mark.parametrize("profile", [ORIN, THERMAL, RAILS], ids=lambda each: type(each).__name__)
def test_every_constant_has_a_unit_and_says_where_it_comes_from(profile: object) -> None:
    for name, (_, unit, source) in provenance(profile).items():
        assert unit, name
        assert len(source) >= 8, name
        assert "H100" not in source, name


def test_every_mode_but_maxn_caps_the_clock_and_names_its_budget() -> None:
    assert [mode.number for mode in MODES] == [0, 1, 2, 3]
    for mode in MODES[1:]:
        assert f"{mode.budget_w:g}W" in mode.name
        assert FREQUENCIES_HZ[0] < mode.gpu_hz < FREQUENCIES_HZ[-1]


# --- the tree ---


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "root", tmp_path / "staging")


def test_only_files_whose_value_changed_are_written(tree: SysfsTree) -> None:
    assert tree.put({"a/b": "1\n", "c": "2\n"}) == 2
    before = (tree.root / "c").stat().st_ino
    assert tree.put({"a/b": "3\n", "c": "2\n"}) == 1
    assert (tree.root / "a/b").read_text() == "3\n"
    assert (tree.root / "c").stat().st_ino == before


def test_a_reader_that_has_a_file_open_sees_the_old_value_whole(tree: SysfsTree) -> None:
    tree.put({"a": "111\n"})
    with (tree.root / "a").open() as file:
        tree.put({"a": "22222\n"})
        assert file.read() == "111\n"


def test_a_file_that_is_held_keeps_its_text_or_stays_away_until_it_is_let_go(
    tree: SysfsTree,
) -> None:
    tree.put({"real/a": "1\n", "b": "1\n"})
    tree.link("linked", "real")
    tree.hold({"linked/a": "garbage", "b": None})
    tree.put({"real/a": "2\n", "b": "2\n"})
    assert (tree.root / "real/a").read_text() == "garbage"
    assert not (tree.root / "b").exists()
    tree.hold({})
    assert (tree.root / "real/a").read_text() == (tree.root / "b").read_text() == "2\n"


def test_links_are_relative_so_that_the_tree_can_be_moved(tree: SysfsTree) -> None:
    tree.put({"real/a": "1\n"})
    tree.link("sys/class/x", "real")
    tree.link("sys/class/x", "real")
    assert not (tree.root / "sys/class/x").readlink().is_absolute()
    assert tree.read("sys/class/x/a") == "1"


def test_without_power_there_is_no_tree_and_with_it_the_same_one(tree: SysfsTree) -> None:
    tree.put({"a": "1\n"})
    tree.power(False)
    assert not tree.root.exists()
    assert tree.put({"a": "2\n"}) == 0
    assert tree.read("a") == ""
    tree.power(True)
    assert tree.read("a") == "1"


def test_a_link_that_leads_out_of_the_tree_is_refused(tree: SysfsTree, tmp_path: Path) -> None:
    (tree.root / "out").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leads out of the tree"):
        tree.hold({"out/secret": "x"})


# --- what is done to it ---


def test_every_injection_can_be_given_by_hand(stepped_orin: SteppedOrin) -> None:
    folder = stepped_orin.folder
    inject(folder, "over-current", "VDD_GPU_SOC", "critical")
    inject(folder, "temperature", "-5")
    inject(folder, "sink", "-20")
    inject(folder, "zone", "cv1", "on")
    inject(folder, "ecc", "--corrected", "2", "--uncorrected", "1")
    inject(folder, "file", "sys/kernel/debug/cactmon/mc_all", "--text", "?")
    inject(folder, "crash")
    inject(folder, "power", "off")
    found = load(folder)
    assert found.over_current == {"VDD_GPU_SOC": "critical"}
    assert (found.offset_k, found.sink_c, found.corrected, found.uncorrected) == (-5, -20, 2, 1)
    assert found.zones_off == ["cv0", "cv2"]
    assert found.files == {"sys/kernel/debug/cactmon/mc_all": "?"}
    assert found.power is False
    inject(folder, "over-current", "VDD_GPU_SOC", "none")
    inject(folder, "file", "sys/kernel/debug/cactmon/mc_all", "--mend")
    assert (load(folder).over_current, load(folder).files) == ({}, {})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["over-current", "VDD_X", "warning"], "VDD_GPU_SOC"),
        (["zone", "moon", "off"], "cv0"),
        (["file", "../../etc/passwd"], "give a path such as sys/"),
        (["ecc", "--corrected", "-1"], "-1"),
    ],
)
def test_a_wrong_injection_is_answered_with_what_to_give(
    stepped_orin: SteppedOrin, words: list[str], told: str
) -> None:
    result = CliRunner().invoke(main, ["inject-orin", "--dir", str(stepped_orin.folder), *words])
    assert result.exit_code != 0
    assert told in result.output


def test_injecting_where_no_board_is_says_how_to_start_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["inject-orin", "--dir", str(tmp_path), "sink", "3"])
    assert result.exit_code == 1
    assert "sim_hw board --model orin" in result.output


def test_a_file_of_injections_that_nobody_understands_injects_nothing(
    stepped_orin: SteppedOrin,
) -> None:
    for text in ("{", '{"unknown": 1}', "[]", ""):
        (stepped_orin.folder / "injections.json").write_text(text)
        stepped_orin.run(0.1)
    OrinWorld(stepped_orin.folder).sink(4.0)
    assert load(stepped_orin.folder).sink_c == 4.0


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Request(1, "launch", 5.0, ""), "knows power_cycle"),
        (Request(1, "power_cycle", 1e6, ""), "give 0.1 … 600 s"),
        (Request(1, "power_cycle", float("nan"), ""), "give 0.1 … 600 s"),
    ],
)
def test_a_request_the_host_cannot_serve_is_refused_with_what_it_can(
    stepped_orin: SteppedOrin, request_: Request, told: str
) -> None:
    folder = stepped_orin.folder / "host_bus"
    write_request(folder, request_)
    stepped_orin.tick()
    answer = read_answer(folder)
    assert answer is not None
    assert answer.state == "refused"
    assert told in answer.text
    assert stepped_orin.root.exists()


# --- the companion ---


@pytest.fixture
def companion(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    folder = tmp_path / "board"
    words = ["board", "--model", "orin", "--dir", str(folder), "--ready", str(folder / "ready")]
    process = subprocess.Popen([sys.executable, "-m", "sim_hw", *words], cwd=ROOT)
    try:
        wait_until((folder / "ready").exists)
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_companion_keeps_the_files_up_to_date_and_takes_them_away_when_it_ends(
    tmp_path: Path, companion: subprocess.Popen[bytes]
) -> None:
    folder = tmp_path / "board"
    OrinWorld(folder).ecc(7, 0)
    count = folder / "root/sys/devices/system/edac/mc/mc0/ce_count"
    wait_until(lambda: count.read_text() == "7\n")
    companion.send_signal(signal.SIGTERM)
    assert companion.wait(20) == 0
    for name in ("root", "staging", "board.state", "ready", "injections.json"):
        assert not (folder / name).exists(), name


def test_a_companion_that_was_killed_is_followed_by_one_that_goes_on(
    tmp_path: Path, companion: subprocess.Popen[bytes]
) -> None:
    folder = tmp_path / "board"
    state = BoardState.attach(folder / "board.state")
    row = state.claim(0, os.getpid())
    nvpmodel = folder / "root/usr/sbin/nvpmodel"
    subprocess.run([nvpmodel, "-m", "2"], check=True, timeout=20)
    companion.kill()
    companion.wait(20)
    successor = SteppedOrin(folder)
    successor.run(0.2)
    assert (
        "MODE_30W"
        in subprocess.run(
            [nvpmodel, "-q"], check=True, capture_output=True, text=True, timeout=20
        ).stdout
    )
    assert row.pid == os.getpid()
    maps = (folder / "root/sys/kernel/debug/nvmap/iovmm/maps").read_text()
    assert f" {os.getpid()} " in maps
    del row
    state.close()
    successor.close()


def test_a_board_is_whole_before_its_first_step(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    fresh = EmulatedOrin(tmp_path / "new")
    assert (tmp_path / "new/root/sys/class/devfreq/17000000.gpu/device/load").read_text() == "0\n"
    fresh.close()


def test_an_idle_board_costs_little_of_a_processor(stepped_orin: SteppedOrin) -> None:
    started = time.process_time()
    for _ in range(20):
        assert stepped_orin.tick() == pytest.approx(0.5)
        stepped_orin.now_ns += 500_000_000
    assert (time.process_time() - started) / 10.0 < 0.05


def test_the_constants_can_be_printed() -> None:
    result = CliRunner().invoke(main, ["constants", "--model", "orin"])
    assert result.exit_code == 0
    assert "die_to_plate_k_w" in result.output
    assert "ampere_step_a" in result.output
