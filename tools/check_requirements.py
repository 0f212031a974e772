"""Traces requirements to tests and back: none without a test, none unknown."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from pathlib import Path

REQUIREMENT = re.compile(r"^- \*\*(VA-[A-Z]{3,4}-\d\d)\*\* +\S", re.MULTILINE)
RETIRED = re.compile(r"^- ~~(VA-[A-Z]{3,4}-\d\d)~~ +\S", re.MULTILINE)
IDENTIFIER = re.compile(r"VA-[A-Z]{3,4}-\d\d")
MARKER = "verifies"


def requirements(document: Path) -> Counter[str]:
    """The ids that the document defines, with how often it does so."""
    return Counter(REQUIREMENT.findall(document.read_text(encoding="utf-8")))


def retired(document: Path) -> Counter[str]:
    """The ids that the document no longer asks for, with how often it says so."""
    return Counter(RETIRED.findall(document.read_text(encoding="utf-8")))


def claims(tests: Path) -> dict[str, list[str]]:
    """Requirement id to the places ("file:line") where a test says that it verifies it."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("*.py")):
        for name, line in _markers(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            found.setdefault(name, []).append(f"{path}:{line}")
    return found


def _markers(tree: ast.AST) -> list[tuple[str, int]]:
    """Arguments of every ``mark.verifies(…)``; other calls of that name are not the marker."""
    return [
        (str(argument.value) if isinstance(argument, ast.Constant) else "?", node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == MARKER
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr == "mark"
        for argument in node.args
    ]


def gaps(document: Path, tests: Path) -> list[str]:
    """A sentence for each requirement without a test, unknown or retired id, and one used twice."""
    known, old = requirements(document), retired(document)
    claimed = claims(tests)
    found = [
        f"{document}: {name} is defined {n} times" for name, n in (known + old).items() if n > 1
    ]
    found += [
        f"{places[0]}: names {name!r}, which {document} "
        f"{'has retired' if name in old else 'does not define'}"
        for name, places in sorted(claimed.items())
        if name not in known
    ]
    found += [
        f'{document}: no test names {name}; mark one with @pytest.mark.verifies("{name}")'
        for name in sorted(known)
        if name not in claimed
    ]
    if not known:
        found.append(f"{document}: defines no requirement (`- **VA-CMD-01** sentence`)")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print every gap; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=Path, help="the numbered requirements")
    parser.add_argument("tests", type=Path, help="folder of the tests")
    options = parser.parse_args(arguments)
    found = gaps(options.document, options.tests)
    known = requirements(options.document)
    print("\n".join(found) or f"requirements, each named by a test: {len(known)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
