"""Plots of a report, as SVG that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from flight.campaign.fault_models import Outcome

Row = Mapping[str, Any]

OUTCOME_COLOURS = {
    Outcome.MASKED.value: "#c3c9d0",
    Outcome.CORRECTED.value: "#57b894",
    Outcome.RECOVERED.value: "#2f8fb3",
    Outcome.ABORT.value: "#f2c14e",
    Outcome.HANG.value: "#d9962b",
    Outcome.CRASH.value: "#a8661c",
    Outcome.TOLERABLE.value: "#f0a3a0",
    Outcome.CRITICAL.value: "#c4302b",
}
LEVEL_COLOURS = {
    "none": "#3d434a",
    "edac": "#8a6fd1",
    "known answers": "#b0497a",
    "abft": "#e07b00",
    "dmr": "#2f8fb3",
    "tmr": "#3f9d74",
    "system": "#2f8fb3",
}
_GRID, _INK = "#e3e6ea", "#4a5158"
_SIGN, _EXPONENT = 31, 23


def legend(colours: Mapping[str, str]) -> str:
    """Coloured squares and their names, as HTML."""
    items = (
        f'<span class="key"><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in colours.items()
    )
    return f'<p class="legend">{"".join(items)}</p>'


def stacked(rows: Sequence[Row]) -> str:
    """One bar a level, cut by outcomes; the share of each is in its tooltip."""
    left, width, height, gap = 120, 760, 26, 10
    parts = []
    for index, row in enumerate(rows):
        top = 6 + index * (height + gap)
        parts.append(_text(left - 10, top + 18, row["level"], "end"))
        at = float(left)
        for name, colour in OUTCOME_COLOURS.items():
            count = row["outcomes"].get(name, 0)
            if count:
                long = width * count / row["trials"]
                said = f"{name}: {count:,} of {row['trials']:,} ({_percent(count / row['trials'])})"
                parts.append(
                    f'<rect x="{at:.2f}" y="{top}" width="{long:.2f}" height="{height}" '
                    f'fill="{colour}"><title>{said}</title></rect>'
                )
                if long > 46:
                    ink = "#fff" if name in _DARK else "#20252b"
                    shown = f"{100 * count / row['trials']:.1f}"
                    parts.append(_text(at + long / 2, top + 18, shown, "middle", ink))
                at += long
    bottom = 6 + len(rows) * (height + gap)
    for tick in range(0, 101, 20):
        x = left + width * tick / 100
        parts.append(f'<path d="M{x} {bottom - 4}v5" stroke="{_INK}"/>')
        parts.append(_text(x, bottom + 16, f"{tick} %", "middle"))
    return _svg(left + width + 30, bottom + 24, parts, "outcomes by level")


_DARK = {Outcome.RECOVERED.value, Outcome.CRASH.value, Outcome.CRITICAL.value}


def by_bit(rows: Sequence[Row], bits: int) -> str:
    """Coverage of single flips by the bit that flipped, the highest left, one line a level."""
    left, top, width, height = 60, 24, 800, 220
    step = width / bits
    parts = _floating_parts(left, top, step, height) if bits == 32 else []
    parts += _shares_axis(left, top, width, height)
    for bit in range(0, bits, 4 if bits <= 32 else 8):
        parts.append(_text(left + (bits - 0.5 - bit) * step, top + height + 16, str(bit), "middle"))
    parts.append(_text(left + width / 2, top + height + 34, "bit that flipped", "middle"))
    levels = dict.fromkeys(row["level"] for row in rows)
    for level in levels:
        known = {row["bit"]: row for row in rows if row["level"] == level}
        shares = {
            left + (bits - 0.5 - bit) * step: (bit, known[bit]["coverage"])
            for bit in sorted(known, reverse=True)
            if known[bit]["coverage"]["trials"]
        }
        parts += _curve(shares, level, top, height)
    return _svg(left + width + 30, top + height + 42, parts, "coverage by bit position")


def _curve(
    shares: Mapping[float, tuple[int, Row]], level: str, top: float, height: float
) -> list[str]:
    """A line through the rates; x -> bit and share.

    Behind it lies a band of their intervals, unless every fault was covered, or none was.
    """
    colour = LEVEL_COLOURS.get(level, _INK)

    def along(key: str, order: Sequence[float]) -> str:
        return " ".join(f"{x:.1f},{top + height * (1 - shares[x][1][key]):.1f}" for x in order)

    places = list(shares)
    parts = []
    if len({share["rate"] for _, share in shares.values()} - {0.0, 1.0}):
        band = f"{along('low', places)} {along('high', places[::-1])}"
        parts.append(f'<polygon points="{band}" fill="{colour}" opacity="0.13"/>')
    parts += [
        f'<polyline points="{along("rate", places)}" fill="none" stroke="{colour}" '
        'stroke-width="2"/>',
    ]
    for x, (bit, share) in shares.items():
        y = top + height * (1 - share["rate"])
        said = f"{level}, bit {bit}: {_interval(share)}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"><title>{said}</title>'
            "</circle>"
        )
    return parts


def cost(rows: Sequence[Row]) -> str:
    """Coverage, with its interval, against the time that a level takes beside none."""
    left, top, width, height = 60, 14, 800, 240
    highest = max(max(row["ratio"] for row in rows) - 1, 0.1) * 1.12
    parts = _shares_axis(left, top, width, height)
    for tick in _ticks(highest):
        x = left + width * tick / highest
        parts.append(f'<path d="M{x:.1f} {top}v{height}" stroke="{_GRID}"/>')
        parts.append(_text(x, top + height + 19, f"{100 * tick:g} %", "middle"))
    parts.append(_text(left + width / 2, top + height + 34, "more time than level none", "middle"))
    for row in rows:
        x = left + width * max(row["ratio"] - 1, 0.0) / highest
        share, colour = row["coverage"], LEVEL_COLOURS.get(row["level"], _INK)
        low, middle, high = (top + height * (1 - share[k]) for k in ("low", "rate", "high"))
        said = f"{row['level']}: {100 * (row['ratio'] - 1):+.1f} % time, {_interval(share)}"
        parts.append(
            f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="2"/>'
            f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="6" fill="{colour}"><title>{said}</title>'
            f"</circle>"
        )
        parts.append(
            _text(x + 11, middle + (17 if middle < top + 30 else 5), row["level"], "start")
        )
    return _svg(left + width + 60, top + height + 42, parts, "overhead against coverage")


def _floating_parts(left: float, top: float, step: float, height: float) -> list[str]:
    """The fields of a float32 behind the plot."""
    parts = []
    fields = (("sign", 1, "#f3eef9"), ("exponent", 8, "#eef4f9"), ("mantissa", 23, "#f7f8f9"))
    at = left
    for name, bits, colour in fields:
        parts.append(
            f'<rect x="{at:.1f}" y="{top}" width="{bits * step:.1f}" height="{height}" '
            f'fill="{colour}"/>'
        )
        parts.append(_text(at + bits * step / 2, top - 8, name, "middle"))
        at += bits * step
    return parts


def _shares_axis(left: float, top: float, width: float, height: float) -> list[str]:
    parts = []
    for tick in range(0, 101, 25):
        y = top + height * (1 - tick / 100)
        parts.append(f'<path d="M{left} {y}h{width}" stroke="{_GRID}"/>')
        parts.append(_text(left - 8, y + 4, f"{tick} %", "end"))
    return parts


def _ticks(highest: float) -> list[float]:
    step = next(s for s in (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 50, 1000) if highest / s <= 8)
    return [step * index for index in range(int(highest / step) + 1)]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(share: Row) -> str:
    low, high = _percent(share["low"]), _percent(share["high"])
    return f"{_percent(share['rate'])} covered ({low} to {high}; {share['trials']:,} trials)"


def _text(x: float, y: float, said: str, anchor: str, ink: str = _INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{ink}">{escape(said)}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str], name: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">'
        f"{''.join(parts)}</svg>"
    )
