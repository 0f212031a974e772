"""A worker whose own code an upset has changed ends at once, and its supervisor starts another."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.flight.support.processes import wait_for
from tests.flight.support.worker_harness import WorkerBench

STRUCK = """
import ctypes, sys
import flight.workers.lifeline as lifeline
import flight.components.scrubber.worker.worker as worker
from flight.framework.bytecode import live_instructions

lifeline.PROGRAM_S, lifeline.PROGRAM_OCTETS = 0.0, 1 << 22
check = lifeline.Lifeline._check_program
calls = []

def strike_later(self):
    calls.append(1)
    if len(calls) == 5:
        code = worker.be_modest.__code__
        whole = ctypes.string_at(id(code), sys.getsizeof(code))
        live = live_instructions(code)
        inside = whole.find(live)  # before Python 3.11 they are an object of their own
        start = id(code) + inside if inside >= 0 else id(live) + bytes.__basicsize__ - 1
        ctypes.c_ubyte.from_address(start + 3).value ^= 1
    check(self)

lifeline.Lifeline._check_program = strike_later
sys.exit(worker.main(sys.argv))
"""


@pytest.mark.verifies("VA-SCR-10")
def test_a_worker_ends_at_once_when_its_own_code_changes(tmp_path: Path) -> None:
    (tmp_path / "struck.py").write_text(STRUCK)
    folders = {"state_dir": str(tmp_path), "run_dir": str(tmp_path)}
    bench = WorkerBench("flight.components.scrubber.worker.worker", tmp_path, folders)
    try:
        bench.process.kill()
        bench.process.wait(20)
        bench.channel.close()
        bench._command[1:3] = [str(tmp_path / "struck.py")]
        bench.start()
        bench.hello()
        wait_for(lambda: bench.process.poll() is not None, 30)
        assert bench.process.returncode == -signal.SIGKILL
    finally:
        bench.close()
