"""Power modes of a Jetson as nvpmodel.conf gives them, whatever it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hal.errors import DriverFault, Unsupported
from hal.jetson import identity
from hal.jetson.power_modes import Mode, PowerModes
from hal.linux.sysfs import Sysfs
from tests.sim_hw.support.jetson_trees import ORIN_NX, plant

NANO_SUPER = {
    **ORIN_NX,
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0",
}


def no_tool(arguments: Sequence[str]) -> str:
    raise AssertionError(arguments)


def modes_of(
    folder: Path, configuration: str, *, on: int = 0, files: dict[str, str] | None = None
) -> PowerModes:
    planted = {
        **(files or ORIN_NX),
        "etc/nvpmodel.conf": configuration,
        "var/lib/nvpmodel/status": f"pmode:{on:04d} fmode:fanNull\n",
    }
    root = Sysfs(plant(folder, planted))
    return PowerModes(root, no_tool, identity.module(root).power_w)


SUPER = """\
# < POWER_MODEL ID=9 NAME=90W >
< PARAM TYPE=FILE NAME=GPU_POWER_CONTROL_ENABLE >
< POWER_MODEL ID=0 NAME=MAXN_SUPER >
CPU_ONLINE CORE_0 1
  <POWER_MODEL  NAME=10W ID=1>
#< POWER_MODEL ID=2 NAME=15W >
< POWER_MODEL ID=3 NAME=25W-SUPER > # the reference design's
< POWER_MODEL ID=4 NAME=40w >
< PM_CONFIG DEFAULT=3 >
"""


@pytest.mark.verifies("VA-BRD-10")
def test_modes_are_those_that_are_not_commented_out_in_every_spelling(tmp_path: Path) -> None:
    assert modes_of(tmp_path, SUPER).known() == [
        Mode(0, "MAXN_SUPER", 40.0),
        Mode(1, "10W", 10.0),
        Mode(3, "25W-SUPER", 25.0),
        Mode(4, "40w", 40.0),
    ]


@pytest.mark.verifies("VA-BRD-10")
def test_an_orin_nx_in_its_super_mode_may_draw_40_w(tmp_path: Path) -> None:
    modes = modes_of(tmp_path, SUPER, on=0)
    assert modes.now(1).name == "MAXN_SUPER"
    assert modes.budget_w(1) == 40.0
    assert identity.module(Sysfs(tmp_path)).power_w == 40.0


def test_an_orin_nano_in_its_super_mode_may_draw_25_w(tmp_path: Path) -> None:
    conf = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
    assert modes_of(tmp_path, conf, on=2, files=NANO_SUPER).budget_w(1) == 25.0
    assert identity.module(Sysfs(tmp_path)).name == "Jetson Orin Nano 8GB"


def test_without_super_modes_the_module_keeps_the_budget_of_its_data_sheet(tmp_path: Path) -> None:
    conf = "< POWER_MODEL ID=0 NAME=MAXN >\n#< POWER_MODEL ID=1 NAME=MAXN_SUPER >\n"
    assert modes_of(tmp_path, conf).budget_w(1) == 25.0


@pytest.mark.parametrize(
    ("name", "budget_w"),
    [
        ("MODE_15W_2CORE", 15.0),
        ("7.5W", 7.5),
        ("30w", 30.0),
        ("15W_DESKTOP", 15.0),
        ("25W-SUPER", 25.0),
        ("MAXQ", None),
        ("MAXP_CORE_ALL", None),
        ("15W_TO_25W", None),
        ("A40WATT", None),
        ("custom", None),
    ],
)
def test_a_budget_is_what_the_name_says_and_nothing_where_it_says_none(
    tmp_path: Path, name: str, budget_w: float | None
) -> None:
    modes = modes_of(tmp_path, f"< POWER_MODEL NAME={name} ID=0 >\n")
    assert modes.known() == [Mode(0, name, budget_w)]
    if budget_w is None:
        with pytest.raises(Unsupported, match=f"power mode {name} names no limit"):
            modes.budget_w(1)


def test_a_super_mode_of_a_module_that_has_none_has_no_known_budget(tmp_path: Path) -> None:
    files = {**ORIN_NX, "proc/device-tree/compatible": "nvidia,p3701-0005\0"}
    modes = modes_of(tmp_path, "< POWER_MODEL ID=0 NAME=MAXN_SUPER >\n", files=files)
    assert modes.known() == [Mode(0, "MAXN_SUPER", None)]


@pytest.mark.parametrize(
    "line",
    [
        "< POWER_MODEL ID=one NAME=10W >",
        "< POWER_MODEL ID=\uff11 NAME=10W >",
        "< POWER_MODEL ID=1 >",
        "< POWER_MODEL NAME=10W >",
        "POWER_MODEL ID=1 NAME=10W",
        "# < POWER_MODEL ID=1 NAME=10W >",
    ],
)
def test_a_line_that_names_no_mode_makes_none(tmp_path: Path, line: str) -> None:
    with pytest.raises(DriverFault, match="names no power mode"):
        modes_of(tmp_path, line).known()


def test_a_number_with_two_names_is_a_fault(tmp_path: Path) -> None:
    twice = "< POWER_MODEL ID=1 NAME=10W >\n"
    assert len(modes_of(tmp_path, twice + twice).known()) == 1
    with pytest.raises(DriverFault, match="gives mode 1 two names"):
        modes_of(tmp_path, twice + "< POWER_MODEL ID=1 NAME=15W >\n").known()


def test_a_limit_turns_on_the_mode_that_is_called_by_it(tmp_path: Path) -> None:
    called: list[list[str]] = []

    def tool(arguments: Sequence[str]) -> str:
        called.append(list(arguments))
        (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0004\n")
        return ""

    modes_of(tmp_path, SUPER)
    modes = PowerModes(Sysfs(tmp_path), tool, 40.0)
    assert modes.limit(40.0, 1) == 40.0
    assert called == [["nvpmodel", "-m", "4"]]
