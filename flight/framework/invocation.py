"""One telecommand on its way through the verification stages."""

from __future__ import annotations

from typing import Any, Protocol

from icd.codec import Codec
from icd.failures import FailureCode
from icd.reports import Stage
from icd.telecommand import Ack, Telecommand

# Looked up once: a member of an enumeration is a slow thing to find in Python 3.10 and 3.11.
ACCEPTED, STARTED, PROGRESS = Stage.ACCEPTED, Stage.STARTED, Stage.PROGRESS
COMPLETED, FAILED, START_FAILED = Stage.COMPLETED, Stage.FAILED, Stage.START_FAILED
_ACK = {
    ACCEPTED: Ack.ACCEPTANCE,
    STARTED: Ack.START,
    PROGRESS: Ack.PROGRESS,
    COMPLETED: Ack.COMPLETION,
}
_ALWAYS = 16
_ACK_BITS = (0, *(int(_ACK.get(stage, _ALWAYS)) for stage in Stage))
"""By stage: the acknowledgement bit that asks for it."""


class Verifier(Protocol):
    """Sends verification reports and keeps the account; implemented by the command handler."""

    def stage(
        self,
        invocation: Invocation,
        stage: Stage,
        *,
        step: int = 0,
        code: int = 0,
        reason: str = "",
    ) -> None: ...

    def result(self, invocation: Invocation, packed: bytes) -> None: ...

    def settled(self, code: int) -> None: ...

    def refused_answer(self, invocation: Invocation) -> None: ...


class Invocation:
    """A telecommand being carried out; the `Pending` that `defer()` returns.

    It settles exactly once. A second answer, or one after its time-out, is refused and counted.
    """

    __slots__ = (
        "_is_started",
        "_results",
        "_verifier",
        "deadline",
        "is_deferred",
        "is_settled",
        "owner",
        "telecommand",
    )

    def __init__(
        self,
        verifier: Verifier,
        telecommand: Telecommand,
        owner: dict[Invocation, None],
        results: Codec | None,
        deadline: int,
    ) -> None:
        self._verifier = verifier
        self._results = results
        self._is_started = False
        self.telecommand = telecommand
        self.owner = owner
        self.deadline = deadline
        self.is_deferred = False
        self.is_settled = False

    @property
    def source(self) -> int:
        """The station that sent the telecommand."""
        return self.telecommand.source

    @property
    def request_id(self) -> bytes:
        return self.telecommand.request_id

    def wants(self, stage: Stage) -> bool:
        """Whether the source asked for the report of this stage; failures are always reported."""
        return bool((self.telecommand.ack | _ALWAYS) & _ACK_BITS[stage])

    def started(self) -> None:
        """Report the start, once."""
        if not self._is_started and not self.is_settled:
            self._is_started = True
            if self.wants(STARTED):
                self._verifier.stage(self, STARTED)

    def progress(self, step: int) -> None:
        """Report a step of a long command."""
        if self.is_settled:
            self._verifier.refused_answer(self)
            return
        self.started()
        if self.wants(PROGRESS):
            self._verifier.stage(self, PROGRESS, step=step)

    def complete(self, result: Any = None) -> bool:
        """Report completion, with the declared results if there are any; False when too late."""
        if self.is_settled:
            self._verifier.refused_answer(self)
            return False
        self.started()
        if self._results is not None and self._results.fields:
            values = [getattr(result, field.name) for field in self._results.fields]
            self._verifier.result(self, self._results.pack_saturated(values))
        self._settle(COMPLETED)
        return True

    def fail(self, reason: str, code: FailureCode = FailureCode.REFUSED) -> bool:
        """Report failure: before the start it is a failed start; False when too late."""
        if self.is_settled:
            self._verifier.refused_answer(self)
            return False
        stage = FAILED if self._is_started else START_FAILED
        self._settle(stage, code=code, reason=reason)
        return True

    def abandon(self) -> None:
        """Its component was restarted before it answered."""
        if not self.is_settled:
            self.fail("the component was restarted; send it again", FailureCode.RESTARTED)

    def _settle(self, stage: Stage, *, code: int = 0, reason: str = "") -> None:
        self.is_settled = True
        self.owner.pop(self, None)
        if self.wants(stage):
            self._verifier.stage(self, stage, code=code, reason=reason)
        self._verifier.settled(code)
