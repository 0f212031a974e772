"""The scenarios that come with the emulator: where they are, and what they say of themselves.

Reads no more of them than that, and so needs no orbit, and none of the extras.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parents[1] / "scenarios"


def names() -> list[str]:
    """What they are called, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def description(name: str) -> str:
    """The sentence that a shipped scenario has about itself."""
    settings = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return str(settings.get("description", ""))
