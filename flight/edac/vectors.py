"""Whole cache lines in Numba: what LLVM is given for the kernels of `cpu.py`.

Compiled kernels are kept by the date of cpu.py: touch that file after a change here or in hash.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import core, extending, types

from flight.edac import hash as spec

_WORD = ir.IntType(64)
_LINE = ir.VectorType(_WORD, 8)
intrinsic: Callable[[Any], Any] = extending.intrinsic
cgutils: Any = core.cgutils

TILE_BITS = 6
_LINES_IN_ORDER = 4
# Lines ahead of the load, into the second-level cache: worth a tenth. Into the first it costs more
# than it brings, and so it does beside the hash, which reads more slowly.
_LINES_AHEAD = 48
_LINES_ASKED = 2
_SECOND_LEVEL = 2
# A kernel's work space: parities by bit of the line's number, totals of the tiles, hash chains,
# check symbols, and their differences from others.
TOTALS = 16 * 64
CHAINS = 80 * 64
CHECKS = 88 * 64
DIFFERENCES = 104 * 64
WORK_LINES = 120


def _at(builder: Any, address: Any, octets: int) -> Any:
    place = builder.add(address, ir.Constant(_WORD, octets)) if octets else address
    return builder.inttoptr(place, _LINE.as_pointer())


def _load(builder: Any, address: Any, octets: int = 0) -> Any:
    line = builder.load(_at(builder, address, octets))
    line.align = 1
    return line


def _store(builder: Any, line: Any, address: Any, octets: int = 0) -> None:
    builder.store(line, _at(builder, address, octets)).align = 1


def _same(value: int) -> Any:
    return ir.Constant(_LINE, [ir.Constant(_WORD, value)] * 8)


def _order(builder: Any) -> None:
    """Keep loads before this place before it, and those after it after."""
    nothing = ir.FunctionType(ir.VoidType(), [])
    builder.call(ir.InlineAsm(nothing, "", "~{memory}", side_effect=True), [])


def _fetch(builder: Any, address: Any, octets: int = 0) -> None:
    """Ask for a line that is read soon; an address where there is no memory does no harm."""
    octet, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [octet, word, word, word])
    fetch = builder.module.declare_intrinsic("llvm.prefetch", (octet,), kind)
    place = builder.bitcast(_at(builder, address, octets), octet)
    to_read, is_data = ir.Constant(word, 0), ir.Constant(word, 1)
    builder.call(fetch, [place, to_read, ir.Constant(word, _SECOND_LEVEL), is_data])


def _mix(builder: Any, line: Any) -> Any:
    """`hash.mix` of every word of a line."""
    for multiplier in spec.MULTIPLIERS:
        low = builder.and_(line, _same((1 << 32) - 1))
        line = builder.add(line, builder.mul(low, _same(multiplier - 1)))
        line = builder.or_(builder.shl(line, _same(32)), builder.lshr(line, _same(32)))
    return line


class _Tree:
    """Emits the tree over one tile, and, where asked, the hash of the lines on their way."""

    def __init__(self, builder: Any, address: Any, chains: list[Any]) -> None:
        self.builder = builder
        self.address = address
        self.parities: list[Any] = [None] * TILE_BITS
        self.chains = chains

    def total(self, first: int = 0, level: int = TILE_BITS) -> Any:
        """The XOR of 2**level lines; the upper half of them is a part of that level's parity."""
        if level == 0:
            return self._line(first)
        lower = self.total(first, level - 1)
        upper = self.total(first + (1 << level - 1), level - 1)
        parity = self.parities[level - 1]
        self.parities[level - 1] = upper if parity is None else self.builder.xor(parity, upper)
        return self.builder.xor(lower, upper)

    def _line(self, number: int) -> Any:
        if number % _LINES_IN_ORDER == 0:
            _order(self.builder)
        if number % _LINES_ASKED == 0 and not self.chains:
            for ahead in range(number + _LINES_AHEAD, number + _LINES_AHEAD + _LINES_ASKED):
                _fetch(self.builder, self.address, 64 * ahead)
        line = _load(self.builder, self.address, 64 * number)
        if self.chains:
            group = number % spec.GROUPS
            taken = self.builder.xor(self.chains[group], line)
            self.chains[group] = _mix(self.builder, taken)
        return line


