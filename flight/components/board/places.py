"""Which GPU something is about, by number on board and by name where it is shown."""

from __future__ import annotations

from typing import Annotated

from icd.fields import U8, Labels, Wire

MOST_DEVICES = 64
UNKNOWN = 253
"""A GPU that the driver did not name, or named by a handle that is nobody's."""
COMPUTER = 254
"""The computer itself: readings host.… and edac.…"""
BOARD = 255
"""The whole board."""

_NAMES = (
    *((number, f"GPU {number}") for number in range(MOST_DEVICES)),
    (UNKNOWN, "unknown GPU"),
    (COMPUTER, "computer"),
    (BOARD, "whole board"),
)
Place = Annotated[int, Wire("B"), Labels(_NAMES), "which GPU"]
"""Of an event or a report."""
Device = Annotated[U8, "number of the GPU, from 0"]
"""Of a telecommand."""


def name_of(place: int) -> str:
    """What a place is called in texts."""
    return dict(_NAMES).get(place, f"device {place}")
