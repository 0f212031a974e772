"""The launcher and its job processes as plain objects, stepped by the clock they are given.

Jobs count steps, commit and write outputs into the simulated storage; each can be told to crash,
hang, fail, eat memory, or ignore what it is asked.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flight.components.job_runner.ports import MOST_METRICS, Control, JobStatus, PagePhase
from flight.fault_tolerance.levels import Level
from flight.framework.ports import WorkerMessage
from flight.storage.simulated import SimulatedStorage

MILLISECOND = 1_000_000
MIB = 1 << 20
SIGKILL, SIGTERM = 9, 15
DONE, FAILED, CANCELLED = 0, 1, 3


@dataclass(frozen=True)
class Behaviour:
    """What a simulated job does. Steps at which something happens count from its very start."""

    steps: int = 10
    step_ns: int = 100 * MILLISECOND
    commit_every: int = 1
    """Steps between commits; 0: none."""
    commit_octets: int = 64
    outputs: Mapping[str, bytes] = field(default_factory=lambda: {"result.json": b"{}"})
    crash_at: int | None = None
    crash_signal: int = 11
    hang_at: int | None = None
    fail_at: int | None = None
    memory_at: int | None = None
    is_deaf: bool = False
    """It does not look at its status page."""
    is_stubborn: bool = False
    """SIGTERM does not end it."""
    is_held: bool = False
    """The driver holds it: no signal ends it until `let_go`."""


class SimulatedPage:
    """A status page in memory."""

    def __init__(self, status: JobStatus) -> None:
        self.status = status
        self.control = Control.RUN

    def read(self) -> JobStatus | None:
        """The page as it stands."""
        return self.status

    def command(self, control: int) -> None:
        """Ask the job to run, pause or cancel."""
        self.control = Control(control)

    def protect(self, level: int) -> None:
        """Say how the job's results are to be protected; the simulated job obeys at once."""
        self.status = self.status._replace(level=Level(level))

    def close(self) -> None:
        """Nothing to let go of."""


class SimulatedJob:
    """One job process: it moves on when stepped, and then has or has not ended."""

    def __init__(
        self, page: SimulatedPage, folder: str, behaviour: Behaviour, storage: SimulatedStorage
    ) -> None:
        self.page = page
        self.behaviour = behaviour
        self.rss_peak = 50 * MIB
        self.ended: tuple[int | None, int | None, str] | None = None
        """Exit status, signal and the limit that was exceeded, once it has ended."""
        self.is_held = behaviour.is_held
        self.is_killed = False
        self._folder = folder
        self._storage = storage
        self._next_step: int | None = None

    def run(self, now: int) -> None:
        """Do all steps that are due at `now`."""
        if self._next_step is None:
            self._next_step = now + self.behaviour.step_ns
            self._update(phase=PagePhase.RUNNING, total=self.behaviour.steps, heartbeat=1)
        while self.ended is None and now >= self._next_step:
            self._next_step += self.behaviour.step_ns
            self._live()

    def kill(self, number: int) -> None:
        """A signal arrives."""
        self.is_killed |= number == SIGKILL
        if self.is_held:
            return
        if number == SIGKILL or not self.behaviour.is_stubborn:
            self.ended = self.ended or (None, number, "asked")

    def _live(self) -> None:
        status, behaviour = self.page.status, self.behaviour
        if behaviour.hang_at is not None and status.step >= behaviour.hang_at:
            return
        control = Control.RUN if behaviour.is_deaf else self.page.control
        self._update(heartbeat=status.heartbeat + 1)
        if control is Control.CANCEL:
            self._end(PagePhase.CANCELLED, CANCELLED, "cancelled")
        elif control is Control.PAUSE:
            self._update(phase=PagePhase.PAUSED)
        else:
            self._update(phase=PagePhase.RUNNING)
            self._work(status.step)

    def _work(self, step: int) -> None:
        behaviour = self.behaviour
        if step == behaviour.crash_at:
            self.ended = (None, behaviour.crash_signal, "")
        elif step == behaviour.memory_at:
            self.rss_peak = 1 << 40
            self.ended = (None, SIGKILL, "memory")
        elif step == behaviour.fail_at:
            self._end(PagePhase.FAILED, FAILED, "ValueError: the result is not finite")
        elif step >= behaviour.steps:
            self._publish()
        else:
            self._update(step=step + 1, metrics=(1.0 / (step + 1), *(0.0,) * (MOST_METRICS - 1)))
            if behaviour.commit_every and (step + 1) % behaviour.commit_every == 0:
                self._commit(step + 1)

    def _commit(self, step: int) -> None:
        count = self.page.status.commit_count + 1
        octets = commit_octets(step, self.behaviour.commit_octets)
        slot = count % 2
        self._storage.files[f"{self._folder}/commit.{slot}"] = bytearray(octets)
        self._update(
            commit_step=step,
            commit_slot=slot,
            commit_count=count,
            commit_bytes=len(octets),
            commit_crc=zlib.crc32(octets),
        )

    def _publish(self) -> None:
        self._storage.perform("make_dir", path=f"{self._folder}/out")
        for name, octets in self.behaviour.outputs.items():
            self._storage.files[f"{self._folder}/out/{name}"] = bytearray(octets)
        self._end(PagePhase.DONE, DONE, "done")

    def _end(self, phase: PagePhase, status: int, message: str) -> None:
        self._update(phase=phase, message=message)
        self._storage.files[f"{self._folder}/log"] = bytearray(f"{message}\n".encode())
        self.ended = (status, None, "")

    def _update(self, **changes: Any) -> None:
        self.page.status = self.page.status._replace(**changes)