def _variable(builder: Any, line: Any) -> Any:
    """A line that changes in a loop; the compiler keeps it in a register."""
    return cgutils.alloca_once_value(builder, line)


def _make_take(is_hashed: bool) -> Any:
    """`take(block, work, tiles)`: take so many tiles into the work space.

    What goes from tile to tile stays in registers.
    """

    @intrinsic
    def take(_context: Any, _block: Any, _work: Any, _tiles: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            block, work, tiles = arguments
            parities = [_variable(builder, _same(0)) for _ in range(TILE_BITS)]
            chains = [_variable(builder, start) for start in _starts()] if is_hashed else []
            with cgutils.for_range(builder, tiles) as loop:
                address = builder.add(block, builder.shl(loop.index, ir.Constant(_WORD, 12)))
                tree = _Tree(builder, address, [builder.load(chain) for chain in chains])
                place = builder.add(work, builder.shl(loop.index, ir.Constant(_WORD, 6)))
                _store(builder, tree.total(), place, TOTALS)
                for parity, found in zip(parities, tree.parities, strict=True):
                    builder.store(builder.xor(builder.load(parity), found), parity)
                for chain, found in zip(chains, tree.chains, strict=True):
                    builder.store(found, chain)
            for level, parity in enumerate(parities):
                _store(builder, builder.load(parity), work, 64 * level)
            for group, chain in enumerate(chains):
                _store(builder, builder.load(chain), work, CHAINS + 64 * group)
            return context.get_dummy_value()

        return types.void(*[types.uint64] * 3), emit

    return take


take = _make_take(is_hashed=False)
take_hashed = _make_take(is_hashed=True)


def _starts() -> list[Any]:
    words = [ir.Constant(_WORD, start) for start in spec.starts()]
    return [ir.Constant(_LINE, words[at : at + 8]) for at in range(0, spec.LANES, 8)]


@intrinsic
def work_space(_context: Any) -> Any:
    """The address of a kernel's work space, on its stack.

    Not an array: Numba frees an array after its last use by name, long before its address is done.
    """

    def emit(_: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        with builder.goto_entry_block():
            lines = builder.alloca(ir.ArrayType(_LINE, WORK_LINES))
        lines.align = 64
        return builder.ptrtoint(lines, _WORD)

    return types.uint64(), emit


@intrinsic
def fold_totals(_context: Any, _totals: Any, _parity: Any, _pairs: Any) -> Any:
    """Each pair of totals becomes one; the odd ones together are the parity of this level."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        totals, parity, pairs = arguments
        odd = _variable(builder, _same(0))
        with cgutils.for_range(builder, pairs) as loop:
            source = builder.add(totals, builder.shl(loop.index, ir.Constant(_WORD, 7)))
            target = builder.add(totals, builder.shl(loop.index, ir.Constant(_WORD, 6)))
            first, second = _load(builder, source), _load(builder, source, 64)
            builder.store(builder.xor(builder.load(odd), second), odd)
            _store(builder, builder.xor(first, second), target)
        _store(builder, builder.load(odd), parity)
        return context.get_dummy_value()

    return types.void(*[types.uint64] * 3), emit


@intrinsic
def fetch(_context: Any, _address: Any, _lines: Any) -> Any:
    """Ask for lines that are read soon."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, lines = arguments
        with cgutils.for_range(builder, lines) as loop:
            _fetch(builder, builder.add(address, builder.shl(loop.index, ir.Constant(_WORD, 6))))
        return context.get_dummy_value()

    return types.void(*[types.uint64] * 2), emit


@intrinsic
def finish(_context: Any, _work: Any, _first: Any, _checks: Any, _k: Any) -> Any:
    """Write the check symbols of the block that was taken into the work space."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        work, first, checks, k = arguments
        symbol = _load(builder, first)
        total = _load(builder, work, TOTALS)
        overall = _variable(builder, symbol)
        with cgutils.for_range(builder, k) as loop:
            offset = builder.shl(loop.index, ir.Constant(_WORD, 6))
            check = builder.xor(_load(builder, builder.add(work, offset)), symbol)
            _store(builder, check, builder.add(checks, offset))
            builder.store(builder.xor(builder.load(overall), check), overall)
        end = builder.add(checks, builder.shl(k, ir.Constant(_WORD, 6)))
        _store(builder, builder.xor(total, symbol), end)
        _store(builder, builder.load(overall), end, 64)
        return context.get_dummy_value()

    return types.void(*[types.uint64] * 4), emit


@intrinsic
def disagrees(_context: Any, _work: Any, _first: Any, _checks: Any, _k: Any) -> Any:
    """1 where `finish` would write other check symbols than there are, else 0."""

    def emit(_: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        work, first, checks, k = arguments
        symbol = _load(builder, first)
        overall, wrong = _variable(builder, symbol), _variable(builder, _same(0))

        def compare(check: Any, address: Any, octets: int = 0) -> None:
            difference = builder.xor(check, _load(builder, address, octets))
            builder.store(builder.or_(builder.load(wrong), difference), wrong)

        with cgutils.for_range(builder, k) as loop:
            offset = builder.shl(loop.index, ir.Constant(_WORD, 6))
            check = builder.xor(_load(builder, builder.add(work, offset)), symbol)
            builder.store(builder.xor(builder.load(overall), check), overall)
            compare(check, builder.add(checks, offset))
        end = builder.add(checks, builder.shl(k, ir.Constant(_WORD, 6)))
        compare(builder.xor(_load(builder, work, TOTALS), symbol), end)
        compare(builder.load(overall), end, 64)
        lanes = builder.icmp_unsigned("!=", builder.load(wrong), _same(0))
        mask = builder.bitcast(lanes, ir.IntType(8))
        is_wrong = builder.icmp_unsigned("!=", mask, ir.Constant(ir.IntType(8), 0))
        return builder.zext(is_wrong, _WORD)

    return types.uint64(*[types.uint64] * 4), emit


@intrinsic
def end_chains(_context: Any, _chains: Any, _index: Any, _symbols: Any) -> Any:
    """The hash of a block from its chains."""

    def emit(_: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        chains, index, symbols = arguments
        folded = _load(builder, chains)
        for group in range(1, spec.GROUPS):
            folded = builder.xor(_mix(builder, folded), _load(builder, chains, 64 * group))
        small = ir.IntType(32)
        for width in spec.WIDTHS:
            lanes = [ir.Constant(small, (lane + width) % 8) for lane in range(8)]
            other = builder.shuffle_vector(
                folded, folded, ir.Constant(ir.VectorType(small, 8), lanes)
            )
            folded = builder.xor(_mix(builder, folded), other)
        for last in (index, symbols):
            word = builder.xor(builder.extract_element(folded, ir.Constant(small, 0)), last)
            folded = builder.insert_element(folded, word, ir.Constant(small, 0))
            folded = _mix(builder, folded)
        return builder.extract_element(folded, ir.Constant(small, 0))

    return types.uint64(*[types.uint64] * 3), emit


@intrinsic
def get(_context: Any, _address: Any) -> Any:
    """The word at an address."""

    def emit(_: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = builder.load(builder.inttoptr(arguments[0], _WORD.as_pointer()))
        word.align = 1
        return word

    return types.uint64(types.uint64), emit


@intrinsic
def put(_context: Any, _address: Any, _word: Any) -> Any:
    """Write a word at an address."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, word = arguments
        builder.store(word, builder.inttoptr(address, _WORD.as_pointer())).align = 1
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), emit


@intrinsic
def ones(_context: Any, _word: Any) -> Any:
    """How many bits of a word are set."""

    def emit(_: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit
