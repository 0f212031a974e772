"""How fast memory is walked: stripes bounded in time, a rate in octets a second, less when crowded.

No clock and no memory here: times come in, octets go out.
"""

from __future__ import annotations

from flight.framework.time_units import SECOND

MILLISECOND = 1_000_000
STRIPE_NS = MILLISECOND
"""What one stripe should take."""
FIRST_STRIPE = 256 << 10
LARGEST_STRIPE = 64 << 20
"""Octets."""
CROWDED = 0.5
"""Share of a stripe's time without the processor above which the computer is crowded."""
_WEIGHT = 0.2
"""Of the newest stripe in the running means."""
_CREDIT_NS = 200 * MILLISECOND
"""Time lost that is made up for; more is let go, so that no burst follows a long wait."""


class Stripe:
    """How many octets one stripe may have, from how long the last ones took."""

    def __init__(self) -> None:
        self.longest_ns = 0
        """Longest stripe since it was last set to 0."""
        self._speed = 0.0
        self._waiting = 0.0

    @property
    def octets(self) -> int:
        """Octets that take about `STRIPE_NS`."""
        if not self._speed:
            return FIRST_STRIPE
        return min(LARGEST_STRIPE, max(1, int(self._speed * STRIPE_NS)))

    @property
    def is_crowded(self) -> bool:
        """Whether the stripes mostly waited for a processor."""
        return self._waiting > CROWDED

    def took(self, octets: int, wall_ns: int, cpu_ns: int) -> None:
        """A stripe took so long, and had a processor for so long."""
        wall_ns = max(wall_ns, 1)
        self.longest_ns = max(self.longest_ns, wall_ns)
        waiting = max(0.0, 1.0 - cpu_ns / wall_ns)
        self._waiting += _WEIGHT * (waiting - self._waiting)
        speed = octets / wall_ns
        if not self._speed or speed < self._speed / 2:
            self._speed = speed  # at once slower, slowly faster: the bound is on time
        else:
            self._speed += _WEIGHT * (speed - self._speed)


class Pace:
    """When the next stripe may begin, so that a rate is kept.

    `rate` is what is asked for in octets a second, `factor` by how much it is raised now. On a
    crowded computer it falls to `needed`, at which each region is still walked once a period.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.factor = 1.0
        self.needed = 0.0
        self._due = 0

    def in_force(self, is_crowded: bool) -> float:
        """Octets a second, now."""
        return max(1.0, min(self.rate, self.needed) if is_crowded else self.rate * self.factor)

    def due(self) -> int:
        """When the next stripe may begin."""
        return self._due

    def walked(self, octets: int, began: int, is_crowded: bool) -> None:
        """A stripe began then; the next one waits until the rate is kept."""
        share = int(octets / self.in_force(is_crowded) * SECOND)
        self._due = max(self._due, began - _CREDIT_NS) + share
