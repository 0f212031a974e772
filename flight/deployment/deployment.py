"""The composition root: builds the components, connects them, sets their rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from flight.components.board.component import BoardMonitor
from flight.components.board.dictionary import BoardParameters
from flight.components.board.notifications import BoardNotifications
from flight.components.commanding.component import CommandHandler
from flight.components.executive_monitor.component import ExecutiveMonitor, Meter, NoMeter
from flight.components.executive_monitor.reset_cause import BOOT, LEAVING, Boot, BootCause, cause_of
from flight.components.file_store.checkups import WatchedStorage
from flight.components.file_store.component import FileStore
from flight.components.job_runner.component import JobRunner
from flight.components.job_runner.ports import JobHolds, JobSettings, StatusPages
from flight.components.protection.component import Protection
from flight.components.recovery.component import Recovery
from flight.components.recovery.dictionary import RecoverySettings
from flight.components.recovery.fault_table import Ask, level_named
from flight.components.scrubber.component import Scrubber
from flight.components.scrubber.dictionary import ScrubberSettings
from flight.components.telemetry.component import Telemetry
from flight.components.watchdog.component import Watchdog
from flight.deployment import scrubber_adapters
from flight.deployment.configuration import Configuration
from flight.deployment.protection_adapters import Adaptive
from flight.deployment.recovery_adapters import (
    WHO,
    BoardAdapter,
    ComputerAdapter,
    JobsAdapter,
    OthersAdapter,
    RecoveryListener,
    give_alarm,
)
from flight.framework.component import Component
from flight.framework.executive import ComponentT, Executive, RateGroup, Slot
from flight.framework.modes import Modes
from flight.framework.ports import (
    HardwareWatchdog,
    Port,
    Refused,
    Storage,
    Supervisor,
    Unpowered,
    Work,
    Worker,
)
from flight.framework.program_memory import NoProgram, Program
from flight.framework.time_units import SECOND
from flight.jobs.registry import jobs
from flight.link.downlink import Downlink
from flight.link.ground_link import GroundLink
from flight.storage import file_names
from flight.storage.client import BoundStorage
from flight.storage.saved_state import SavedState, sensible
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
    date: Callable[[], int] = lambda: 0
    """How far the computer's date is ahead of on-board time, in ns; a label, and for an event."""
    pid: int = 0
    """Of the executive."""
    reason: str = "first start"
    lost: Sequence[str] = ()
    """A sentence for each thing that should have been in the state directory."""


