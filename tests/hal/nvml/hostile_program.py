"""Run as a program beside a hostile driver: does what it is told and prints what it saw.

python -m tests.hal.nvml.hostile_program MODE_FILE STEP…   with steps such as
mode:all ones   read   devices   faults:0.5   control:power_limit_w:300:0
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from hal.boards import open_board
from hal.device import Board, ControlRequest


def do(board: Board, mode: Path, step: str) -> Any:
    what, *words = step.split(":")
    if what == "mode":
        return mode.write_text(words[0])
    if what == "read":
        return {r.name: [r.value, r.validity.name, r.reason] for r in board.read()}
    if what == "devices":
        return [[d.uuid, d.bus_id, d.max_power_w, d.memory_bytes] for d in board.devices()]
    if what == "faults":
        began = time.perf_counter()
        faults = board.faults(float(words[0]))
        spent = time.perf_counter() - began
        return [[[f.device, f.kind.name, f.code, f.text] for f in faults], spent]
    if what == "processes":
        return [[use.device, use.pid, use.memory_bytes] for use in board.processes()]
    action, value, device = words
    result = board.control(ControlRequest(action, float(value), int(device)))
    return [result.done, result.value, result.text]


def main() -> None:
    mode, *steps = sys.argv[1:]
    board = open_board("nvml", allow_control=frozenset({"power_limit_w"}))
    seen = [do(board, Path(mode), step) for step in steps]
    board.close()
    # Of this program alone: what getrusage tells goes back to before its exec.
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_mib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    json.dump({"seen": seen, "peak_mib": peak_mib}, sys.stdout)


if __name__ == "__main__":
    main()
