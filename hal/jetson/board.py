"""The Jetson driver: what a module measures, reports and lets be set through kernel files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

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
    DriverFault,
    DriverMissing,
    HalError,
    TimedOut,
    Unsupported,
    WrongRequest,
)
from hal.jetson import gpu as jetson_gpu
from hal.jetson import identity as jetson_identity
from hal.jetson import power as jetson_power
from hal.jetson import thermal as jetson_thermal
from hal.jetson.boot_slots import BootSlots, KnownSlots
from hal.jetson.faults import Alarms
from hal.jetson.gpu import Gpu
from hal.jetson.nvml_load import NvmlLoad
from hal.jetson.power import PowerMeter, Rail, rail_sensor
from hal.jetson.power_modes import PowerModes
from hal.jetson.thermal import Cooler, Zone
from hal.linux import host_bus
from hal.linux.edac import Edac
from hal.linux.host_bus import HostBus, NoHostBus, open_host_bus
from hal.linux.programs import Runner, runner
from hal.linux.sysfs import Sysfs
from hal.nvml import reset_ladder as recovery
from hal.nvml.calls import LIBRARY
from hal.reading import Reading, tai_now
from hal.sensor import Quantity, Sensor, single
from icd import heartbeat

ROOT = "VANALLEN_JETSON_ROOT"
"""Environment variable: the folder that stands for `/`, where sys, proc and etc are."""

T = TypeVar("T")
_POLL_S = 0.1
_SLOT = partial(Quantity, unit="slot", low=0.0, high=7.0)
_PREFIX = "gpu0."
READS_BETWEEN_LOOKS = 10
"""While something is missing, the kernel's files are looked through again so seldom."""


@dataclass(frozen=True)
class _Places:
    """Where everything is that can be read."""

    gpu: Gpu
    rails: tuple[Rail, ...]
    zones: tuple[Zone, ...]
    coolers: tuple[Cooler, ...]
    others: tuple[str, ...]
    """Files of memory bus and fan, which are looked for where they are read."""

    def names(self) -> list[str]:
        """What is there, for people."""
        gpu = [f"GPU {self.gpu.name}"] if self.gpu.folder else []
        rails = [f"rail {rail.label}" for rail in self.rails]
        return [*gpu, *rails, *(f"zone {zone.name}" for zone in self.zones), *self.others]

    def completed(self, found: _Places) -> _Places:
        """With what was found besides, or elsewhere; what is not found any more is kept.

        So no reading ever vanishes: what cannot be read says why.
        """
        return _Places(
            found.gpu if found.gpu.folder or not self.gpu.folder else self.gpu,
            _joined(self.rails, found.rails, lambda rail: (rail.label, rail.volts)),
            _joined(self.zones, found.zones, lambda zone: (zone.name, zone.folder)),
            _joined(self.coolers, found.coolers, lambda cooler: (cooler.path, cooler.path)),
            tuple(dict.fromkeys((*self.others, *found.others))),
        )


