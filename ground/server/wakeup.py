"""Wakes coroutines that wait for a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Wakeup:
    """Waiters re-examine a condition whenever it fires; costs nothing while nobody waits."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def fire(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """True as soon as the condition holds; False when it does not within `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not condition():
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait_for(waiter, max(0.0, deadline - loop.time()))
            except asyncio.TimeoutError:
                return condition()
            finally:
                self._waiters.discard(waiter)
        return True
