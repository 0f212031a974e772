"""The NVML driver: every NVIDIA GPU that the loaded library shows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hal.device import (
    RECOVERIES,
    Board,
    BoardIdentity,
    ControlRequest,
    ControlResult,
    Device,
    Fault,
    FaultKind,
    ProcessUse,
)
from hal.errors import BoardError, BoardLost, DriverMissing, HalError, Unsupported, WrongRequest
from hal.nvml import calls, processes
from hal.nvml import reset_ladder as recovery
from hal.nvml.calls import ask, field
from hal.nvml.controls import ACTIONS
from hal.nvml.events import Events
from hal.nvml.gpus import Gpus
from hal.nvml.known_gpus import FILE, KnownGpus
from hal.nvml.reset_ladder import Ladder
from hal.nvml.sensors import RECOVERY_ACTION, SENSORS, Sensor
from hal.reading import Reading, Validity, invalid, tai_now

READS_BETWEEN_LOOKS = 10
"""Where there is no GPU, the driver is asked anew so seldom."""


DEAF = 3
"""A watch that ended so often in a row is dead."""


def open_board(
    name: str,
    environment: Mapping[str, str],
    *,
    allow_control: frozenset[str] = frozenset(),
    clock: Callable[[], int] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Board:
    """Load NVML and open every GPU it shows. Raises BoardError."""
    calls.prepare(environment)
    ladder = recovery.ladder(environment, wait)
    path = environment.get(FILE)
    known = KnownGpus(Path(path) if path else None)
    return NvmlBoard(name, allow_control, clock or tai_now, wait, ladder, known)


class NvmlBoard:
    """The GPUs of one machine; see `hal.device.Board` for what each method promises."""

    def __init__(
        self,
        name: str,
        allow_control: frozenset[str],
        clock: Callable[[], int],
        wait: Callable[[float], None],
        ladder: Ladder,
        known: KnownGpus | None = None,
    ) -> None:
        """`known` tells who had the numbers 0, 1, … before, and keeps who has them."""
        ask("nvmlInit")
        self._name = name
        self._allowed = allow_control
        self._clock = clock
        self._wait = wait
        self._ladder = ladder
        self._open = True
        self._gone: BoardError | None = None
        self._known = known or KnownGpus(None)
        self._gpus = Gpus(self._known.identities)
        self._events = Events(clock, self._number_of, wait)
        self._looked_for = False
        """Whether, for the faults that come now, it was looked who is there."""
        self._reads = 0
        self._deaf_for = 0
        """Watches for faults that ended at once, one after another."""
        try:
            self._gpus.look()
        except BoardError:
            self.close()
            raise
        self._known.keep(self._gpus.identities)
        self._told_lost: set[int] = set()
        self._absent: set[int] = set()
        """Devices that were lost at the last reading."""
        self._has_returned = False
        """Whether one came back since, and wants to be in an event set again."""
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
        return [self._gpus.device(index) for index in range(len(self._gpus))]

    def read(self) -> list[Reading]:
        self._reads += 1
        has_none = not len(self._gpus) and self._reads % READS_BETWEEN_LOOKS == 0
        if self._open and (self._gone is not None or has_none):
            self._restart()
        found = [reading for index in range(len(self._gpus)) for reading in self._read(index)]
        self._known.keep(self._gpus.identities)
        return found

    def processes(self) -> list[ProcessUse]:
        return [use for index in range(len(self._gpus)) for use in self._processes(index)]

    def faults(self, timeout_s: float) -> list[Fault]:
        if not self._open or (not self._events.is_watching and not self._watch()):
            self._wait(timeout_s)
            is_told = not self._open or self._gone is not None  # every reading says so
            return self._lost_devices() + ([] if is_told else self._deaf("no event set"))
        self._looked_for = False
        found, ended = self._events.take(timeout_s)
        if ended is not None or self._absent:
            found += self._lost_devices()
        if ended is not None or self._has_returned:
            self._has_returned = False
            self._events.unwatch()
            if ended is None:
                self._watch()
            elif not found:  # nothing to tell and no set to wait on: keep the caller's pace
                self._wait(timeout_s)
        return found + (self._deaf(str(ended)) if ended is not None else self._hearing())

    def _number_of(self, handle: Any) -> int | None:
        """Whose handle an event names; who is there is looked for again where that is nobody."""
        number = self._gpus.number_of(handle)
        if number is not None or self._looked_for:
            return number
        self._looked_for, before = True, len(self._gpus)
        with contextlib.suppress(BoardError):
            self._gpus.look()
        if len(self._gpus) > before:
            self._has_returned = True  # a new one wants to be in the event set as well
        return self._gpus.number_of(handle)

    def _deaf(self, why: str) -> list[Fault]:
        """The watch ended or could not begin: told once, when it has done so several times."""
        self._deaf_for += 1
        if self._deaf_for != DEAF:
            return []
        text = f"the driver does not watch for faults, so that no XID is seen: {why}"
        return [Fault(self._clock(), None, FaultKind.OTHER, 0, text)]

    def _hearing(self) -> list[Fault]:
        was_told, self._deaf_for = self._deaf_for >= DEAF, 0
        text = "the driver watches for faults again"
        return [Fault(self._clock(), None, FaultKind.OTHER, 0, text)] if was_told else []

    def control(self, request: ControlRequest) -> ControlResult:
        known = (*ACTIONS, *RECOVERIES)
        if request.action not in known:
            text = f"no {request.action!r}; known: {', '.join(known)}"
            return ControlResult(request, False, None, text)
        if request.action not in self._allowed:
            text = f"the board is read-only; allow {request.action} by name"
            return ControlResult(request, False, None, text)
        try:
            if request.action in RECOVERIES:
                return self._recover(request)
            self._check_device(request.device)
            handle = self._gpus.confirmed(request.device)
            value = ACTIONS[request.action](handle, request.value)
        except (HalError, OverflowError, ValueError) as error:
            return ControlResult(request, False, None, str(error))
        return ControlResult(request, True, value, "done")

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._gone = DriverMissing("the board is closed; open it again")
        self._events.unwatch()
        with contextlib.suppress(BoardError):
            ask("nvmlShutdown")

    def _restart(self) -> None:
        """Start over with a driver that was unloaded; it may be back."""
        self._let_go()
        self._come_back()

    def _let_go(self) -> None:
        self._events.unwatch()
        self._gpus.let_go()
        with contextlib.suppress(BoardError):
            ask("nvmlShutdown")

    def _come_back(self) -> None:
        try:
            ask("nvmlInit")
            self._gpus.look()
        except BoardError as error:  # asked again at the next reading
            self._gone = error
        else:
            self._gone = None
            self._watch()

    def _handle(self, index: int) -> Any:
        """The handle of a device, asked for again after it was lost. Raises BoardError."""
        self._check_device(index)
        return self._gpus.handle(index)

    def _check_device(self, index: int) -> None:
        if self._gone is not None and not self._open:
            raise self._gone
        if not 0 <= index < len(self._gpus):
            raise WrongRequest(f"no device {index}; this board has {len(self._gpus)}")

    def _read(self, index: int) -> Iterator[Reading]:
        time_ns = self._clock()
        ended: BoardError | None = self._gone
        handle: Any = None
        if ended is None:
            try:
                handle = self._gpus.confirmed(index)
            except BoardError as error:
                ended = error
        for sensor in SENSORS:
            failed = ended
            if failed is None:
                try:
                    yield from _measured(index, sensor, handle, time_ns)
                    continue
                except (BoardLost, DriverMissing) as error:
                    failed = ended = error  # every further call fails alike, and slowly
                except BoardError as error:
                    failed = error
            yield from _failed(index, sensor, time_ns, failed)
        if isinstance(ended, BoardLost):
            self._gpus.lose(index)
            self._absent.add(index)
        elif isinstance(ended, DriverMissing):
            self._gone = ended
        elif ended is None and index in self._absent:
            self._absent.discard(index)
            self._told_lost.discard(index)
            self._has_returned = True

    def _processes(self, index: int) -> list[ProcessUse]:
        with contextlib.suppress(BoardError):
            return self._users(index)
        return []

    def _users(self, index: int) -> list[ProcessUse]:
        """Who computes on a device. Raises BoardError."""
        found = processes.running(self._handle(index))
        return [ProcessUse(index, pid, memory) for pid, memory in found]

    def _watch(self) -> bool:
        return self._events.watch(partial(self._handle, index) for index in range(len(self._gpus)))

    def _recover(self, request: ControlRequest) -> ControlResult:
        """A rung of the ladder; its value is what field 230 recommends afterwards."""
        self._check_device(request.device)
        if request.action == "kill_contexts":
            return self._kill(request)
        device = self._gpus.device(request.device)
        if request.action == "gpu_reset":
            text = self._away(lambda: self._ladder.gpu_reset(device.bus_id or str(device.index)))
        elif request.action == "driver_reload":
            text = self._away(self._ladder.driver_reload)
        else:
            text = self._away(self._ladder.rail_power_cycle)
        try:
            left = field(self._handle(request.device), RECOVERY_ACTION)
        except Unsupported:
            return ControlResult(request, True, None, text)
        except BoardError as error:
            return ControlResult(request, False, None, f"{text}, but: {error}")
        return ControlResult(request, left == 0, left, text)

    def _kill(self, request: ControlRequest) -> ControlResult:
        """End those of the given processes that compute there; of a GPU that cannot tell, all."""
        given = dict(request.processes)
        try:
            here = {use.pid for use in self._users(request.device)}
        except BoardError:
            here = set(given)
        killed = recovery.kill(((p, given[p]) for p in sorted(here & given.keys())), self._wait)
        parts = [f"ended {_listed(killed.dead)}"]
        if killed.alive:
            parts.append(f"cannot be killed: {_listed(killed.alive)}")
        if others := here - given.keys():
            parts.append(f"not ours, left alone: {_listed(others)}")
        return ControlResult(request, not killed.alive, float(len(killed.dead)), "; ".join(parts))

    def _away(self, act: Callable[[], str]) -> str:
        """Do what needs every client off the driver, ourselves among them, and come back."""
        self._let_go()
        try:
            return act()
        finally:
            self._come_back()

    def _lost_devices(self) -> list[Fault]:
        """A fault for each device that is lost and was not reported as such yet."""
        found = []
        for index in range(len(self._gpus) if self._open else 0):
            try:
                self._gpus.find(index)
                self._told_lost.discard(index)
            except BoardLost as error:
                if index not in self._told_lost:
                    self._told_lost.add(index)
                    found.append(Fault(self._clock(), index, FaultKind.LOST, 0, str(error)))
            except BoardError:
                continue
        return found


def _measured(index: int, sensor: Sensor, handle: Any, time_ns: int) -> list[Reading]:
    values = sensor.measure(handle)
    found = []
    for quantity, value in zip(sensor.quantities, values, strict=True):
        validity, reason = Validity.VALID, ""
        if value is None:
            validity, reason = Validity.UNSUPPORTED, "all ones, which stands for not available"
        elif not quantity.low <= value <= quantity.high:
            validity = Validity.OUT_OF_RANGE
            reason = f"outside {quantity.low:g} … {quantity.high:g} {quantity.unit}"
        name = f"gpu{index}.{quantity.name}"
        found.append(Reading(name, value, quantity.unit, time_ns, validity, reason))
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


def _or(default: Any, call: str, *arguments: Any) -> Any:
    """What a call answers, or `default` when it fails."""
    try:
        return ask(call, *arguments)
    except BoardError:
        return default


def _listed(pids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(pids))) or "none"


def _dotted(version: int | None) -> str:
    return "" if version is None else f"{version // 1000}.{version % 1000 // 10}"
