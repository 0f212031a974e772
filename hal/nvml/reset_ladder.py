"""Resets of an NVIDIA GPU: end its processes, reset it, reload its driver, cycle its power.

NVML has no call for any of these. They are done by programs, which take seconds: while one runs,
`wait` is called with short times, so that whoever waits can show that it lives.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hal.errors import DriverFault, DriverMissing, NotPermitted, TimedOut, Unsupported
from hal.linux import host_bus
from icd.processes import process_start_time

NVIDIA_SMI = "VANALLEN_NVIDIA_SMI"
MODPROBE = "VANALLEN_MODPROBE"
HOST_BUS = "VANALLEN_HOST_BUS"
"""Environment variables: programs to use instead of the system's. A host bus has no default: it
is the mission's own program, which is given the word `power-cycle` and ends when power is back."""

RESET_S, RELOAD_S, POWER_CYCLE_S = 60.0, 120.0, 120.0
_DEATH_S = 2.0
_LOOK_S = 0.05
_MODULES = ("nvidia_uvm", "nvidia_drm", "nvidia_modeset", "nvidia")
_NO_PERMISSION = 4

Wait = Callable[[float], None]
Run = Callable[[Sequence[str], float], str]
"""Runs a program, at most so many seconds, and answers what it printed. Raises BoardError."""


@dataclass(frozen=True)
class Ladder:
    """The rungs above a job's restart, as programs of this machine."""

    run: Run
    nvidia_smi: str = "nvidia-smi"
    modprobe: str = "modprobe"
    host_bus: str = ""
    bus: Callable[[], str] | None = None
    """Asks the host in another way than by a program."""

    def gpu_reset(self, gpu: str) -> str:
        """Reset one GPU, named by bus id or number; what the tool says. Raises BoardError."""
        return self.run([self.nvidia_smi, "--gpu-reset", "-i", gpu], RESET_S)

    def driver_reload(self) -> str:
        """Take the kernel modules out and in again. Raises BoardError."""
        self.run([self.modprobe, "-r", *_MODULES], RELOAD_S)
        self.run([self.modprobe, "nvidia"], RELOAD_S)
        return "driver loaded again"

    def rail_power_cycle(self) -> str:
        """Ask the host to switch the payload's power off and on. Raises BoardError."""
        if self.host_bus:
            return self.run([self.host_bus, "power-cycle"], POWER_CYCLE_S)
        if self.bus is not None:
            return self.bus()
        raise Unsupported(
            f"nobody to ask for a power cycle; name the host bus program in {HOST_BUS}, or its "
            f"folder in {host_bus.FOLDER}",
            "rail_power_cycle",
        )


def ladder(environment: Mapping[str, str], wait: Wait) -> Ladder:
    """The ladder of this machine, or of the board that the environment names."""
    folder = environment.get(host_bus.FOLDER)
    return Ladder(
        runner(wait),
        nvidia_smi=environment.get(NVIDIA_SMI) or "nvidia-smi",
        modprobe=environment.get(MODPROBE) or "modprobe",
        host_bus=environment.get(HOST_BUS) or "",
        bus=None if not folder else partial(_ask_folder, Path(folder), wait),
    )


def _ask_folder(folder: Path, wait: Wait) -> str:
    bus = host_bus.FolderHostBus(folder)
    return host_bus.power_cycle(bus, "recovery of the board", wait)


def runner(wait: Wait) -> Run:
    """Runs programs without a shell, waiting in slices."""

    def run(arguments: Sequence[str], limit_s: float) -> str:
        name = arguments[0].rpartition("/")[2]
        with tempfile.TemporaryFile() as output:
            with _started(arguments, name, output.fileno()) as process:
                status = _await(process, wait, limit_s)
            output.seek(0)
            text = output.read(4096).decode("utf-8", "replace").strip()
        if status is None:
            raise TimedOut(f"{name} did not end within {limit_s:g} s", name)
        if status != 0:
            kind = NotPermitted if status == _NO_PERMISSION else DriverFault
            raise kind(f"{name}: {text[-200:] or f'exit status {status}'}", name)
        return text

    return run


@contextlib.contextmanager
def _started(arguments: Sequence[str], name: str, output: int) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    except FileNotFoundError as error:
        raise DriverMissing(f"{name} is not installed on this machine", name) from error
    except PermissionError as error:
        raise NotPermitted(f"{name}: {error.strerror}", name) from error
    except OSError as error:
        raise DriverFault(f"{name}: {error.strerror}", name) from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()


def _await(process: subprocess.Popen[bytes], wait: Wait, limit_s: float) -> int | None:
    """Its exit status; None when it did not end in time and was killed."""
    deadline = time.monotonic() + limit_s
    while (status := process.poll()) is None:
        if time.monotonic() > deadline:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may hang in the driver
                process.wait(_DEATH_S)
            return None
        wait(_LOOK_S)
    return status


@dataclass(frozen=True)
class Killed:
    """Which of the processes that may be killed were, are gone already, or do not die."""

    dead: tuple[int, ...]
    alive: tuple[int, ...]


def kill(processes: Iterable[tuple[int, int]], wait: Wait) -> Killed:
    """SIGKILL processes given as (pid, start time in kernel ticks), and see them end.

    One whose pid belongs to another process by now is left alone and counts as dead.
    """
    dead: list[int] = []
    dying: dict[int, int] = {}
    for pid, start_time in processes:
        descriptor = _descriptor(pid, start_time)
        if descriptor is None:
            dead.append(pid)
            continue
        dying[pid] = descriptor
        with contextlib.suppress(ProcessLookupError):
            _signal(pid, descriptor)
    deadline = time.monotonic() + _DEATH_S
    try:
        while not all(map(_has_ended, dying.values())) and time.monotonic() < deadline:
            wait(_LOOK_S)
        ended = {pid: _has_ended(descriptor) for pid, descriptor in dying.items()}
    finally:
        for descriptor in dying.values():
            os.close(descriptor)
    dead += [pid for pid, has_ended in ended.items() if has_ended]
    return Killed(tuple(dead), tuple(pid for pid, has_ended in ended.items() if not has_ended))


def _descriptor(pid: int, start_time: int) -> int | None:
    """A pidfd of that very process; None when it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    if process_start_time(pid) == start_time:
        return descriptor
    os.close(descriptor)
    return None


def _signal(pid: int, descriptor: int) -> None:
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except PermissionError as error:
        raise NotPermitted(f"process {pid} is not ours to kill", "kill") from error


def _has_ended(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0.0)[0])
