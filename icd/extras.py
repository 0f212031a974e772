"""What is installed only when it is asked for: which extra brings a package, and the words for it.

It is part of `icd` because every side may import that, and no other package is everybody's.
The extras themselves are declared in pyproject.toml; docs/architecture.md has them as a table.
"""

from __future__ import annotations

EXTRAS_OF = {
    "matplotlib": ("plot",),
    "numba_cuda": ("cuda13", "cuda12"),
    "sgp4": ("sim",),
    "ziglang": ("zig",),
}
"""For each optional module that this software imports, the extras of which one brings it."""


def install(module: str) -> str:
    """The command that installs an optional module, in a checkout of this software."""
    return "pip install " + ", or ".join(f"'.[{extra}]'" for extra in EXTRAS_OF[module])


def missing(module: str, who: str = "this") -> str:
    """The sentence for an optional module that is not installed, by its import name."""
    return f"{who} needs {module.replace('_', '-')}: {install(module)}"


def explained(error: ImportError) -> str | None:
    """The sentence for an import that failed for want of an extra; None where that is not why."""
    module = (error.name or "").partition(".")[0]
    return missing(module) if module in EXTRAS_OF else None
