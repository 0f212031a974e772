"""What a fault changes in memory: drawn as octets at an offset, applied to any array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.campaign.fault_models import Model
from flight.campaign.random_draws import RandomDraws

Array = np.ndarray[Any, np.dtype[Any]]

WARP = 32
"""Elements that one warp writes side by side."""
BURSTS = (8, 16, 32, 64, 128, 256, 512)
"""Lengths in bits that bursts are drawn from."""

XOR, SET, OR = "xor", "set", "or"
LANES = 32
"""Elements that one stuck lane of a processor stands among."""


@dataclass(frozen=True)
class Form:
    """The shape of an array in C order, and the octets of one element."""

    shape: tuple[int, ...]
    itemsize: int

    @classmethod
    def of(cls, array: Array) -> Form:
        """The form of an array."""
        return cls(array.shape, array.itemsize)

    @property
    def octets(self) -> int:
        """Octets of all elements."""
        return math.prod(self.shape) * self.itemsize

    @property
    def columns(self) -> int:
        """Elements of a row; a vector counts as rows of up to 64."""
        if len(self.shape) > 1:
            return self.shape[-1]
        return min(64, math.prod(self.shape))


@dataclass(frozen=True)
class Pattern:
    """`mask` is xored, ored or set at `offset`, and `count - 1` times a `stride` further on.

    A `count` of 0 goes on to the end of the array; what lies behind that is left out.
    """

    offset: int
    mask: bytes
    operation: str = XOR
    count: int = 1
    stride: int = 0

    def elements(self, itemsize: int) -> list[int]:
        """The flat numbers of the elements that it touches, ascending."""
        touched: set[int] = set()
        for index in range(self.count):
            start = self.offset + index * self.stride
            touched.update(range(start // itemsize, (start + len(self.mask) - 1) // itemsize + 1))
        return sorted(touched)

    def apply(self, octets: Array) -> None:
        """Change a writable array of octets."""
        mask = np.frombuffer(self.mask, np.uint8)
        count = self.count or -(-max(octets.size - self.offset, 0) // self.stride)
        starts = self.offset + np.arange(count) * self.stride
        places = (starts[:, None] + np.arange(mask.size)).ravel()
        places = places[places < octets.size]
        masks = np.resize(mask, places.size)
        if self.operation == XOR:
            octets[places] ^= masks
        elif self.operation == OR:
            octets[places] |= masks
        else:
            octets[places] = masks


def draw(model: Model, form: Form, draws: RandomDraws) -> Pattern:
    """Where and what, equally likely over all of an array of that form."""
    size, item = form.octets, form.itemsize
    elements = size // item
    match model:
        case Model.SINGLE:
            return _bits(draws.below(8 * size), 1)
        case Model.ADJACENT:
            return _bits(draws.below(8 * size - 1), 0b11)
        case Model.RANDOM:
            return Pattern(draws.below(elements) * item, draws.octets(item), SET)
        case Model.ZERO:
            return Pattern(draws.below(elements) * item, bytes(item), SET)
        case Model.WARP:
            first = draws.below(-(-elements // WARP)) * WARP
            return Pattern(first * item, draws.octets(min(WARP, elements - first) * item), SET)
        case Model.BURST:
            return _burst(size, draws)
        case Model.CONSTANT:
            return Pattern(0, draws.octets(item), SET, 0, item)
        case Model.LANE:
            mask = (1 << draws.below(8 * item)).to_bytes(item, "little")
            lane = draws.below(min(LANES, elements))
            return Pattern(lane * item, mask, OR, 0, LANES * item)
        case Model.ROW | Model.COLUMN:
            return _line(model, form, draws)
    raise ValueError(f"{model.value!r} is nothing that befalls an array")


def _bits(first: int, bits: int) -> Pattern:
    """`bits` from bit number `first` on, counted from the lowest bit of the first octet."""
    shifted = bits << (first % 8)
    return Pattern(first // 8, shifted.to_bytes(-(-shifted.bit_length() // 8), "little"))


def _burst(size: int, draws: RandomDraws) -> Pattern:
    """Neighbouring bits, the first and the last of them wrong, any between: half of them."""
    length = min(draws.one_of(BURSTS), 8 * size)
    first = draws.below(8 * size - length + 1)
    inner = int.from_bytes(draws.octets(-(-length // 8)), "little") & ((1 << length) - 1)
    return _bits(first, inner | 1 | 1 << (length - 1))


def _line(model: Model, form: Form, draws: RandomDraws) -> Pattern:
    """One and the same bit of each element of a row or of a column."""
    item, columns = form.itemsize, form.columns
    rows = form.octets // item // columns
    bit = draws.below(8 * item)
    mask = (1 << bit).to_bytes(item, "little")
    if model is Model.ROW:
        return Pattern(draws.below(rows) * columns * item, mask, XOR, columns, item)
    height = form.shape[-2] if len(form.shape) > 1 else rows
    first = draws.below(rows // height) * height * columns + draws.below(columns)
    return Pattern(first * item, mask, XOR, height, columns * item)
