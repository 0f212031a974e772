"""Memory errors as Linux EDAC counts them, for memory controllers and for caches (RAS)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hal.errors import BoardError, Unsupported
from hal.linux.sysfs import Sysfs
from hal.reading import Reading
from hal.sensor import Quantity, Sensor

FOLDER = "sys/devices/system/edac"
MOST_PLACES = 64
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True)
class ErrorCount:
    """Errors of one memory controller or cache since boot."""

    place: str
    corrected: int
    uncorrected: int


class Edac:
    """The error counters of one computer; found once, read as often as wanted."""

    def __init__(self, files: Sysfs) -> None:
        self._files = files
        found = files.find(f"{FOLDER}/mc/mc*/ce_count") + files.find(f"{FOLDER}/*/*/ce_count")
        self._places = tuple(dict.fromkeys(path.rpartition("/")[0] for path in found))

    @property
    def places(self) -> tuple[str, ...]:
        """Folders of what counts errors; empty where the kernel has no EDAC driver for it."""
        return self._places

    def counts(self) -> list[ErrorCount]:
        """Every counter. Raises BoardError, Unsupported where there are none."""
        if not self._places:
            raise Unsupported(f"no EDAC counter below /{FOLDER}; this kernel counts no errors")
        return [
            ErrorCount(
                place.removeprefix(f"{FOLDER}/"),
                self._files.number(f"{place}/ce_count"),
                self._files.number(f"{place}/ue_count"),
            )
            for place in self._places
        ]

    def rows(self) -> list[ErrorCount]:
        """Every chip-select row, which says where in memory errors are. Raises BoardError."""
        return [
            ErrorCount(
                folder.removeprefix(f"{FOLDER}/"),
                self._files.number(f"{folder}/ce_count"),
                self._files.number(f"{folder}/ue_count"),
            )
            for folder in self._files.find(f"{FOLDER}/mc/mc*/csrow*")
        ]

    def totals(self) -> tuple[float, ...]:
        """Corrected and uncorrected errors, all places together. Raises BoardError."""
        counts = self.counts()
        return (
            float(sum(count.corrected for count in counts)),
            float(sum(count.uncorrected for count in counts)),
        )

    def clear(self) -> None:
        """Set the counters of every memory controller to zero. Raises BoardError."""
        files = self._files.find(f"{FOLDER}/mc/mc*/reset_counters")
        if not files:
            raise Unsupported("no memory controller whose error counters can be cleared")
        for path in files:
            self._files.write(path, "1")

    def readings(self, time_ns: int) -> list[Reading]:
        """The totals, then every controller, cache and chip-select row: edac.mc_mc0_corrected.

        Trouble is in the readings; where the kernel counts nothing, the totals say so.
        """
        sensors = [self.sensor("corrected", "uncorrected")]
        for place in (*self._places, *self._files.find(f"{FOLDER}/mc/mc*/csrow*"))[:MOST_PLACES]:
            name = _NOT_IN_NAMES.sub("_", place.removeprefix(f"{FOLDER}/").lower())[:24]
            quantities = (
                Quantity(f"{name}_corrected", "errors"),
                Quantity(f"{name}_uncorrected", "errors"),
            )
            sensors.append(Sensor(quantities, partial(self._counts_of, place)))
        return [reading for sensor in sensors for reading in sensor.read("edac.", time_ns)]

    def _counts_of(self, place: str) -> tuple[float, ...]:
        names = ("ce_count", "ue_count")
        return tuple(float(self._files.number(f"{place}/{name}")) for name in names)

    def sensor(self, corrected: str, uncorrected: str) -> Sensor:
        """A sensor of the two totals, under the names given."""
        names = (Quantity(corrected, "errors"), Quantity(uncorrected, "errors"))
        return Sensor(names, self.totals)


def risen(before: Sequence[ErrorCount], after: Sequence[ErrorCount]) -> list[ErrorCount]:
    """By how much each place rose; a counter that fell was cleared and counts from zero."""
    known = {count.place: count for count in before}
    found = []
    for count in after:
        old = known.get(count.place, ErrorCount(count.place, 0, 0))
        corrected = _rise(old.corrected, count.corrected)
        uncorrected = _rise(old.uncorrected, count.uncorrected)
        if corrected or uncorrected:
            found.append(ErrorCount(count.place, corrected, uncorrected))
    return found


def _rise(before: int, after: int) -> int:
    return after - before if after >= before else after


def counts_or_none(edac: Edac) -> list[ErrorCount] | None:
    """The counters, or None where they cannot be read now."""
    try:
        return edac.counts()
    except BoardError:
        return None
