"""The table of boards: what drives each one and what must run beside it."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hal.device import CONTROLS, Board
from hal.errors import DriverMissing, UnknownBoard


@dataclass(frozen=True)
class Thresholds:
    """Where a board's readings warn; ground may choose others."""

    warning_c: float
    """GPU temperature that it may have for long."""
    critical_c: float
    """GPU temperature from which it protects itself."""
    warning_w: float | None
    """More power than it may draw, measurement included; None: it depends on the model."""


# H100 data sheet and NVML thresholds: longest at 83 °C, slow-down at 87 °C, 350 W on PCIe.
_H100 = Thresholds(83.0, 87.0, 385.0)
_NVIDIA = Thresholds(83.0, 87.0, None)
# Jetson Orin: software throttling begins at 99 °C; the module is to be used below 95 °C.
_JETSON = Thresholds(95.0, 99.0, None)
_ORIN_64 = Thresholds(95.0, 99.0, 66.0)


@dataclass(frozen=True)
class Row:
    """One kind of board. In the templates `{dir}` is the board's folder in the run directory."""

    name: str
    description: str
    opener: str
    """`module:function`, imported only in the process that opens the board."""

    thresholds: Thresholds

    companion_template: tuple[str, ...] = ()
    environment_template: tuple[tuple[str, str], ...] = ()
    search_path_template: tuple[tuple[str, str], ...] = ()
    """Like the environment, but set in front of what the variable already holds."""

    def companion(self, run_dir: Path, scenario: str = "", gpus: int = 1) -> list[str] | None:
        """Arguments of the process to start first, or None when the board needs none.

        `scenario` is the world that it flies in: a file, or the name of a shipped one; "" is none.
        `gpus` is how many GPUs it has.
        """
        if not self.companion_template:
            return None
        flown = ["--scenario", scenario] if scenario else []
        flown += ["--gpus", str(gpus)] if gpus != 1 else []
        return [sys.executable, *_fill(self.companion_template, _folder(run_dir)), *flown]

    @property
    def takes_gpus(self) -> bool:
        """Whether its companion can be told how many GPUs to be."""
        return bool(self.companion_template) and self.opener.startswith("hal.nvml.board:")

    def ready_file(self, run_dir: Path) -> Path | None:
        """The file the companion writes once the board can be opened."""
        return _folder(run_dir) / "ready" if self.companion_template else None

    def environment(
        self, run_dir: Path, inherited: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Variables for every process that opens this board or computes on it."""
        before = os.environ if inherited is None else inherited
        folder = _folder(run_dir)
        result = {key: value.format(dir=folder) for key, value in self.environment_template}
        for key, value in self.search_path_template:
            result[key] = ":".join(filter(None, (value.format(dir=folder), before.get(key))))
        return result


def _folder(run_dir: Path) -> Path:
    return Path(run_dir).absolute() / "board"


def _fill(template: tuple[str, ...], folder: Path) -> list[str]:
    return [part.format(dir=folder) for part in template]


def _emulated(name: str, description: str, model: str) -> Row:
    return Row(
        name,
        description,
        opener="hal.nvml.board:open_board",
        thresholds=_H100,
        companion_template=(
            *("-m", "sim_hw", "board", "--model", model),
            *("--dir", "{dir}", "--ready", "{dir}/ready"),
        ),
        environment_template=(
            ("VANALLEN_BOARD_STATE", "{dir}/board.state"),
            ("VANALLEN_NVML_STATE", "{dir}/nvml.state"),
            ("VANALLEN_NVML_LIBRARY", "{dir}/lib/libnvidia-ml.so.1"),
            ("VANALLEN_NVIDIA_SMI", "{dir}/bin/nvidia-smi"),
            ("VANALLEN_MODPROBE", "{dir}/bin/modprobe"),
            ("VANALLEN_HOST_BUS", "{dir}/bin/host-bus"),
        ),
        search_path_template=(("LD_LIBRARY_PATH", "{dir}/lib"),),
    )


def _emulated_orin() -> Row:
    return Row(
        "emulated-orin",
        "a Jetson AGX Orin 64GB in software: rails, heat, power modes, faults",
        opener="hal.jetson.board:open_board",
        thresholds=_ORIN_64,
        companion_template=(
            *("-m", "sim_hw", "board", "--model", "orin"),
            *("--dir", "{dir}", "--ready", "{dir}/ready"),
        ),
        environment_template=(
            ("VANALLEN_BOARD_STATE", "{dir}/board.state"),
            ("VANALLEN_JETSON_ROOT", "{dir}/root"),
            ("VANALLEN_HOST_BUS_FOLDER", "{dir}/host_bus"),
            ("VANALLEN_BOARD_BEAT", "{dir}/beat"),
        ),
    )


_EMULATED_NVML = {
    "h100": "an H100 PCIe 80 GB",
    "h100-sxm": "an H100 SXM5 80 GB",
    "h200": "an H200 141 GB",
    "a100": "an A100 SXM4 80 GB",
}
_ROWS = {
    row.name: row
    for row in (
        *(
            _emulated(f"emulated-{model}", f"{what} in software: power, heat, faults", model)
            for model, what in _EMULATED_NVML.items()
        ),
        _emulated_orin(),
        Row(
            "nvml",
            "the NVIDIA GPUs of this machine, read-only",
            "hal.nvml.board:open_board",
            _NVIDIA,
        ),
        Row(
            "jetson",
            "the Jetson that this machine is, read-only",
            "hal.jetson.board:open_board",
            _JETSON,
        ),
        Row(
            "replay",
            "a board that was recorded, played back",
            "hal.recording.replay:open_board",
            _NVIDIA,
        ),
    )
}


def names() -> list[str]:
    """Every board that can be asked for."""
    return list(_ROWS)


def row(name: str) -> Row:
    """The row of a board. Raises UnknownBoard, naming the known ones."""
    try:
        return _ROWS[name]
    except KeyError:
        near = difflib.get_close_matches(name, _ROWS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownBoard(f"no board {name!r}; known are {', '.join(_ROWS)}{hint}") from None


def open_board(
    name: str,
    environment: Mapping[str, str] | None = None,
    *,
    allow_control: frozenset[str] = frozenset(),
    clock: Callable[[], int] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Board:
    """Open a board by name; it is read-only except for the actions named in `allow_control`.

    `environment` is the process's own (`Row.environment` says what a companion's board needs);
    `clock` stamps readings and defaults to TAI nanoseconds since 1958; `wait` is called with
    short times while the board waits for something, so that its caller can show that it lives.
    Raises UnknownBoard, DriverMissing, or ValueError for an action that no board has.
    """
    found = row(name)
    if unknown := sorted(allow_control - CONTROLS.keys()):
        raise ValueError(f"no control {unknown[0]!r}; allow any of {', '.join(CONTROLS)}")
    variables = os.environ if environment is None else environment
    for key, _ in found.environment_template:
        if key not in variables:
            raise DriverMissing(f"{name} needs {key} set; start it with: flight run --board {name}")
    module, _, function = found.opener.partition(":")
    opener: Callable[..., Board] = getattr(importlib.import_module(module), function)
    return opener(name, variables, allow_control=allow_control, clock=clock, wait=wait)
