"""Intervals and comparisons of shares, each with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True)
class Share:
    """`count` of `trials`, with its two-sided 95 % interval."""

    count: int
    trials: int

    @property
    def rate(self) -> float:
        """The share itself; 0 without trials."""
        return self.count / self.trials if self.trials else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """See `wilson`."""
        return wilson(self.count, self.trials)

    @property
    def upper_of_none(self) -> float | None:
        """Where nothing was counted: what the rate is below with 95 % confidence, one-sided."""
        return rule_of_three(self.trials) if self.trials and not self.count else None


def wilson(count: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a share (E. B. Wilson, JASA 22, 1927), without continuity correction.

    0 to 1 without trials.
    """
    if not trials:
        return 0.0, 1.0
    share = count / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if count == 0 else (middle - half) / scale
    high = 1.0 if count == trials else (middle + half) / scale
    return low, high


def rule_of_three(trials: int) -> float:
    """3 / n, at most 1: the 95 % upper bound when 0 of n were seen (Hanley, JAMA 249, 1983)."""
    return min(1.0, 3.0 / trials)


def difference(one: Share, other: Share) -> tuple[float, float]:
    """95 % interval of one rate less the other (Newcombe, Statistics in Medicine 17, 1998: 10)."""
    (low_1, high_1), (low_2, high_2) = one.interval, other.interval
    gap = one.rate - other.rate
    down = math.hypot(one.rate - low_1, high_2 - other.rate)
    up = math.hypot(high_1 - one.rate, other.rate - low_2)
    return max(-1.0, gap - down), min(1.0, gap + up)


def fisher(one: Share, other: Share) -> float:
    """Two-sided p-value that two rates are equal, by Fisher's exact test.

    The sum over all tables with the same margins that are no likelier than the one seen.
    """
    seen = one.count + other.count
    low = max(0, seen - other.trials)
    high = min(seen, one.trials)
    logs = [_log_table(k, one.trials, seen - k, other.trials) for k in range(low, high + 1)]
    total = _log_choose(one.trials + other.trials, seen)
    limit = _log_table(one.count, one.trials, other.count, other.trials) + 1e-7
    return min(1.0, math.fsum(math.exp(each - total) for each in logs if each <= limit))


def _log_table(count: int, trials: int, other_count: int, other_trials: int) -> float:
    return _log_choose(trials, count) + _log_choose(other_trials, other_count)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
