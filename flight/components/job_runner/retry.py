"""Why an attempt failed, and whether to try again, from which commit."""

from __future__ import annotations

import enum
import signal

from flight.components.job_runner.ports import JobStatus, PagePhase
from flight.components.job_runner.records import JobRecord, Policy
from flight.components.job_runner.stimuli import Exited

USAGE = 2
"""Exit status of a job that cannot use its parameters or inputs: the same again would not help."""

MEMORY_LOST = 5
"""Exit status of a job whose memory was wrong beyond correction: an upset's doing, not its own."""


@enum.unique
class Verdict(enum.Enum):
    """What to do after a failed attempt."""

    RETRY = "retry"
    FALL_BACK = "fall back"
    STOP = "stop"


def has_progressed(record: JobRecord, status: JobStatus | None) -> bool:
    """Whether the attempt committed a step that no commit on disk has reached."""
    return status is not None and status.commit_count > 0 and status.commit_step > record.furthest


def after_failure(record: JobRecord, status: JobStatus | None, retries: int) -> Verdict:
    """Count the failure in the record and decide.

    A step that keeps failing (no commit went further in `retries` + 1 attempts) is poison: once,
    the job goes back to the commit before the last, which may be sound where the last is not.
    """
    if has_progressed(record, status):
        record.failures = 0
        record.has_fallen_back = False
    record.failures = min(record.failures + 1, 255)
    if record.failures <= retries:
        return Verdict.RETRY
    if record.previous is None or record.has_fallen_back:
        return Verdict.STOP
    record.commit, record.previous = record.previous, None
    record.has_fallen_back = True
    return Verdict.FALL_BACK


def back_off(record: JobRecord, policy: Policy) -> int:
    """How long to wait before the next attempt, in ns; doubles with each failure in a row."""
    doublings = min(max(record.failures - 1, 0), 16)
    return min(policy.back_off << doublings, policy.longest_back_off)


def ended_well(exited: Exited) -> bool:
    """Both the process, if its exit status is known, and its page say so."""
    is_clean = exited.exit_status in (0, None) and exited.signal == 0
    return is_clean and exited.status is not None and exited.status.phase == PagePhase.DONE


def has_lost_memory(exited: Exited) -> bool:
    """Whether it ended because its memory could not be set right."""
    is_said = exited.status is not None and exited.status.phase == PagePhase.FAILED
    return is_said and exited.exit_status == MEMORY_LOST and not (exited.signal or exited.limit)


def why(exited: Exited, record: JobRecord) -> tuple[str, bool]:
    """A sentence for the end of a process, and whether trying again is of no use."""
    if exited.limit == "cpu" or exited.signal == signal.SIGXCPU:
        return "used up its processor time", True
    if exited.limit == "memory" or (
        exited.signal == signal.SIGKILL and exited.rss_peak_mb >= record.memory_mb
    ):
        return f"went over its memory limit of {record.memory_mb} MiB", True
    if exited.limit == "wall":
        return "used up its wall time", True
    if exited.signal:
        return f"ended by signal {exited.signal} ({_signal_name(exited.signal)})", False
    status = exited.status
    if status is not None and status.phase == PagePhase.FAILED:
        return status.message or "failed without saying why", exited.exit_status == USAGE
    if exited.exit_status in (0, None):
        return "ended without saying that it is done", False
    return f"ended with exit status {exited.exit_status}", exited.exit_status == USAGE


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
