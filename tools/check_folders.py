"""Compares the list of folders in docs/architecture.md with the tree: one sentence a folder.

The sentence of a Python package is the docstring of its `__init__.py`; that of any other folder
stands in the list alone. A folder of tests that mirrors another folder needs none.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tools import check_names

DOCUMENT = Path("docs/architecture.md")
FIRST = ("icd", "flight", "hal", "sim_hw", "ground", "tests")
"""Top folders in the order of the list; the others follow by name."""
_LIST = re.compile(r"<!-- folders -->\n(.*?)<!-- end -->", re.DOTALL)
_ROW = re.compile(r"^\| \[?`(.+?)/`(?:\]\(.*?\))? \| (.*) \|$", re.MULTILINE)


def folders(files: Iterable[Path]) -> list[str]:
    """Every folder that needs a sentence, in the order of the list."""
    found = {str(folder) for file in files for folder in file.parents if str(folder) != "."}
    mirrors = {name for name in found if name.removeprefix("tests/") in found - {name}}
    return sorted(found - mirrors, key=_place)


def described(root: Path, folder: str) -> str | None:
    """What the package of that folder says of itself, in one line; None: it is no package."""
    path = root / folder / "__init__.py"
    if not path.is_file():
        return None
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def listed(document: str) -> dict[str, str]:
    """Folder to sentence, as the list has it."""
    section = _LIST.search(document)
    return dict(_ROW.findall(section[1])) if section else {}


def complaints(document: str, root: Path, files: Iterable[Path]) -> list[str]:
    """A sentence for each folder that the list lacks, has too much, or describes otherwise."""
    has, found = listed(document), []
    wanted = folders(files)
    for folder in wanted:
        says = described(root, folder)
        if says == "":
            found.append(f"{folder}/__init__.py: write what the folder holds, as its docstring")
        elif folder not in has:
            row = f"| `{folder}/` | {says or 'what it holds, in one sentence'} |"
            found.append(f"{DOCUMENT} lacks {folder}/: write {row}")
        elif says is not None and has[folder] != says:
            found.append(f'{DOCUMENT}: {folder}/ is "{says}" in its __init__.py: run `make pages`')
    gone = sorted(has.keys() - set(wanted))
    return found + [f"{DOCUMENT} lists {folder}/, which is not there: delete it" for folder in gone]


def rewritten(document: str, root: Path, files: Iterable[Path]) -> str:
    """The document with its list as the tree is; a folder without a sentence is left out."""
    has = listed(document)
    rows = ["| folder | what it holds |\n|---|---|\n"]
    for folder in folders(files):
        says = described(root, folder) or has.get(folder)
        name = f"`{folder}/`"
        if (root / folder / "README.md").is_file():
            name = f"[{name}](../{folder}/README.md)"
        rows += [f"| {name} | {says} |\n"] if says else []
    return _LIST.sub(lambda _: f"<!-- folders -->\n{''.join(rows)}<!-- end -->", document)


def _place(folder: str) -> tuple[int, tuple[str, ...]]:
    parts = PurePosixPath(folder).parts
    return (FIRST.index(parts[0]) if parts[0] in FIRST else len(FIRST)), parts


def main(arguments: list[str] | None = None) -> int:
    """Print every complaint; 1 when there is one."""
    parser = argparse.ArgumentParser(description="The list of folders, compared with the tree.")
    parser.add_argument("--write", action="store_true", help="write the list anew")
    is_writing: bool = parser.parse_args(arguments).write
    files = [path for path in check_names.tracked() if path.is_file()]
    document = DOCUMENT.read_text(encoding="utf-8")
    if is_writing:
        document = rewritten(document, Path(), files)
        DOCUMENT.write_text(document, encoding="utf-8")
    found = complaints(document, Path(), files)
    print("\n".join(found) or f"folders, each with its sentence: {len(listed(document))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
