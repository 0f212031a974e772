"""The executive as a process: inherits its channels, reads its saved state, runs the loop."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import zmq

from flight.components.executive_monitor.reset_cause import Boot
from flight.components.job_runner.ports import JobSettings
from flight.components.job_runner.worker.status_page import StatusPages
from flight.components.watchdog.strokes import Strokes
from flight.deployment.configuration import Configuration, from_mapping
from flight.deployment.deployment import Deployment, Surroundings
from flight.executive.bootstrap import Found, NoAnswerError, look
from flight.framework import clock as clocks
from flight.framework.channel import Channel
from flight.framework.clock import OnboardClock
from flight.framework.ports import StorageResult
from flight.framework.program_memory import ProgramMemory
from flight.framework.time_units import SECOND
from flight.framework.worker_link import WorkerLink
from flight.link.zmq_link import ZmqLink
from flight.storage.client import StorageClient
from flight.supervisor.link import SupervisionLink
from icd.processes import process_start_time

BOOTSTRAP_NS = 3 * SECOND
BEAT_NS = SECOND // 2
SAVE_CLOCK_NS = SECOND * 30
STROKER = "hardware_watchdog"


class ProcessMeter:
    """Measures this process: resident memory and share of a core since the last question."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._last = (now(), 0.0)
        self._page_mib = resource.getpagesize() / 2**20

    def rss_mib(self) -> float:
        """Resident memory in MiB."""
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * self._page_mib

    def cpu_percent(self) -> float:
        """Percent of one core since the last call."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        now, cpu = self._now(), used.ru_utime + used.ru_stime
        then, before = self._last
        self._last = (now, cpu)
        return 100 * (cpu - before) / max((now - then) / SECOND, 1e-3)


class SupervisorLink:
    """Implements `flight.framework.ports.Supervisor` over the supervision link."""

    def __init__(self, link: SupervisionLink) -> None:
        self.link = link
        self.ends_because: str | None = None

    def replace(self, worker: str) -> None:
        """Ask for another process in place of that worker."""
        self.link.send("replace", {"name": worker})

    def reboot(self, reason: str) -> None:
        """Ask for everything to end and start again; the supervisor ends this process."""
        self.link.send("reboot", {"reason": reason})

    def restart_executive(self, reason: str) -> None:
        """End; the supervisor starts the next one."""
        self.ends_because = reason


class ExecutiveProcess:
    """Everything between the operating system and the deployment."""

    def __init__(self, configuration: Configuration, folders: Mapping[str, str]) -> None:
        self.configuration = configuration
        self._folders = folders
        self._epoch = clocks.epoch()
        self._is_over = False
        self._unkillable: list[tuple[str, int]] = []
        self._poller = zmq.Poller()
        self.supervisor = SupervisorLink(
            SupervisionLink.from_fd(int(os.environ["VANALLEN_SUPERVISOR_FD"]))
        )
        names = ["storage", "board", "launcher", "scrub"]
        if configuration.watchdog.device:
            names.append(STROKER)
        self.workers = {name: WorkerLink(name) for name in names}
        known = json.loads(os.environ.get("VANALLEN_WORKERS", "{}"))
        for name, fd in json.loads(os.environ["VANALLEN_CHANNELS"]).items():
            self._attach(name, fd, known.get(name, {}).get("pid", 0))
        self.clock = OnboardClock({}, clocks.computer_boot_id())
        self.storage = StorageClient(self.workers["storage"], lambda: self.clock.now())
        self._poller.register(self.supervisor.link.fileno(), zmq.POLLIN)

    def run(self) -> int:
        """Run until told to end; the exit status."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            found = self._look()
        except NoAnswerError as error:
            sys.stderr.write(f"executive: {error}; it ends, for the next to try again\n")
            return 1
        clock = found.saved.get("clock")
        self.clock = OnboardClock(clock if isinstance(clock, dict) else {}, self.clock.boot_id)
        self.deployment = Deployment(self._surroundings(found))
        self.deployment.executive.beside(self.storage)
        self.stations = ZmqLink(
            self.configuration.link.endpoint,
            self.deployment.downlink,
            self.clock.now,
            self.deployment.state.get("endpoint", ""),
        )
        self.deployment.state.put("endpoint", self.stations.endpoint)
        self.deployment.link.answer = self.stations.answer
        self._poller.register(self.stations.socket, zmq.POLLIN)
        self.deployment.start(self.clock.now())
        self.supervisor.link.send("ready", {"endpoint": self.stations.endpoint})
        self._loop()
        self.stations.close()
        return 1 if self._ends_because() else 0

    def _surroundings(self, found: Found) -> Surroundings:
        run_dir = Path(self._folders["run_dir"])
        return Surroundings(
            configuration=self.configuration,
            storage=self.storage,
            storage_worker=self.workers["storage"],
            board=self.workers["board"],
            launcher=self.workers["launcher"],
            scrub=self.workers["scrub"],
            date=lambda: self.clock.date_ahead(),
            program=ProgramMemory(),
            pid=os.getpid(),
            supervisor=self.supervisor,
            pages=StatusPages(run_dir),
            hardware=Strokes(
                self._pass_stroke_on,
                self.workers.get(STROKER),
                lambda: self.deployment.watchdog_reset(),
            ),
            boot=Boot(self.clock.boot_id, _start_of(os.getppid())),
            stroker=self.workers.get(STROKER),
            job_settings=JobSettings(self._folders["state_dir"], str(run_dir)),
            saved=found.saved,
            keys=found.keys,
            meter=ProcessMeter(lambda: self.clock.now()),
            reason=found.reason,
            lost=found.lost,
        )

    def _pass_stroke_on(self) -> bool:
        return self.supervisor.link.send("stroke", {})

    def _loop(self) -> None:
        executive = self.deployment.executive
        beat_due = save_due = 0
        while not self._is_over and not self._ends_because():
            now = self.clock.now()
            if now >= beat_due:
                self.supervisor.link.send("beat", {})
                beat_due = now + BEAT_NS
            if now >= save_due:
                self.deployment.state.put("clock", self.clock.saved())
                save_due = now + SAVE_CLOCK_NS
            due = min(executive.step(now), beat_due)
            self.stations.flush()
            self._wait(clocks.milliseconds_until(due, self.clock.now()))

    def _ends_because(self) -> str | None:
        return self.deployment.executive.ends_because or self.supervisor.ends_because

    def _wait(self, timeout_ms: int) -> None:
        ready = self._poller.poll(timeout_ms)
        if not ready:
            return
        self.deployment.executive.now = self.clock.now()
        for source, _ in ready:
            if source is self.stations.socket:
                self.stations.receive(self.deployment.link)
            elif source == self.supervisor.link.fileno():
                self._hear_supervisor()
            else:
                self._hear_worker(source)
        self._tell_unkillable()
        # What came is done at once, not at the next due time.
        self.deployment.executive.drain()
        self.stations.flush()

    def _hear_worker(self, fd: int) -> None:
        for worker in self.workers.values():
            if worker.fileno() == fd:
                worker.receive(self.clock.now())
                if worker.fileno() != fd:
                    self._ignore(fd)
                return
        self._ignore(fd)

    def _hear_supervisor(self) -> None:
        for note in self.supervisor.link.receive():
            name, pid = note.body.get("name", ""), note.body.get("pid", 0)
            if note.kind == "worker" and note.descriptors:
                self._attach(name, note.descriptors[0], pid)
            elif note.kind == "worker" and name in self.workers:
                self.workers[name].pid = pid
            elif note.kind == "unkillable":
                self._unkillable.append((name, pid))
            elif note.kind == "stop":
                self._is_over = True
        if self.supervisor.link.closed:
            self._is_over = True

    def _tell_unkillable(self) -> None:
        while self._unkillable:
            self.deployment.unkillable(*self._unkillable.pop())

    def _attach(self, name: str, fd: int, pid: int) -> None:
        worker = self.workers.get(name)
        if worker is None:
            os.close(fd)
            return
        old = worker.fileno()
        if old >= 0:
            self._ignore(old)
        worker.attach(Channel.from_fd(fd, self._epoch, only_epoch=True), pid)
        self._poller.register(fd, zmq.POLLIN)

    def _ignore(self, fd: int) -> None:
        # One poll may tell both of a worker's end and of the note that already replaced it.
        with suppress(KeyError):
            self._poller.unregister(fd)

    def _end(self, *_: object) -> None:
        self._is_over = True

    # --- before the loop: what the last boot left ---

    def _look(self) -> Found:
        """Read state and keys; a storage worker that hangs is replaced once."""
        needs_keys = not self.configuration.link.insecure
        try:
            return look(self._read, needs_keys=needs_keys)
        except NoAnswerError:
            self.supervisor.replace("storage")
            return look(self._read, needs_keys=needs_keys)

    def _read(self, path: str) -> StorageResult:
        """A whole small file, asked of each storage worker that takes the place of another."""
        result = StorageResult(False, error="RESTARTED")
        deadline = self.clock.now() + BOOTSTRAP_NS
        while result.error == "RESTARTED" and self.clock.now() < deadline:
            answers: list[StorageResult] = []
            asked = self.storage.submit("read", answers.append, path=path, offset=0, length=32768)
            while not answers and self.clock.now() < deadline:
                self._hear_storage(deadline)
                if not asked:
                    break
            if asked:
                result = StorageResult(False, error="TIMEOUT", text="no answer")
            result = answers[0] if answers else result
        return result

    def _hear_storage(self, deadline: int) -> None:
        """Wait for storage or the supervisor; what others say waits in their channels."""
        storage = self.workers["storage"].fileno()
        for source, _ in self._poller.poll(clocks.milliseconds_until(deadline, self.clock.now())):
            if source == storage:
                self._hear_worker(source)
        self._hear_supervisor()


def _start_of(pid: int) -> str:
    """A process by a name that no later one has: its id and when it started."""
    return f"{pid} {process_start_time(pid)}"


def main(argv: list[str]) -> int:
    """`python -m flight.executive.process CONFIGURATION.json`, started by the supervisor."""
    content = json.loads(Path(argv[1]).read_text())
    return ExecutiveProcess(from_mapping(content["configuration"]), content).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
