"""The launcher: a warm process that forks job workers, watches them and reports their ends.

It has imported what jobs need, so that a job's first step is a fork away. It has one thread, or a
fork would copy locks that nobody unlocks. A launcher that takes over from one that died adopts the
jobs that still run. Configuration: ``{"run_dir": …, "warm": [modules]|null, "cache_dir": …|null,
"compute": "host"|"cuda"}``; without ``warm`` it imports what the installed jobs need.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flight.components.job_runner.worker.processes import (
    LAUNCH_FILE,
    JobProcess,
    Limits,
    Processes,
    fork_job,
)
from flight.components.job_runner.worker.status_page import NAME, StatusPage, StatusWriter
from flight.fault_tolerance.levels import Level
from flight.framework.channel import Message
from flight.workers.kernel_cache import default_cache
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from flight.workers.warm import beats_by_timer

WATCH_S = 0.2
WARM_FIRST = ("flight.components.job_runner.worker.job", "flight.jobs.registry")
END_S = 2.0


class Launcher:
    """Serves the executive until its lifeline is over, then ends every job."""

    def __init__(
        self,
        lifeline: Lifeline,
        run_dir: Path,
        *,
        warm: tuple[str, ...] | None = None,
        cache_dir: Path | None = None,
        compute: str = "host",
        processes: Processes | None = None,
    ) -> None:
        self._lifeline = lifeline
        self._jobs_dir = run_dir.absolute() / "jobs"
        self._cold = [*WARM_FIRST, *(warm or ())]
        self._warms_all = warm is None
        self._cache_dir = cache_dir
        self._compute = compute
        self._processes = processes or Processes()
        self._running: dict[int, JobProcess] = {}
        self._exits: dict[int, dict[str, Any]] = {}
        self._untold: set[int] = set()
        self._watch_due = 0.0

    def run(self) -> None:
        """Serve until the lifeline is over."""
        self.adopt()
        while not self._lifeline.is_over:
            for message in self._lifeline.wait(self._timeout()):
                self.handle(message)
            self.watch(time.monotonic())
            if self._cold:
                self._warm_one()
        self._end_all()

    def handle(self, message: Message) -> None:
        """Act on one message; what cannot be read is refused or ignored."""
        body = message.body
        job_id = body.get("job_id")
        job = self._running.get(job_id) if isinstance(job_id, int) else None
        if message.kind == "hello":
            if self._send("table", self._table()):
                self._untold.clear()
        elif message.kind == "launch":
            self._launch(body)
        elif message.kind == "kill" and job is not None:
            number = body.get("signal", signal.SIGKILL)
            if isinstance(number, int) and number in signal.valid_signals():
                job.kill(number, time.monotonic(), "asked")
        elif message.kind == "acknowledge" and isinstance(job_id, int):
            self._forget(job_id)

    def adopt(self) -> None:
        """Take over the jobs of a launcher that died: the living are watched, the dead reported."""
        if not self._jobs_dir.is_dir():
            return
        for folder in sorted(self._jobs_dir.iterdir()):
            with suppress(OSError, ValueError, KeyError):
                self._adopt_one(folder)

    def watch(self, now: float) -> None:
        """Look at every job's end and, when it is time, at its limits."""
        for job in list(self._running.values()):
            self._check_end(job)
        if now < self._watch_due:
            return
        self._watch_due = now + WATCH_S
        for job in self._running.values():
            if job.enforce(now):
                self._send("unkillable", {"job_id": job.job_id, "pid": job.pid})
        for job_id in list(self._untold):
            self._tell_exit(job_id)

    def _timeout(self) -> float | None:
        if self._cold:
            return 0.0
        return WATCH_S if self._running or self._untold else None

    def _launch(self, body: dict[str, Any]) -> None:
        job_id = body.get("job_id")
        try:
            job = self._fork(body)
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = f"{type(error).__name__}: {error}"
            self._send("refused", {"id": body.get("id"), "job_id": job_id, "text": text[:400]})
            return
        self._exits.pop(job.job_id, None)
        self._untold.discard(job.job_id)
        self._take(job)
        self._send(
            "launched",
            {
                "id": body.get("id"),
                "job_id": job.job_id,
                "pid": job.pid,
                "start_time": job.start_time,
            },
        )

    def _fork(self, body: dict[str, Any]) -> JobProcess:
        with beats_by_timer(self._lifeline):  # the first time it may compile kernels
            from flight.components.job_runner.worker.job import Order, run

        job_id, folder = body["job_id"], Path(body["folder"]).absolute()
        if type(job_id) is not int or folder != self._jobs_dir / str(job_id):
            raise ValueError(f"the folder of job {job_id} must be {self._jobs_dir}/{job_id}")
        if job_id in self._running:
            raise ValueError(f"job {job_id} is already running")
        if not isinstance(body["parameters"], bytes):
            raise TypeError("parameters must be octets")
        limits = Limits.parse(body.get("limits") or {})
        order = Order(
            job_id=job_id,
            entry=str(body["entry"]),
            parameters=body["parameters"],
            folder=folder,
            inputs={str(k): Path(v) for k, v in dict(body.get("inputs") or {}).items()},
            resume=_paths(body.get("resume")),
            declaration=body.get("declaration"),
            cache_dir=self._cache_dir,
            compute=self._compute,
        )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        page = StatusWriter.create(folder / NAME, job_id, Level(body.get("level", Level.NONE)))
        lease_fd, processes = self._lifeline.lease_fd, self._processes

        def work() -> int:
            pid = os.getpid()
            page.update(pid=pid, start_time=processes.start_time(pid))
            return run(order, page, lease_fd)

        pid = fork_job(folder, limits, work)
        page.close()
        return JobProcess(job_id, pid, folder, limits, processes, time.monotonic())

    def _adopt_one(self, folder: Path) -> None:
        if not (folder / LAUNCH_FILE).exists():
            return  # never launched, or its end was acknowledged
        page = StatusPage.open(folder / NAME)
        status = page.read()
        page.close()
        if status is None or folder.name != str(status.job_id):
            return
        job = JobProcess.adopt(
            status.job_id,
            status.pid,
            status.start_time,
            folder,
            self._processes,
            time.monotonic(),
        )
        if job is not None:
            self._take(job)
            return
        body = {"job_id": status.job_id, "pid": status.pid, "rss_peak": 0, "reason": "lost"}
        self._exits[status.job_id] = {**body, "status": None, "signal": None}

    def _take(self, job: JobProcess) -> None:
        self._running[job.job_id] = job
        if job.pidfd >= 0:
            self._lifeline.watch(job.pidfd, lambda: self._check_end(job))

    def _check_end(self, job: JobProcess) -> None:
        if self._running.get(job.job_id) is not job:
            return
        body = job.ended()
        if body is None:
            return
        del self._running[job.job_id]
        self._lifeline.unwatch(job.pidfd)
        job.close()
        self._exits[job.job_id] = body
        self._tell_exit(job.job_id)

    def _tell_exit(self, job_id: int) -> None:
        if self._send("exited", self._exits[job_id]):
            self._untold.discard(job_id)
        else:
            self._untold.add(job_id)

    def _forget(self, job_id: int) -> None:
        if self._exits.pop(job_id, None) is not None:
            self._untold.discard(job_id)
            (self._jobs_dir / str(job_id) / LAUNCH_FILE).unlink(missing_ok=True)

    def _table(self) -> dict[str, Any]:
        jobs = [[job.job_id, job.pid, job.start_time] for job in self._running.values()]
        return {"jobs": jobs, "exited": list(self._exits.values())}

    def _warm_one(self) -> None:
        """Import one more module; beats come from a timer, because an import can take seconds."""
        name = self._cold.pop(0)
        with beats_by_timer(self._lifeline):
            try:
                importlib.import_module(name)
            except Exception as error:  # a job that needs it will say so itself
                sys.stderr.write(f"launcher: cannot warm {name}: {error!r}\n")
        if not self._cold and self._warms_all:
            self._warms_all = False
            self._cold = ["numba", *_entry_modules()]
        if not self._cold:
            # What is warm is not walked by the collector again, so children keep sharing it.
            gc.collect()
            gc.freeze()
            threads = len(list(Path("/proc/self/task").iterdir()))
            self._send("warm", {"threads": threads})

    def _end_all(self) -> None:
        for job in self._running.values():
            job.kill(signal.SIGKILL, time.monotonic())
        deadline = time.monotonic() + END_S
        while self._running and time.monotonic() < deadline:
            for job in list(self._running.values()):
                self._check_end(job)
            poll = select.poll()
            for pidfd in (job.pidfd for job in self._running.values() if job.pidfd >= 0):
                poll.register(pidfd, select.POLLIN)
            poll.poll(20)

    def _send(self, kind: str, body: dict[str, Any]) -> bool:
        return self._lifeline.channel.send(kind, body)


def _entry_modules() -> list[str]:
    from flight.jobs.registry import jobs

    return [job.entry.partition(":")[0] for job in jobs().values()]


def _paths(resume: Any) -> tuple[Path, ...]:
    if resume is None:
        return ()
    found = [resume] if isinstance(resume, str) else resume
    return tuple(Path(path) for path in found)


def main(argv: list[str]) -> int:
    """Run the worker; exit status 2 when it cannot start."""
    try:
        configuration = load_configuration(argv)
        lifeline = Lifeline.from_environment()
        run_dir = Path(configuration["run_dir"])
    except (WorkerError, KeyError) as error:
        sys.stderr.write(f"launcher: {error}\n")
        return 2
    warm = configuration.get("warm")
    cache_dir = Path(configuration.get("cache_dir") or default_cache())
    cache_dir.mkdir(parents=True, exist_ok=True)
    # Before the first import of numpy and numba: no thread may exist when a job is forked, and
    # compiled kernels must lie where a confined job can reach them.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir)
    Launcher(
        lifeline,
        run_dir,
        warm=None if warm is None else tuple(warm),
        cache_dir=cache_dir,
        compute=str(configuration.get("compute") or "host"),
    ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
