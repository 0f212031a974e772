"""Waking waiters on a word of shared memory, in whatever process they wait (Linux futex)."""

from __future__ import annotations

import ctypes
import platform

_NUMBERS = {"x86_64": 202, "aarch64": 98}
_WAKE = 1
_EVERYONE = 0x7FFFFFFF


def wake(address: int) -> None:
    """Wake everyone who waits on the word at `address` (futex(2), FUTEX_WAKE, shared).

    On another kind of processor nobody is woken; the library's waits end by themselves.
    """
    number = _NUMBERS.get(platform.machine())
    if number is not None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(
            ctypes.c_long(number), ctypes.c_void_p(address), _WAKE, _EVERYONE, None, None, 0
        )
