"""Build the emulated libnvidia-ml.so.1 once per source, into a cache of the user's."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from icd import extras
from sim_hw.nvml_library import layout

NAME = "libnvidia-ml.so.1"
SOURCES = (
    *("life.c", "identity.c", "sensors.c", "control.c"),
    *("reliability.c", "fields.c", "mig.c", "events.c"),
)
HEADERS = ("abi.h", "library.h")
FUNCTIONS = "functions.txt"
"""Every function that the interface declares, one a line; a test compares it with nvml.h."""
FLAGS = (
    *("-O2", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Wshadow", "-Werror", f"-Wl,-soname,{NAME}"),
)
_FOLDER = Path(__file__).parent
_DEFINED = re.compile(r"^(?:CALL|GETTER2?|TEXT|NO_PROCESSES)\((nvml\w+)", re.MULTILINE)
_MENTIONED = re.compile(r"""["'](nvml[A-Z]\w+)["']""")


class BuildError(Exception):
    """The library could not be built; the text says what to install."""


def calls() -> list[str]:
    """The functions that really answer; the index is the slot of an injected error."""
    found = [
        name for source in SOURCES for name in _DEFINED.findall((_FOLDER / source).read_text())
    ]
    if len(found) > layout.CALLS:
        raise BuildError(f"{len(found)} calls but room for {layout.CALLS}; raise layout.CALLS")
    return found


def unsupported() -> list[str]:
    """Every other function of the interface or of nvidia-ml-py: exported, answers NOT_SUPPORTED."""
    spec = importlib.util.find_spec("pynvml")
    if spec is None or spec.origin is None:
        raise BuildError("nvidia-ml-py is not installed; pip install nvidia-ml-py")
    names = set(_MENTIONED.findall(Path(spec.origin).read_text()))
    names.update((_FOLDER / FUNCTIONS).read_text().split())
    return sorted(names - set(calls()) - {"nvmlErrorString"})


def generated() -> dict[str, str]:
    """The sources that are not written by hand, by file name."""
    names = "".join(f"    CALL_{name},\n" for name in calls())
    stubs = "".join(f"STUB({name})\n" for name in unsupported())
    return {
        "state.h": layout.header(),
        "calls.h": f"enum {{\n{names}}};\n",
        "stubs.c": '#define STUB(name) __attribute__((visibility("default"))) '
        f"int name(void) {{ return 3; }}\n{stubs}",
    }


def library() -> Path:
    """The built library, built now if the cache has none for these sources. Raises BuildError."""
    made = generated()
    target = cache_folder() / f"nvml-{_digest(made)}" / NAME
    try:
        if not target.exists():
            _build(made, target)
    except OSError as error:
        raise BuildError(
            f"cannot keep the emulated library in {target.parent} ({error.strerror}); set "
            "XDG_CACHE_HOME to a folder that can be written"
        ) from error
    return target


def cache_folder() -> Path:
    """Where built libraries are kept: $XDG_CACHE_HOME/vanallen, or ~/.cache/vanallen.

    Raises BuildError for a user without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "vanallen"
    except RuntimeError:
        raise BuildError("this user has no home folder; set XDG_CACHE_HOME to a folder") from None


def _digest(made: dict[str, str]) -> str:
    digest = hashlib.sha256(platform.machine().encode())
    for name in (*HEADERS, *SOURCES):
        digest.update((_FOLDER / name).read_bytes())
    for text in (*made.values(), *FLAGS):
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def compiler() -> list[str]:
    """The C compiler that there is, as words of a command. Raises BuildError."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    how = extras.install("ziglang")
    raise BuildError(f"no C compiler for the emulated board; apt install gcc, or {how}")


def _build(made: dict[str, str], target: Path) -> None:
    """Compile in a folder of our own, then move the result in place: concurrent builds are safe."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as name:
        folder = Path(name)
        for file, text in made.items():
            (folder / file).write_text(text)
        sources = [*(str(_FOLDER / source) for source in SOURCES), str(folder / "stubs.c")]
        output = folder / NAME
        command = [*compiler(), *FLAGS, f"-I{folder}", f"-I{_FOLDER}", "-o", str(output), *sources]
        zig = {"ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)}
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **zig}
        )
        if ended.returncode != 0:
            raise BuildError(f"building {NAME} failed: {' '.join(command)}\n{ended.stderr}")
        output.rename(target)
