"""When a process started: the same from inside and from outside, and never a later one's time."""

from __future__ import annotations

import builtins
import io
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from icd.processes import process_start_time

pytestmark = pytest.mark.portable

PROGRAM = """
import os, sys
from icd.processes import process_start_time
pid = os.fork()
if pid == 0:
    os.write(1, b"%d\\n" % process_start_time(os.getpid()))  # a line at once: two write here
    sys.stdin.read()
    os._exit(0)
os.write(1, b"%d %d\\n" % (pid, process_start_time(pid)))
os.waitpid(pid, 0)
"""


def test_a_forked_process_has_the_time_that_its_parent_and_a_stranger_see() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        lines = sorted((parent.stdout.readline().split() for _ in range(2)), key=len)
        ((inside,), (pid, outside)) = lines
        assert int(inside) == int(outside) == process_start_time(int(pid))
        parent.communicate(b"")


def test_an_emulator_that_shows_a_process_another_time_of_itself_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_open, own = builtins.open, os.getpid()
    expected = process_start_time(own)

    def as_under_qemu(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path) in ("/proc/self/stat", f"/proc/{own}/stat"):
            return io.BytesIO(b"%d (python3) S 1 " % own + b"0 " * 17 + b"12345 " + b"0 " * 30)
        return true_open(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", as_under_qemu)
    assert process_start_time(own) == expected != 12345


def test_one_that_ended_is_gone_and_still_has_its_time_until_it_is_reaped() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        began = process_start_time(child.pid)
        assert began is not None
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start_time(child.pid) is None
        assert process_start_time(child.pid, zombie=True) == began
    assert process_start_time(child.pid, zombie=True) is None
