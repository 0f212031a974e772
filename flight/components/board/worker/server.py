"""The board server: makes every driver call, because a driver call can block for ever.

It has one thread. While a driver call does not return there is no beat, and the executive has it
replaced. What it says is in the order of its own counters, under an identity that no other board
server has; no clock decides about order or age.

Configuration: ``{"board": name, "period_s": 0.5, "allow_control": [actions],
"state_dir": path, "run_dir": path}``.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flight.framework.channel import Message
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from hal.boards import open_board
from hal.device import Board, ControlRequest, Fault
from hal.errors import HalError
from hal.linux.edac import Edac
from hal.linux.sensors import HostSensors
from hal.linux.sysfs import Sysfs
from hal.reading import Reading, tai_now

PERIOD_S = 0.5
FAULT_POLL_S = 0.1
REOPEN_S = 5.0
GPU_NUMBERS, NUMBERS_FILE = "VANALLEN_GPU_NUMBERS", "gpus.json"
"""Where the next board server finds which GPU has which number: variable, and file below run."""
COMPUTER_S = 5.0
"""How often the computer itself is read, which changes slowly; with the board, at the soonest."""
MOST_FAULTS = 1024
RESEND_S = 5.0
"""Faults that no executive acknowledges are sent again so seldom, and at each greeting."""
ROWS_PER_MESSAGE = 200
FAULTS_PER_MESSAGE = 50


class BoardServer:
    """Reads a board at a period, passes on its faults, and does what the executive asks.

    A fault has a number and is kept until an executive has acknowledged that number; of more than
    `MOST_FAULTS` the oldest are let go, which the executive sees by the gap. ``identity`` is that
    of this server: a number that no other one has.
    """

    def __init__(
        self,
        lifeline: Lifeline,
        opener: Callable[[], Board],
        *,
        period_s: float = PERIOD_S,
        computer: Callable[[], list[Reading]] = list,
        identity: int | None = None,
    ) -> None:
        self.identity = secrets.randbits(62) if identity is None else identity
        self._lifeline = lifeline
        self._opener = opener
        self._period_s = period_s
        self._computer = computer
        self._computer_due = 0.0
        self._board: Board | None = None
        self._devices: list[dict[str, Any]] = []
        """The GPUs, as the executive was told."""
        self._open_due = 0.0
        self._read_due = 0.0
        self._faults: deque[tuple[int, Fault]] = deque(maxlen=MOST_FAULTS)
        """Those that no executive has acknowledged, by their numbers."""
        self._told = 0
        """How many faults there were."""
        self._sent = 0
        """Number of the last one that was sent to this executive."""
        self._resend_due = 0.0
        self._messages = 0
        """Messages of readings so far."""

    def run(self) -> None:
        """Serve until the lifeline is over."""
        while not self._lifeline.is_over:
            messages = self._lifeline.wait(FAULT_POLL_S)
            self.step(messages, time.monotonic())
        if self._board is not None:
            self._board.close()

    def step(self, messages: list[Message], now: float) -> None:
        """Do what was asked and what is due at monotonic ``now``."""
        if self._board is None and now >= self._open_due:
            self._open(now)
        for message in messages:
            if message.kind == "hello":
                self._sent = 0  # whoever greets may know of none of them
                self._send_identity()
            elif message.kind == "heard":
                self._forget(message.body)
            elif message.kind == "control":
                self._control(message)
        if self._board is None:
            return
        self._take_faults(self._board, now)
        if now >= self._read_due:
            # Kept in step with the period, but never a burst after a slow driver.
            self._read_due = max(self._read_due + self._period_s, now)
            self._send_readings(self._board, now)

    def _open(self, now: float) -> None:
        try:
            self._board = self._opener()
        except (HalError, ValueError) as error:
            self._open_due = now + REOPEN_S
            self._send("unavailable", {"text": str(error)[:400]})
            return
        self._read_due = now
        self._send_identity()

    def _send_identity(self) -> None:
        if self._board is None:
            return
        try:
            identity = dataclasses.asdict(self._board.identity())
        except HalError as error:
            self._send("unavailable", {"text": str(error)[:400]})
            return
        self._devices = list(identity["devices"])
        self._send("identity", {**identity, "devices": self._devices})

    def _look_who_is_there(self, board: Board) -> None:
        """GPUs may come, or say later who they are: then the board says anew what it is."""
        if [dataclasses.asdict(device) for device in board.devices()] != self._devices:
            self._send_identity()

    def _send_readings(self, board: Board, now: float) -> None:
        readings = board.read()
        if now >= self._computer_due:
            self._computer_due = now + COMPUTER_S
            readings += self._computer()
            self._look_who_is_there(board)
        for first in range(0, len(readings), ROWS_PER_MESSAGE):
            part = readings[first : first + ROWS_PER_MESSAGE]
            rows = [[r.name, r.value, int(r.validity), r.reason[:80], r.unit] for r in part]
            body = {"server": self.identity, "sequence": self._messages, "rows": rows}
            self._messages += 1
            self._send("readings", body)

    def _take_faults(self, board: Board, now: float) -> None:
        for fault in board.faults(0.0):
            self._told += 1
            self._faults.append((self._told, fault))
        if now >= self._resend_due:
            self._sent = 0
        waiting = [(number, fault) for number, fault in self._faults if number > self._sent]
        for first in range(0, len(waiting), FAULTS_PER_MESSAGE):
            part = waiting[first : first + FAULTS_PER_MESSAGE]
            rows = [[f.time_ns, f.device, int(f.kind), f.code, f.text[:160]] for _, f in part]
            body = {"server": self.identity, "first": part[0][0], "faults": rows}
            if not self._send("faults", body):
                return  # tried again on the next turn
            self._sent, self._resend_due = part[-1][0], now + RESEND_S

    def _forget(self, body: dict[str, Any]) -> None:
        """An executive has heard of faults, and keeps that it has."""
        upto = body.get("upto")
        if body.get("server") != self.identity or type(upto) is not int:
            return
        while self._faults and self._faults[0][0] <= upto:
            self._faults.popleft()

    def _control(self, message: Message) -> None:
        """Do what is asked, and answer whoever asked: its successor counts its own requests."""
        body = message.body
        done, value, text = False, None, "the board is not open"
        try:
            request = ControlRequest(
                str(body["action"]),
                float(body.get("value") or 0.0),
                int(body.get("device") or 0),
                tuple((int(pid), int(start)) for pid, start in body.get("processes") or ()),
            )
        except (KeyError, TypeError, ValueError) as error:
            text = f"a control needs an action, a value and a device: {error!r}"
        else:
            if message.epoch != self._lifeline.channel.epoch:
                return  # it lay here while its executive ended; the next one decides anew
            if self._board is not None:
                result = self._board.control(request)
                done, value, text = result.done, result.value, result.text
        answer = {"id": body.get("id"), "ok": done, "value": value, "text": text[:400]}
        self._lifeline.channel.send("done", answer, epoch=message.epoch)

    def _send(self, kind: str, body: dict[str, Any]) -> bool:
        return self._lifeline.channel.send(kind, body)


def beating(lifeline: Lifeline) -> Callable[[float], None]:
    """A wait for the driver: what takes seconds, such as a reset, must not look like a hang."""

    def wait(seconds: float) -> None:
        lifeline.beat_if_due()
        time.sleep(seconds)
        lifeline.beat_if_due()

    return wait


def _disks(configuration: dict[str, Any]) -> dict[str, Path]:
    """The folders whose disks are read, by the names that their readings have."""
    named = {"state": configuration.get("state_dir"), "run": configuration.get("run_dir")}
    return {name: Path(folder) for name, folder in named.items() if folder}


def main(argv: list[str]) -> int:
    """Run the worker; exit status 2 when it cannot start."""
    try:
        configuration = load_configuration(argv)
        lifeline = Lifeline.from_environment()
        name = str(configuration["board"])
        period_s = float(configuration.get("period_s", PERIOD_S))
        allowed = frozenset(configuration.get("allow_control") or ())
    except (WorkerError, KeyError, ValueError) as error:
        sys.stderr.write(f"board server: {error}\n")
        return 2
    environment = dict(os.environ)
    if run_dir := configuration.get("run_dir"):
        environment[GPU_NUMBERS] = str(Path(run_dir) / NUMBERS_FILE)
    opener = partial(open_board, name, environment, allow_control=allowed, wait=beating(lifeline))
    sensors = HostSensors(_disks(configuration))
    memory = Edac(Sysfs(Path(os.environ.get("VANALLEN_JETSON_ROOT", "/"))))

    def computer() -> list[Reading]:
        return [*sensors.read(), *memory.readings(tai_now())]

    BoardServer(lifeline, opener, period_s=period_s, computer=computer).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