def open_board(
    name: str,
    environment: Mapping[str, str],
    *,
    allow_control: frozenset[str] = frozenset(),
    clock: Callable[[], int] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Board:
    """Open the Jetson that this computer is. Raises DriverMissing when it is none."""
    root = Path(environment.get(ROOT) or "/")
    bus = open_host_bus(environment)
    own = root == Path("/") or LIBRARY in environment  # NVML tells of this computer's GPU
    load = NvmlLoad(environment).percent if own else None
    beat = environment.get(heartbeat.ENVIRONMENT)
    board = JetsonBoard(name, root, allow_control, clock or tai_now, wait=wait, bus=bus, load=load)
    if beat:
        board.silent_for_s = lambda: heartbeat.silent_for_s(Path(beat), time.monotonic_ns())
    return board


class JetsonBoard:
    """One module, whose GPU is device 0; see `hal.device.Board` for what each method promises."""

    def __init__(
        self,
        name: str,
        root: Path,
        allow_control: frozenset[str],
        clock: Callable[[], int] = tai_now,
        run: Runner | None = None,
        wait: Callable[[float], None] = time.sleep,
        bus: HostBus | None = None,
        load: Callable[[], float] | None = None,
    ) -> None:
        """`load` tells how busy the GPU is, in %, on a module whose kernel does not."""
        self._files = Sysfs(root)
        if not jetson_identity.is_jetson(self._files):
            if signs := jetson_identity.signs_of_tegra(self._files):
                raise DriverMissing(f"{jetson_identity.HIDDEN} (there is {', '.join(signs)})")
            raise DriverMissing(
                f"no Jetson at {root}: its device tree names none; "
                "for a GPU on PCIe open the board nvml"
            )
        self.silent_for_s: Callable[[], float | None] = lambda: None
        """How long whoever writes the kernel's files has been silent, when that is too long."""
        self._name = name
        self._allowed = allow_control
        self._clock = clock
        self._wait = wait
        self._bus = bus or NoHostBus()
        self._ended: BoardError | None = None
        self._told_lost = False
        self._edac = Edac(self._files)
        self._module = jetson_identity.module(self._files)
        self._run = run or runner(root)
        self._modes = PowerModes(self._files, self._run, self._module.power_w)
        self._load = load
        self._boot_slots = BootSlots(self._run, allow_control=True)  # `control` asks for leave
        self._slots = KnownSlots(self._boot_slots.table)
        self._meter = PowerMeter(self._files, self._clock)
        self._places = self._look_for()
        self._sensors, self._alarms = self._build(self._places)
        self._reads = 0
        self._news: list[Fault] = []
        self._actions: dict[str, Callable[[ControlRequest], float | None]] = {
            "power_mode": lambda asked: self._modes.choose(asked.value, self._clock()),
            "power_limit_w": lambda asked: self._modes.limit(asked.value, self._clock()),
            "locked_clock_mhz": lambda asked: self._places.gpu.lock(self._files, asked.value),
            "reset_clock": lambda _: self._places.gpu.unlock(self._files),
            "clear_ecc": self._clear_ecc,
            "kill_contexts": self._kill_contexts,
            "gpu_reset": _reset,
            "driver_reload": _reset,
            "rail_power_cycle": self._power_cycle,
            "other_slot": self._other_slot,
            "confirm_slot": self._confirm_slot,
        }

    def identity(self) -> BoardIdentity:
        release = jetson_identity.release(self._files)
        return BoardIdentity(
            board=self._name,
            driver="jetson",
            driver_version=release,
            library_version=jetson_identity.jetpack(self._files),
            cuda_version=jetson_identity.cuda(self._files),
            devices=tuple(self.devices()),
        )

    def devices(self) -> list[Device]:
        number = jetson_identity.serial(self._files)
        return [
            Device(
                index=0,
                name=self._module.name,
                uuid=f"{self._module.part or 'jetson'}-{number}" if number else "",
                serial=number,
                bus_id=self._places.gpu.name,
                memory_bytes=jetson_gpu.total_memory(self._files),
                max_clock_mhz=self._places.gpu.highest_mhz(self._files),
                max_power_w=self._module.power_w,
            )
        ]

    def read(self) -> list[Reading]:
        time_ns = self._clock()
        ended = self._ended or self._lost() or self._stopped()
        if ended is not None:
            return [
                reading
                for sensor in self._sensors
                for reading in sensor.failed(_PREFIX, time_ns, ended)
            ]
        found = [reading for sensor in self._sensors for reading in sensor.read(_PREFIX, time_ns)]
        self._reads += 1
        is_whole = all(reading.is_valid for reading in found)
        if not is_whole and self._reads % READS_BETWEEN_LOOKS == 0:
            self._look_again()
        return found

    def processes(self) -> list[ProcessUse]:
        try:
            found = [] if self._ended else list(jetson_gpu.clients(self._files))
        except BoardError:
            return []
        return [ProcessUse(0, pid, size) for pid, size in found if pid > 0]

    def faults(self, timeout_s: float) -> list[Fault]:
        """The kernel has no descriptor to wait on for alarms: they are looked at every 0.1 s."""
        left_s = timeout_s
        while self._ended is None:
            found = self._look()
            if found or left_s <= 0:
                return found
            self._wait(min(_POLL_S, left_s))
            left_s -= _POLL_S
        return []

    def control(self, request: ControlRequest) -> ControlResult:
        act = self._actions.get(request.action)
        if act is None:
            known = ", ".join(self._actions)
            return ControlResult(request, False, None, f"no {request.action!r}; known: {known}")
        if request.action not in self._allowed:
            text = f"the board is read-only; allow {request.action} by name"
            return ControlResult(request, False, None, text)
        try:
            value = self._act(act, request)
        except (HalError, OverflowError, ValueError) as error:
            return ControlResult(request, False, None, str(error))
        return ControlResult(request, True, value, "done")

    def close(self) -> None:
        self._ended = DriverFault("the board is closed; open it again")

    def _act(
        self, act: Callable[[ControlRequest], float | None], request: ControlRequest
    ) -> float | None:
        if self._ended is not None:
            raise self._ended
        if request.device != 0:
            raise WrongRequest(f"no device {request.device}; a Jetson has one, 0")
        return act(request)

    def _look_for(self) -> _Places:
        files = self._files
        return _Places(
            replace(jetson_gpu.find_gpu(files), told=self._load),
            tuple(jetson_power.rails(files)),
            tuple(jetson_thermal.zones(files)),
            tuple(jetson_thermal.coolers(files)),
            jetson_gpu.places_of_others(files),
        )

    def _look_again(self) -> None:
        """A driver that was loaded late, or a folder with another number: take it from now on."""
        found = self._places.completed(self._look_for())
        if found == self._places:
            return
        before, self._places = self._places, found
        self._sensors, self._alarms = self._build(found, self._alarms)
        come = [name for name in found.names() if name not in before.names()]
        text = f"now there: {', '.join(come)}" if come else "kernel files have moved"
        self._news.append(Fault(self._clock(), 0, FaultKind.OTHER, 0, text[:160]))

    def _build(self, places: _Places, earlier: Alarms | None = None) -> tuple[list[Sensor], Alarms]:
        """Everything that can be read, in the order it is told as long as the places are these."""
        files, rails, zones = self._files, list(places.rails), list(places.zones)
        alarms = Alarms(files, rails, zones, list(places.coolers), self._edac, earlier)
        self._meter.rails = jetson_power.summed(rails)
        sensors = [
            self._meter.sensor(),
            single(Quantity("power_limit_w", "W", 0.0, 500.0), self._budget_w),
            single(Quantity("power_mode", "mode", 0.0, 255.0), self._mode),
            *jetson_thermal.sensors(files, zones),
            *jetson_gpu.sensors(files, places.gpu),
            *jetson_gpu.memory_sensors(files),
            single(Quantity("throttle_reasons", "bits"), partial(alarms.throttle, places.gpu)),
            self._edac.sensor("ecc_corrected_volatile", "ecc_uncorrected_volatile"),
            *jetson_gpu.fan_sensors(files),
            *(rail_sensor(files, rail) for rail in rails),
            Sensor((_SLOT("boot_slot"), _SLOT("boot_slot_next")), self._running_slots),
        ]
        return sensors, alarms

    def _lost(self) -> BoardLost | None:
        """Without the kernel's files there is no board: its power is off."""
        if self._files.has("sys/devices"):
            self._told_lost = False
            return None
        self._slots.forget()  # whatever starts next may be another
        return BoardLost(f"the board at {self._files.root} does not answer; is its power off?")

    def _stopped(self) -> TimedOut | None:
        """What an emulator that has stopped left in its files is no value."""
        silent_s = self.silent_for_s()
        if silent_s is None:
            return None
        return TimedOut(f"the companion of this board has not moved for {silent_s:.0f} s")

    def _look(self) -> list[Fault]:
        lost = self._lost()
        if lost is None:
            news, self._news = self._news, []
            return news + self._alarms.changes(self._clock())
        if self._told_lost:
            return []
        self._told_lost = True
        return [Fault(self._clock(), 0, FaultKind.LOST, 0, str(lost))]

    def _budget_w(self) -> float:
        return self._modes.budget_w(self._clock())

    def _mode(self) -> float:
        return float(self._modes.now(self._clock()).number)

    def _clear_ecc(self, _request: ControlRequest) -> float:
        self._edac.clear()
        return sum(self._edac.totals())

    def _kill_contexts(self, request: ControlRequest) -> float:
        """End those of the given processes that compute; all of them where that is not known."""
        wanted = request.processes
        try:
            computing = {pid for pid, _ in jetson_gpu.clients(self._files)}
            wanted = tuple(process for process in wanted if process[0] in computing)
        except BoardError:
            pass
        killed = recovery.kill(wanted, self._wait)
        if killed.alive:
            alive = ", ".join(map(str, killed.alive))
            raise DriverFault(f"process {alive} does not die; only its power ends it")
        return float(len(killed.dead))

    def _power_cycle(self, _request: ControlRequest) -> None:
        host_bus.power_cycle(self._bus, "recovery of the board", self._wait)

    def _other_slot(self, _request: ControlRequest) -> float:
        """Activate the slot that does not run, and have it booted; its number."""
        before = self._boot_slots.table()
        if before.other is None:
            raise Unsupported("the other slot cannot be booted; write it anew first")
        self._boot_slots.activate(before.other)
        try:
            host_bus.power_cycle(self._bus, f"recovery: boot slot {before.other}", self._wait)
        except BoardError:
            self._boot_slots.activate(before.current)  # or some later boot would surprise
            raise
        finally:
            self._slots.forget()
        return float(before.other)

    def _confirm_slot(self, _request: ControlRequest) -> float:
        """Say that the running slot booted well; its number."""
        self._boot_slots.confirm()
        self._slots.forget()
        return self._running_slots()[0]

    def _running_slots(self) -> tuple[float, ...]:
        table = self._slots.table(self._clock())
        return float(table.current), float(table.active)


def _joined(
    before: tuple[T, ...], found: tuple[T, ...], of: Callable[[T], tuple[str, str]]
) -> tuple[T, ...]:
    """What was there, each where it is found now, and what is new; `of` gives name and path.

    The same path under another name is no new thing, but a label that broke.
    """
    by_name = {of(one)[0]: one for one in found}
    names, paths = zip(*map(of, before), strict=True) if before else ((), ())
    paths_now = {of(one)[1] for one in found}
    kept = (one if of(one)[1] in paths_now else by_name.get(of(one)[0], one) for one in before)
    new = (one for one in found if of(one)[0] not in names and of(one)[1] not in paths)
    return (*kept, *new)


def _reset(_request: ControlRequest) -> None:
    raise Unsupported("a Jetson's GPU is reset with the whole module; take rail_power_cycle")
