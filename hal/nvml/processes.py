"""Who computes on a GPU, asked for without believing how many there are.

The binding makes room for twice as many processes as the driver says; a driver that says 400
million makes it take 19 GB. Here the number is looked at first.
"""

from __future__ import annotations

from ctypes import byref, c_uint
from typing import Any

from hal.errors import DriverFault
from hal.nvml.calls import ask, told, translated

CALL = "nvmlDeviceGetComputeRunningProcesses"
MOST_PROCESSES = 4096
_SUCCESS, _INSUFFICIENT_SIZE = 0, 7


def running(handle: Any) -> list[tuple[int, int | None]]:
    """(pid, octets of device memory; None: it does not tell) of each. Raises BoardError."""
    import pynvml

    count = c_uint(0)
    function = ask("_nvmlGetFunctionPointer", f"{CALL}_v3")
    code = function(handle, byref(count), None)
    if code == _SUCCESS:
        return []
    if code != _INSUFFICIENT_SIZE:
        raise translated(CALL, code)
    if count.value > MOST_PROCESSES:
        raise DriverFault(f"{CALL}: {count.value} processes, which cannot be", CALL)
    count.value += 16  # some may come meanwhile
    rows = (pynvml.c_nvmlProcessInfo_v3_t * count.value)()
    code = function(handle, byref(count), rows)
    if code != _SUCCESS:
        raise translated(CALL, code)
    found = rows[: min(count.value, len(rows))]
    return [(int(row.pid), told(int(row.usedGpuMemory), 64)) for row in found]
