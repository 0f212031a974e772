"""The doctor on Python, packages, driver and devices."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

import pytest

from flight.doctor import driver, software
from flight.doctor.finding import Verdict
from icd import extras
from tests.flight.support.fake_machine import FakeMachine


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ((3, 9, 18), Verdict.ERROR),
        ((3, 10, 0), Verdict.OK),
        ((3, 13, 9), Verdict.OK),
        ((3, 14, 0), Verdict.ERROR),
    ],
)
def test_a_python_too_old_or_too_new_is_an_error(
    machine: FakeMachine, version: tuple[int, ...], verdict: Verdict
) -> None:
    machine.set(python=version)
    assert machine.asked(software.python).verdict is verdict


def test_installed_packages_are_counted(machine: FakeMachine) -> None:
    assert machine.asked(software.packages).verdict is Verdict.OK


def test_a_missing_package_is_named_with_how_to_install_it(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["click>=8", "no-such-package-of-ours>=1", "gone; extra == 'dev'"]
    monkeypatch.setattr(software.metadata, "requires", lambda _name: wanted)
    found = machine.asked(software.packages)
    assert found.verdict is Verdict.ERROR
    assert found.advice == "pip install no-such-package-of-ours"


def test_a_checkout_that_is_not_installed_is_a_warning(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requires(_name: str) -> list[str]:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(software.metadata, "requires", requires)
    assert machine.asked(software.packages).verdict is Verdict.WARNING


def test_kernels_are_kept_below_the_users_cache(machine: FakeMachine, tmp_path: Path) -> None:
    assert str(tmp_path / ".cache") in machine.asked(software.numba_cache).text
    machine.become_somebody_else()
    tmp_path.chmod(0o700)
    found = machine.asked(software.numba_cache)
    assert found.verdict is Verdict.WARNING
    assert "XDG_CACHE_HOME" in found.advice


def test_an_unknown_board_is_an_error_that_names_the_known_ones(machine: FakeMachine) -> None:
    machine.configuration = {"board": {"name": "emulated-h10"}}
    found = machine.asked(driver.driver)
    assert found.verdict is Verdict.ERROR
    assert "did you mean 'emulated-h100'" in found.text
    assert machine.asked(driver.devices).verdict is Verdict.WARNING
    assert machine.asked(driver.emulated_library).verdict is Verdict.WARNING


def test_an_emulated_board_needs_a_compiler_and_no_device(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "bin" / "gcc"
    compiler.parent.mkdir()
    compiler.touch(mode=0o755)
    machine.set(environment={"PATH": str(compiler.parent)})
    assert machine.asked(driver.driver).text == "emulated-h100 is built with gcc"
    assert machine.asked(driver.devices).verdict is Verdict.OK
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    machine.set(environment={"PATH": ""})
    found = machine.asked(driver.driver)
    assert (found.verdict, found.advice) == (
        Verdict.ERROR,
        "apt install gcc, or pip install '.[zig]'",
    )


def test_a_real_board_says_who_it_is(machine: FakeMachine) -> None:
    machine.configuration = {"board": {"name": "nvml"}}
    assert machine.asked(driver.driver).text == "H100; driver 580.1"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"error": "the driver did not answer within 20 s"}, "did not answer"),
        ({"devices": []}, "shows no device"),
        ({}, "shows no device"),
    ],
)
def test_a_driver_that_hangs_or_shows_nothing_is_an_error(
    machine: FakeMachine, answer: dict[str, object], says: str
) -> None:
    machine.configuration = {"board": {"name": "nvml"}}
    machine.set(ask_board=lambda _board: answer)
    found = machine.asked(driver.driver)
    assert found.verdict is Verdict.ERROR
    assert says in found.text
    assert "nvidia-smi" in found.advice


@pytest.mark.parametrize("board", ["nvml", "jetson"])
@pytest.mark.parametrize("sign", ["/dev/nvmap", "/etc/nv_tegra_release", "/dev/nvhost-gpu"])
def test_a_jetson_whose_device_tree_a_container_hides_is_told_apart(
    machine: FakeMachine, board: str, sign: str
) -> None:
    machine.configuration = {"board": {"name": board}}
    machine.set(ask_board=lambda _board: {"error": "no Jetson at /"})
    machine.write(sign, "", 0o666)
    found = machine.asked(driver.driver)
    assert found.verdict is Verdict.ERROR
    assert "device tree is hidden" in found.text
    assert "systempaths=unconfined" in found.advice
    machine.write("/proc/device-tree/compatible", "nvidia,tegra234\0", 0o444)
    found = machine.asked(driver.driver)
    assert ("--board jetson" in found.advice) == (board == "nvml")


def test_device_nodes_must_be_there_and_ours(machine: FakeMachine) -> None:
    machine.configuration = {"board": {"name": "nvml"}}
    assert machine.asked(driver.devices).verdict is Verdict.ERROR
    machine.write("/dev/nvidiactl", "", 0o666)
    node = machine.write("/dev/nvidia0", "", 0o660)
    assert machine.asked(driver.devices).text == "2 device nodes can be opened"
    machine.become_somebody_else()
    found = machine.asked(driver.devices)
    assert found.verdict is Verdict.ERROR
    assert str(node) in found.text
    assert "nvidiactl" not in found.text
    machine.set(groups=frozenset({node.stat().st_gid}))
    assert machine.asked(driver.devices).verdict is Verdict.OK


def test_a_jetson_needs_device_nodes_only_to_compute(machine: FakeMachine) -> None:
    machine.configuration = {"board": {"name": "jetson"}}
    assert machine.asked(driver.devices).verdict is Verdict.OK
    machine.configuration = {"board": {"name": "jetson"}, "compute": "cuda"}
    found = machine.asked(driver.devices)
    assert (found.verdict, "JetPack" in found.advice) == (Verdict.ERROR, True)
    machine.write("/dev/nvmap", "", 0o666)
    assert machine.asked(driver.devices).verdict is Verdict.OK


def test_jobs_on_a_gpu_need_numba_cuda(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.asked(driver.compute).verdict is Verdict.OK
    machine.configuration = {"compute": "cuda"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert machine.asked(driver.compute).advice == extras.install("numba_cuda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert machine.asked(driver.compute).verdict is Verdict.OK


def test_an_emulated_library_does_not_load_from_a_noexec_mount(machine: FakeMachine) -> None:
    assert machine.asked(driver.emulated_library).verdict is Verdict.OK
    machine.write("/proc/self/mounts", f"tmpfs {machine.run} tmpfs rw,nosuid,noexec 0 0\n")
    assert machine.asked(driver.emulated_library).verdict is Verdict.ERROR
    machine.configuration = {"board": {"name": "nvml"}}
    assert machine.asked(driver.emulated_library).verdict is Verdict.OK
