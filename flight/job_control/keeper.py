"""Keeps the job table on disk: one write at a time, the next with all that changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from flight.job_control.records import SECOND
from flight.job_control.script import StorageFailed, perform
from flight.job_control.table import BACKUP, write_table
from flight.ports import Storage

AGAIN = 1 * SECOND


Failed = Callable[[StorageFailed], None]


class TableKeeper:
    """Writes what `picture` returns; a failed write is tried again a second later.

    `failed` is called for each write that failed.
    """

    def __init__(
        self,
        storage: Storage,
        picture: Callable[[], bytes],
        failed: Failed,
        clock: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._picture = picture
        self._failed = failed
        self._clock = clock
        self._is_writing = False
        self._requested = 0
        self._durable = 0
        self._waiting: list[tuple[int, Callable[[], None], Failed]] = []
        self.retry_at: int | None = None

    def request(self) -> None:
        """Have the table written as it is now or later."""
        self._requested += 1
        self._begin()

    def when_durable(self, done: Callable[[], None], failed: Failed) -> None:
        """Call `done` once all that was requested is on disk, or `failed` if a write is not."""
        self._waiting.append((self._requested, done, failed))

    def run(self, now: int) -> None:
        """Try again when it is time to."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
            self._begin()

    def _begin(self) -> None:
        if self._is_writing or self.retry_at is not None:
            return
        self._is_writing = True
        number, octets = self._requested, self._picture()
        perform(
            self._storage,
            write_table(octets),
            lambda _: self._written(number, octets),
            lambda failure: self._not_written(number, failure),
        )

    def _written(self, number: int, octets: bytes) -> None:
        self._durable = number
        ready = self._take(number)
        if self._requested > number:
            self._idle()
        else:
            # The second copy is for a table that rots; it may lag, and its failure costs nothing.
            second = write_table(octets, BACKUP)
            perform(self._storage, second, lambda _: self._idle(), lambda _: self._idle())
        for done, _ in ready:
            done()

    def _idle(self) -> None:
        self._is_writing = False
        if self._requested > self._durable:
            self._begin()

    def _not_written(self, number: int, failure: StorageFailed) -> None:
        self._is_writing = False
        self.retry_at = self._clock() + AGAIN
        self._failed(failure)
        for _, failed in self._take(number):
            failed(failure)

    def _take(self, number: int) -> list[tuple[Callable[[], None], Failed]]:
        taken = [(done, failed) for wanted, done, failed in self._waiting if wanted <= number]
        self._waiting = [row for row in self._waiting if row[0] > number]
        return taken
