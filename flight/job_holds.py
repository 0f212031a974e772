"""Why jobs may not run: several parties may each have a reason, and jobs run when none has."""

from __future__ import annotations

from collections.abc import Callable


class JobHolds:
    """The reasons for which jobs are held, by who gave them; `apply` is told of every change."""

    def __init__(self, apply: Callable[[], None]) -> None:
        self._apply = apply
        self._reasons: dict[str, str] = {}

    @property
    def reason(self) -> str:
        """The oldest reason; empty: jobs may run."""
        return next(iter(self._reasons.values()), "")

    def hold(self, who: str, reason: str) -> None:
        """Let no job run."""
        before = self.reason
        self._reasons[who] = reason
        self._tell_change(before)

    def release(self, who: str) -> None:
        """Take that party's reason back; it need not have given one."""
        before = self.reason
        self._reasons.pop(who, None)
        self._tell_change(before)

    def _tell_change(self, before: str) -> None:
        if self.reason != before:
            self._apply()
