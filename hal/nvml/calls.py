"""Every call of NVML is made here: only our errors come back, and no sentinel is a value."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

from hal.errors import (
    BoardError,
    BoardLost,
    DriverFault,
    DriverMissing,
    NotPermitted,
    TimedOut,
    Unsupported,
    WrongRequest,
)

LIBRARY = "VANALLEN_NVML_LIBRARY"
"""Environment variable: the NVML library to use instead of the system's."""

_KINDS: dict[int, type[BoardError]] = {
    1: DriverMissing,  # uninitialised
    2: WrongRequest,
    3: Unsupported,
    4: NotPermitted,
    6: WrongRequest,  # not found
    7: DriverFault,  # insufficient size
    9: DriverMissing,
    10: TimedOut,
    12: DriverMissing,
    13: Unsupported,  # the library is older than the call
    15: BoardLost,
    16: BoardLost,  # reset required
    18: DriverMissing,  # library and kernel module disagree
    21: Unsupported,  # no data
    24: WrongRequest,  # frequency not supported
    25: Unsupported,  # struct version
    26: Unsupported,  # deprecated
    28: BoardLost,  # GPU not found
}


def prepare(environment: Mapping[str, str]) -> None:
    """Load the library the environment names, so that nvidia-ml-py finds it by its soname."""
    path = environment.get(LIBRARY)
    if not path:
        return
    try:
        ctypes.CDLL(path)
    except OSError as error:
        raise DriverMissing(f"{LIBRARY}={path} does not load: {error}", "dlopen") from error


def ask(call: str, *arguments: Any) -> Any:
    """Call an NVML function by its nvidia-ml-py name. Raises only BoardError and its kinds."""
    import pynvml

    function = getattr(pynvml, call, None)
    if function is None:
        raise Unsupported(f"this nvidia-ml-py has no {call}; upgrade it", call)
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise translated(call, error.value) from error
    except Exception as error:  # what a broken driver returns can upset the binding in any way
        raise DriverFault(f"{call}: {type(error).__name__}: {error}", call) from error


def told(value: int, bits: int) -> int | None:
    """A value of so many bits; None for all ones, by which NVML says that there is none."""
    return None if value == (1 << bits) - 1 else value


def counted(call: str, value: int, bits: int) -> int:
    """The same; raises Unsupported where there is none."""
    found = told(value, bits)
    if found is None:
        raise Unsupported(f"{call}: all ones, which stands for not available", call)
    return found


def text(read: Callable[[], str | bytes]) -> str:
    """A text that a structure of the binding decodes as it is read; empty when it cannot be had."""
    try:
        value = read()
    except (BoardError, UnicodeDecodeError):
        return ""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def field(handle: Any, number: int) -> float | int:
    """One NVML field value of a device. Raises BoardError."""
    import pynvml

    call = f"nvmlDeviceGetFieldValues[{number}]"
    found = ask("nvmlDeviceGetFieldValues", handle, [number])[0]
    if found.nvmlReturn != 0:
        raise translated(call, found.nvmlReturn)
    members: dict[int, tuple[str, int | None]] = {  # and the bits of those without a sign
        pynvml.NVML_VALUE_TYPE_DOUBLE: ("dVal", None),
        pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: ("uiVal", 32),
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: ("ulVal", 8 * ctypes.sizeof(ctypes.c_ulong)),
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: ("ullVal", 64),
        pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: ("sllVal", None),
        pynvml.NVML_VALUE_TYPE_SIGNED_INT: ("siVal", None),
        pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: ("usVal", 16),
    }
    if found.valueType not in members:
        raise DriverFault(f"{call}: value type {found.valueType} is not known", call)
    member, bits = members[found.valueType]
    value: float | int = getattr(found.value, member)
    return value if bits is None else counted(call, int(value), bits)


def translated(call: str, code: int) -> BoardError:
    """Our error for an nvmlReturn_t."""
    import pynvml

    text = pynvml.NVMLError._errcode_to_string.get(code, "unknown error")
    return _KINDS.get(code, DriverFault)(f"{call}: {text} (NVML {code})", call)
