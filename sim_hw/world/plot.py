"""Draws a truth log: power, heat, particles and what they did, over time, as a PNG."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim_hw.world.records import TruthLogError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Records = list[dict[str, Any]]

_SHADOW, _SAA = "#1f2a44", "#e4572e"
_INK, _SOFT = "#20242c", "#7b8494"
_ARRAY, _LOAD, _BATTERY = "#d99a1c", "#2a6fbb", "#3a9a5b"
_GPU, _PLATE, _SINK = "#c8412f", "#8a63b8", "#6a9bc3"
_RIGHT = 0.855
_BOARDS = {"h100": "H100", "orin": "Jetson AGX Orin"}
_FAINT = 0.01
"""Lowest flux drawn, in p/(cm² s)."""


class PlotError(RuntimeError):
    """It cannot be drawn; says why."""


@dataclass(frozen=True)
class Span:
    """The part of a log to draw, in seconds since the start."""

    begin_s: float
    end_s: float


def whole(records: Records) -> Span:
    """All of a log."""
    return Span(0.0, max(float(record["t"]) for record in records[1:]))


def orbit(records: Records, number: int) -> Span:
    """One revolution, counted from 1."""
    period_s = float(records[0]["orbit_period_s"])
    span = Span((number - 1) * period_s, number * period_s)
    if number < 1 or span.begin_s >= whole(records).end_s:
        last = int(whole(records).end_s / period_s) + 1
        raise PlotError(f"there is no orbit {number} in this log; choose one from 1 to {last}")
    return span


def draw(records: Records, path: Path, span: Span | None = None) -> None:
    """Draw a log, or a part of it, into a PNG. Raises PlotError; needs the extra [plot]."""
    from matplotlib.figure import Figure

    span = span or whole(records)
    picture = _Picture(records, span)
    figure = Figure(figsize=(11.0, 9.2), dpi=130, facecolor="white")
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(1.15, 1.15, 1.15, 0.95))
    panels = (picture.power, picture.heat, picture.particles, picture.upsets)
    for axis, panel in zip(axes, panels, strict=True):
        picture.shade(axis)
        panel(axis)
        _dress(axis)
    axes[-1].set_xlabel(f"time since {picture.start} UTC [{picture.unit}]", color=_INK)
    axes[-1].set_xlim(span.begin_s / picture.scale, span.end_s / picture.scale)
    _head(figure, records)
    figure.savefig(path, facecolor="white")


def _head(figure: Figure, records: Records) -> None:
    """Title, what the scenario says of itself, and what the shades mean."""
    from matplotlib.patches import Patch

    header = records[0]
    figure.subplots_adjust(left=0.085, right=_RIGHT, top=0.885, bottom=0.065, hspace=0.13)
    name = header["name"][:1].upper() + header["name"][1:]
    figure.text(0.085, 0.962, name, fontsize=17, color=_INK, weight="bold")
    figure.text(0.085, 0.938, header["description"], fontsize=10, color=_SOFT)
    facts = (
        f"{_BOARDS.get(header['board'], header['board'])} · seed {header['seed']} · "
        f"{_pace(float(header['acceleration']))}"
    )
    figure.text(0.085, 0.916, facts, fontsize=10, color=_SOFT)
    patches = [Patch(color=_SHADOW, alpha=0.13, label="eclipse"),
               Patch(color=_SAA, alpha=0.16, label="South Atlantic Anomaly")]  # fmt: skip
    figure.legend(
        handles=patches, loc="upper right", bbox_to_anchor=(_RIGHT, 0.985), ncols=2, frameon=False
    )
    figure.align_ylabels()


def _pace(acceleration: float) -> str:
    if acceleration == 1.0:
        return "faults as rare as they are"
    return f"faults accelerated {acceleration:,g} times"


def _dress(axis: Axes) -> None:
    axis.grid(axis="y", color="#d9dde4", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(colors=_SOFT, labelsize=9)
    axis.yaxis.label.set_color(_INK)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#b8bfca")


class _Picture:
    """The part of a log that is drawn, as columns."""

    def __init__(self, records: Records, span: Span) -> None:
        self.header = records[0]
        self.start = str(self.header["start"])[:16].replace("T", " ")
        is_long = span.end_s - span.begin_s > 3 * 3600.0
        self.scale, self.unit = (3600.0, "h") if is_long else (60.0, "min")
        self._span = span
        part = [r for r in records[1:] if span.begin_s <= r["t"] <= span.end_s]
        self._states = [record for record in part if record["type"] == "state"]
        self._faults = [record for record in part if record["type"] == "fault"]
        self._events = [record for record in records[1:] if record["type"] == "event"]
        if len(self._states) < 2:
            raise PlotError("fewer than two states in that part of the log; draw a longer part")
        self._time = self._column("t") / self.scale

    def _column(self, name: str) -> Array:
        try:
            return np.array([float(record[name]) for record in self._states])
        except KeyError as error:
            raise TruthLogError(f"a state of the log has no {name}") from error

    def shade(self, axis: Axes) -> None:
        """Where the Earth hides the Sun, and where the protons are."""
        for begins, ends, colour, alpha in (
            ("eclipse begins", "eclipse ends", _SHADOW, 0.13),
            ("SAA entered", "SAA left", _SAA, 0.16),
        ):
            for low, high in self._stretches(begins, ends):
                axis.axvspan(low, high, color=colour, alpha=alpha, linewidth=0, zorder=0)

    def _stretches(self, begins: str, ends: str) -> list[tuple[float, float]]:
        found, open_s = [], None
        for record in self._events:
            if record["event"] == begins:
                open_s = record["t"]
            elif record["event"] == ends and open_s is not None:
                found.append((open_s / self.scale, record["t"] / self.scale))
                open_s = None
        if open_s is not None:
            found.append((open_s / self.scale, self._span.end_s / self.scale))
        return found

    def power(self, axis: Axes) -> None:
        """What comes in, what goes out, and what is left."""
        given, used = self._column("array_w"), self._column("power_w")
        axis.plot(self._time, given, color=_ARRAY, linewidth=1.4, label="array")
        axis.fill_between(self._time, used, color=_LOAD, alpha=0.18, linewidth=0)
        axis.plot(self._time, used, color=_LOAD, linewidth=1.4, label="payload")
        axis.set_ylabel("power [W]")
        axis.set_ylim(0.0, 1.42 * max(given.max(), used.max(), 1.0))
        right = axis.twinx()
        battery = 100.0 * self._column("battery")
        right.plot(self._time, battery, color=_BATTERY, linewidth=1.4, label="battery")
        right.set_ylim(0.0, 126.0)
        right.set_yticks([0, 25, 50, 75, 100])
        right.set_ylabel("battery [%]", color=_BATTERY)
        right.tick_params(colors=_BATTERY, labelsize=9)
        for spine in right.spines.values():
            spine.set_visible(False)
        lines = [*axis.get_lines(), *right.get_lines()]
        axis.legend(handles=lines, loc="upper left", ncols=3, frameon=False, fontsize=9)

    def heat(self, axis: Axes) -> None:
        """The way of the heat, from the die to what the radiator sees."""
        for name, colour, label in (
            ("gpu_c", _GPU, "GPU"),
            ("plate_c", _PLATE, "cold plate"),
            ("sink_c", _SINK, "radiator's surroundings"),
        ):
            axis.plot(self._time, self._column(name), color=colour, linewidth=1.4, label=label)
        limit = self.header["throttle_c"]
        axis.axhline(limit, color=_GPU, linewidth=1.0, linestyle=(0, (4, 3)), label="throttling")
        low = min(self._column("sink_c").min(), 0.0)
        axis.set_ylim(low - 8.0, limit + 0.28 * (limit - low))
        axis.set_ylabel("temperature [°C]")
        axis.legend(loc="upper left", ncols=4, frameon=False, fontsize=9)

    def particles(self, axis: Axes) -> None:
        """Protons behind the shielding, and the floor of cosmic rays."""
        total, storm = self._column("flux"), self._column("storm")
        trapped = self._column("trapped")
        axis.set_yscale("log")
        energy = self.header["proton_energy_mev"]
        axis.plot(self._time, np.maximum(total, _FAINT), color=_INK, linewidth=1.2, label="all")
        for values, colour, label in (
            (trapped, _SAA, f"trapped > {energy:.0f} MeV"),
            (storm, _PLATE, f"solar > {energy:.0f} MeV"),
        ):
            if values.max() > 0.0:
                drawn = np.where(values > _FAINT, values, np.nan)
                axis.plot(self._time, drawn, color=colour, linewidth=1.4, label=label)
        axis.set_ylim(0.4 * max(total.min(), _FAINT), 8.0 * total.max())
        axis.set_ylabel("flux [p cm⁻² s⁻¹]")
        axis.legend(loc="upper left", ncols=3, frameon=False, fontsize=9)

    def upsets(self, axis: Axes) -> None:
        """Each fault a tick, a row for each kind; XIDs are told where there is room."""
        counts = Counter(str(fault["upset"]) for fault in self._faults)
        axis.set_ylabel("faults", labelpad=4)
        axis.set_yticks([])
        if not counts:
            axis.text(0.5, 0.5, "no fault", transform=axis.transAxes, ha="center", color=_SOFT)
            return
        names = [name for name, _ in counts.most_common()]
        for row, name in enumerate(names):
            times = [f["t"] / self.scale for f in self._faults if f["upset"] == name]
            alpha = float(np.clip(120.0 / len(times), 0.18, 0.95))
            axis.vlines(times, row - 0.36, row + 0.36, color=_INK, alpha=alpha, linewidth=1.0)
            label = f"{name.replace('_', ' ')}  {len(times):,}"
            axis.text(1.008, row, label, transform=axis.get_yaxis_transform(), va="center",
                      fontsize=7.5, color=_SOFT)  # fmt: skip
        axis.set_ylim(len(names) - 0.4, -0.6)
        self._tell_xids(axis, names)

    def _tell_xids(self, axis: Axes, names: list[str]) -> None:
        """The last code of each fault that no other of its row follows closely."""
        room_s = (self._span.end_s - self._span.begin_s) / 16.0
        free_s: dict[str, float] = {}
        for fault in reversed(self._faults):
            row = fault["upset"]
            is_free = fault["t"] + room_s < free_s.get(row, self._span.end_s + room_s / 2)
            free_s[row] = fault["t"]
            if fault["xids"] and is_free:
                time, text = fault["t"] / self.scale, f" XID {fault['xids'][-1]}"
                axis.text(time, names.index(row), text, va="center", fontsize=7.5, color=_GPU)
