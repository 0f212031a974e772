"""Processes of jobs as the launcher sees them: forked, adopted, watched against their limits."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from flight.supervisor.children import bound_log
from icd.processes import process_start_time

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
LAUNCH_FILE = "launch.json"
NICE = 10
OOM_SCORE = 500
REAP_S = 2.0


class Limits(NamedTuple):
    """What a job may use; 0 is no limit. Memory is resident memory, shared pages included."""

    memory_mb: int = 0
    wall_s: int = 0
    cpu_s: int = 0

    @classmethod
    def parse(cls, content: Any) -> Limits:
        """Limits from a message; raises ValueError with a sentence."""
        if not isinstance(content, dict):
            raise ValueError(f"limits must be an object, not {content!r}")
        values = {name: content.get(name) or 0 for name in cls._fields}
        for name, value in values.items():
            if type(value) is not int or not 0 <= value < 1 << 31:
                raise ValueError(f"limit {name} must be a whole number, not {value!r}")
        return cls(**values)


class Processes:
    """The system's process table, in one place so that a test can give another."""

    def start_time(self, pid: int, *, zombie: bool = False) -> int:
        """When a living process started, in clock ticks since boot; 0 when it does not live."""
        return process_start_time(pid, zombie=zombie) or 0

    def resident(self, pid: int) -> int:
        """Octets of resident memory; 0 when the process does not live."""
        try:
            return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE
        except (OSError, IndexError):
            return 0

    def kill(self, pid: int, number: int) -> None:
        """Signal the process group of a job."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)

    def watch(self, pid: int) -> int:
        """A pidfd; -1 when there is none to be had, and the job is looked at now and then."""
        try:
            return os.pidfd_open(pid)
        except (OSError, AttributeError):
            return -1

    def reap(self, pid: int) -> tuple[int, int] | None:
        """(wait status, peak resident octets) of a child that ended; None while it lives."""
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if ended is None:
            return None
        self.kill(pid, signal.SIGKILL)  # what it left in its group, while the pid is still its own
        _, status, usage = os.wait4(pid, 0)
        return status, usage.ru_maxrss * 1024


class JobProcess:
    """One running job: its process, its limits, and why it was ended."""

    def __init__(
        self, job_id: int, pid: int, folder: Path, limits: Limits, processes: Processes, now: float
    ) -> None:
        self.job_id = job_id
        self.pid = pid
        self.folder = folder
        self.start_time = processes.start_time(pid, zombie=True)
        self.is_child = True
        self.reason = ""
        self.pidfd = processes.watch(pid)
        self._limits = limits
        self._processes = processes
        self._wall_deadline = now + limits.wall_s if limits.wall_s else None
        self._reap_deadline: float | None = None
        self._rss_peak = 0

    @classmethod
    def adopt(
        cls, job_id: int, pid: int, start_time: int, folder: Path, processes: Processes, now: float
    ) -> JobProcess | None:
        """A predecessor's job, if it is still that process; its wall time counts on."""
        if not pid or processes.start_time(pid) != start_time:
            return None
        content = json.loads((folder / LAUNCH_FILE).read_text(encoding="utf-8"))
        limits = Limits.parse(content["limits"])
        age_s = max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start_time / TICKS)
        job = cls(job_id, pid, folder, limits, processes, now - age_s)
        job.is_child = False
        if processes.start_time(pid) != start_time:  # it ended, and the pid was used again
            job.close()
            return None
        return job

    def kill(self, number: int, now: float, reason: str = "") -> None:
        """Signal the job's process group, unless the process is gone."""
        if self._has_ended():
            return
        self.reason = self.reason or reason
        if number == signal.SIGKILL and self._reap_deadline is None:
            self._reap_deadline = now + REAP_S
        self._processes.kill(self.pid, number)

    def enforce(self, now: float) -> bool:
        """Look at the limits; True, once, when the job survived its kill for too long."""
        resident = self._processes.resident(self.pid)
        self._rss_peak = max(self._rss_peak, resident)
        if self._limits.memory_mb and resident > self._limits.memory_mb << 20:
            self.kill(signal.SIGKILL, now, "memory")
        elif self._wall_deadline is not None and now >= self._wall_deadline:
            self.kill(signal.SIGKILL, now, "wall")
        bound_log(self.folder / "log")
        if self._reap_deadline is not None and now >= self._reap_deadline:
            self._reap_deadline = float("inf")
            return True
        return False

    def ended(self) -> dict[str, Any] | None:
        """The body of the ``exited`` message once the process is gone, and None before."""
        status: int | None = None
        number: int | None = None
        if self.is_child:
            reaped = self._processes.reap(self.pid)
            if reaped is None:
                return None
            status, number = _outcome(reaped[0])
            self._rss_peak = max(self._rss_peak, reaped[1])
        elif not self._has_ended():
            return None
        if number == signal.SIGXCPU:
            self.reason = "cpu"
        return {
            "job_id": self.job_id,
            "pid": self.pid,
            "status": status,
            "signal": number,
            "rss_peak": self._rss_peak,
            "reason": self.reason,
        }

    def close(self) -> None:
        """Let go of the pidfd."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _has_ended(self) -> bool:
        if self.pidfd >= 0:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            return bool(poll.poll(0))
        return self._processes.start_time(self.pid) != self.start_time


def fork_job(folder: Path, limits: Limits, work: Callable[[], int]) -> int:
    """Fork a process that runs ``work`` in its own group under its limits; returns its pid.

    The caller has one thread only. Raises OSError.
    """
    content = json.dumps({"limits": limits._asdict()})
    (folder / LAUNCH_FILE).write_text(content, encoding="utf-8")
    pid = os.fork()
    if pid:
        with suppress(OSError):
            os.setpgid(pid, pid)  # here as well: a kill may come before the child runs
        return pid
    status = 70
    try:
        _settle(folder, limits)
        status = work()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        # Nothing of the launcher may run on in the child, whatever went wrong.
        os._exit(status)


def _settle(folder: Path, limits: Limits) -> None:
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGIO):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    _close_foreign()
    os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    if limits.cpu_s:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
    os.chdir(folder)


def _close_foreign() -> None:
    """Close the launcher's channel and pidfds: a job has no line to the executive."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - no file behind it
            if target.startswith(("socket:", "anon_inode:[pidfd]")):
                os.close(int(name))


def _outcome(wait_status: int) -> tuple[int | None, int | None]:
    """(exit status, signal), one of them None."""
    code = os.waitstatus_to_exitcode(wait_status)
    return (code, None) if code >= 0 else (None, -code)
