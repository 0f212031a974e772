"""How the forecast reaches the component and outlives it: scripts of storage operations."""

from __future__ import annotations

import json
import zlib

from flight.components.protection.forecast import LARGEST, Forecast, ForecastError, parse
from flight.storage.script import Script, must, tolerate
from icd.written import json_value

PATH = "state/forecast.json"
FORMAT = 1
_PIECE = 32_768
_FORMAT_ERROR = "its stored copy is damaged"


def load(path: str, name: str) -> Script[tuple[Forecast, bytes]]:
    """A forecast of the file store, with its octets; raises ForecastError or StorageFailed."""
    octets = yield from tolerate("read", "ENOENT", "EISDIR", path=path, offset=0, length=_PIECE)
    if octets is None:
        raise ForecastError(f"the file store has no file '{name}'; put it there first")
    octets = bytes(octets)
    return parse(octets), octets


def keep(octets: bytes) -> Script[None]:
    """Keep the octets of a forecast for the next executive."""
    head = json.dumps({"format": FORMAT, "crc32": zlib.crc32(octets)}).encode()
    yield from must("write", path=PATH, data=head + b"\n" + octets)


def restore() -> Script[tuple[Forecast | None, str]]:
    """The forecast that was kept, or None and what is wrong with it; empty: there is none."""
    stored = yield from tolerate("read", "ENOENT", "EIO", path=PATH, offset=0, length=_PIECE)
    if stored is None:
        return None, ""
    head, _, octets = bytes(stored).partition(b"\n")
    try:
        said = json_value(head)
        if said != {"format": FORMAT, "crc32": zlib.crc32(octets)} or len(octets) > LARGEST:
            return None, _FORMAT_ERROR
        return parse(octets), ""
    except ForecastError as error:
        return None, f"{_FORMAT_ERROR}: {error}"
    except ValueError:
        return None, _FORMAT_ERROR


def discard() -> Script[None]:
    """Let go of the forecast that was kept."""
    yield from tolerate("remove", "ENOENT", path=PATH)
