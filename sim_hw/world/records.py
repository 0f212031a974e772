"""The file of a truth log: a record a line, and reading them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from icd.written import json_value

NAME = "truth.jsonl"


class TruthLogError(ValueError):
    """A file that is no truth log; says what is wrong with it."""


def spelt(record: dict[str, Any]) -> str:
    """One line of the log."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def read(path: Path) -> list[dict[str, Any]]:
    """All records of a log; the first is the scenario."""
    try:
        records = [json_value(line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise TruthLogError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise TruthLogError(f"{path}: not a truth log: {error}") from error
    if not all(isinstance(record, dict) and "type" in record for record in records):
        raise TruthLogError(f"{path}: not a truth log: a line of it is no record")
    if not records or records[0]["type"] != "scenario":
        raise TruthLogError(f"{path}: not a truth log: its first line is no scenario")
    return records