def file_store_path(name: str) -> str:
    """The storage path of a file-store name, for jobs; raises ValueError with what to write."""
    try:
        return file_names.file_path(name)
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
        self.state = SavedState(given.storage, saved)
        self.looked_at = WatchedStorage(given.storage)
        self.boots = self.state.get("boots", 0) + 1
        self.cause = cause_of(saved, given.boot)
        mode = self.state.get("mode", 0)
        self.modes = Modes(Mode(mode) if mode in tuple(Mode) else Mode.SAFE)
        self.modes.listen(lambda mode, _reason: self.state.put("mode", int(mode)))
        self.dictionary = dictionary()
        self.others = OthersAdapter()
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
        insecure = "; anyone may command" if self.given.configuration.link.insecure else ""
        monitor = self._monitoring.component
        monitor.booted(self.boots, f"{self.given.reason}, {self.cause.words}{insecure}")
        for what in self._lost:
            monitor.state_lost(what)

    def watchdog_reset(self) -> None:
        """The hardware watchdog says that it started this computer."""
        if self.cause is BootCause.POWER:
            self.cause = self._monitoring.component.hk.boot_cause = BootCause.WATCHDOG
            self.executive.do_now(self._monitoring, lambda monitor: monitor.watchdog_reset())

    def unkillable(self, worker: str, pid: int) -> None:
        """The supervisor killed a worker, and the process did not end."""
        self.executive.do_now(self._monitoring, lambda monitor: monitor.unkillable(worker, pid))
        self.listener.unkillable(worker, pid)

    def _plug_components(self) -> None:
        given, slots = self.given, self.executive.slots
        plug = self._plug
        self._commanding = plug(
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
        signals = BoardNotifications()
        board = BoardParameters.of(boards.row(given.configuration.board.name).thresholds)
        heard = self.state.section("board")
        watched = plug(
            "board", lambda port: BoardMonitor(port, given.board, signals, board, heard), FAST
        )
        given.board.through(watched.post)
        self.holds = JobHolds(lambda: self._hold_jobs(launched))
        launched = plug("jobs", self._job_runner, FAST)
        self.modes.listen(lambda mode, _reason: self._hold_in_safe_mode(mode))
        self._hold_in_safe_mode(self.modes.now)
        given.launcher.through(launched.post)
        plug("files", self._file_store, BULK, depth=256)
        self._monitoring = plug("executive", self._monitor, SLOW)
        self._plug_recovery(signals, watched, launched)
        self.adaptive.connect(watched, launched)
        protecting = plug("protection", self._protection, SLOW)
        self.others.add(Ask.PROTECTION, partial(give_alarm, protecting))
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

    def _plug_recovery(
        self, signals: BoardNotifications, watched: Slot[BoardMonitor], launched: Slot[JobRunner]
    ) -> None:
        given = self.given
        rest = (
            BoardAdapter(self.executive, watched),
            JobsAdapter(self.executive, launched, self.holds),
            ComputerAdapter(self.modes, self.state, given.supervisor),
            self.others,
            self.state.section(WHO),
        )
        chosen = given.configuration
        highest = level_named(chosen.recovery.max_level)
        settings = RecoverySettings(highest, chosen.board.period_s)
        recovering = self._plug("recovery", lambda port: Recovery(port, *rest, settings), FAST)
        self.listener = RecoveryListener(recovering)
        signals.listen(self.listener)

    def _plug_scrubber(self, watched: Slot[BoardMonitor], launched: Slot[JobRunner]) -> None:
        given = self.given
        chosen = given.configuration.scrubber
        settings = ScrubberSettings(chosen.enabled, chosen.rate_mib_s, chosen.period_s)
        rest = (
            scrubber_adapters.JobsAdapter(self.executive, launched),
            scrubber_adapters.BoardAdapter(watched),
            scrubber_adapters.PayloadAdapter(given.supervisor, given.pid, self._watched_workers()),
            self.state.section("scrubber"),
        )
        slot = self._plug(
            "scrubber",
            lambda port: Scrubber(port, given.scrub, *rest, given.program, settings),
            SCRUBS,
        )
        given.scrub.through(slot.post)
        listener = scrubber_adapters.ScrubberListener(slot)
        self.adaptive.signals.listen(listener)
        self.adaptive.errors.add("scrubber", lambda: slot.component.struck)
        self.others.add(Ask.GOLDEN, listener.check_all)

    def _watched_workers(self) -> list[Worker]:
        given = self.given
        found: list[Worker] = [given.storage_worker, given.board, given.launcher, given.scrub]
        return found if given.stroker is None else [*found, given.stroker]

    def _monitor(self, port: Port) -> ExecutiveMonitor:
        given = self.given
        slots = self.executive.slots
        monitor = ExecutiveMonitor(port, slots, given.meter, self.boots, given.date)
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

    def _hold_jobs(self, slot: Slot[JobRunner]) -> None:
        def apply(runner: JobRunner) -> None:
            if self.holds.reason:
                runner.hold(self.holds.reason)
            else:
                runner.release()

        self.executive.do_now(slot, apply)

    def _plug(
        self,
        name: str,
        factory: Callable[[Port], ComponentT],
        group: RateGroup,
        **options: Any,
    ) -> Slot[ComponentT]:
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
            self._commanding,
            self.downlink,
            identity,
            self.given.keys,
            {int(slot): ceiling for slot, ceiling in ceilings.items()},
            self._persist_ceiling,
            accept_clear=configuration.link.insecure,
        )

    def _persist_ceiling(self, slot: int, ceiling: int, done: Callable[[], None]) -> None:
        self.state.put("replay", self.state.get("replay", {}) | {str(slot): ceiling}, done)
