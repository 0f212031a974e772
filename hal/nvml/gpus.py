"""The GPUs that the driver shows, each under the number that it was first seen with.

NVML's index is no identity: after a driver reload the GPUs that are left close ranks. A GPU is its
UUID, or its bus id where it tells no UUID; its number here stays with it for as long as the board
is open, and over restarts where `known` says which number was whose.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hal.device import Device
from hal.errors import BoardError, BoardLost, DriverFault
from hal.nvml import calls
from hal.nvml.calls import ask

MOST_GPUS = 64
"""What says that it has more GPUs is not believed."""


class Identity(NamedTuple):
    """What a GPU says that it is; empty text is what it does not tell."""

    uuid: str = ""
    bus_id: str = ""

    def is_of(self, other: Identity) -> bool:
        """Whether both are of one GPU: by UUID, or by bus id where one of them tells no UUID."""
        if self.uuid and other.uuid:
            return self.uuid == other.uuid
        return self.bus_id != "" and self.bus_id == other.bus_id

    def completed(self, other: Identity) -> Identity:
        """With what only the other one tells."""
        return Identity(self.uuid or other.uuid, self.bus_id or other.bus_id)


NOBODY = Identity()


@dataclass
class _Gpu:
    identity: Identity
    place: int | None = None
    """Its index in the driver's order as last seen; None while it is not there."""
    handle: Any = None
    device: Device | None = None
    """Its description, once it is whole."""


class Gpus:
    """Finds GPUs again by what they are."""

    def __init__(self, known: Sequence[Identity] = ()) -> None:
        self._gpus = [_Gpu(identity) for identity in known[:MOST_GPUS]]
        self._numbers: dict[int, int] = {}
        """Address of a handle → number."""

    def __len__(self) -> int:
        return len(self._gpus)

    @property
    def identities(self) -> list[Identity]:
        """Who has which number."""
        return [gpu.identity for gpu in self._gpus]

    def look(self) -> None:
        """Count and tell apart what the driver shows now; new GPUs get the next numbers.

        Raises BoardError when the driver does not count, DriverFault when it counts nonsense.
        """
        count = int(ask("nvmlDeviceGetCount"))
        if not 0 <= count <= MOST_GPUS:
            raise DriverFault(f"the driver says that it has {count} GPUs", "nvmlDeviceGetCount")
        seen = [(place, *_shown(place)) for place in range(count)]
        self._numbers.clear()
        for gpu in self._gpus:
            gpu.handle = gpu.place = None
        for place, handle, identity in seen:
            if identity != NOBODY:
                self._take(self._numbered(identity), place, handle)
        # What cannot say who it is may be one that never said so. It is none of the others.
        for place, handle, identity in seen:
            if identity == NOBODY and (number := self._nameless(count)) is not None:
                self._take(number, place, handle)

    def let_go(self) -> None:
        """Forget all handles: the driver goes away."""
        self._numbers.clear()
        for gpu in self._gpus:
            gpu.handle = None

    def lose(self, number: int) -> None:
        """Forget the handle of a GPU that is lost."""
        self._gpus[number].handle = None

    def number_of(self, handle: Any) -> int | None:
        """Whose handle this is; None for one that is nobody's."""
        return self._numbers.get(_address(handle))

    def handle(self, number: int) -> Any:
        """The handle of a GPU, looked for again after it was lost.

        Raises BoardLost when the driver does not show it, BoardError when it does not answer.
        """
        gpu = self._gpus[number]
        if gpu.handle is None and gpu.place is not None:
            handle = ask("nvmlDeviceGetHandleByIndex", gpu.place)
            if gpu.identity == NOBODY or _identity(handle).is_of(gpu.identity):
                self._take(number, gpu.place, handle)
        if gpu.handle is None:
            self.look()
        if gpu.handle is None:
            name = gpu.identity.uuid or gpu.identity.bus_id or f"GPU {number}"
            raise BoardLost(f"{name} is not among the GPUs that the driver shows")
        return gpu.handle

    def confirmed(self, number: int) -> Any:
        """The handle, once the GPU behind it has said that it is still the same one.

        A handle that outlives a reload of the driver may lead to another GPU. Raises as `handle`.
        """
        handle, own = self.handle(number), self._gpus[number].identity
        said = _identity(handle)
        if said == NOBODY or said.is_of(own):
            return handle
        if own == NOBODY:  # one that had not told who it is does so now
            self._gpus[number].identity = said
            return handle
        self.look()
        return self.handle(number)

    def find(self, number: int) -> None:
        """Ask the driver whether a GPU is there; raises as `handle`."""
        self.lose(number)
        self.handle(number)

    def device(self, number: int) -> Device:
        """The description of a GPU, kept once it is whole; it never raises."""
        gpu = self._gpus[number]
        if gpu.device is not None:
            return gpu.device
        try:
            device = _described(number, self.confirmed(number))
        except BoardError:
            uuid, bus_id = gpu.identity
            return Device(number, "", uuid, "", bus_id, None, None, None)
        if device.uuid:
            gpu.device = device
        return device

    def _numbered(self, identity: Identity) -> int:
        """The number of a GPU: its own, or that of one that never said who it is, or a new one."""
        for number, gpu in enumerate(self._gpus):
            if identity.is_of(gpu.identity):
                gpu.identity = identity.completed(gpu.identity)
                return number
        fresh = self._nameless(len(self._gpus) + 1)
        assert fresh is not None, "there is always room for one more"
        self._gpus[fresh].identity = identity
        return fresh

    def _nameless(self, count: int) -> int | None:
        """The number of a GPU that never said who it is, made when there are fewer than `count`."""
        for number, gpu in enumerate(self._gpus):
            if gpu.identity == NOBODY and gpu.place is None:
                return number
        if len(self._gpus) >= count:
            return None
        self._gpus.append(_Gpu(NOBODY))
        return len(self._gpus) - 1

    def _take(self, number: int, place: int, handle: Any) -> None:
        gpu = self._gpus[number]
        gpu.place, gpu.handle = place, handle
        if handle is not None:
            self._numbers[_address(handle)] = number


