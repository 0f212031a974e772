"""Decides what the supervisor does: stimulus in, instructions out, no process and no clock.

Every process is in one state:

| state   | stimulus                        | next    | instructions                          |
|---------|---------------------------------|---------|---------------------------------------|
| waiting | its due time comes              | running | Start                                 |
| running | it exits                        | waiting | Tell exited; due at once or back-off  |
| running | replace, or the executive is    | killed  | Kill SIGKILL; reap deadline           |
|         | silent                          |         |                                       |
| killed  | it exits                        | waiting | Tell exited                           |
| killed  | reap deadline passes            | waiting | Tell unkillable; abandoned, replaced  |
| killed  | reap deadline passes, and a     | held    | Tell unkillable; no further start     |
|         | process of that name is already |         |                                       |
|         | abandoned                       |         |                                       |
| held    | an abandoned one exits at last  | waiting | due at once                           |

The payload goes companions → flying → stopping (executive, workers, companions) → finished.
Times are monotonic seconds and are arguments.
"""

from __future__ import annotations

import signal
from collections import deque
from typing import Any, NamedTuple

from flight.supervisor.plan import Plan, ProcessPlan

REAP_S = 2.0
GRACE_S = 2.0
BURST = 5
BURST_WINDOW_S = 60.0
BACK_OFF_MAX_S = 30.0
EXECUTIVE = "executive"

WAITING, RUNNING, KILLED, HELD = "waiting", "running", "killed", "held"
COMPANIONS, FLYING, STOPPING, FINISHED = "companions", "flying", "stopping", "finished"


class Start(NamedTuple):
    """Execute the process; answer with ``started`` or ``not_started``."""

    name: str


class Kill(NamedTuple):
    """Send a signal to the process group of a pid that has not been reaped."""

    pid: int
    signal: int


class Tell(NamedTuple):
    """Send a note to the executive; ``with_channel`` adds the new end of that worker's channel."""

    kind: str
    body: dict[str, Any]
    with_channel: str | None = None


class Publish(NamedTuple):
    """Write the ready file: who runs, and where the link is."""

    endpoint: str
    workers: dict[str, int]
    executive_pid: int
    first: bool


class Notify(NamedTuple):
    """Tell the service manager, if there is one."""

    text: str


class Log(NamedTuple):
    """Write one line to the supervisor's log."""

    text: str


class Finish(NamedTuple):
    """Kill what is left and end with this exit status; or start all over again (reboot)."""

    status: int
    reboot: bool = False
    reason: str = ""


Instruction = Start | Kill | Tell | Publish | Notify | Log | Finish


class Process:
    """What the supervisor remembers about one name."""

    def __init__(self, plan: ProcessPlan) -> None:
        self.plan = plan
        self.state = WAITING
        self.due: float | None = None  # waiting: start then; killed: give up then
        self.pid = 0
        self.starts = 0
        self.recent: deque[float] = deque(maxlen=BURST + 1)
        self.abandoned: set[int] = set()
        self.is_ready = plan.ready_file is None
        self._back_off_s = 1.0

    def delay_s(self, now: float) -> float:
        """How long to wait before the next start: nothing, until a burst of restarts."""
        recent = sum(1 for start in self.recent if now - start < BURST_WINDOW_S)
        if recent <= BURST:
            self._back_off_s = 1.0
            return 0.0
        delay = self._back_off_s
        self._back_off_s = min(2.0 * delay, BACK_OFF_MAX_S)
        return delay


