"""The radiation forecast that ground uploads: when the payload will pass through how much.

A file of JSON, at most `LARGEST` octets; times are UTC to the second, `docs/adaptive-protection.md`
has an example. Whatever is wrong with it is said in one sentence, and nothing of it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flight.components.protection.notifications import Radiation
from flight.framework.time_units import SECOND
from icd.written import json_value

FORMAT = 1
LARGEST = 30_000
MOST_PASSES = 400
LONGEST_S = 14 * 86_400
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_EPOCH = datetime(1958, 1, 1)
"""Of on-board time, which is TAI."""
_KEYS = {"format", "source", "tai_minus_utc_s", "begin", "end", "passes"}
_PASS_KEYS = {"begin", "end", "flux", "radiation"}
_RADIATION = {"raised": Radiation.RAISED, "storm": Radiation.STORM}


class ForecastError(ValueError):
    """The octets are no forecast; the sentence says what to write instead."""


@dataclass(frozen=True)
class Pass:
    """One interval of more radiation; on-board ns, `flux` in protons above 30 MeV per cm² and s."""

    begin: int
    end: int
    flux: float
    radiation: Radiation


@dataclass(frozen=True)
class Forecast:
    """The passes between two times, in order, none touching another."""

    begin: int
    end: int
    source: str
    passes: tuple[Pass, ...]

    def covers(self, now: int) -> bool:
        """Whether it says anything of that time."""
        return self.begin <= now < self.end

    def pass_at(self, now: int, lead: int, trail: int) -> Pass | None:
        """The worst pass at a time; each begins `lead` ns earlier and ends `trail` ns later."""
        found = [p for p in self.passes if p.begin - lead <= now < p.end + trail]
        return max(found, key=lambda one: one.radiation, default=None)

    def next_pass(self, now: int) -> Pass | None:
        """The first pass that begins after a time."""
        return next((one for one in self.passes if one.begin > now), None)

    def next_change(self, now: int, lead: int, trail: int) -> int | None:
        """When it says something else next."""
        edges = [self.begin, self.end]
        for one in self.passes:
            edges += (one.begin - lead, one.end + trail)
        return min((edge for edge in edges if edge > now), default=None)


def parse(octets: bytes) -> Forecast:
    """The forecast that a file holds; raises ForecastError with what to write instead."""
    if len(octets) > LARGEST:
        raise ForecastError(f"a forecast has at most {LARGEST} octets; give fewer hours")
    try:
        plain = json_value(octets)
    except ValueError:
        text = "not whole JSON; make it with: sim_hw forecast, and put it again"
        raise ForecastError(text) from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise ForecastError(f'no forecast of format {FORMAT}; its first key is "format": {FORMAT}')
    _check_keys(plain, _KEYS, "the forecast")
    leap_s = _number(plain, "tai_minus_utc_s", 30, 60)
    begin, end = (_time(plain, key, leap_s) for key in ("begin", "end"))
    if not begin < end <= begin + LONGEST_S * SECOND:
        raise ForecastError(f"end must come after begin, by at most {LONGEST_S // 86_400} days")
    source, rows = plain["source"], plain["passes"]
    if not isinstance(source, str) or not isinstance(rows, list) or len(rows) > MOST_PASSES:
        raise ForecastError(f"source is a text, and passes are a list of at most {MOST_PASSES}")
    passes = tuple(_pass(number, row, leap_s) for number, row in enumerate(rows, 1))
    _check_order(passes, begin, end)
    return Forecast(begin, end, source, passes)


def _pass(number: int, row: Any, leap_s: float) -> Pass:
    where = f"pass {number}"
    if not isinstance(row, dict):
        raise ForecastError(f"{where} is no object with {', '.join(sorted(_PASS_KEYS))}")
    _check_keys(row, _PASS_KEYS, where)
    try:
        begin, end = (_time(row, key, leap_s) for key in ("begin", "end"))
        flux = _number(row, "flux", 0, 1e9)
    except ForecastError as error:
        raise ForecastError(f"{where}: {error}") from None
    radiation = _RADIATION.get(row["radiation"]) if isinstance(row["radiation"], str) else None
    if radiation is None:
        raise ForecastError(f"{where}: radiation is one of {', '.join(_RADIATION)}")
    return Pass(begin, end, flux, radiation)


def _check_order(passes: tuple[Pass, ...], begin: int, end: int) -> None:
    before = begin
    for number, one in enumerate(passes, 1):
        if one.end <= one.begin:
            raise ForecastError(f"pass {number} ends before it begins")
        if one.begin < before:
            what = f"pass {number - 1} ends; write one after the other" if number > 1 else "begin"
            raise ForecastError(f"pass {number} begins before {what}")
        before = one.end
    if before > end:
        raise ForecastError(f"pass {len(passes)} ends after the forecast does")


def _check_keys(plain: Mapping[str, Any], wanted: set[str], where: str) -> None:
    if set(plain) != wanted:
        raise ForecastError(f"{where} has the keys {', '.join(sorted(wanted))}, and no others")


def _time(plain: Mapping[str, Any], key: str, leap_s: float) -> int:
    try:
        when = datetime.strptime(plain[key], _TIME)
        if when.strftime(_TIME) != plain[key]:  # one digit for two, or digits of another script
            raise ValueError(plain[key])
        since = when - _EPOCH
    except (ValueError, TypeError):
        raise ForecastError(f"{key} is no time in UTC; write 2026-03-20T04:11:00Z") from None
    return (since.days * 86_400 + since.seconds + int(leap_s)) * SECOND


def _number(plain: Mapping[str, Any], key: str, low: float, high: float) -> float:
    value = plain[key]
    is_number = type(value) in (int, float) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise ForecastError(f"{key} is no number from {low:g} to {high:g}")
    return float(value)
