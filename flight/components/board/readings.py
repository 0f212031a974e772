"""What a board server may say, checked; and the housekeeping fields made of its readings."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from flight.components.board.dictionary import BoardHousekeeping
from flight.components.board.places import COMPUTER, MOST_DEVICES, UNKNOWN
from hal.device import FaultKind
from hal.reading import Validity
from icd.dictionary import Severity

MOST_ROWS = 1024
_LARGEST = 2.0**70
_VALIDITIES = {int(member): member for member in Validity}
_GPU = re.compile(r"gpu(\d{1,2})\.([a-z][a-z0-9_]{0,40})")
_OF_COMPUTER = re.compile(r"(?:host|edac)\.[a-z][a-z0-9_]{0,40}")


class Row(NamedTuple):
    """One reading as it came; `value` is None whenever nothing was measured."""

    device: int
    """Number of the GPU, or COMPUTER."""
    quantity: str
    """Without its device; with it (host.…, edac.…) for the computer."""
    value: float | int | None
    validity: Validity
    reason: str
    unit: str


@dataclass(frozen=True)
class Fault:
    """One fault as it came."""

    device: int
    """Number of the GPU, or UNKNOWN."""
    kind: FaultKind
    code: int
    text: str
    origin: int = 0
    """Who counts: the board server's identity; of what the monitor found itself, the time."""
    sequence: int = 0
    """Its number there: together they tell two alike from one told twice."""


class Wanted(NamedTuple):
    """How a housekeeping field is made: the sum of some readings, in another unit."""

    field: str
    quantities: tuple[str, ...]
    scale: float = 1.0
    is_whole: bool = False


MIB = 2.0**-20

# The names are those of `hal.nvml.sensors` and `hal.linux.sensors`.
FIELDS = (
    Wanted("power_w", ("power_w",)),
    Wanted("power_limit_w", ("power_limit_w",)),
    Wanted("temperature_c", ("temperature_c",)),
    Wanted("memory_temperature_c", ("temperature_memory_c",)),
    Wanted("sm_clock_mhz", ("clock_sm_mhz",)),
    Wanted("utilisation_percent", ("utilization_percent",)),
    Wanted("memory_used_mib", ("memory_used_bytes",), MIB),
    Wanted("memory_total_mib", ("memory_total_bytes",), MIB),
    Wanted("energy_j", ("energy_j",)),
    Wanted("throttle_reasons", ("throttle_reasons",), is_whole=True),
    Wanted("ecc_corrected", ("ecc_corrected_volatile",), is_whole=True),
    Wanted("ecc_uncorrected", ("ecc_uncorrected_volatile",), is_whole=True),
    Wanted(
        "remapped_rows", ("remapped_rows_corrected", "remapped_rows_uncorrected"), is_whole=True
    ),
    Wanted("pcie_replays", ("pcie_replays",), is_whole=True),
    Wanted("processes", ("processes",), is_whole=True),
    Wanted("host_cpu_percent", ("host.cpu_percent",)),
    Wanted("host_load", ("host.load_1",)),
    Wanted("host_memory_used_mib", ("host.memory_used_bytes",), MIB),
    Wanted("host_memory_total_mib", ("host.memory_total_bytes",), MIB),
    Wanted("host_disk_free_mib", ("host.disk_state_free_bytes",), MIB),
    Wanted("host_temperature_c", ("host.temperature_max_c",)),
)

_THROTTLES = {
    0x04: "power cap",
    0x08: "hardware slow-down",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}
THROTTLING = sum(_THROTTLES)
"""Reasons that slow a busy GPU down; idling and chosen clocks are none."""

_MINOR_XIDS = frozenset({63, 92, 121, 154, 157, 171, 172})
_FATAL_XIDS = frozenset(
    {46, 48, 61, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143, 156, 158}
)


def xid_severity(code: int) -> Severity:
    """How bad an XID is: HIGH needs a reset or more, MEDIUM hits one job, LOW is for the record."""
    if code in _FATAL_XIDS:
        return Severity.HIGH
    return Severity.LOW if code in _MINOR_XIDS else Severity.MEDIUM


def throttle_labels(reasons: int) -> str:
    """The reasons in words."""
    return ", ".join(label for bit, label in _THROTTLES.items() if reasons & bit)


def decode_row(row: Any) -> Row | None:
    """Check one row [name, value, validity, reason, unit]; None when it is not one."""
    if not isinstance(row, list | tuple) or len(row) != 5:
        return None
    name, value, code, reason, unit = row
    if not (isinstance(name, str) and isinstance(reason, str) and isinstance(unit, str)):
        return None
    place = _place(name)
    validity = _VALIDITIES.get(code) if type(code) is int else None
    if place is None or validity is None or not _is_number(value):
        return None
    if value is None and validity is Validity.VALID:
        return None
    return Row(*place, value, validity, reason, unit)


@lru_cache(maxsize=MOST_ROWS)
def _place(name: str) -> tuple[int, str] | None:
    """Device and quantity out of a name such as gpu0.power_w or host.cpu_percent."""
    if _OF_COMPUTER.fullmatch(name):
        return COMPUTER, name
    found = _GPU.fullmatch(name)
    if found is None or int(found[1]) >= MOST_DEVICES:
        return None
    return int(found[1]), found[2]


def decode_fault(row: Any, origin: int = 0, sequence: int = 0) -> Fault | None:
    """Check one fault [wall time, device, kind, code, text]; None when it is not one.

    A device that is None, or no number that a GPU can have, is an unknown GPU.
    """
    if not isinstance(row, list | tuple) or len(row) != 5:
        return None
    _, device, kind, code, text = row
    if not (device is None or _is_whole(device)) or not _is_whole(code):
        return None
    if not _is_member(kind, FaultKind) or not isinstance(text, str):
        return None
    place = UNKNOWN if device is None or not 0 <= device < MOST_DEVICES else device
    return Fault(place, FaultKind(kind), code, text, origin, sequence)


def decode_text(body: Mapping[str, Any], key: str) -> str:
    """A text of a message, empty when it is not there or is none."""
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Whether it is None or a finite number; the comparison is false for what is not a number."""
    if type(value) in (float, int):
        return bool(-_LARGEST < value < _LARGEST)
    return value is None


def _is_member(value: Any, members: type[enum.IntEnum]) -> bool:
    return _is_whole(value) and any(value == member for member in members)


def show(hk: BoardHousekeeping, known: Mapping[str, Row], *, is_stale: bool) -> None:
    """Set the fields from readings by quantity, and for each how far it can be believed."""
    hk.validity = tuple(_set(hk, wanted, known, is_stale) for wanted in FIELDS)


def validity_of(row: Row, is_stale: bool) -> Validity:
    """How far a reading can be believed by now."""
    return Validity.STALE if is_stale and row.validity is Validity.VALID else row.validity


def _set(
    hk: BoardHousekeeping, wanted: Wanted, known: Mapping[str, Row], is_stale: bool
) -> Validity:
    rows = [known[quantity] for quantity in wanted.quantities if quantity in known]
    if len(rows) < len(wanted.quantities):
        return Validity.UNSUPPORTED
    total = sum(row.value or 0 for row in rows)  # whole numbers stay exact: they may be bits
    setattr(hk, wanted.field, int(total) if wanted.is_whole else total * wanted.scale)
    return max(validity_of(row, is_stale) for row in rows)
