"""The composition root: builds the components, connects them, sets their rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from flight.adaptive.doors import Adaptive
from flight.board_declared import BoardParameters
from flight.board_signals import BoardSignals
from flight.boot_cause import BOOT, LEAVING, Boot, BootCause, cause_of
from flight.component import Component
from flight.components.board_monitor import BoardMonitor
from flight.components.command_handler import CommandHandler
from flight.components.executive_monitor import ExecutiveMonitor, Meter, NoMeter
from flight.components.file_store import FileStore
from flight.components.job_runner import JobRunner
from flight.components.protection import Protection
from flight.components.recovery import Recovery
from flight.components.scrubber import Scrubber
from flight.components.telemetry import Telemetry
from flight.components.watchdog import Watchdog
from flight.configuration import Configuration
from flight.downlink import Downlink
from flight.executive import SECOND, Executive, RateGroup, Slot
from flight.ground_link import GroundLink
from flight.job_holds import JobHolds
from flight.job_ports import JobSettings, StatusPages
from flight.jobs.registry import jobs
from flight.modes import Modes
from flight.persistent import PersistentState, sensible
from flight.ports import (
    HardwareWatchdog,
    Port,
    Refused,
    Storage,
    Supervisor,
    Unpowered,
    Work,
    Worker,
)
from flight.recovery.declared import RecoverySettings
from flight.recovery.doors import (
    BoardDoor,
    ComputerDoor,
    JobsDoor,
    MemoryDoor,
    OthersDoor,
    ProtectionDoor,
    RecoveryListener,
)
from flight.recovery.table import Ask, level_named
from flight.scrubbing import doors as scrubbing
from flight.scrubbing.declared import ScrubberSettings
from flight.scrubbing.program_memory import NoProgram, Program
from flight.storage_client import BoundStorage
from flight.transfers import paths
from flight.transfers.mends import WatchedStorage
from hal import boards
from icd.dictionary import Dictionary, Mode
from icd.identity import Identity

SOFTWARE = "vanallen 0.1.0"
BULK = RateGroup("bulk", SECOND // 100)
FAST = RateGroup("fast", SECOND // 10)
SCRUBS = RateGroup("scrubs", SECOND // 2)
SLOW = RateGroup("slow", SECOND)

COMMANDS, TELEMETRY, WATCHDOG, BOARD, JOBS, FILES, EXECUTIVE, RECOVERY = 1, 2, 3, 4, 5, 6, 7, 8
SCRUBBER, PROTECTION = 9, 10
"""APIDs of the component instances."""

SAFE_MODE = "safe mode"
"""Why jobs are held in that mode."""

INSTANCES: tuple[tuple[str, int, type[Component[Any, Any]]], ...] = (
    ("commands", COMMANDS, CommandHandler),
    ("telemetry", TELEMETRY, Telemetry),
    ("watchdog", WATCHDOG, Watchdog),
    ("board", BOARD, BoardMonitor),
    ("jobs", JOBS, JobRunner),
    ("files", FILES, FileStore),
    ("executive", EXECUTIVE, ExecutiveMonitor),
    ("recovery", RECOVERY, Recovery),
    ("scrubber", SCRUBBER, Scrubber),
    ("protection", PROTECTION, Protection),
)


def dictionary() -> Dictionary:
    """The dictionary of this deployment: every instance and every job."""
    return Dictionary(
        tuple(kind.dictionary(name, apid) for name, apid, kind in INSTANCES),
        tuple(declaration.fragment() for declaration in jobs().values()),
    )


class OwnedWorker(Worker, Protocol):
    """A worker whose messages can be led through the queue of the component that owns it."""

    def through(self, post: Callable[[Work], Any]) -> None: ...


@dataclass
class Surroundings:
    """What a deployment is given from outside: real in flight, simulated in a simulation."""

    configuration: Configuration
    storage: Storage
    storage_worker: OwnedWorker
    board: OwnedWorker
    launcher: OwnedWorker
    scrub: OwnedWorker
    supervisor: Supervisor
    pages: StatusPages
    job_settings: JobSettings
    hardware: HardwareWatchdog = field(default_factory=Unpowered)
    stroker: Worker | None = None
    """The process that holds the hardware watchdog's device, where one is named."""
    saved: dict[str, Any] = field(default_factory=dict)
    """The persisted state of the last boot; empty at the first."""
    keys: Mapping[int, bytes] = field(default_factory=dict)
    meter: Meter = field(default_factory=NoMeter)
    boot: Boot = field(default_factory=Boot)
    program: Program = field(default_factory=NoProgram)
    """The executive's own code and tables."""
    pid: int = 0
    """Of the executive."""
    reason: str = "first start"
    lost: Sequence[str] = ()
    """A sentence for each thing that should have been in the state directory."""


