"""A whole payload on a clock that jumps: the deployed executive among simulated surroundings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from flight.components.board.simulated import SimulatedBoard
from flight.components.executive_monitor.reset_cause import Boot
from flight.components.job_runner.ports import JobSettings
from flight.components.job_runner.simulated import SimulatedLauncher
from flight.components.recovery.fault_table import controls_up_to, level_named
from flight.components.scrubber.simulated import SimulatedScrubber
from flight.deployment.configuration import Configuration
from flight.deployment.deployment import Deployment, Surroundings
from flight.framework.ports import Work, WorkerMessage
from flight.framework.simulated_worker import SimulatedWorker
from flight.framework.time_units import SECOND
from flight.link.uplink import AHEAD
from flight.storage.simulated import SimulatedStorage
from icd import link
from icd.link import Heartbeat, Kind, LinkMessage

EPOCH = 2_000_000_000 * SECOND
"""Where simulated time begins: TAI ns since 1958, in the year 2021."""
KEY = bytes(range(32))
STATION = 1
WINDOW = 1 << 30


class SimulatedSupervisor:
    """Replaces a worker the moment it is asked to."""

    def __init__(self) -> None:
        self.workers: dict[str, Replaceable] = {}
        self.replaced: list[str] = []
        self.restart_reasons: list[str] = []
        self.reboot_reasons: list[str] = []

    def replace(self, worker: str) -> None:
        """Another process in place of that worker."""
        self.replaced.append(worker)
        if worker in self.workers:
            self.workers[worker].replaced()

    def reboot(self, reason: str) -> None:
        """Note that everything would be started again; `SimulatedPayload.reboot` does it."""
        self.reboot_reasons.append(reason)

    def restart_executive(self, reason: str) -> None:
        """Note that the executive would be restarted."""
        self.restart_reasons.append(reason)


class QueuedLauncher(SimulatedLauncher):
    """A simulated launcher that beats, and whose messages go through its owner's queue."""

    def __init__(self, storage: SimulatedStorage) -> None:
        super().__init__(storage)
        self._post: Callable[[Work], Any] = lambda work: work()

    def through(self, post: Callable[[Work], Any]) -> None:
        """Hand messages over through this queue: the owner's."""
        self._post = post

    def on_message(self, handler: Callable[[WorkerMessage], None]) -> None:
        """Give what it sends to `handler`."""
        super().on_message(lambda message: self._post(partial(handler, message)))

    def run(self, now: int) -> int | None:
        """Move every job on, and beat."""
        return min(super().run(now) or now + SECOND, now + SECOND)

    def replaced(self) -> None:
        """Its supervisor has started another one in its place."""
        self.restart()


class Replaceable(Protocol):
    """A worker that can be replaced."""

    def replaced(self) -> None: ...