def _shown(place: int) -> tuple[Any, Identity]:
    """Handle and identity of what the driver has at a place, as far as it tells."""
    try:
        handle = ask("nvmlDeviceGetHandleByIndex", place)
    except BoardError:
        return None, NOBODY
    return (handle, _identity(handle)) if _address(handle) else (None, NOBODY)


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _identity(handle: Any) -> Identity:
    return Identity(_or("", "nvmlDeviceGetUUID", handle), _bus_id(handle))


def _bus_id(handle: Any) -> str:
    # The structure decodes its text when it is read, so the reading is a call as well.
    return calls.text(lambda: ask("nvmlDeviceGetPciInfo", handle).busId)


def _described(number: int, handle: Any) -> Device:
    memory = _or(None, "nvmlDeviceGetMemoryInfo", handle)
    clock = _or(None, "nvmlDeviceGetMaxClockInfo", handle, 1)
    limits = _or(None, "nvmlDeviceGetPowerManagementLimitConstraints", handle)
    clock_mhz = None if clock is None else calls.told(clock, 32)
    limit_mw = None if limits is None else calls.told(limits[1], 32)
    return Device(
        index=number,
        name=_or("", "nvmlDeviceGetName", handle),
        uuid=_or("", "nvmlDeviceGetUUID", handle),
        serial=_or("", "nvmlDeviceGetSerial", handle),
        bus_id=_bus_id(handle),
        memory_bytes=None if memory is None else calls.told(int(memory.total), 64),
        max_clock_mhz=None if clock_mhz is None else float(clock_mhz),
        max_power_w=None if limit_mw is None else limit_mw / 1000.0,
    )


def _or(default: Any, call: str, *arguments: Any) -> Any:
    """What a call answers, or `default` when it fails."""
    try:
        return ask(call, *arguments)
    except BoardError:
        return default