class SimulatedLauncher:
    """A `Worker` that runs simulated jobs, and their `StatusPages`.

    `behaviours` gives what a job does by its id, `default` what any other does. Set `is_gone` for
    a launcher that takes no message, `is_losing` for one that takes them and does nothing.
    """

    def __init__(self, storage: SimulatedStorage, default: Behaviour | None = None) -> None:
        self.name = "launcher"
        self.default = default or Behaviour()
        self.behaviours: dict[int, Behaviour] = {}
        self.running: dict[int, SimulatedJob] = {}
        self.exits: dict[int, dict[str, Any]] = {}
        self.pages: dict[int, SimulatedPage] = {}
        self.launches: list[dict[str, Any]] = []
        """Every launch ever taken, for tests to look at."""
        self.kills: list[tuple[int, int]] = []
        self.is_gone = False
        self.is_losing = False
        self.refusal = ""
        """Why launches are refused; empty: they are not."""
        self.last_beat: int | None = None
        self._storage = storage
        self._pid = 100
        self._next_pid = 1000
        self._inbox: deque[tuple[str, dict[str, Any]]] = deque()
        self._handler: Callable[[WorkerMessage], None] = lambda _: None
        self._wake: Callable[[], None] = lambda: None

    # ------------------------------------------------------------ as a worker

    @property
    def pid(self) -> int:
        """Its process id; 0 while it is gone."""
        return 0 if self.is_gone else self._pid

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Take a message; it is heeded at the next step."""
        if self.is_gone:
            return False
        if not self.is_losing:
            self._inbox.append((kind, dict(body)))
            self._wake()
        return True

    def on_message(self, handler: Callable[[WorkerMessage], None]) -> None:
        """Give what it sends to `handler`."""
        self._handler = handler

    def on_work(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a message is taken, so that whoever steps this knows."""
        self._wake = wake

    # ------------------------------------------------------------ as status pages

    def open(self, job_id: int) -> SimulatedPage | None:
        """The page of that job."""
        return self.pages.get(job_id)

    # ------------------------------------------------------------ as a simulation

    def run(self, now: int) -> int | None:
        """Heed messages, move every job on. On-board ns in, next due time out."""
        self.last_beat = now
        while self._inbox:
            kind, body = self._inbox.popleft()
            self._heed(kind, body, now)
        for job, process in list(self.running.items()):
            process.run(now)
            if process.ended is not None:
                self._report(job, process)
        steps = [process.behaviour.step_ns for process in self.running.values()]
        return now + min(steps) if steps else None

    def restart(self) -> None:
        """It dies with all its jobs, and another takes its place, which knows of none."""
        self._inbox.clear()
        self.running.clear()
        self.exits.clear()
        self._pid += 1
        self._send("table", {"jobs": [], "exited": []})

    def _heed(self, kind: str, body: dict[str, Any], now: int) -> None:
        job = body.get("job_id", 0)
        if kind == "hello":
            rows = [
                [j, p.page.status.pid, p.page.status.start_time] for j, p in self.running.items()
            ]
            self._send("table", {"jobs": rows, "exited": list(self.exits.values())})
        elif kind == "launch":
            self._launch(body, now)
        elif kind == "kill":
            self.kills.append((job, body["signal"]))
            if job in self.running:
                self._kill(job, self.running[job], body["signal"])
        elif kind == "acknowledge":
            self.exits.pop(job, None)

    def _kill(self, job: int, process: SimulatedJob, number: int) -> None:
        was_killed = process.is_killed
        process.kill(number)
        if process.is_held and process.is_killed and not was_killed:
            self._send("unkillable", {"job_id": job, "pid": process.page.status.pid})

    def let_go(self) -> None:
        """The driver lets go of every process that it held; those that were killed end."""
        for process in self.running.values():
            process.is_held = False
            if process.is_killed:
                process.kill(SIGKILL)

    def _launch(self, body: dict[str, Any], now: int) -> None:
        job = body["job_id"]
        refusal = self.refusal or ("it runs already" if job in self.running else "")
        if refusal:
            self._send("refused", {"id": body["id"], "job_id": job, "text": refusal})
            return
        self.launches.append(body)
        self._next_pid += 1
        step = committed_step(bytes(self._storage.files.get(body["resume"] or "", b"")))
        named = {"job_id": job, "pid": self._next_pid, "start_time": now // MILLISECOND}
        page = SimulatedPage(JobStatus(**named, step=step, level=Level(body["level"])))
        self.pages[job] = page
        behaviour = self.behaviours.get(job, self.default)
        self.running[job] = SimulatedJob(page, body["folder"], behaviour, self._storage)
        self.exits.pop(job, None)
        self._send("launched", {"id": body["id"], **named})

    def _report(self, job: int, process: SimulatedJob) -> None:
        del self.running[job]
        status, number, limit = process.ended or (None, None, "")
        self.exits[job] = {
            "job_id": job,
            "pid": process.page.status.pid,
            "status": status,
            "signal": number,
            "rss_peak": process.rss_peak,
            "reason": limit,
        }
        self._send("exited", self.exits[job])

    def _send(self, kind: str, body: Mapping[str, Any]) -> None:
        self._handler(WorkerMessage(self.name, kind, body))


def commit_octets(step: int, size: int) -> bytes:
    """A commit of a simulated job."""
    return f"commit of step {step}".encode().ljust(size, b".")


def committed_step(octets: bytes) -> int:
    """The step of such a commit; 0 without one."""
    words = octets.rstrip(b".").split()
    return int(words[-1]) if words else 0
