"""The configuration of a payload: what the operator may choose, from TOML and the command line."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from flight.components.recovery.fault_table import level_named
from icd.written import toml_tables

_ENDPOINT = re.compile(r"tcp://(\*|[0-9.]+|\[[0-9a-fA-F:.]+\]):(\*|[0-9]{1,5})")


class ConfigurationError(ValueError):
    """A configuration that cannot be flown; the message says what to write instead."""


@enum.unique
class Role(enum.Enum):
    """What a station may do."""

    OPERATOR = "operator"
    OBSERVER = "observer"


@dataclass(frozen=True)
class Link:
    """The link to ground: loopback and authenticated unless it is said otherwise."""

    endpoint: str = "tcp://127.0.0.1:*"
    insecure: bool = False


@dataclass(frozen=True)
class BoardSettings:
    """The board and what may be done to it; every control is enabled by name."""

    name: str = "emulated-h100"
    period_s: float = 1.0
    allow_control: tuple[str, ...] = ()
    scenario: str = ""
    """The world that an emulated board flies in; none unless it is named."""
    gpus: int = 1
    """How many GPUs an emulated board has; a real one has those that it has."""


@dataclass(frozen=True)
class HardwareWatchdogSettings:
    """The device that resets this computer unless it is stroked; none unless it is named."""

    device: str = ""
    timeout_s: int = 60


@dataclass(frozen=True)
class RecoverySettings:
    """How far recovery may go by itself or by telecommand: a rung of the ladder, L0 … L7."""

    max_level: str = "L1"


@dataclass(frozen=True)
class ScrubberSettings:
    """How memory at rest is walked; ground may change the first two."""

    enabled: bool = True
    rate_mib_s: float = 112.0
    """So that 1 GiB takes less than the period."""
    period_s: float = 10.0
    """Each region is walked once in it, as far as the rate allows."""


@dataclass(frozen=True)
class SupervisionSettings:
    """How long the payload's processes may be silent, in seconds; a slow machine needs longer.

    Each start that ends in silence gives the next one longer, up to `startup_max_s`.
    """

    startup_s: float = 10.0
    """The executive's start."""
    startup_max_s: float = 600.0
    silence_s: float = 2.0
    """Between two beats of the executive."""
    worker_startup_s: float = 10.0
    """To the first beat of a worker; ground may change it, and the next."""
    worker_silence_s: float = 1.5


@dataclass(frozen=True)
class Housekeeping:
    """Default periods of housekeeping packets, in seconds."""

    period_s: float = 10.0
    board_period_s: float = 5.0
    jobs_period_s: float = 5.0


