"""The NVML driver: every NVIDIA GPU that the loaded library shows."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hal import nvml_door, xid
from hal.device import (
    Board,
    BoardIdentity,
    ControlRequest,
    ControlResult,
    Device,
    Fault,
    FaultKind,
    ProcessUse,
)
from hal.errors import (
    BoardError,
    BoardLost,
    DriverMissing,
    HalError,
    TimedOut,
    Unsupported,
    WrongRequest,
)
from hal.nvml_door import ask
from hal.nvml_sensors import SENSORS, VOLATILE, Sensor
from hal.reading import Reading, Validity, invalid, tai_now

_EVENT_KINDS = {
    0x1: (FaultKind.ECC_CORRECTED, "corrected ECC errors"),
    0x2: (FaultKind.ECC_UNCORRECTED, "uncorrected ECC errors"),
    0x200: (FaultKind.ECC_CORRECTED, "storm of corrected ECC errors"),
    0x400: (FaultKind.OTHER, "DRAM row retired"),
    0x800: (FaultKind.OTHER, "DRAM row retirement failed"),
    0x1000: (FaultKind.OTHER, "poison, not fatal"),
    0x2000: (FaultKind.OTHER, "poison, fatal"),
    0x4000: (FaultKind.OTHER, "GPU unavailable"),
    0x8000: (FaultKind.OTHER, "recovery action changed"),
}
_XID = 0x8
_WANTED = sum(_EVENT_KINDS) | _XID
_MOST_FAULTS = 256


def open_board(
    name: str,
    environment: Mapping[str, str],
    *,
    allow_control: frozenset[str] = frozenset(),
    clock: Callable[[], int] | None = None,
) -> Board:
    """Load NVML and open every GPU it shows. Raises BoardError."""
    nvml_door.prepare(environment)
    return NvmlBoard(name, allow_control, clock or tai_now)


class NvmlBoard:
    """The GPUs of one machine; see `hal.device.Board` for what each method promises."""

    def __init__(
        self,
        name: str,
        allow_control: frozenset[str],
        clock: Callable[[], int],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        ask("nvmlInit")
        self._name = name
        self._allowed = allow_control
        self._clock = clock
        self._wait = wait
        self._open = True
        try:
            self._count = int(ask("nvmlDeviceGetCount"))
        except BoardError:
            self.close()
            raise
        self._handles: list[Any] = [None] * self._count
        self._indices: dict[int, int] = {}
        self._devices: dict[int, Device] = {}
        self._events: Any = None
        self._told_lost: set[int] = set()
        self._gone: DriverMissing | None = None
        for index in range(self._count):
            with contextlib.suppress(BoardError):
                self._handle(index)
        self._watch()

    def identity(self) -> BoardIdentity:
        return BoardIdentity(
            board=self._name,
            driver="nvml",
            driver_version=_or("", "nvmlSystemGetDriverVersion"),
            library_version=_or("", "nvmlSystemGetNVMLVersion"),
            cuda_version=_dotted(_or(None, "nvmlSystemGetCudaDriverVersion_v2")),
            devices=tuple(self.devices()),
        )

    def devices(self) -> list[Device]:
        return [self._device(index) for index in range(self._count)]

    def read(self) -> list[Reading]:
        if self._gone is not None and self._open:
            self._restart()
        return [reading for index in range(self._count) for reading in self._read(index)]

    def processes(self) -> list[ProcessUse]:
        return [use for index in range(self._count) for use in self._processes(index)]

    def faults(self, timeout_s: float) -> list[Fault]:
        if self._events is None and not self._watch():
            self._wait(timeout_s)
            return self._lost_devices()
        found: list[Fault] = []
        wait_ms = max(0, round(timeout_s * 1000))
        try:
            while len(found) < _MOST_FAULTS:
                event = ask("nvmlEventSetWait_v2", self._events, 0 if found else wait_ms)
                found.append(self._fault(event))
        except TimedOut:
            return found
        except BoardError:
            self._unwatch()
            found += self._lost_devices()
            if not found:  # nothing to tell and no set to wait on: keep the caller's pace
                self._wait(timeout_s)
        return found

    def control(self, request: ControlRequest) -> ControlResult:
        act = _ACTIONS.get(request.action)
        if act is None:
            known = ", ".join(_ACTIONS)
            return ControlResult(request, False, None, f"no {request.action!r}; known: {known}")
        if request.action not in self._allowed:
            text = f"the board is read-only; allow {request.action} by name"
            return ControlResult(request, False, None, text)
        try:
            value = act(self._handle(request.device), request.value)
        except (HalError, OverflowError, ValueError) as error:
            return ControlResult(request, False, None, str(error))
        return ControlResult(request, True, value, "done")

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._unwatch()
        with contextlib.suppress(BoardError):
            ask("nvmlShutdown")

    def _restart(self) -> None:
        """Start over with a driver that was unloaded; it may be back."""
        self._unwatch()
        self._handles = [None] * self._count
        with contextlib.suppress(BoardError):
            ask("nvmlShutdown")
        try:
            ask("nvmlInit")
        except DriverMissing as error:
            self._gone = error
        except BoardError:
            return  # asked again at the next reading
        else:
            self._gone = None
            self._watch()

    def _handle(self, index: int) -> Any:
        """The handle of a device, asked for again after it was lost. Raises BoardError."""
        if not 0 <= index < self._count:
            raise WrongRequest(f"no device {index}; this board has {self._count}")
        if self._handles[index] is None:
            handle = ask("nvmlDeviceGetHandleByIndex", index)
            self._handles[index] = handle
            self._indices[_address(handle)] = index
        return self._handles[index]

    def _device(self, index: int) -> Device:
        """The description of a device, kept once it is whole."""
        if index in self._devices:
            return self._devices[index]
        try:
            handle = self._handle(index)
        except BoardError:
            return Device(index, "", "", "", "", None, None, None)
        pci = _or(None, "nvmlDeviceGetPciInfo", handle)
        memory = _or(None, "nvmlDeviceGetMemoryInfo", handle)
        clock = _or(None, "nvmlDeviceGetMaxClockInfo", handle, 1)
        limits = _or(None, "nvmlDeviceGetPowerManagementLimitConstraints", handle)
        device = Device(
            index=index,
            name=_or("", "nvmlDeviceGetName", handle),
            uuid=_or("", "nvmlDeviceGetUUID", handle),
            serial=_or("", "nvmlDeviceGetSerial", handle),
            bus_id="" if pci is None else _text(pci.busId),
            memory_bytes=None if memory is None else int(memory.total),
            max_clock_mhz=None if clock is None else float(clock),
            max_power_w=None if limits is None else limits[1] / 1000.0,
        )
        if device.uuid:
            self._devices[index] = device
        return device

    def _read(self, index: int) -> Iterator[Reading]:
        time_ns = self._clock()
        ended: BoardError | None = self._gone
        for sensor in SENSORS:
            failed = ended
            if failed is None:
                try:
                    yield from _measured(index, sensor, self._handle(index), time_ns)
                    continue
                except (BoardLost, DriverMissing) as error:
                    failed = ended = error  # every further call fails alike, and slowly
                except BoardError as error:
                    failed = error
            yield from _failed(index, sensor, time_ns, failed)
        if isinstance(ended, BoardLost):
            self._handles[index] = None
        elif isinstance(ended, DriverMissing):
            self._gone = ended
        else:
            self._told_lost.discard(index)

    def _processes(self, index: int) -> Iterator[ProcessUse]:
        with contextlib.suppress(BoardError):
            for found in ask("nvmlDeviceGetComputeRunningProcesses", self._handle(index)):
                yield ProcessUse(index, int(found.pid), found.usedGpuMemory)

    def _watch(self) -> bool:
        """Make an event set on every device that can have one; false when none can."""
        watched = 0
        try:
            events = ask("nvmlEventSetCreate")
        except BoardError:
            return False
        for index in range(self._count):
            with contextlib.suppress(BoardError):
                handle = self._handle(index)
                kinds = ask("nvmlDeviceGetSupportedEventTypes", handle) & _WANTED
                ask("nvmlDeviceRegisterEvents", handle, kinds, events)
                watched += 1
        self._events = events
        if not watched:
            self._unwatch()
        return bool(watched)

    def _unwatch(self) -> None:
        events, self._events = getattr(self, "_events", None), None
        if events is not None:
            with contextlib.suppress(BoardError):
                ask("nvmlEventSetFree", events)

    def _lost_devices(self) -> list[Fault]:
        """A fault for each device that is lost and was not reported as such yet."""
        found = []
        for index in range(self._count):
            try:
                ask("nvmlDeviceGetHandleByIndex", index)
                self._told_lost.discard(index)
            except BoardLost as error:
                self._handles[index] = None
                if index not in self._told_lost:
                    self._told_lost.add(index)
                    found.append(Fault(self._clock(), index, FaultKind.LOST, 0, str(error)))
            except BoardError:
                continue
        return found

    def _fault(self, event: Any) -> Fault:
        index = self._indices.get(_address(event.device), -1)
        kind, code = int(event.eventType), int(event.eventData)
        if kind == _XID:
            return Fault(self._clock(), index, FaultKind.XID, code, xid.name(code))
        meaning, text = _EVENT_KINDS.get(kind, (FaultKind.OTHER, f"event {kind:#x}"))
        return Fault(self._clock(), index, meaning, kind, text)


def _measured(index: int, sensor: Sensor, handle: Any, time_ns: int) -> list[Reading]:
    values = sensor.measure(handle)
    found = []
    for quantity, value in zip(sensor.quantities, values, strict=True):
        validity, reason = Validity.VALID, ""
        if not quantity.low <= value <= quantity.high:
            validity = Validity.OUT_OF_RANGE
            reason = f"outside {quantity.low:g} … {quantity.high:g} {quantity.unit}"
        name = f"gpu{index}.{quantity.name}"
        found.append(Reading(name, float(value), quantity.unit, time_ns, validity, reason))
    return found


def _failed(index: int, sensor: Sensor, time_ns: int, error: BoardError) -> list[Reading]:
    validity = Validity.ERROR
    if isinstance(error, BoardLost):
        validity = Validity.LOST
    elif isinstance(error, Unsupported):
        validity = Validity.UNSUPPORTED
    return [
        invalid(f"gpu{index}.{quantity.name}", quantity.unit, time_ns, validity, str(error))
        for quantity in sensor.quantities
    ]


def _limit_power(handle: Any, limit_w: float) -> float:
    ask("nvmlDeviceSetPowerManagementLimit", handle, round(limit_w * 1000))
    return float(ask("nvmlDeviceGetPowerManagementLimit", handle)) / 1000.0


def _lock_clock(handle: Any, clock_mhz: float) -> None:
    ask("nvmlDeviceSetGpuLockedClocks", handle, round(clock_mhz), round(clock_mhz))


def _reset_clock(handle: Any, _value: float) -> None:
    ask("nvmlDeviceResetGpuLockedClocks", handle)


def _clear_ecc(handle: Any, _value: float) -> float:
    ask("nvmlDeviceClearEccErrorCounts", handle, VOLATILE)
    return float(sum(ask("nvmlDeviceGetTotalEccErrors", handle, kind, VOLATILE) for kind in (0, 1)))


_ACTIONS: dict[str, Callable[[Any, float], float | None]] = {
    "power_limit_w": _limit_power,
    "locked_clock_mhz": _lock_clock,
    "reset_clock": _reset_clock,
    "clear_ecc": _clear_ecc,
}


def _or(default: Any, call: str, *arguments: Any) -> Any:
    """What a call answers, or `default` when it fails."""
    try:
        return ask(call, *arguments)
    except BoardError:
        return default


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _dotted(version: int | None) -> str:
    return "" if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
