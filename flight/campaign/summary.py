"""Counts of a campaign's results, as tables with intervals: what the report shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flight.campaign.fault_models import Model, Outcome, Shield, Site
from flight.campaign.plan import Campaign
from flight.campaign.results import Record
from flight.campaign.statistics import Share, difference, fisher

FORMAT = 1
_SILENT = [each.value for each in Outcome if each.is_silent]
_IN_CALLS = (Site.ACCUMULATOR.value, Site.LOAD.value)
_DUE = [Outcome.CRASH.value, Outcome.HANG.value, Outcome.ABORT.value]

Key = tuple[Any, ...]


class Counts:
    """Outcomes counted by kernel, level, site, model and flipped bit (in memory or in calls)."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.trials = 0
        self.faulty: dict[Key, Counter[str]] = {}
        self.faultless: dict[Key, Counter[str]] = {}
        self.bits: dict[Key, Counter[str]] = {}
        self.worst: dict[Key, float] = {}
        """The largest deviation that nobody knew of."""
        for record in records:
            self.trials += 1
            where = record["kernel"], record["level"]
            if record["site"] is None:
                _add(self.faultless, where, record["outcome"])
                continue
            if record["outcome"] in _SILENT:
                error = math.inf if record["error"] is None else record["error"]
                self.worst[where] = max(self.worst.get(where, 0.0), error)
            _add(self.faulty, (*where, record["site"], record["model"]), record["outcome"])
            if record["model"] == Model.SINGLE.value and record["bit"] is not None:
                part = "calls" if record["site"] in _IN_CALLS else "memory"
                _add(self.bits, (*where, part, record["bit"]), record["outcome"])

    def by(self, *places: int) -> dict[Key, Counter[str]]:
        """Outcomes with a fault, summed over all but some parts of (kernel, level, site, model)."""
        sums: dict[Key, Counter[str]] = {}
        for key, counter in self.faulty.items():
            sums.setdefault(tuple(key[at] for at in places), Counter()).update(counter)
        return sums


def summary(campaign: Campaign, records: Iterable[Record]) -> dict[str, Any]:
    """Everything that was counted, ready for JSON; shares carry their intervals."""
    counts = Counts(records)
    rows = _levels(counts)
    return {
        "format": FORMAT,
        "name": campaign.file.name,
        "digest": campaign.digest,
        "seed": campaign.file.seed,
        "trials": counts.trials,
        "trials_planned": campaign.trials,
        "levels": rows,
        "by_site": _table(counts.by(0, 1, 2), ("kernel", "level", "site")),
        "by_model": _table(counts.by(0, 1, 3), ("kernel", "level", "model")),
        "cells": _table(counts.faulty, ("kernel", "level", "site", "model"), ("silent",)),
        "bits": _table(counts.bits, ("kernel", "level", "struck", "bit"), ("coverage",)),
        "comparisons": _comparisons(counts),
    }


def silent(outcomes: Mapping[str, int]) -> Share:
    """Silent data corruption among all trials with a fault."""
    return Share(sum(outcomes.get(name, 0) for name in _SILENT), sum(outcomes.values()))


def covered(outcomes: Mapping[str, int]) -> Share:
    """Faults that made a difference or were noticed, and did no silent harm: the coverage."""
    effective = sum(outcomes.values()) - outcomes.get(Outcome.MASKED.value, 0)
    return Share(effective - silent(outcomes).count, effective)


_SHARES: dict[str, Callable[[Mapping[str, int]], Share]] = {
    "silent": silent,
    "critical": lambda o: Share(o.get(Outcome.CRITICAL.value, 0), sum(o.values())),
    "unrecoverable": lambda o: Share(sum(o.get(name, 0) for name in _DUE), sum(o.values())),
    "coverage": covered,
}


def _levels(counts: Counts) -> list[dict[str, Any]]:
    rows = _table(counts.by(0, 1), ("kernel", "level"))
    known = {(row["kernel"], row["level"]): row for row in rows}
    for where, error in counts.worst.items():
        known[where]["worst_silent"] = error if math.isfinite(error) else "not finite"
    for (kernel, level), outcomes in counts.faultless.items():
        row = known.setdefault((kernel, level), {"kernel": kernel, "level": level, "trials": 0})
        wrong = sum(count for name, count in outcomes.items() if name != Outcome.CLEAN.value)
        row["no_fault"] = dict(outcomes)
        row["false_positive"] = _share(Share(wrong, sum(outcomes.values())))
    return list(known.values())


def _table(
    counted: Mapping[Key, Counter[str]], names: tuple[str, ...], shares: Iterable[str] = ()
) -> list[dict[str, Any]]:
    rows = []
    for key in counted:
        outcomes = counted[key]
        row: dict[str, Any] = dict(zip(names, key, strict=True))
        row["trials"] = sum(outcomes.values())
        row["outcomes"] = {o.value: outcomes[o.value] for o in Outcome if outcomes[o.value]}
        row.update({name: _share(_SHARES[name](outcomes)) for name in shares or _SHARES})
        rows.append(row)
    if names[-1] == "bit":
        rows.sort(key=lambda row: (row["kernel"], row["level"], row["struck"], row["bit"]))
    return rows


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval
    said = {
        "count": share.count,
        "trials": share.trials,
        "rate": round(share.rate, 7),
        "low": round(low, 7),
        "high": round(high, 7),
    }
    if share.upper_of_none is not None:
        said["none_seen_below"] = round(share.upper_of_none, 7)
    return said


def _comparisons(counts: Counts) -> list[dict[str, Any]]:
    """Silent corruption of each protected level against the unprotected one."""
    rows = []
    sums = counts.by(0, 1)
    for (kernel, level), outcomes in sums.items():
        plain = sums.get((kernel, Shield.NONE.value))
        if level == Shield.NONE.value or plain is None:
            continue
        one, other = silent(plain), silent(outcomes)
        low, high = difference(one, other)
        rows.append(
            {
                "kernel": kernel,
                "level": level,
                "unprotected": _share(one),
                "protected": _share(other),
                "difference": {
                    "rate": round(one.rate - other.rate, 7),
                    "low": round(low, 7),
                    "high": round(high, 7),
                },
                "p_value": float(f"{fisher(one, other):.3g}"),
            }
        )
    return rows


def _add(counters: dict[Key, Counter[str]], key: Key, outcome: str) -> None:
    counters.setdefault(key, Counter())[outcome] += 1
