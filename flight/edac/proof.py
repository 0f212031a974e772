"""A known answer before the first use: compiled kernels lie on a disk, where they age and rot."""

from __future__ import annotations

import functools

import numpy as np

from flight.edac import cpu, reference
from flight.edac.code import SYMBOL_WORDS, Code
from flight.edac.hash import MASK, block_hash, mix

_N = 128


class KernelWrong(RuntimeError):
    """A compiled kernel does not give the answer of its plain form."""


@functools.cache
def prove() -> None:
    """Compare the kernels with the plain form, once in a process; about 5 ms. Raises KernelWrong.

    Two tiles, a wrong symbol in each place that decoding tells apart.
    """
    code = Code(_N)
    words = [mix(at) for at in range(_N * SYMBOL_WORDS)]
    data = np.array(words, np.uint64).reshape(_N, SYMBOL_WORDS)
    checks = np.zeros((code.check_symbols, SYMBOL_WORDS), np.uint64)
    hashes = np.zeros(2, np.uint64)
    places = data.ctypes.data, checks.ctypes.data, hashes.ctypes.data, hashes[1:].ctypes.data
    cpu.encode_hashed(*places, code.k, 0, 1, 5)
    plain = reference.encode(reference.symbols_of(data.tobytes()))
    wanted = block_hash(words, 5)
    _insist(checks.tobytes() == reference.octets_of(plain), "encode_hashed")
    _insist(hashes.tolist() == [wanted, wanted ^ MASK], "encode_hashed")
    is_bad = np.zeros(1, np.uint8)
    good, room = data.copy(), np.empty_like(data)
    for symbol in (None, 0, 1, _N - 1):
        if symbol is not None:
            data[symbol] ^= hashes[symbol % 2]
        bad = 0 if symbol is None else 1
        _insist(cpu.check(*places[:2], code.k, 0, 1, is_bad) == bad, "check")
        _insist(cpu.check_hashed(*places, code.k, 0, 1, 5, is_bad) == bad, "check_hashed")
        verdict = cpu.mend(*places, code.k, 5, room.ctypes.data)[0]
        _insist(verdict == (cpu.CORRECTED if bad else cpu.CLEAN), "mend")
        _insist(bool((data == good).all()), "mend")
    _insist(cpu.check(*places[:2], code.k, 0, 1, is_bad) == 0, "check")


def _insist(is_so: bool, kernel: str) -> None:
    if not is_so:
        raise KernelWrong(
            f"the compiled kernel {kernel} gives wrong answers; remove Numba's cache "
            "(__pycache__ beside the code, or $NUMBA_CACHE_DIR) to have it compiled anew"
        )