@dataclass(frozen=True)
class Configuration:
    """Everything that is chosen when a payload is started."""

    payload_id: int = 1
    compute: str = "host"
    link: Link = field(default_factory=Link)
    board: BoardSettings = field(default_factory=BoardSettings)
    watchdog: HardwareWatchdogSettings = field(default_factory=HardwareWatchdogSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    scrubber: ScrubberSettings = field(default_factory=ScrubberSettings)
    supervision: SupervisionSettings = field(default_factory=SupervisionSettings)
    housekeeping: Housekeeping = field(default_factory=Housekeeping)
    stations: Mapping[str, str] = field(default_factory=lambda: {"1": "operator"})
    """Station id (which is also its key slot) → its role."""

    def observers(self) -> list[int]:
        """The stations that may only look."""
        return [int(s) for s, role in self.stations.items() if role == Role.OBSERVER.value]

    def to_json(self) -> str:
        """For the processes that `flight run` starts."""
        return json.dumps(dataclasses.asdict(self))


def from_toml(path: Path) -> Configuration:
    """Read a configuration file; raises ConfigurationError."""
    try:
        content = toml_tables(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    return from_mapping(content)


def from_mapping(content: Mapping[str, Any]) -> Configuration:
    """Check a configuration and fill in defaults; raises ConfigurationError."""
    configuration: Configuration = _fill(Configuration, content, "the configuration")
    if not 0 < configuration.payload_id < 65536:
        raise ConfigurationError(f"payload_id = {configuration.payload_id}; give 1 … 65535")
    if configuration.compute not in ("host", "cuda"):
        raise ConfigurationError(f"compute = {configuration.compute!r}; give 'host' or 'cuda'")
    for station, role in configuration.stations.items():
        if not station.isdecimal() or station != str(int(station)) or not 0 < int(station) < 65536:
            raise ConfigurationError(f"station {station!r}; give a number 1 … 65535")
        if role not in {r.value for r in Role}:
            raise ConfigurationError(f"stations.{station} = {role!r}; give operator or observer")
    for name, value in dataclasses.asdict(configuration.housekeeping).items():
        if not 0.1 <= value <= 86_400:
            raise ConfigurationError(f"housekeeping.{name} = {value} s; give 0.1 … 86400 s")
    if not 0.05 <= configuration.board.period_s <= 60:
        raise ConfigurationError(
            f"board.period_s = {configuration.board.period_s} s; give 0.05 … 60 s"
        )
    if not 1 <= configuration.board.gpus <= 8:
        raise ConfigurationError(f"board.gpus = {configuration.board.gpus}; give 1 … 8")
    _check_watchdog(configuration.watchdog)
    _check_scrubber(configuration.scrubber)
    _check_supervision(configuration.supervision)
    try:
        level_named(configuration.recovery.max_level)
    except ValueError as error:
        raise ConfigurationError(f"recovery.max_level = {error}") from None
    return configuration


def address_of(endpoint: str) -> tuple[str, int]:
    """The address, IPv4 or IPv6 ("" is every IPv4 one of this computer's), and the port (0 is a
    free one) of an endpoint; raises ConfigurationError. Names are refused: the executive looks
    none up."""
    found = _ENDPOINT.fullmatch(endpoint)
    try:
        host, port = found.groups() if found else ("", "")
        address = "" if host == "*" else _address(host)
        number = 0 if port == "*" else int(port)
        if number > 65535:
            raise ValueError(port)
    except ValueError:
        raise ConfigurationError(
            f"link endpoint {endpoint!r}; give tcp://ADDRESS:PORT with a numeric address, such as "
            "tcp://127.0.0.1:5005 or tcp://[::1]:5005, or port * for a free one"
        ) from None
    return address, number


def _address(host: str) -> str:
    if host.startswith("["):
        return str(ipaddress.IPv6Address(host[1:-1]))
    return str(ipaddress.IPv4Address(host))


def _check_watchdog(watchdog: HardwareWatchdogSettings) -> None:
    if watchdog.device and not watchdog.device.startswith("/"):
        raise ConfigurationError(
            f"watchdog.device = {watchdog.device!r}; give a path such as '/dev/watchdog0', "
            "or '' for none"
        )
    # An executive that is killed and started again takes up to five seconds.
    if not 10 <= watchdog.timeout_s <= 600:
        raise ConfigurationError(f"watchdog.timeout_s = {watchdog.timeout_s} s; give 10 … 600 s")


def _check_supervision(supervision: SupervisionSettings) -> None:
    for name, value in dataclasses.asdict(supervision).items():
        least, most = (1, 60) if name.endswith("silence_s") else (1, 3600)
        if not least <= value <= most:
            raise ConfigurationError(f"supervision.{name} = {value} s; give {least} … {most} s")


def _check_scrubber(scrubber: ScrubberSettings) -> None:
    if not 1 <= scrubber.rate_mib_s <= 100_000:
        raise ConfigurationError(
            f"scrubber.rate_mib_s = {scrubber.rate_mib_s} MiB/s; give 1 … 100000 MiB/s, "
            "or enabled = false"
        )
    if not 0.1 <= scrubber.period_s <= 86_400:
        raise ConfigurationError(f"scrubber.period_s = {scrubber.period_s} s; give 0.1 … 86400 s")


def _fill(kind: Any, content: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigurationError(
                f"{where} has no key '{key}'{hint} (known are {', '.join(sorted(known))})"
            )
        values[key] = _value(hints[key], value, f"{where}: {key}")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where} must be a table")
        return _fill(hint, value, where)
    if hint is float and type(value) is int:
        return float(value)
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ConfigurationError(f"{where} must be a list of texts")
        return tuple(value)
    if hint == Mapping[str, str]:
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            raise ConfigurationError(f"{where} must be a table of texts")
        return dict(value)
    if type(value) is not hint:
        raise ConfigurationError(f"{where} = {value!r}; give {_article(hint)}")
    return value


def _article(hint: Any) -> str:
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[hint]
