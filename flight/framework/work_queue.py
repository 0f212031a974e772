"""The bounded queue in front of a component, with a declared policy for when it is full."""

from __future__ import annotations

import enum
from collections import deque

from flight.framework.ports import Work


@enum.unique
class WhenFull(enum.Enum):
    """What a full queue does; either way it is counted."""

    REJECT_NEW = "reject new"
    DROP_OLDEST = "drop oldest"


class WorkQueue:
    """Work for one component, first in, first out.

    `put` obeys the depth. `put_answer` does not: answers to what the component itself asked are
    bounded where they were asked, and losing one would leave it waiting for ever.
    """

    def __init__(self, depth: int, when_full: WhenFull = WhenFull.REJECT_NEW) -> None:
        self.depth = depth
        self.when_full = when_full
        self.dropped = 0
        self.high_water = 0
        self.waiting: deque[Work] = deque()

    def __len__(self) -> int:
        return len(self.waiting)

    def put(self, work: Work) -> bool:
        """Queue new work; False when it was rejected."""
        if len(self.waiting) >= self.depth:
            self.dropped += 1
            if self.when_full is WhenFull.REJECT_NEW:
                return False
            self.waiting.popleft()
        self.waiting.append(work)
        if len(self.waiting) > self.high_water:
            self.high_water = len(self.waiting)
        return True

    def put_answer(self, work: Work) -> None:
        """Queue the answer to a question of this component's own."""
        self.waiting.append(work)
        if len(self.waiting) > self.high_water:
            self.high_water = len(self.waiting)

    def take(self) -> Work:
        """The oldest work; raises IndexError when there is none."""
        return self.waiting.popleft()

    def clear(self) -> int:
        """Forget everything; how much it was."""
        count = len(self.waiting)
        self.waiting.clear()
        return count
