"""Runs the supervisor's decisions: one thread, one selector, monotonic deadlines, no sleep.

A single SIGCHLD wake-up serves every child, adopted orphans included; pidfds would serve only the
children started here.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from flight.supervisor import children
from flight.supervisor.core import (
    EXECUTIVE,
    Core,
    Finish,
    Instruction,
    Kill,
    Log,
    Notify,
    Publish,
    Start,
    Tell,
)
from flight.supervisor.link import SupervisionLink, close_all
from flight.supervisor.notify import Notifier, without_notification
from flight.supervisor.plan import Plan, ProcessPlan

HOUSEKEEPING_S = 5.0
COMPANION_POLL_S = 0.02
CHANNEL_BUFFER = 1 << 20
SWEEP_S = 2.0


class RunDirectoryInUseError(RuntimeError):
    """Another supervisor runs there; the message names it."""


class Supervisor:
    """Acts out what the core decides, and brings it what happens."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._run = plan.run_dir
        self._core = Core(plan)
        self._todo: deque[Instruction] = deque()
        self._finish: Finish | None = None
        self._link: SupervisionLink | None = None
        self._unsent: deque[Tell] = deque()
        self._unpublished: Publish | None = None
        self._channels: dict[str, socket.socket] = {}
        self._housekeeping = 0.0
        self._notifier = Notifier.from_environment()
        self._selector = selectors.DefaultSelector()
        self._plans = {process.name: process for process in plan.processes}
        self._plans[EXECUTIVE] = plan.executive

    def run(self) -> Finish:
        """Run until told to stop; returns how to end. Raises RunDirectoryInUseError."""
        for folder in (self._run, self._plan.state_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._locks = [lock(self._run), lock(self._plan.state_dir, "state")]
        self._adopt_orphans()
        # Only this process holds the write end: its death hangs up on every worker at once.
        self._lease, self._lease_held = os.pipe()
        self._catch_signals()
        self._do(self._core.begin(time.monotonic()))
        while self._finish is None:
            self._turn()
        self._sweep()
        self._remove_ready_file()
        self._notifier.close()
        return self._finish

    def _adopt_orphans(self) -> None:
        """Ask to be the parent of orphans; where nobody can be (QEMU's user mode), fly without.

        They end by themselves then: their lease does with this process.
        """
        try:
            children.become_subreaper()
        except OSError as error:
            self._log(f"orphans are not collected: no child subreaper here ({error.strerror})")

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._timeout()):
            key.data()
        # Stimuli before deadlines: after a stall of our own, beats that wait in the socket count.
        now = time.monotonic()
        for companion in self._core.unready():
            if companion.ready_file and Path(companion.ready_file).exists():
                self._do(self._core.companion_ready(companion.name, now))
        self._do(self._core.tick(now))
        self._send_unsent()
        if now >= self._housekeeping:
            self._housekeeping = now + HOUSEKEEPING_S
            for name in (*self._plans, "supervisor"):
                children.bound_log(self._run / f"{name}.log")
            if self._unpublished is not None:
                self._publish(self._unpublished)

    def _timeout(self) -> float:
        now = time.monotonic()
        deadline = min(self._core.deadline() or now + HOUSEKEEPING_S, self._housekeeping)
        if self._core.unready() or self._unsent:
            deadline = min(deadline, now + COMPANION_POLL_S)
        return max(0.0, deadline - now)

    def _do(self, instructions: list[Instruction]) -> None:
        self._todo.extend(instructions)
        while self._todo:
            self._act(self._todo.popleft())

    def _act(self, instruction: Instruction) -> None:
        match instruction:
            case Start(name):
                self._todo.extend(self._start(self._plans[name]))
            case Kill(pid, number):
                children.signal_group(pid, number)
            case Tell():
                self._unsent.append(instruction)
                self._send_unsent()
            case Publish():
                self._publish(instruction)
            case Notify(text):
                self._notifier.send(text)
            case Log(text):
                self._log(text)
            case Finish():
                self._finish = instruction

    def _start(self, plan: ProcessPlan) -> list[Instruction]:
        now = time.monotonic()
        if plan.ready_file:
            Path(plan.ready_file).unlink(missing_ok=True)
        try:
            pid = self._start_executive(plan) if plan.name == EXECUTIVE else self._start_one(plan)
        except OSError as error:
            return self._core.not_started(plan.name, f"{plan.argv[0]}: {error.strerror}", now)
        return self._core.started(plan.name, pid, now)

    def _start_one(self, plan: ProcessPlan) -> int:
        environment = self._environment(plan)
        if not plan.channel:
            return self._execute(plan, environment, [self._lease])
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHANNEL_BUFFER)
        # A replaced worker never shares a channel with its predecessor, which may still live.
        old = self._channels.pop(plan.name, None)
        if old is not None:
            old.close()
        self._channels[plan.name] = ours
        environment["VANALLEN_CHANNEL_FD"] = str(theirs.fileno())
        with theirs:
            return self._execute(plan, environment, [self._lease, theirs.fileno()])

    def _start_executive(self, plan: ProcessPlan) -> int:
        self._drop_link()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = {name: channel.fileno() for name, channel in self._channels.items()}
        environment = self._environment(plan)
        environment["VANALLEN_SUPERVISOR_FD"] = str(theirs.fileno())
        environment["VANALLEN_CHANNELS"] = json.dumps(descriptors)
        environment["VANALLEN_WORKERS"] = json.dumps(self._core.workers())
        inherited = [self._lease, theirs.fileno(), *descriptors.values()]
        self._link = SupervisionLink(ours)
        self._selector.register(ours, selectors.EVENT_READ, self._hear_executive)
        with theirs:
            return self._execute(plan, environment, inherited)

    def _environment(self, plan: ProcessPlan) -> dict[str, str]:
        return {
            **without_notification(os.environ),
            **plan.env,
            "VANALLEN_LEASE_FD": str(self._lease),
        }

    def _execute(self, plan: ProcessPlan, environment: dict[str, str], fds: list[int]) -> int:
        return children.execute(plan.argv, environment, self._run / f"{plan.name}.log", fds)

    def _hear_executive(self) -> None:
        link = self._link
        if link is None:
            return
        for note in link.receive():
            close_all(note.descriptors)
            self._do(self._core.message(note.kind, note.body, time.monotonic()))
        if link.closed:
            self._drop_link()

    def _drop_link(self) -> None:
        if self._link is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(self._link.fileno())
            self._link.close()
            self._link = None
        self._unsent.clear()

    def _send_unsent(self) -> None:
        while self._unsent and self._link is not None:
            tell = self._unsent[0]
            channel = self._channels.get(tell.with_channel or "")
            descriptors = () if channel is None else (channel.fileno(),)
            if not self._link.send(tell.kind, tell.body, descriptors):
                return
            self._unsent.popleft()

    def _publish(self, publish: Publish) -> None:
        content = {
            "endpoint": publish.endpoint,
            "payload_id": self._plan.payload_id,
            "pid": os.getpid(),
            "executive_pid": publish.executive_pid,
            "workers": publish.workers,
        }
        try:
            temporary = self._run / "ready.json.new"
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self._run / "ready.json")
            self._unpublished = None
        except OSError as error:  # a full disk must not stop the supervisor
            self._unpublished = publish._replace(first=False)
            self._log(f"cannot write ready.json: {error.strerror}; it is tried again")
        if publish.first:
            payload = self._plan.payload_id
            line = f"payload {payload} is ready at {publish.endpoint}, run {self._run}\n"
            with suppress(OSError):  # nobody may read it any more
                os.write(1, line.encode())

    def _log(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # A full disk must not stop the supervisor.
        with suppress(OSError), (self._run / "supervisor.log").open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {text}\n")

    def _catch_signals(self) -> None:
        self._wake, wake_write = socket.socketpair()
        self._wake.setblocking(False)
        wake_write.setblocking(False)
        self._wake_write = wake_write
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._selector.register(self._wake, selectors.EVENT_READ, self._hear_signals)

    def _hear_signals(self) -> None:
        numbers = self._wake.recv(4096)
        for pid, status in children.reap():
            self._do(self._core.exited(pid, status, time.monotonic()))
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._do(self._core.asked_to_stop(time.monotonic()))

    def _sweep(self) -> None:
        """Kill and reap every process that is left below this one, job workers included."""
        self._drop_link()
        deadline = time.monotonic() + SWEEP_S
        while (left := children.living_children()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._selector.select(COMPANION_POLL_S)
            with suppress(BlockingIOError):
                self._wake.recv(4096)
            for _ in children.reap():
                pass  # their end is all that is wanted
        for pid in left:
            self._log(f"pid {pid} survives its kill and is left behind")

    def _remove_ready_file(self) -> None:
        (self._run / "ready.json").unlink(missing_ok=True)


def lock(folder: Path, what: str = "run") -> int:
    """Lock a run or state directory for this process; raises RunDirectoryInUseError."""
    fd = os.open(folder / f"{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise RunDirectoryInUseError(
            f"{what} directory {folder} is in use by pid {owner}; give another --{what}"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
