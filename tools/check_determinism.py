"""Finds calls of the built-in open() and its like in code that decides, which no import rule sees.

What decides is every file of the folder that its ruff.toml does not except from TID251, the rule
that keeps clocks, chance and disks out: one list for both checks.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BANNED = frozenset({"open", "input", "exec", "eval", "__import__"})
RULE = "TID251"


def deciding(folder: Path) -> Iterator[Path]:
    """The files of a folder that its ruff.toml does not except, in order."""
    settings = tomllib.loads((folder / "ruff.toml").read_text(encoding="utf-8"))
    ignores: dict[str, list[str]] = settings["lint"]["per-file-ignores"]
    excepted = [pattern for pattern, rules in ignores.items() if RULE in rules]
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if not any(fnmatch(name, pattern) for pattern in excepted):
            yield path


def calls(folder: Path) -> list[str]:
    """ "file:line: sentence" for each banned built-in that a deciding file calls."""
    return [
        f"{path}:{node.lineno}: {node.func.id}() in code that decides: submit it to the storage "
        "worker"
        for path in deciding(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED
    ]


def main(arguments: list[str] | None = None) -> int:
    """Print every call; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with a ruff.toml that lists exceptions")
    folder: Path = parser.parse_args(arguments).folder
    found = calls(folder)
    count = sum(1 for _ in deciding(folder))
    print("\n".join(found) or f"{count} files that decide open nothing")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
