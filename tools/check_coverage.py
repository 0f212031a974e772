"""Holds branch coverage to its ratchet: worse fails, and better fails until it is recorded."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

TOLERANCE = 0.3  # percent; what two derandomised runs of the same tests may differ by

HEADER = (
    "# Branch coverage of the unit and simulated-clock suites, in percent, ± 0.3.\n"
    "# Raised or lowered on purpose only: `make coverage`, then `make ratchet`.\n"
)


def measured(report: Path) -> float:
    """Percent covered, lines and branches together, from a coverage JSON report."""
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    return float(totals["percent_covered"])


def recorded(ratchet: Path) -> float:
    """The figure in the ratchet file: its one line that is no comment."""
    lines = ratchet.read_text(encoding="utf-8").splitlines()
    figures = [line for line in lines if line.strip() and not line.startswith("#")]
    if len(figures) != 1:
        raise ValueError(f"{ratchet} must hold one figure, as 87.5; it holds {len(figures)}")
    return float(figures[0])


def verdict(now: float, before: float) -> str | None:
    """What to do about a figure outside the tolerance, or None."""
    if now < before - TOLERANCE:
        return (
            f"branch coverage fell from {before:.1f} % to {now:.1f} %: test what is new "
            "(`make coverage` lists the lines), or say in the commit why not and `make ratchet`"
        )
    if now > before + TOLERANCE:
        return (
            f"branch coverage rose from {before:.1f} % to {now:.1f} %: keep it by writing "
            f"{now:.1f} into coverage.ratchet (`make ratchet`)"
        )
    return None


def main(arguments: list[str] | None = None) -> int:
    """Compare, or with --write record; 1 when the figure left its tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="coverage report as JSON")
    parser.add_argument("ratchet", type=Path, help="file that holds the figure")
    parser.add_argument("--write", action="store_true", help="record what was measured")
    options = parser.parse_args(arguments)
    try:
        now = measured(options.report)
        if options.write:
            options.ratchet.write_text(f"{HEADER}{now:.1f}\n", encoding="utf-8")
            print(f"{options.ratchet}: {now:.1f}")
            return 0
        complaint = verdict(now, recorded(options.ratchet))
    except FileNotFoundError as error:
        complaint = f"{error.filename} is missing: run `make coverage`, then `make ratchet`"
    except ValueError as error:
        complaint = str(error)
    print(complaint or f"branch coverage {now:.1f} %, as recorded")
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main())
