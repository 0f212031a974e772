"""Runs one job as its worker does: python -m tests.flight.jobs.worker_program JOB FOLDER LEASE …

What follows LEASE, the descriptor of the lease, are settings, name=value.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flight.components.job_runner.worker.job import Order, run
from flight.components.job_runner.worker.status_page import StatusWriter
from flight.jobs.registry import by_name

if __name__ == "__main__":
    job = by_name(sys.argv[1])
    folder = Path(sys.argv[2])
    settings = dict(setting.split("=", 1) for setting in sys.argv[4:])
    inputs = {name: Path(settings[name]) for name in job.inputs if name in settings}
    words = settings | {name: path.name for name, path in inputs.items()}
    order = Order(7, job.entry, job.pack(job.parse(words)), folder, inputs)
    os._exit(run(order, StatusWriter.create(folder / "status", 7), int(sys.argv[3])))
