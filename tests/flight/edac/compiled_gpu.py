"""Run as a program beside numba-cuda: compile the kernels for a GPU that is not there.

Prints a line for each kernel: what it is, its registers, and the octets that did not fit in them.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

from numba import cuda, types

from flight.edac import cuda as device
from icd import extras

SM_90 = (9, 0)
_USED = re.compile(r"used (\d+) registers, .*?(\d+) stack, .*?(\d+) bytes lmem", re.DOTALL)
_SPILLED = re.compile(r"(\d+) bytes spill (?:stores|loads)")


def cost(linker: Any, ptx: str) -> tuple[int, int]:
    """Registers of a kernel, and octets on its stack, in local memory and spilled."""
    handle = linker.create(2, ["-arch=sm_90", "-verbose"])
    linker.add_data(handle, linker.InputType.PTX, ptx.encode(), len(ptx), "kernel.ptx")
    linker.complete(handle)
    log = bytearray(linker.get_info_log_size(handle))
    linker.get_info_log(handle, log)
    linker.destroy(handle)
    said = log.decode()
    used = _USED.search(said)
    spilled = _SPILLED.findall(said)
    assert used is not None, said
    assert spilled, said
    registers, stack, local = map(int, used.groups())
    return registers, stack + local + sum(map(int, spilled))


def main() -> None:
    """Compile encode and check for the smallest code, the usual one and the largest."""
    if getattr(cuda, "implementation", "Numba") != "NVIDIA":
        sys.exit(extras.missing("numba_cuda", "compiling without a GPU"))
    linker = importlib.import_module("cuda.bindings.nvjitlink")
    words, octets = types.uint64[::1], types.uint8[::1]
    for k in (6, 9, 12):
        encode = device.make_encode(k)[0], (words, words, words, words, types.int64)
        check = device.make_check(k)[0], (words, words, octets)
        for name, (kernel, signature) in (("encode", encode), ("check", check)):
            ptx, _ = cuda.compile_ptx(kernel, signature, cc=SM_90)
            registers, outside = cost(linker, ptx)
            sys.stdout.write(f"{name} n={1 << k} registers={registers} outside={outside}\n")


if __name__ == "__main__":
    main()
