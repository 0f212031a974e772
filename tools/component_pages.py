"""The generated parts of the pages of the components: what the code says, between two comments.

    <!-- events -->
    ...
    <!-- end -->

Each component's folder has a `README.md`. What stands between such comments is made here from the
component's class, from the tables of its lifecycle, and from its tests; the rest is written by
hand. Without `--write` the pages are compared, and nothing is changed.
"""

from __future__ import annotations

import argparse
import enum
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from flight.deployment.deployment import INSTANCES
from flight.framework.component import Component
from icd.dictionary import CommandEntry, Mode
from tools import check_requirements

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "make pages"
COMPONENTS = "flight/components"
REQUIREMENTS = "docs/requirements.md"
UP = "../../.."
"""From a component's folder to the repository."""
DECIDING = ("lifecycle", "job_table", "regions", "stimuli", "puts", "chains")
"""Modules of a component that may hold a table of its states."""
TABLES = ("STATES", "NEXT", "TABLE", "_TABLE", "STEPS", "CHAINS")
"""What such a table is called."""
MOST_OPEN = 12
"""Rows of a table that is shown at once; a longer one is folded."""
_BLOCK = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
_GROUP = re.compile(r"^## (([A-Z]+): .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Folder:
    """One component's folder, and its class."""

    name: str
    instance: str
    apid: int
    kind: type[Component[Any, Any]]

    @property
    def page(self) -> str:
        """The path of its page."""
        return f"{COMPONENTS}/{self.name}/README.md"

    @property
    def tests(self) -> str:
        """The folder of its tests."""
        return f"tests/{COMPONENTS}/{self.name}"


def folders() -> list[Folder]:
    """Every component of the deployment, in the order of the folders."""
    found = [
        Folder(kind.__module__.split(".")[2], name, apid, kind) for name, apid, kind in INSTANCES
    ]
    return sorted(found, key=lambda folder: folder.name)


# ------------------------------------------------------------ what a page says


def identity(folder: Folder) -> str:
    """What ground calls it."""
    return f"Ground calls it `{folder.instance}`, APID {folder.apid}.\n"


def commands(folder: Folder) -> str:
    """A table of its telecommands."""
    plans = folder.kind.declaration.commands
    entries = [plan.entry for _, plan in sorted(plans.items())]
    rows = [(e.opcode, f"`{e.name}`", _terms(e), _one(e.description)) for e in entries]
    return _table(("opcode", "command", "terms", "what it does"), rows, "commands")


def requests(folder: Folder) -> str:
    """A table of the standard PUS requests that it carries out."""
    rows = [
        (f"{number >> 8},{number & 255}", _one(getattr(folder.kind, method).__doc__ or ""))
        for number, method in sorted(folder.kind.declaration.requests.items())
    ]
    return _table(("service", "what it does"), rows, "requests")


def events(folder: Folder) -> str:
    """A table of its events; the text without formats of numbers."""
    rows = [
        (entry.number, f"`{entry.name}`", entry.severity.name.lower(), _text(entry.template))
        for entry in sorted(folder.kind.declaration.events, key=lambda entry: entry.number)
    ]
    return _table(("number", "event", "severity", "text"), rows, "events")


def states(folder: Folder) -> str:
    """The tables of its lifecycle: what each state takes, and where it leads."""
    found: dict[type[enum.Enum], dict[enum.Enum, dict[str, str]]] = {}
    for module in _deciding(folder):
        for table in _tables(module):
            if all(isinstance(key, enum.Enum) for key in table):
                for key, value in table.items():
                    cells = found.setdefault(type(key), {}).setdefault(key, {})
                    cells.update(_cells(value))
    return "\n".join(_state_table(rows) for rows in found.values())


def requirements(folder: Folder) -> str:
    """The requirements that the tests of its folder verify, by group."""
    text = (ROOT / REQUIREMENTS).read_text(encoding="utf-8")
    titles = {group: title for title, group in _GROUP.findall(text)}
    groups: dict[str, list[str]] = {}
    for name in sorted(check_requirements.claims(ROOT / folder.tests)):
        groups.setdefault(name.split("-")[1], []).append(name)
    return "".join(
        f"- [{titles[group]}]({UP}/{REQUIREMENTS}#{anchor(titles[group])}): {', '.join(names)}\n"
        for group, names in groups.items()
    )


def tests(folder: Folder) -> str:
    """The files of its tests."""
    here = ROOT / folder.tests
    names = [path.relative_to(here).as_posix() for path in sorted(here.rglob("test_*.py"))]
    links = [f"[{name}]({UP}/{folder.tests}/{name})" for name in names]
    return f"{', '.join(links)}\n"


BLOCKS: Mapping[str, tuple[str, Callable[[Folder], str]]] = {
    "identity": ("", identity),
    "commands": ("Commands", commands),
    "requests": ("Standard PUS requests", requests),
    "events": ("Events", events),
    "states": ("States", states),
    "requirements": ("Requirements that its tests verify", requirements),
    "tests": ("Tests", tests),
}
"""Name of each generated part: its heading, and what makes it."""


def anchor(title: str) -> str:
    """The fragment by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


# ------------------------------------------------------------ pages


def rewritten(folder: Folder, page: str) -> str:
    """A page with its generated parts made anew; one that is missing is added at the end."""
    made = {name: make(folder) for name, (_, make) in BLOCKS.items()}

    def block(match: re.Match[str]) -> str:
        name = match[1]
        return _block(name, made.pop(name, "")) if name in BLOCKS else match[0]

    page = _BLOCK.sub(block, page)
    for name, text in made.items():
        if text:
            heading = BLOCKS[name][0]
            page += f"\n## {heading}\n\n{_block(name, text)}\n" if heading else ""
    return page


def complaints(pages: Path = ROOT) -> list[str]:
    """A sentence for each page that is missing, or does not say what the code says."""
    found = []
    for folder in folders():
        path = pages / folder.page
        if not path.is_file():
            found.append(f"{folder.page} is missing: write what it decides, then run `{COMMAND}`")
            continue
        page = path.read_text(encoding="utf-8")
        stale = differences(page, rewritten(folder, page))
        if stale:
            found.append(f"{folder.page}: {', '.join(stale)} not as in the code: run `{COMMAND}`")
    return found


def differences(page: str, wanted: str) -> list[str]:
    """The names of the generated parts in which two versions of a page differ."""
    before, after = (dict(_BLOCK.findall(text)) for text in (page, wanted))
    return [name for name in after if before.get(name) != after[name]]


def shown(page: str) -> int:
    """Lines of a page that are on the screen before anything is unfolded."""
    page = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    return sum(1 for line in page.splitlines() if line.strip() and not line.startswith("<!--"))


def write() -> list[str]:
    """Make every generated part anew; the pages that changed."""
    changed = []
    for folder in folders():
        path = ROOT / folder.page
        page = path.read_text(encoding="utf-8") if path.is_file() else f"# {folder.instance}\n"
        wanted = rewritten(folder, page)
        if wanted != page or not path.is_file():
            path.write_text(wanted, encoding="utf-8")
            changed.append(folder.page)
    return changed


# ------------------------------------------------------------ small steps


def _block(name: str, text: str) -> str:
    return f"<!-- {name} -->\n{text}<!-- end -->"


def _terms(entry: CommandEntry) -> str:
    terms = ["critical"] if entry.is_critical else []
    if entry.timeout_s != CommandEntry.timeout_s:
        terms.append(f"{entry.timeout_s:g} s")
    if len(entry.modes) < len(Mode):
        terms.append(f"mode {' or '.join(entry.modes).lower()}")
    return ", ".join(terms)


def _one(text: str) -> str:
    """The first paragraph, in one line."""
    return " ".join(text.split("\n\n")[0].split())


def _text(template: str) -> str:
    return re.sub(r"\{(\w+)[^{}]*\}", r"{\1}", _one(template))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[object, ...]], what: str) -> str:
    """A table without the columns in which nothing stands; folded when it is long."""
    if not rows:
        return ""
    kept = [i for i in range(len(heads)) if any(str(row[i]) for row in rows)]
    lines = [_line([heads[i] for i in kept]), "|" + "---|" * len(kept) + "\n"]
    lines += [_line([row[i] for i in kept]) for row in rows]
    text = "".join(lines)
    if len(rows) <= MOST_OPEN:
        return text
    return f"<details><summary>{len(rows)} {what}</summary>\n\n{text}\n</details>\n"


def _line(cells: list[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _deciding(folder: Folder) -> Iterator[ModuleType]:
    for name in DECIDING:
        if (ROOT / COMPONENTS / folder.name / f"{name}.py").is_file():
            yield importlib.import_module(f"flight.components.{folder.name}.{name}")


def _tables(module: ModuleType) -> Iterator[Mapping[Any, Any]]:
    """Tables under a known name, and those of the policy that a lifecycle begins with."""
    found = [vars(module).get(name) for name in TABLES]
    policy = vars(module).get("Policy")
    if policy is not None and policy.__module__ == module.__name__:
        found += vars(policy()).values()
    yield from (table for table in found if isinstance(table, Mapping))


def _cells(value: Any) -> dict[str, str]:
    """One row of a table of states: head of a column to its text."""
    if isinstance(value, Mapping):
        return {"takes": ", ".join(sorted(_word(key) for key in value))}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = cast("Any", value)._fields
        return {name: _word(each) for name, each in zip(fields, value, strict=True)}
    if isinstance(value, frozenset | set):
        return {"leads to": ", ".join(_word(each) for each in sorted(value, key=_order))}
    if isinstance(value, tuple | list):
        return {"leads to": ", then ".join(_word(each) for each in value)}
    return {type(value).__name__.lower(): _word(value)}


def _state_table(rows: dict[enum.Enum, dict[str, str]]) -> str:
    """States with the same row share it."""
    heads = tuple(dict.fromkeys(head for cells in rows.values() for head in cells))
    alike: dict[tuple[str, ...], list[str]] = {}
    for state, cells in rows.items():
        key = tuple(cells.get(head, "") for head in heads)
        alike.setdefault(key, []).append(_word(state))
    kind = re.findall("[A-Z][a-z]*", type(next(iter(rows))).__name__)[-1].lower()
    listed = [(", ".join(names), *key) for key, names in alike.items()]
    return _table((kind, *heads), listed, f"{kind}s")


def _order(member: enum.Enum) -> int:
    return list(type(member)).index(member)


def _word(thing: Any) -> str:
    if isinstance(thing, enum.Enum):
        return thing.name
    if thing is None:
        return ""
    return str(getattr(thing, "__name__", thing))


def main(arguments: list[str] | None = None) -> int:
    """Compare every page, or write it anew; 1 when one is not as the code is."""
    parser = argparse.ArgumentParser(description="Component pages: compared, or written anew.")
    parser.add_argument("--write", action="store_true", help="write the generated parts anew")
    if parser.parse_args(arguments).write:
        print("\n".join(write()) or "nothing to change")
        return 0
    found = complaints()
    print("\n".join(found) or f"component pages as in the code: {len(folders())}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
