"""Entry point of the supervisor: ``python -m flight.supervisor PLAN.json``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from flight.supervisor.plan import PlanError, load
from flight.supervisor.shell import RunDirectoryInUseError, Supervisor


def main() -> int:
    """Fly the plan; exit status 2 for a plan or run directory that cannot be used."""
    if len(sys.argv) != 2:
        print("usage: python -m flight.supervisor PLAN.json", file=sys.stderr)
        return 2
    if sys.flags.optimize > 1:
        print("error: Python runs with -OO, which drops the texts of events", file=sys.stderr)
        return 2
    try:
        ending = Supervisor(load(Path(sys.argv[1]))).run()
    except (PlanError, RunDirectoryInUseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if ending.reboot:
        # The same pid starts all over again, so whoever watches the supervisor sees no end.
        os.execv(sys.executable, sys.orig_argv)
    for number in (signal.SIGTERM, signal.SIGINT):
        # It is ending: asked again, it must not die of the signal and lose its exit status.
        signal.signal(number, signal.SIG_IGN)
    if ending.reason:
        print(f"error: {ending.reason}", file=sys.stderr)
    return ending.status


if __name__ == "__main__":
    sys.exit(main())
