"""The report of a campaign: one HTML file that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from flight.campaign import charts
from flight.campaign.fault_models import Outcome

Row = Mapping[str, Any]

_STYLE = """
:root { color: #20252b; font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
body { max-width: 1240px; margin: 2.5rem auto 5rem; padding: 0 1.2rem; }
h1 { font-size: 1.9rem; margin: 0 0 .2rem; } h2 { margin: 2.6rem 0 .6rem; font-size: 1.35rem; }
h3 { margin: 1.6rem 0 .3rem; font-size: 1.05rem; }
p.under { color: #5b636b; margin-top: 0; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; margin: .6rem 0 1.2rem; }
th, td { padding: .3rem .42rem; text-align: right; border-bottom: 1px solid #e3e6ea; }
th { color: #5b636b; font-weight: 600; vertical-align: bottom; }
th.l, td.l { text-align: left; }
td { white-space: nowrap; } td small { color: #6b737b; display: block; }
td.l { font-weight: 500; }
.facts td { text-align: left; } .facts td:first-child { color: #5b636b; width: 11rem; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; }
.card { flex: 1 1 18rem; border: 1px solid #dfe3e7; border-radius: 8px; padding: .9rem 1.1rem; }
.card b { font-size: 1.5rem; } .card p { margin: .2rem 0; }
.legend { font-size: .85rem; margin: .4rem 0; } .key { margin-right: 1rem; white-space: nowrap; }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px;
  margin-right: .35rem; vertical-align: -.06rem; }
svg { width: 100%; height: auto; } svg text { font-size: 13px; font-family: inherit; }
code, pre { font: .84rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: #f5f6f8; padding: .9rem 1rem; border-radius: 6px; overflow-x: auto; }
.wide { overflow-x: auto; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1.2rem; }
"""

_MEANINGS = {
    "masked": "the fault made no difference: every output has the right bits",
    "corrected": "set right in place, and every output has the right bits",
    "detected-recovered": "noticed and done again, outvoted or rolled back; every output is right",
    "DUE crash": "the process ended without a result",
    "DUE hang": "no result within the deadline",
    "DUE abort": "noticed, could not be set right, and said so: no result",
    "SDC tolerable": "an output is wrong within the kernel's tolerance, and nobody knows",
    "SDC critical": "an output is wrong beyond the tolerance, and nobody knows",
    "false positive": "something was noticed in a trial without a fault",
}


_LEFT = ' class="l"'


def html(summary: Row, campaign: str) -> str:
    """The page for a summary (see `summary.summary`) and the text of its campaign file."""
    name = escape(summary["name"])
    kernels = list(dict.fromkeys(row["kernel"] for row in summary["levels"]))
    body = [
        f"<h1>Fault injection: {name}</h1>",
        f'<p class="under">{summary["trials"]:,} of {summary["trials_planned"]:,} trials, seed '
        f"{summary['seed']}, campaign {summary['digest']}</p>",
        _cards(summary),
        "<h2>Outcomes</h2>",
        _outcomes(summary["levels"]),
        "<h2>Outcomes by level of protection</h2>",
        charts.legend(charts.OUTCOME_COLOURS),
        *(_kernel(summary, kernel) for kernel in kernels),
        _comparisons(summary["comparisons"]),
        _grouped("Silent corruption by site", summary["by_site"], "site"),
        _grouped("Silent corruption by fault model", summary["by_model"], "model"),
        "<h2>What was run</h2>",
        _facts(summary),
        f"<pre>{escape(campaign)}</pre>",
        "<h2>What the words mean</h2>",
        _words(),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _cards(summary: Row) -> str:
    cards = []
    for row in _best(summary["comparisons"]):
        plain, shielded = row["unprotected"], row["protected"]
        cards.append(
            f'<div class="card"><p>{escape(row["kernel"])}: faults that end in silent '
            "corruption</p>"
            f"<p><b>{_percent(plain['rate'])}</b> unprotected</p>"
            f"<p><b>{_rate(shielded)}</b> at level {escape(row['level'])} "
            f"({_percent(shielded['low'])} to {_percent(shielded['high'])})</p></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _best(comparisons: Sequence[Row]) -> list[Row]:
    """For each kernel the level with the least silent corruption."""
    best: dict[str, Row] = {}
    for row in comparisons:
        known = best.get(row["kernel"])
        if known is None or row["protected"]["rate"] < known["protected"]["rate"]:
            best[row["kernel"]] = row
    return list(best.values())


def _outcomes(rows: Sequence[Row]) -> str:
    shown = [o.value for o in Outcome if any(o.value in r.get("outcomes", {}) for r in rows)]
    head = [
        "kernel",
        "level",
        "trials",
        *shown,
        "silent, all",
        "largest error",
        "coverage",
        "false positives",
    ]
    lines = []
    for row in rows:
        counts = [f"{row.get('outcomes', {}).get(name, 0):,}" for name in shown]
        lines.append(
            [
                escape(row["kernel"]),
                escape(row["level"]),
                f"{row['trials']:,}",
                *counts,
                _with_interval(row.get("silent")),
                _size(row.get("worst_silent")),
                _with_interval(row.get("coverage")),
                _counted(row.get("false_positive")),
            ]
        )
    note = (
        "<p>Shares of trials with a fault, and their 95 % intervals (Wilson). <b>Coverage</b>: of "
        "the faults that were not masked, those that did no silent harm. Where none was seen in n "
        "trials, the rate is below 3/n with 95 % confidence (rule of three). Trials spread evenly "
        "over sites and fault models: an orbit weighs them otherwise. <b>Largest error</b>: the "
        "largest silent deviation, over the largest value of its output.</p>"
    )
    return note + _table(head, lines, left=2)


def _kernel(summary: Row, kernel: str) -> str:
    of = [row for row in summary["levels"] if row["kernel"] == kernel and row["trials"]]
    parts = [f"<h3>{escape(kernel)}</h3>", charts.stacked(of)] if of else []
    bits = [row for row in summary["bits"] if row["kernel"] == kernel]
    in_calls = [row for row in bits if row["struck"] == "calls"]
    bits = in_calls or bits
    colours = {
        row["level"]: charts.LEVEL_COLOURS[row["level"]]
        for row in of
        if row["level"] in charts.LEVEL_COLOURS
    }
    if bits:
        width = 64 if max(row["bit"] for row in bits) > 31 else 32
        where = "inside calls" if in_calls else "in memory"
        parts.append(f"<h3>{escape(kernel)}: coverage of single flips {where} by bit</h3>")
        parts += [charts.legend(colours), charts.by_bit(bits, width)]
    ratios = {(row["kernel"], row["level"]): row for row in summary.get("overhead", ())}
    points = [row | ratios[kernel, row["level"]] for row in of if (kernel, row["level"]) in ratios]
    if points:
        runs = points[0]["runs"]
        parts.append(f"<h3>{escape(kernel)}: overhead against coverage</h3>")
        parts.append(
            f"<p>Medians of {runs} undisturbed runs of every level by turns, at the size that the "
            "campaign file gives for timing.</p>"
        )
        parts += [charts.legend(colours), charts.cost(points), _times(points)]
    return "\n".join(parts)


def _times(points: Sequence[Row]) -> str:
    lines = [
        [
            escape(row["level"]),
            f"{row['median_ms']:.3f} ms",
            f"{100 * (row['ratio'] - 1):+.{1 if row['ratio'] < 2 else 0}f} %",
            _with_interval(row["coverage"]),
        ]
        for row in points
    ]
    return _table(["level", "median time", "over none", "coverage"], lines, left=1)


def _comparisons(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        [
            escape(row["kernel"]),
            escape(row["level"]),
            _with_interval(row["unprotected"]),
            _with_interval(row["protected"]),
            f"{_percent(row['difference']['rate'])}<small>{_percent(row['difference']['low'])} to "
            f"{_percent(row['difference']['high'])}</small>",
            f"{row['p_value']:.2g}" if row["p_value"] else "below 1e-300",
        ]
        for row in rows
    ]
    head = ["kernel", "level", "unprotected", "protected", "difference", "p"]
    return (
        "<h2>Silent corruption, protected against unprotected</h2>"
        "<p>Difference of the two rates with its 95 % interval (Newcombe, method 10), and the "
        "two-sided p-value of Fisher's exact test that they are equal.</p>"
        + _table(head, lines, left=2)
    )


def _grouped(title: str, rows: Sequence[Row], key: str) -> str:
    """Rows: kernel and `key`; columns: levels."""
    levels = list(dict.fromkeys(row["level"] for row in rows))
    groups = list(dict.fromkeys((row["kernel"], row[key]) for row in rows))
    known = {(row["kernel"], row[key], row["level"]): row["silent"] for row in rows}
    lines = [
        [
            escape(kernel),
            escape(group),
            *(_with_interval(known.get((kernel, group, level))) for level in levels),
        ]
        for kernel, group in groups
    ]
    return f"<h2>{title}</h2>" + _table(["kernel", key, *levels], lines, left=2)


def _facts(summary: Row) -> str:
    machine = summary.get("machine", {})
    facts = {"command": f"<code>{escape(summary.get('command', ''))}</code>"}
    facts |= {name.replace("_", " "): escape(str(value)) for name, value in machine.items()}
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in facts.items())
    return (
        f'<table class="facts">{rows}</table>'
        "<p>Any trial is done again, with its address in full, by "
        "<code>flight campaign replay FOLDER TRIAL</code>. The campaign file:</p>"
    )


def _words() -> str:
    items = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _MEANINGS.items())
    return f"<dl>{''.join(items)}</dl>"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        made = (
            f"<{tag}{_LEFT if at < left else ''}>{cell}</{tag}>" for at, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    rows = "".join(row(line, "td") for line in lines)
    return f'<div class="wide"><table>{row([escape(h) for h in head], "th")}{rows}</table></div>'


def _with_interval(share: Row | None) -> str:
    """A rate over its interval; nothing where there were no trials."""
    if share is None or not share["trials"]:
        return ""
    return f"{_rate(share)}<small>{_percent(share['low'])} to {_percent(share['high'])}</small>"


def _counted(share: Row | None) -> str:
    """A count out of trials, its interval in the tooltip."""
    if share is None or not share["trials"]:
        return ""
    interval = f"{_percent(share['low'])} to {_percent(share['high'])}"
    return f'<span title="{interval}">{share["count"]:,} of {share["trials"]:,}</span>'


def _size(error: float | str | None) -> str:
    """A deviation, in the largest value of the output."""
    if error is None or isinstance(error, str):
        return error or ""
    return f"{error:.1e}"


def _rate(share: Row) -> str:
    return _percent(share["rate"]) if share["count"] else f"0 of {share['trials']:,}"


def _percent(share: float) -> str:
    value = 100 * share
    size = min(abs(value), 100 - abs(value))  # how far from nothing, or from all
    digits = 3 if 0 < size < 0.1 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} %"
