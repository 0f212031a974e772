"""What a ground server is started with, and where its files lie."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass
from pathlib import Path

from ground.errors import ConfigurationError
from ground.server import keys
from icd import link
from icd.written import json_value, whole

IPC_LONGEST = 107
"""The most octets of a Unix socket path."""
DEFAULT_PAYLOAD_ID = 1


@dataclass(frozen=True)
class PayloadConfig:
    """One payload to talk to; `name` is ours, `payload_id` is what it calls itself."""

    name: str
    endpoint: str
    payload_id: int = DEFAULT_PAYLOAD_ID
    keys: Path | None = None
    key_slot: int | None = None


@dataclass(frozen=True)
class ServerConfig:
    """Everything a ground server needs to start."""

    state: Path
    payloads: tuple[PayloadConfig, ...] = ()
    dictionaries: tuple[Path, ...] = ()
    insecure: bool = False

    def __post_init__(self) -> None:
        names = [payload.name for payload in self.payloads]
        if not names:
            raise ConfigurationError(
                "no payload; name one: --payload lab=tcp://127.0.0.1:5555 "
                "(lab@7=… when its payload id is 7)"
            )
        ids = [str(payload.payload_id) for payload in self.payloads]
        for which, values in (("name", names), ("id", ids)):
            doubled = {value for value in values if values.count(value) > 1}
            if doubled:
                raise ConfigurationError(
                    f"two payloads have the {which} {doubled.pop()}; give each its own"
                )
        if len(os.fsencode(self.api_path)) > IPC_LONGEST:
            raise ConfigurationError(
                f"the path {self.api_path} is too long for a socket ({IPC_LONGEST} octets at "
                "most); give a shorter --state"
            )

    @property
    def api_path(self) -> Path:
        return self.state.absolute() / "api"

    @property
    def archive_path(self) -> Path:
        return self.state / "archive.sqlite"


def parse_payload(text: str) -> PayloadConfig:
    """NAME=ENDPOINT, NAME@ID=ENDPOINT, or NAME=FILE with the ready file that flight writes."""
    name, equals, where = text.partition("=")
    name, at, number = name.partition("@")
    is_name = name.replace("-", "").replace("_", "").isalnum() and not name.startswith("-")
    if not (equals and where and is_name):
        raise ConfigurationError(
            f"'{text}' names no payload; write NAME=ENDPOINT, such as lab=tcp://127.0.0.1:5555"
        )
    payload_id = DEFAULT_PAYLOAD_ID
    if at:
        try:
            payload_id = whole(number)
        except ValueError:
            payload_id = -1
        if not 0 <= payload_id < 2**16:
            raise ConfigurationError(f"payload id '{number}' must be 0 … 65535")
    if "://" not in where:
        where, ready_id = _read_ready(Path(where))
        payload_id = payload_id if at else ready_id
    return PayloadConfig(name, where, payload_id)


def _read_ready(path: Path) -> tuple[str, int]:
    try:
        ready = json_value(path.read_bytes())
        return str(ready["endpoint"]), operator.index(ready["payload_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"'{path}' is neither an endpoint such as tcp://127.0.0.1:5555 nor a ready file: "
            f"{error}"
        ) from error


def key_of(payload: PayloadConfig, *, insecure: bool) -> tuple[int, bytes | None]:
    """(slot, key) for a payload; slot 0 without key only when that was asked for."""
    if payload.keys is None:
        if insecure:
            return link.CLEAR, None
        raise ConfigurationError(
            f"no key for payload '{payload.name}'; give --keys FILE (the payload's keys.json), "
            "or --insecure where anybody may command it"
        )
    known = keys.read(payload.keys)
    slot = min(known) if payload.key_slot is None else payload.key_slot
    if slot not in known:
        raise ConfigurationError(f"{payload.keys} has no slot {slot}; it has {sorted(known)}")
    return slot, known[slot]
