"""The housekeeping fields of the board, made of the readings of its worst GPU and its computer."""

from __future__ import annotations

from collections.abc import Mapping

from flight.board_declared import BoardHousekeeping
from flight.board_readings import FIELDS, Row, Wanted
from hal.reading import Validity


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
    value = sum(row.value or 0.0 for row in rows) * wanted.scale
    setattr(hk, wanted.field, int(value) if wanted.is_whole else value)
    return max(validity_of(row, is_stale) for row in rows)
