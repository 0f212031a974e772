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
    read_launch,
)
from flight.components.job_runner.worker.status_page import NAME, StatusPage, StatusWriter
from flight.fault_tolerance.levels import Level
from flight.framework.channel import Message
from flight.jobs.warming import FIRST, entry_modules
from flight.workers.kernel_cache import default_cache
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from flight.workers.warm import beats_meanwhile

WATCH_S = 0.2
END_S = 2.0
MARKER = "launcher.imports"
WARMING = "imports and compiles what jobs need"
Key = tuple[int, int]
"""A job and the number of the order that launched it."""


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
        self._cold = [*FIRST, *(warm or ())]
        self._marker = run_dir.absolute() / MARKER
        self._deadly = _left_in(self._marker)
        """What ended a launcher before: no job of it is warm, and the others start."""
        self._warms_all = warm is None
        self._cache_dir = cache_dir
        self._compute = compute
        self._processes = processes or Processes()
        self._running: dict[int, JobProcess] = {}
        self._exits: dict[Key, dict[str, Any]] = {}
        """Ends that nobody has acknowledged."""
        self._untold: set[Key] = set()
        self._next: dict[int, dict[str, Any]] = {}
        """By job: the order that waits for the process of an earlier one to be gone."""
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
            if self._send("table", {"id": _number_of(body), **self._table()}):
                self._untold.clear()
        elif message.kind == "launch":
            self._launch(body)
        elif message.kind == "kill" and isinstance(job_id, int):
            self._kill(job_id, job, body)
        elif message.kind == "acknowledge" and isinstance(job_id, int):
            self._forget((job_id, _number_of(body)))

    def adopt(self) -> None:
        """Take over the jobs of a launcher that died: the living are watched, the dead reported."""
        if not self._jobs_dir.is_dir():
            return
        for folder in sorted(self._jobs_dir.iterdir()):
            try:
                self._adopt_one(folder)
            except (OSError, ValueError) as error:  # what a job left there is not trusted
                sys.stderr.write(f"launcher: nothing to adopt in {folder.name}: {error}\n")

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
        for key in list(self._untold):
            self._tell_exit(key)

    def _timeout(self) -> float | None:
        if self._cold:
            return 0.0
        return WATCH_S if self._running or self._untold else None

    def _launch(self, body: dict[str, Any]) -> None:
        job_id, order = body.get("job_id"), _number_of(body)
        before = self._running.get(job_id) if type(job_id) is int else None
        if before is not None and before.order == order:
            self._tell_launched(before)  # told twice, acted upon once
        elif before is not None and before.order > order:
            self._refuse(body, f"order {order} comes after order {before.order}")
        elif before is not None:
            self._next[before.job_id] = body
            before.kill(signal.SIGKILL, time.monotonic(), "superseded")
        elif type(job_id) is int and order and (job_id, order) in self._exits:
            self._tell_exit((job_id, order))
        else:
            self._begin(body)

    def _begin(self, body: dict[str, Any]) -> None:
        try:
            job = self._fork(body)
        except (Exception, SystemExit) as error:  # whatever an import brings: the launcher lives
            self._refuse(body, f"{type(error).__name__}: {error}")
            return
        self._take(job)
        self._tell_launched(job)

    def _refuse(self, body: dict[str, Any], text: str) -> None:
        about = {"id": body.get("id"), "job_id": body.get("job_id")}
        self._send("refused", {**about, "text": text[:400]})

    def _tell_launched(self, job: JobProcess) -> None:
        about = {"id": job.order, "job_id": job.job_id}
        self._send("launched", {**about, "pid": job.pid, "start_time": job.start_time})

    def _kill(self, job_id: int, job: JobProcess | None, body: dict[str, Any]) -> None:
        """Signal the process of one order, or (id 0) whichever runs."""
        number, order = body.get("signal", signal.SIGKILL), _number_of(body)
        if not isinstance(number, int) or number not in signal.valid_signals():
            return
        waiting = self._next.get(job_id)
        if waiting is not None and order in (0, _number_of(waiting)):
            self._refuse(self._next.pop(job_id), "killed before it began")
        if job is not None and order in (0, job.order):
            job.kill(number, time.monotonic(), "asked")

    def _fork(self, body: dict[str, Any]) -> JobProcess:
        with beats_meanwhile(self._lifeline, WARMING):  # the first time it may compile kernels
            from flight.components.job_runner.worker.job import Order, run

        job_id, folder = body["job_id"], Path(body["folder"]).absolute()
        if type(job_id) is not int or folder != self._jobs_dir / str(job_id):
            raise ValueError(f"the folder of job {job_id} must be {self._jobs_dir}/{job_id}")
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

        order_number = _number_of(body)
        pid = fork_job(folder, limits, work, order_number)
        page.close()
        now = time.monotonic()
        return JobProcess(job_id, pid, folder, limits, processes, now, order_number)

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
        order = read_launch(folder)[1]
        body = {"id": order, "job_id": status.job_id, "pid": status.pid}
        ended = {"status": None, "signal": None, "rss_peak": 0, "reason": "lost"}
        self._exits[status.job_id, order] = {**body, **ended}

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
        key = job.job_id, job.order
        self._exits[key] = body
        self._tell_exit(key)
        if (waiting := self._next.pop(job.job_id, None)) is not None:
            self._begin(waiting)

    def _tell_exit(self, key: Key) -> None:
        if self._send("exited", self._exits[key]):
            self._untold.discard(key)
        else:
            self._untold.add(key)

    def _forget(self, key: Key) -> None:
        if self._exits.pop(key, None) is None:
            return
        self._untold.discard(key)
        job_id, order = key
        folder = self._jobs_dir / str(job_id)
        with suppress(OSError, ValueError):  # gone, or what a job made of it
            if job_id not in self._running and read_launch(folder)[1] == order:
                (folder / LAUNCH_FILE).unlink(missing_ok=True)

    def _table(self) -> dict[str, Any]:
        jobs = [[job.job_id, job.pid, job.start_time, job.order] for job in self._running.values()]
        return {"jobs": jobs, "exited": list(self._exits.values())}

    def _warm_one(self) -> None:
        """Import one more module; beats come from a thread, because an import can take seconds."""
        name = self._cold.pop(0)
        with beats_meanwhile(self._lifeline, WARMING):
            try:
                if name in self._deadly:
                    raise ImportError("a launcher ended while it imported this")
                self._marker.write_text(name, encoding="utf-8")
                importlib.import_module(name)
            except (Exception, SystemExit) as error:  # a job that needs it will say so itself
                sys.stderr.write(f"launcher: cannot warm {name}: {error!r}\n")
            with suppress(OSError):
                self._marker.unlink(missing_ok=True)
        if not self._cold and self._warms_all:
            self._warms_all = False
            self._cold = entry_modules()
        if not self._cold:
            # What is warm is not walked by the collector again, so children keep sharing it.
            gc.collect()
            gc.freeze()
            threads = len(list(Path("/proc/self/task").iterdir()))
            self._send("warm", {"threads": threads})

    def _end_all(self) -> None:
        self._next.clear()
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


def _left_in(marker: Path) -> frozenset[str]:
    """What an earlier launcher was importing when it ended; our own modules are tried again."""
    try:
        names = {marker.read_text(encoding="utf-8").strip()}
    except (OSError, ValueError):
        return frozenset()
    return frozenset(name for name in names if not name.startswith("flight.") and name != "numba")


def _number_of(body: dict[str, Any]) -> int:
    """The number of the order that a message is about; 0: none."""
    number = body.get("id")
    return number if type(number) is int and 0 <= number < 1 << 63 else 0


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
