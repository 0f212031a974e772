"""Finds names of one person's machine: paths outside the system's own folders, hosts not listed."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# Folders that every Linux has.
ROOTS = {
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "opt",
    "proc",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "var",
}
EXAMPLES = {"path", "nowhere", "state"}  # what stands for a path that the reader chooses
# Where the standards, licences and public code that we cite are kept.
HOSTS = {
    "127.0.0.1",
    "localhost",
    "arxiv.org",
    "doi.org",
    "ecss.nl",
    "github.com",
    "keepachangelog.com",
    "public.ccsds.org",
    "semver.org",
    "www.apache.org",
    "www.omg.org",
}

ABSOLUTE = re.compile(r"""(?:^|(?<=[\s"'`=(:,\[]))/([A-Za-z][\w-]*)/[\w.]""")
URL = re.compile(r"\b(?:https?|ftp|git|ssh)://(?:[\w.-]+@)?([\w.-]+)")


def complaints(path: Path, text: str) -> list[str]:
    """ "file:line: sentence" for each foreign path and unlisted host in a text."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for root in ABSOLUTE.findall(line):
            if root not in ROOTS | EXAMPLES:
                found.append(f"{path}:{number}: /{root}/… is a path of one machine only")
        for host in URL.findall(line):
            if host not in HOSTS:
                found.append(f"{path}:{number}: host {host} is not listed in tools/check_names.py")
    return found


def tracked() -> list[Path]:
    """Every file that git knows, or would take, in the current folder."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in listing.split("\0") if name]


def check(paths: Iterable[Path]) -> list[str]:
    """The complaints about those of the files that are text."""
    found = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # not text, or deleted and not yet committed
        found += complaints(path, text)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print every complaint; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="files to check; all, if none is named")
    options = parser.parse_args(arguments)
    found = check(options.files or tracked())
    print("\n".join(found) or "no path or host of one machine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