class SimulatedPayload:
    """Steps the real deployment from due time to due time; nothing waits, nothing is random.

    `advance(seconds)` lets time pass. `telecommand(packet)` is what a station sends; `packets`
    are what it received since it was last cleared. `reboot()` ends the executive and starts the
    next one on the same storage.
    """

    def __init__(self, configuration: Configuration | None = None, devices: int = 1) -> None:
        self.configuration = configuration or Configuration()
        self.devices = devices
        self.now = EPOCH
        self.date_ahead = 0
        """How far the computer's date is ahead of on-board time, in ns: step it to set the date."""
        self.packets: list[bytes] = []
        self.identities = 0
        self.boot = Boot("computer 1", "supervisor 1")
        self._sequence = self._servers = 0
        self.supervisor = SimulatedSupervisor()
        self.storage = SimulatedStorage()
        self.board = self._board(lambda: self.now)
        self._build({}, "first start")

    def _build(self, saved: dict[str, Any], reason: str) -> None:
        clock: Callable[[], int] = lambda: self.now  # noqa: E731
        self.storage_worker = SimulatedWorker("storage", clock)
        self.board.send("hello", {})  # it goes on while executives come and go
        self.launcher = QueuedLauncher(self.storage)
        self.scrub = SimulatedScrubber(clock, self.storage.files)
        self.supervisor.workers = {
            "storage": self.storage_worker,
            "board": self.board,
            "launcher": self.launcher,
            "scrub": self.scrub,
        }
        self.deployment = Deployment(
            Surroundings(
                configuration=self.configuration,
                storage=self.storage,
                storage_worker=self.storage_worker,
                board=self.board,
                launcher=self.launcher,
                scrub=self.scrub,
                supervisor=self.supervisor,
                pages=self.launcher,
                job_settings=JobSettings("state", "run"),
                saved=saved,
                keys={STATION: KEY},
                reason=reason,
                boot=self.boot,
                date=lambda: self.date_ahead,
            )
        )
        executive = self.deployment.executive
        for stepped in (self.storage, self.board, self.launcher, self.scrub):
            executive.beside(stepped)
        self.storage.on_work(executive.wake_beside)
        self.launcher.on_work(executive.wake_beside)
        self.board.on_work(executive.wake_beside)
        self.scrub.on_work(executive.wake_beside)
        self.deployment.link.answer = self._identity
        self.deployment.start(self.now)

    def _board(self, clock: Callable[[], int]) -> SimulatedBoard:
        chosen = self.configuration
        highest = level_named(chosen.recovery.max_level)
        allowed = frozenset((*chosen.board.allow_control, *controls_up_to(highest)))
        board = SimulatedBoard(clock, int(chosen.board.period_s * SECOND), allowed, self.devices)
        self._servers += 1000  # so that no two board servers have one identity
        board.server = self._servers
        return board

    @property
    def events(self) -> Iterable[bytes]:
        """The event packets among `packets`."""
        return (packet for packet in self.packets if packet[7] == 5)

    def advance(self, seconds: float) -> int:
        """Let time pass; how many steps that took."""
        end = self.now + int(seconds * SECOND)
        executive = self.deployment.executive
        steps = 0
        while True:
            due = executive.step(self.now)
            steps += 1
            if due > end:
                self.now = end
                return steps
            self.now = max(self.now, due)

    def contact(self) -> None:
        """A heartbeat of the station, and everything that waits for it."""
        beat = link.HEARTBEAT.pack(*Heartbeat(STATION, 0, WINDOW))
        self._send(Kind.HEARTBEAT, beat)
        self.collect()

    def collect(self) -> None:
        """Take what the payload has for the station."""
        for _, packet, _ in self.deployment.downlink.outgoing(self.now):
            self.packets.append(packet)

    def telecommand(self, packet: bytes) -> None:
        """Send one telecommand packet, authenticated and in sequence."""
        self._send(Kind.TELECOMMAND, packet)

    def receive(self, octets: bytes) -> None:
        """Octets arrive from the station; they need not be a valid message."""
        executive = self.deployment.executive
        executive.now = self.now
        self.deployment.link.receive(b"station", octets)
        executive.drain()

    def reboot(self, saved: dict[str, Any] | None = None, *, keeps_board: bool = False) -> None:
        """The executive ends without warning; the next one starts from what was saved.

        With `keeps_board` the board server lives on; otherwise there is a new one, of a new board.
        """
        if not keeps_board:
            self.board = self._board(lambda: self.now)
        if saved is None:
            saved = json.loads(self.storage.files.get("state/executive.json", b"{}"))
        self._sequence += 2 * AHEAD  # as a station does that gets no answer any more
        self._build(saved, "reboot")

    def _send(self, kind: Kind, body: bytes) -> None:
        self._sequence += 1
        message = LinkMessage(kind, self.configuration.payload_id, STATION, self._sequence, body)
        self.receive(link.pack(message, KEY))

    def _identity(self, _routing: bytes, _message: bytes) -> None:
        self.identities += 1
