"""The trace of a board: everything it answered over a while, as a file that is read again.

Gzip of JSON lines. The first is the heading: format version, identity, sensors with their units.
Each further one is a sample: µs since the start, the phase of the load, the value of each sensor,
and what was invalid, who computed and which faults came, where there is something to tell.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hal.device import BoardIdentity, Device, Fault, FaultKind, ProcessUse
from hal.errors import WrongTrace
from hal.reading import Reading, Validity
from icd.files import beside
from icd.written import json_value

VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """What a board said at one time; times count from the start of the trace."""

    time_us: int
    phase: str
    readings: tuple[Reading, ...]
    processes: tuple[ProcessUse, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Trace:
    """A whole trace."""

    identity: BoardIdentity
    rate_hz: float
    start_ns: int
    samples: tuple[Sample, ...]

    @property
    def duration_us(self) -> int:
        return self.samples[-1].time_us

    def values(self, name: str, phase: str | None = None) -> list[float]:
        """The valid values of one sensor, in order, of one phase or of all."""
        return [
            reading.value
            for sample in self.samples
            if phase in (None, sample.phase)
            for reading in sample.readings
            if reading.name == name and reading.is_valid and reading.value is not None
        ]


def write(path: Path, trace: Trace) -> None:
    """Write a trace; the same trace gives the same bytes, and a reader never sees half of one."""
    lines = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in _lines(trace))
    temporary = beside(path, ".new")
    temporary.write_bytes(gzip.compress(lines.encode(), mtime=0))
    temporary.replace(path)


def read(path: Path) -> Trace:
    """Read a trace. Raises WrongTrace, naming the line that is wrong."""
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except OSError as error:
        raise WrongTrace(f"{path}: {error.strerror or error}; record one first") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise WrongTrace(f"{path} is damaged: {error}; record it again") from error
    lines = text.splitlines()
    heading = _parsed(path, 1, lines[0] if lines else "", _heading)
    sensors = heading.pop("sensors")
    samples = [
        _parsed(path, number, line, partial(_sample, sensors))
        for number, line in enumerate(lines[1:], start=2)
    ]
    if not samples:
        raise WrongTrace(f"{path} holds no sample; record it again")
    return Trace(samples=tuple(samples), **heading)


def _parsed(path: Path, number: int, line: str, parse: Callable[[Any], T]) -> T:
    try:
        return parse(json_value(line))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise WrongTrace(f"{path}, line {number} is no part of a trace: {error!r}") from error


def _heading(row: dict[str, Any]) -> dict[str, Any]:
    if row["trace"] != VERSION:
        raise ValueError(f"version {row['trace']}; this reads {VERSION}")
    found = row["identity"]
    devices = tuple(Device(**device) for device in found["devices"])
    return {
        "identity": replace(BoardIdentity(**found), devices=devices),
        "rate_hz": float(row["rate_hz"]),
        "start_ns": int(row["start_ns"]),
        "sensors": [(str(name), str(unit)) for name, unit in row["sensors"]],
    }


def _lines(trace: Trace) -> Iterator[dict[str, Any]]:
    first = trace.samples[0].readings if trace.samples else ()
    yield {
        "trace": VERSION,
        "identity": asdict(trace.identity),
        "rate_hz": trace.rate_hz,
        "start_ns": trace.start_ns,
        "sensors": [[reading.name, reading.unit] for reading in first],
    }
    for sample in trace.samples:
        yield _row(sample)


def _row(sample: Sample) -> dict[str, Any]:
    row: dict[str, Any] = {"t": sample.time_us, "phase": sample.phase}
    row["v"] = [reading.value for reading in sample.readings]
    if bad := {
        str(place): [int(reading.validity), reading.reason]
        for place, reading in enumerate(sample.readings)
        if not reading.is_valid
    }:
        row["bad"] = bad
    if sample.processes:
        row["processes"] = [[use.device, use.pid, use.memory_bytes] for use in sample.processes]
    if sample.faults:
        row["faults"] = [[f.device, int(f.kind), f.code, f.text] for f in sample.faults]
    return row


def _sample(sensors: list[tuple[str, str]], row: dict[str, Any]) -> Sample:
    time_us, bad = int(row["t"]), row.get("bad", {})
    readings = []
    for place, ((name, unit), value) in enumerate(zip(sensors, row["v"], strict=True)):
        validity, reason = bad.get(str(place), (0, ""))
        number = value if type(value) in (int, float) else None
        reading = Reading(name, number, unit, 1000 * time_us, Validity(validity), reason)
        readings.append(reading)
    return Sample(
        time_us,
        str(row["phase"]),
        tuple(readings),
        tuple(ProcessUse(*use) for use in row.get("processes", ())),
        tuple(
            Fault(1000 * time_us, device, FaultKind(kind), code, text)
            for device, kind, code, text in row.get("faults", ())
        ),
    )


def rmse(one: Iterable[float], other: Iterable[float]) -> float:
    """Root of the mean squared difference of two series, over the length of the shorter one.

    Raises ValueError when either is empty.
    """
    squares = [(a - b) ** 2 for a, b in zip(one, other, strict=False)]
    if not squares:
        raise ValueError("nothing to compare: a series is empty")
    return float((sum(squares) / len(squares)) ** 0.5)
