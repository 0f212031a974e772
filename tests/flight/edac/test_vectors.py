"""What LLVM is given, compiled here and now: kept kernels may be older than their text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from flight.edac import reference
from flight.edac.blocks import aligned
from flight.edac.code import Code
from flight.edac.hash import block_hash
from flight.edac.vectors import CHAINS, CHECKS, WORK_LINES, end_chains, finish, take_hashed

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable

U = np.uint64


@njit
def one_tile(block: Any, work: Any) -> Any:  # pragma: no cover
    take_hashed(block, work, U(1))
    finish(work, block, work + U(CHECKS), U(6))
    return end_chains(work + U(CHAINS), U(9), U(64))


def test_one_tile_compiled_anew_gives_the_checks_and_hash_of_the_plain_form() -> None:
    block = np.random.default_rng(1).integers(0, 2**64, 64 * 8, dtype=np.uint64)
    work = aligned(64 * WORK_LINES)
    found = one_tile(U(block.ctypes.data), U(work.ctypes.data))
    assert int(found) == block_hash(block.tolist(), 9)
    wanted = reference.octets_of(reference.encode(reference.symbols_of(block.tobytes())))
    assert work[CHECKS : CHECKS + 64 * Code(64).check_symbols].tobytes() == wanted