class Core:
    """The supervisor's decisions: every method is a stimulus and returns instructions in order."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._processes = {process.name: Process(process) for process in plan.processes}
        self._processes[EXECUTIVE] = Process(plan.executive)
        self._executive = self._processes[EXECUTIVE]
        self._phase = COMPANIONS
        self._phase_deadline: float | None = None
        self._beat_deadline: float | None = None
        self._endpoint: str | None = None
        self._published = False
        self._stages: list[list[Process]] = []
        self._asked_twice = False
        self._ending = Finish(0)
        self._out: list[Instruction] = []

    def begin(self, now: float) -> list[Instruction]:
        """Start the companions; the rest follows when they are ready."""
        companions = [p for p in self._processes.values() if p.plan.companion]
        waits = [p.plan.startup_s or self._plan.startup_s for p in companions]
        self._phase_deadline = now + max(waits, default=0.0)
        for process in companions:
            process.due = now
        return self.tick(now)

    def companion_ready(self, name: str, now: float) -> list[Instruction]:
        """A companion wrote its ready file."""
        self._processes[name].is_ready = True
        return self.tick(now)

    def unready(self) -> list[ProcessPlan]:
        """The companions whose ready file is still awaited."""
        if self._phase != COMPANIONS:
            return []
        return [p.plan for p in self._processes.values() if p.plan.companion and not p.is_ready]

    def workers(self) -> dict[str, dict[str, int]]:
        """Pid and restarts of every running worker, for the environment of a new executive."""
        return {
            p.plan.name: {"pid": p.pid, "restarts": p.starts - 1}
            for p in self._processes.values()
            if p is not self._executive and p.pid and not p.plan.companion
        }

    def started(self, name: str, pid: int, now: float) -> list[Instruction]:
        """The shell executed a process."""
        process = self._processes[name]
        process.state, process.pid, process.due = RUNNING, pid, None
        process.starts += 1
        process.recent.append(now)
        self._out.append(Log(f"started {name}, pid {pid}, start {process.starts}"))
        if process is self._executive:
            self._beat_deadline = now + (process.plan.startup_s or self._plan.startup_s)
        else:
            if process.plan.channel:
                body = {"name": name, "pid": pid, "restarts": process.starts - 1}
                self._tell("worker", body, with_channel=name)
            self._publish()
        return self._drain()

    def not_started(self, name: str, reason: str, now: float) -> list[Instruction]:
        """The shell could not execute a process: it counts as a restart, with back-off."""
        process = self._processes[name]
        process.recent.append(now)
        process.due = now + max(process.delay_s(now), 1.0)
        process.state = WAITING
        self._out.append(Log(f"cannot start {name}: {reason}"))
        return self._drain()

    def exited(self, pid: int, status: int, now: float) -> list[Instruction]:
        """A child was reaped; ``status`` is its exit code, or minus the signal."""
        for process in self._processes.values():
            if pid in process.abandoned:
                process.abandoned.discard(pid)
                self._out.append(Log(f"{process.plan.name}, pid {pid}, was reaped after all"))
                if process.state == HELD and self._phase != STOPPING:
                    process.state, process.due = WAITING, now
            elif pid == process.pid:
                self._ended(process, status, now)
        return self.tick(now)

    def message(self, kind: str, body: dict[str, Any], now: float) -> list[Instruction]:
        """The executive sent a note."""
        if kind in ("beat", "ready"):
            self._heard(kind, body, now)
        elif kind == "stroke":
            self._stroke()
        elif kind == "replace":
            self._replace(str(body.get("name")), now)
        elif kind == "stop":
            self._stop("the executive asked", now)
        elif kind == "reboot":
            self._ending = Finish(0, reboot=True)
            self._stop("the executive asked for a reboot", now)
        else:
            self._out.append(Log(f"the executive sent an unknown note {kind!r}"))
        return self.tick(now)

    def asked_to_stop(self, now: float) -> list[Instruction]:
        """SIGTERM or SIGINT came; the second one does not wait for a polite end."""
        self._ending = Finish(self._ending.status, reason=self._ending.reason)
        if self._phase == STOPPING:
            self._phase_deadline = now
        self._stop("a signal came", now)
        return self.tick(now)

    def tick(self, now: float) -> list[Instruction]:
        """Act on every deadline that has passed."""
        if self._phase == STOPPING:
            self._step_stop(now)
        elif self._phase != FINISHED:
            self._step_start(now)
            self._watch(now)
            self._start_due(now)
        return self._drain()

    def deadline(self) -> float | None:
        """When ``tick`` must be called next at the latest."""
        dues = [p.due for p in self._processes.values() if p.due is not None]
        others = [d for d in (self._phase_deadline, self._beat_deadline) if d is not None]
        return min(dues + others, default=None)

    def _heard(self, kind: str, body: dict[str, Any], now: float) -> None:
        if self._executive.state != RUNNING or self._phase == STOPPING:
            return  # its last words, read after its end
        self._beat_deadline = now + self._plan.silence_s
        if kind == "ready":
            self._endpoint = str(body.get("endpoint", ""))
            self._publish()
            for process in self._processes.values():
                for pid in sorted(process.abandoned):  # its predecessor may have died of the news
                    self._tell("unkillable", {"name": process.plan.name, "pid": pid})

    def _stroke(self) -> None:
        """The executive's critical parts answered: pass that on to the service manager."""
        if self._executive.state == RUNNING and self._phase != STOPPING:
            self._out.append(Notify("WATCHDOG=1"))

    def _step_start(self, now: float) -> None:
        if self._phase != COMPANIONS:
            return
        late = self.unready()
        if not late:
            self._phase, self._phase_deadline = FLYING, None
            for process in self._processes.values():
                if not process.plan.companion:
                    process.due = now
        elif self._phase_deadline is not None and now >= self._phase_deadline:
            name = late[0].name
            self._fail(f"companion {name} is not ready; see {self._plan.run_dir}/{name}.log", now)

    def _start_due(self, now: float) -> None:
        for process in self._processes.values():
            if process.state == WAITING and process.due is not None and now >= process.due:
                process.due = None
                self._out.append(Start(process.plan.name))

    def _watch(self, now: float) -> None:
        if self._beat_deadline is not None and now >= self._beat_deadline:
            self._out.append(Log("the executive is silent; it is killed and started again"))
            self._kill(self._executive, now)
        for process in self._processes.values():
            if process.state == KILLED and process.due is not None and now >= process.due:
                self._abandon(process, now)

    def _kill(self, process: Process, now: float) -> None:
        process.state, process.due = KILLED, now + REAP_S
        if process is self._executive:
            self._beat_deadline = None
        self._out.append(Kill(process.pid, signal.SIGKILL))

    def _abandon(self, process: Process, now: float) -> None:
        """A kill that does not reap (a driver in D state): at most one replacement."""
        name, pid = process.plan.name, process.pid
        self._out.append(Log(f"{name}, pid {pid}, survives its kill; it is abandoned"))
        may_replace = not process.abandoned
        process.abandoned.add(pid)
        process.pid = 0
        process.state, process.due = (WAITING, now) if may_replace else (HELD, None)
        self._tell("unkillable", {"name": name, "pid": pid})

    def _ended(self, process: Process, status: int, now: float) -> None:
        name, pid = process.plan.name, process.pid
        self._out.append(Log(f"{name}, pid {pid}, ended with status {status}"))
        process.state, process.pid, process.due = WAITING, 0, None
        if process is self._executive:
            self._beat_deadline = self._endpoint = None
        if self._phase == STOPPING:
            return
        delay = process.delay_s(now)
        process.due = now + delay
        if process is not self._executive:
            self._tell("exited", {"name": name, "pid": pid, "status": status})
        elif delay and not self._published:
            log = f"{self._plan.run_dir}/{EXECUTIVE}.log"
            self._fail(f"the executive ended {process.starts} times before ready; see {log}", now)

    def _replace(self, name: str, now: float) -> None:
        process = self._processes.get(name)
        if process is None or process is self._executive:
            self._out.append(Log(f"cannot replace {name!r}: it is no worker of the plan"))
        elif process.state == RUNNING:
            self._out.append(Log(f"replacing {name}, pid {process.pid}"))
            self._kill(process, now)

    def _stop(self, reason: str, now: float) -> None:
        if self._phase in (STOPPING, FINISHED):
            return
        self._out.append(Log(f"stopping: {reason}"))
        if not self._ending.reboot:
            self._out.append(Notify("STOPPING=1"))
        workers = [p for p in self._processes.values() if p is not self._executive]
        self._stages = [
            [self._executive],
            [p for p in workers if not p.plan.companion],
            [p for p in workers if p.plan.companion],
        ]
        for process in self._processes.values():
            process.due = None
        self._phase, self._beat_deadline = STOPPING, None
        self._open_stage(now)

    def _fail(self, reason: str, now: float) -> None:
        self._ending = Finish(1, reason=reason)
        self._stop(reason, now)

    def _open_stage(self, now: float) -> None:
        self._asked_twice = False
        self._phase_deadline = now + GRACE_S
        for process in self._stages[0]:
            if process.pid:
                self._out.append(Kill(process.pid, signal.SIGTERM))

    def _step_stop(self, now: float) -> None:
        while self._stages:
            left = [process for process in self._stages[0] if process.pid]
            late = self._phase_deadline is not None and now >= self._phase_deadline
            if left and not late:
                return
            if left and not self._asked_twice:
                self._out.extend(Kill(process.pid, signal.SIGKILL) for process in left)
                self._asked_twice, self._phase_deadline = True, now + REAP_S
                return
            for process in left:
                self._out.append(Log(f"{process.plan.name}, pid {process.pid}, survives its kill"))
            self._stages.pop(0)
            if self._stages:
                self._open_stage(now)
        self._phase, self._phase_deadline = FINISHED, None
        self._out.append(self._ending)

    def _tell(self, kind: str, body: dict[str, Any], with_channel: str | None = None) -> None:
        if self._executive.pid:
            self._out.append(Tell(kind, body, with_channel))

    def _publish(self) -> None:
        if self._endpoint is None or not self._executive.pid:
            return
        pids = {p.plan.name: p.pid for p in self._processes.values() if p is not self._executive}
        first, self._published = not self._published, True
        self._out.append(Publish(self._endpoint, pids, self._executive.pid, first))
        status = f"STATUS=payload {self._plan.payload_id} at {self._endpoint}"
        self._out.append(Notify(f"READY=1\n{status}" if first else status))

    def _drain(self) -> list[Instruction]:
        out, self._out = self._out, []
        return out
