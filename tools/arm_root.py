"""The Debian for arm64 that `make test-arm` runs the tests in: unpacked, never started.

Its packages come by mmdebstrap from the mirror that this machine's apt names, its Python packages
by this machine's pip, as wheels. No package's script runs: it takes seconds and needs no emulator.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from packaging.requirements import Requirement

SUITE, PYTHON, NEWEST_GLIBC = "bookworm", "3.11", 36
PACKAGES = ("qemu-user-static", "mmdebstrap", "debian-archive-keyring")
TOOLS = {
    *("pytest", "pytest-xdist", "execnet", "pytest-timeout", "iniconfig", "packaging", "pluggy"),
    *("pygments", "hypothesis", "sortedcontainers", "sgp4"),
}
"""What the tests need besides what runs and the text; not all of dev.txt has wheels for aarch64."""


def give_up(sentence: str) -> NoReturn:
    """End with a sentence that says what to do."""
    sys.exit(f"make test-arm: {sentence}")


def do(*command: str | Path, **options: Any) -> str:
    """A command's standard output; gives up when it fails, its own errors having been shown."""
    try:
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **options)
    except (OSError, subprocess.CalledProcessError) as error:
        give_up(f"cannot set up: {error} Mend what is said above, then run it again.")
    return str(ended.stdout)


def install_tools() -> str:
    """The path of QEMU, which is installed with the other tools where one is missing."""
    if not (shutil.which("qemu-aarch64-static") and shutil.which("mmdebstrap")):
        if shutil.which("apt-get") is None:
            give_up(f"no apt-get here: install what Debian calls {', '.join(PACKAGES)}.")
        print(f"installing {', '.join(PACKAGES)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        options = ("-qq", "-y", "--no-install-recommends")
        do("apt-get", "-qq", "update", env=environment)
        do("apt-get", *options, "install", *PACKAGES, env=environment)
    return shutil.which("qemu-aarch64-static") or give_up("qemu-aarch64-static is not on the path.")


def locked(whole: str, dev: str) -> str:
    """All of the lock files ``whole`` and the tools of ``dev``, as the root's Python needs them."""
    version = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.2"}
    there = {**version, "platform_machine": "aarch64", "implementation_name": "cpython"}
    chosen: dict[str, str] = {}
    for text, is_wanted in ((whole, None), (dev, TOOLS)):
        for line in text.replace("\\\n", " ").splitlines():
            words, *hashes = re.split(r"\s+(?=--hash)", line.strip())
            if not words or words.startswith("#"):
                continue
            named = Requirement(words)
            is_there = named.marker is None or named.marker.evaluate(there)
            if is_there and (is_wanted is None or named.name in is_wanted):
                chosen[named.name] = " ".join((f"{named.name}{named.specifier}", *hashes))
    return "\n".join(chosen.values()) + "\n"


def make_root(root: Path, requirements: str) -> None:
    """Unpack Debian and the Python packages into ``root``, unless just these are there."""
    key = hashlib.sha256((Path(__file__).read_text() + requirements).encode()).hexdigest()
    mark = root.with_suffix(".made")
    if mark.exists() and mark.read_text() == key:
        return
    print(f"unpacking Debian {SUITE} for arm64 into {root} (once)", flush=True)
    mark.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _unpack_debian(root, Path(folder, "apt.conf"))
        listed = Path(folder, "requirements.txt")
        listed.write_text(requirements)
        _unpack_wheels(root / f"usr/local/lib/python{PYTHON}/dist-packages", listed)
    for name in ("passwd", "group"):  # which the script of a package would make
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    mark.write_text(key)


def _unpack_debian(root: Path, settings: Path) -> None:
    settings.write_text(do("apt-config", "dump", "Acquire"))  # this machine's proxies and limits
    form = "$(ORIGIN) $(COMPONENT) $(REPO_URI)"
    rows = [row.split() for row in do("apt-get", "indextargets", "--format", form).splitlines()]
    # A machine that is no Debian names no mirror of it; then mmdebstrap's own choice is taken.
    named = [row[2] for row in rows if row[:2] == ["Debian", "main"] and "security" not in row[2]]
    how = ("--quiet", "--mode=root", "--architectures=arm64", "--variant=extract")
    what = ("--skip=check/qemu", "--include=?essential", "--include=python3,gcc,libc6-dev")
    do("mmdebstrap", *how, f"--aptopt={settings}", *what, SUITE, root, *named[:1])


def _unpack_wheels(folder: Path, listed: Path) -> None:
    pip = (sys.executable, "-m", "pip", "-qq", "install", "--no-deps", "--only-binary=:all:")
    tags = [f"--platform=manylinux_2_{n}_aarch64" for n in range(NEWEST_GLIBC, 16, -1)]
    exact = ("--platform=manylinux2014_aarch64", f"--python-version={PYTHON}", "--require-hashes")
    do(*pip, *tags, *exact, "--target", folder, "-r", listed)
