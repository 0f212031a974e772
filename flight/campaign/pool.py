"""Runs trials in processes of their own: what crashes or hangs there is an outcome.

A worker says which trial begins, then what became of it. When it dies in between, or is silent
beyond the deadline, that trial has crashed or hung, and another worker takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from flight.campaign.fault_models import Outcome
from flight.campaign.outcomes import Ended
from flight.campaign.plan import Campaign
from flight.campaign.trials import Prepared, Trials

CHUNK = 25
"""Trials that a worker is given at a time."""
DEATHS = 3
"""So many workers in a row may die between two trials."""

_CONTEXT = multiprocessing.get_context("spawn")
_READY, _BEGIN, _END, _FAILED = range(4)

Finished = tuple[Prepared, Ended]


class PoolError(RuntimeError):
    """A worker cannot prepare trials; the message says why."""


def run(campaign: Campaign, first: int, last: int, jobs: int) -> Iterator[Finished]:
    """Trials `first` up to `last`, in order, worked on by that many processes.

    Raises PoolError.
    """
    return _Pool(campaign, first, last, jobs).run()


@dataclass
class _Worker:
    process: Any
    connection: Connection
    span: range = range(0)
    """Trials that it was given and has not finished."""
    under_way: Prepared | None = None
    due: float | None = None


class _Pool:
    def __init__(self, campaign: Campaign, first: int, last: int, jobs: int) -> None:
        self._campaign = campaign
        self._next = first
        self._given = first
        self._last = last
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._done: dict[int, Finished] = {}
        self._deaths = 0

    def run(self) -> Iterator[Finished]:
        try:
            while self._next < self._last:
                self._employ()
                self._listen()
                while self._next in self._done:
                    yield self._done.pop(self._next)
                    self._next += 1
        finally:
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()
                worker.connection.close()

    def _employ(self) -> None:
        while len(self._workers) < min(self._jobs, self._last - self._next):
            self._workers.append(self._hired(range(0)))

    def _hired(self, span: range) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, self._campaign), daemon=True)
        process.start()
        theirs.close()
        if span:
            ours.send(span)
        return _Worker(process, ours, span)

    def _listen(self) -> None:
        """Take what workers say until one of them has; look after the silent ones."""
        dues = [worker.due for worker in self._workers if worker.due is not None]
        patience = max(0.0, min(dues) - time.perf_counter()) if dues else None
        heard = wait([worker.connection for worker in self._workers], patience)
        for index, worker in enumerate(self._workers):
            if worker.connection in heard:
                try:
                    self._hear(worker, worker.connection.recv())
                except (EOFError, ConnectionResetError):
                    self._workers[index] = self._replaced(worker, Outcome.CRASH)
            elif worker.due is not None and time.perf_counter() >= worker.due:
                self._workers[index] = self._replaced(worker, Outcome.HANG)

    def _hear(self, worker: _Worker, message: tuple[int, Any]) -> None:
        kind, content = message
        if kind == _FAILED:
            raise PoolError(content)
        if kind == _BEGIN:
            worker.under_way = content
            worker.due = time.perf_counter() + self._campaign.file.deadline
        elif kind == _END:
            assert worker.under_way is not None
            self._finish(worker, content)
        if kind != _BEGIN and not worker.span:
            self._give(worker)

    def _finish(self, worker: _Worker, ended: Ended) -> None:
        assert worker.under_way is not None
        self._done[worker.under_way.trial.id] = worker.under_way, ended
        worker.span = worker.span[1:]
        self._deaths = 0
        worker.under_way = worker.due = None

    def _give(self, worker: _Worker) -> None:
        """The next chunk, if there is one."""
        if self._given < self._last:
            worker.span = range(self._given, min(self._given + CHUNK, self._last))
            self._given = worker.span.stop
            with contextlib.suppress(BrokenPipeError):  # it died: `_listen` will hear of it
                worker.connection.send(worker.span)

    def _replaced(self, worker: _Worker, outcome: Outcome) -> _Worker:
        """A worker ended in a trial: note its outcome, and start another worker for the rest."""
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        if worker.under_way is None:
            self._deaths += 1
            if self._deaths >= DEATHS:
                raise PoolError(
                    f"{DEATHS} workers ended before their trials began; the last with exit "
                    f"status {worker.process.exitcode}"
                )
        else:
            note = "no answer within the deadline"
            if outcome is Outcome.CRASH:
                note = f"the process ended, exit status {worker.process.exitcode}"
            self._finish(worker, Ended(outcome, note=note))
        hired = self._hired(worker.span)
        if not worker.span:
            self._give(hired)
        return hired


def _work(connection: Connection, campaign: Campaign) -> None:
    """The main loop of a worker; it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    laboratory = Trials(campaign)
    connection.send((_READY, None))
    try:
        while True:
            for number in connection.recv():
                try:
                    prepared = laboratory.prepare(number)
                except Exception:
                    connection.send((_FAILED, traceback.format_exc()))
                    return
                connection.send((_BEGIN, prepared))
                connection.send((_END, laboratory.run(prepared)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