def file_store_path(name: str) -> str:
    """The storage path of a file-store name, for jobs; raises ValueError with what to write."""
    try:
        return paths.file_path(name)
    except Refused as verdict:
        raise ValueError(verdict.reason) from None


class Deployment:
    """The executive with its components, and the payload's side of the link."""

    def __init__(self, given: Surroundings) -> None:
        self.given = given
        self.downlink = Downlink(given.configuration.payload_id, lambda: self.executive.now)
        self.executive = Executive(self.downlink)
        saved, senseless = sensible(given.saved)
        self._lost = [*given.lost, *(f"saved {name}: makes no sense" for name in senseless)]
        self.state = PersistentState(given.storage, saved)
        self.looked_at = WatchedStorage(given.storage)
        self.boots = self.state.get("boots", 0) + 1
        self.cause = cause_of(saved, given.boot)
        mode = self.state.get("mode", 0)
        self.modes = Modes(Mode(mode) if mode in tuple(Mode) else Mode.SAFE)
        self.modes.listen(lambda mode, _reason: self.state.put("mode", int(mode)))
        self.dictionary = dictionary()
        self.others = OthersDoor()
        self.adaptive = Adaptive(self.executive, self.state)
        self._plug_components()
        self.link = self._ground_link()
        self.executive.beside(self.state)

    def start(self, now: int) -> None:
        """Count the boot and start every component."""
        self.state.put("boots", self.boots)
        self.state.put(BOOT, self.given.boot.saved())
        self.state.put(LEAVING, "")
        self.executive.start(now)
        monitor = self.executive.slots[EXECUTIVE].component
        if isinstance(monitor, ExecutiveMonitor):
            insecure = "; anyone may command" if self.given.configuration.link.insecure else ""
            monitor.booted(self.boots, f"{self.given.reason}, {self.cause.words}{insecure}")
            for what in self._lost:
                monitor.state_lost(what)

    def watchdog_reset(self) -> None:
        """The hardware watchdog says that it started this computer."""
        slot = self.executive.slots[EXECUTIVE]
        monitor = slot.component
        if self.cause is BootCause.POWER and isinstance(monitor, ExecutiveMonitor):
            self.cause = monitor.hk.boot_cause = BootCause.WATCHDOG
            self.executive.do_now(slot, monitor.watchdog_reset)

    def unkillable(self, worker: str, pid: int) -> None:
        """The supervisor killed a worker, and it lives on."""
        slot = self.executive.slots[EXECUTIVE]
        monitor = slot.component
        if isinstance(monitor, ExecutiveMonitor):
            self.executive.do_now(slot, partial(monitor.unkillable, worker, pid))
        self.listener.unkillable(worker, pid)

    def _plug_components(self) -> None:
        given, slots = self.given, self.executive.slots
        plug = self._plug
        plug(
            "commands",
            lambda port: CommandHandler(
                port, slots, self.downlink, self.modes, given.configuration.observers()
            ),
            FAST,
            is_critical=True,
        )
        plug(
            "telemetry",
            lambda port: Telemetry(port, slots, self.downlink, self._period_of),
            FAST,
            is_critical=True,
        )
        signals = BoardSignals()
        board = BoardParameters.of(boards.row(given.configuration.board.name).thresholds)
        watched = plug("board", lambda port: BoardMonitor(port, given.board, signals, board), FAST)
        given.board.through(watched.post)
        self.holds = JobHolds(lambda: self._hold_jobs(launched))
        launched = plug("jobs", self._job_runner, FAST)
        self.modes.listen(lambda mode, _reason: self._hold_in_safe_mode(mode))
        self._hold_in_safe_mode(self.modes.now)
        given.launcher.through(launched.post)
        plug("files", self._file_store, BULK, depth=256)
        plug("executive", self._monitor, SLOW)
        self._plug_recovery(signals, watched, launched)
        self.adaptive.connect(watched, launched)
        protecting = plug("protection", self._protection, SLOW)
        self.others.add(Ask.PROTECTION, ProtectionDoor(protecting).give_alarm)
        self._plug_scrubber(watched, launched)
        plug(
            "watchdog",
            lambda port: Watchdog(
                port,
                [slot for slot in slots.values() if slot.apid != WATCHDOG],
                self._watched_workers(),
                given.supervisor,
                given.hardware,
            ),
            FAST,
        )

    def _plug_recovery(self, signals: BoardSignals, watched: Slot, launched: Slot) -> None:
        given = self.given
        doors = (
            BoardDoor(self.executive, watched),
            JobsDoor(self.executive, launched, self.holds),
            ComputerDoor(self.modes, self.state, given.supervisor),
            self.others,
            MemoryDoor(self.state),
        )
        chosen = given.configuration
        highest = level_named(chosen.recovery.max_level)
        settings = RecoverySettings(highest, chosen.board.period_s)
        recovering = self._plug("recovery", lambda port: Recovery(port, *doors, settings), FAST)
        self.listener = RecoveryListener(recovering)
        signals.listen(self.listener)

    def _plug_scrubber(self, watched: Slot, launched: Slot) -> None:
        given = self.given
        chosen = given.configuration.scrubber
        settings = ScrubberSettings(chosen.enabled, chosen.rate_mib_s, chosen.period_s)
        doors = (
            scrubbing.JobsDoor(self.executive, launched),
            scrubbing.BoardDoor(watched),
            scrubbing.PayloadDoor(given.supervisor, given.pid, self._watched_workers()),
            scrubbing.MemoryDoor(self.state),
        )
        slot = self._plug(
            "scrubber",
            lambda port: Scrubber(port, given.scrub, *doors, given.program, settings),
            SCRUBS,
        )
        given.scrub.through(slot.post)
        self.adaptive.signals.listen(scrubbing.ScrubberListener(slot))
        self.adaptive.errors.add("scrubber", partial(scrubbing.wrong_blocks, slot))
        self.others.add(Ask.GOLDEN, scrubbing.ScrubberListener(slot).check_all)

    def _watched_workers(self) -> list[Worker]:
        given = self.given
        found: list[Worker] = [given.storage_worker, given.board, given.launcher, given.scrub]
        return found if given.stroker is None else [*found, given.stroker]

    def _monitor(self, port: Port) -> ExecutiveMonitor:
        monitor = ExecutiveMonitor(port, self.executive.slots, self.given.meter, self.boots)
        monitor.hk.boot_cause = self.cause
        self.executive.observer = monitor  # after a rebuild, the new one
        return monitor

    def _job_runner(self, port: Port) -> JobRunner:
        given = self.given
        runner = JobRunner(
            port,
            self._storage(port),
            given.launcher,
            given.pages,
            jobs(),
            file_store_path,
            given.job_settings,
        )
        runner.adapt(self.adaptive.jobs.level)
        runner.on_unkillable = lambda job, pid: self.listener.unkillable_job(job, pid)
        if self.holds.reason:
            runner.hold(self.holds.reason)
        return runner

    def _protection(self, port: Port) -> Protection:
        return self.adaptive.component(port, self._storage(port), file_store_path)

    def _hold_in_safe_mode(self, mode: Mode) -> None:
        if mode is Mode.SAFE:
            self.holds.hold("modes", SAFE_MODE)
        else:
            self.holds.release("modes")

    def _hold_jobs(self, slot: Slot) -> None:
        runner, reason = slot.component, self.holds.reason
        if isinstance(runner, JobRunner):
            hold = partial(runner.hold, reason) if reason else runner.release
            self.executive.do_now(slot, hold)

    def _plug(
        self,
        name: str,
        factory: Callable[[Port], Component[Any, Any]],
        group: RateGroup,
        **options: Any,
    ) -> Slot:
        apid = next(apid for known, apid, _ in INSTANCES if known == name)
        return self.executive.plug(name, apid, factory, group, **options)

    def _file_store(self, port: Port) -> FileStore:
        store = FileStore(port, self._storage(port))
        self.looked_at.found = store.looked_at
        return store

    def _storage(self, port: Port) -> Storage:
        return BoundStorage(self.looked_at, port.post_answer)

    def _period_of(self, name: str) -> int:
        chosen = self.given.configuration.housekeeping
        special = {"board": chosen.board_period_s, "jobs": chosen.jobs_period_s}
        return int(special.get(name, chosen.period_s) * SECOND)

    def _ground_link(self) -> GroundLink:
        configuration = self.given.configuration
        identity = Identity(
            configuration.payload_id,
            self.boots,
            SOFTWARE,
            self.dictionary.wire_hash,
            self.dictionary.text_hash,
        )
        ceilings = self.state.get("replay", {})
        return GroundLink(
            self.executive,
            self.executive.slots[COMMANDS],
            self.downlink,
            identity,
            self.given.keys,
            {int(slot): ceiling for slot, ceiling in ceilings.items()},
            self._persist_ceiling,
            accept_clear=configuration.link.insecure,
        )

    def _persist_ceiling(self, slot: int, ceiling: int, done: Callable[[], None]) -> None:
        self.state.put("replay", self.state.get("replay", {}) | {str(slot): ceiling}, done)
