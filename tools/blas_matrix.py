"""Runs the numerical suites under other kernels of OpenBLAS, and for other targets of Numba.

The last bits of a product are the choice of a library: OpenBLAS has kernels by processor, and Numba
has LLVM fuse or not fuse multiplications with additions. So are infinities and NaN. A test that
takes one choice for a fact passes here and fails elsewhere. Which kernels are the same is told by
their bits: the name that was asked for says little, for OpenBLAS takes others where it has none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FEWEST = 3
"""Kernels of OpenBLAS that differ; fewer prove little."""

OWN = ""
"""What the library, or the compiler, picks for this processor by itself."""

CORES = {
    "x86_64": (
        *("Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen"),
        *("SkylakeX", "Cooperlake", "SapphireRapids"),
    ),
    "aarch64": ("ARMV8", "CORTEXA57", "NEOVERSEN1", "NEOVERSEV1", "THUNDERX2T99", "ARMV8SVE"),
}
TARGETS = {"x86_64": ("generic", "haswell"), "aarch64": ("generic", "cortex-a57")}

SETTLED = ("OPENBLAS_", "NUMBA_", "NPY_", "GOTO_", "OMP_", "MKL_")
"""Variables that begin so are this program's to set."""

SUMMARY = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
TIME = re.compile(r" in ([\d.]+)s\b")


@dataclass(frozen=True)
class Setting:
    """What is asked for."""

    core: str = OWN
    target: str = OWN

    @property
    def name(self) -> str:
        """For people, and for folders."""
        return f"blas-{self.core or 'own'}-numba-{self.target or 'host'}"

    def environment(self, folder: Path) -> dict[str, str]:
        """Of a child process; kernels that Numba keeps are not shared between targets."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTLED)}
        made = {"NUMBA_CACHE_DIR": str(folder / f"cache-{self.target or 'host'}")}
        if self.core:
            made["OPENBLAS_CORETYPE"] = self.core
        if self.target:  # without the features of this processor, which Numba would add
            made |= {"NUMBA_CPU_NAME": self.target, "NUMBA_CPU_FEATURES": ""}
        return kept | made


@dataclass(frozen=True)
class Found:
    """What a child process got: names, and digests of what it computed."""

    core: str
    products: str
    target: str
    sums: str


@dataclass(frozen=True)
class Ran:
    """How the suites ended."""

    status: int
    counts: dict[str, int]
    seconds: float


def settings(machine: str = platform.machine()) -> list[Setting]:
    """All that are tried on a machine, its own choice first."""
    cores, targets = CORES.get(machine, ()), TARGETS.get(machine, ())
    return [
        Setting(),
        *(Setting(core=core) for core in cores),
        *(Setting(target=t) for t in targets),
    ]


def probe(setting: Setting, folder: Path) -> Found | None:
    """What a setting leads to; None where it cannot be here: its child died of a signal."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--probe"],
        env=setting.environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        return None
    if done.returncode:
        raise RuntimeError(f"the probe for {setting.name} failed:\n{done.stderr}")
    return Found(**json.loads(done.stdout))


def run_suites(setting: Setting, folder: Path, arguments: Sequence[str]) -> Ran:
    """Run pytest in a child process; what it prints is kept in the folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        env=setting.environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (folder / f"{setting.name}.log").write_text(done.stdout, encoding="utf-8")
    last = done.stdout.rstrip().rpartition("\n")[2]
    time = TIME.search(last)
    counts = {what: int(number) for number, what in SUMMARY.findall(last)}
    return Ran(done.returncode, counts, float(time.group(1)) if time else 0.0)


def found_here() -> Found:
    """Of this process: the bits of a fixed set of products and sums."""
    import numba
    import numpy as np

    from flight.jobs import blas, compiled

    @numba.njit(fastmath=True)
    def dot(x, y):  # type: ignore[no-untyped-def]
        total = x[0] * y[0]
        for k in range(1, x.size):
            total += x[k] * y[k]
        return total

    blas.limit_to_one_thread()
    draws = np.random.default_rng(1)
    products, sums = hashlib.sha256(), hashlib.sha256()
    for dtype in (np.float32, np.float64):
        for m, k, n in (
            (1, 70, 5),
            (5, 9, 1),
            (7, 1, 9),
            (33, 65, 3),
            (70, 30, 50),
            (193, 300, 97),
        ):
            a, b = draws.random((m, k)) - 0.5, draws.random((k, n)) - 0.5
            for one in (a.astype(dtype), a.astype(dtype, order="F")):
                for other in (b.astype(dtype), b.astype(dtype, order="F")):
                    for out in (np.empty((m, n), dtype), np.empty((n, m), dtype).T):
                        products.update(np.matmul(one, other, out).tobytes())
            products.update((one @ one.T).tobytes())
            sums.update(np.array(dot(one.T.reshape(-1), one.T.reshape(-1) + 1)).tobytes())
    target = compiled.target()[1]
    return Found(blas.core_type(), products.hexdigest()[:12], target, sums.hexdigest()[:12])


def table_row(*cells: object) -> str:
    """A line of the table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def matrix(
    folder: Path,
    arguments: Sequence[str],
    tried: Sequence[Setting],
    probe: Callable[[Setting, Path], Found | None] = probe,
    run: Callable[[Setting, Path, Sequence[str]], Ran] = run_suites,
) -> list[str]:
    """Print a row for each setting as it is done; returns a sentence for each thing amiss."""
    amiss: list[str] = []
    first: dict[tuple[str, str, str], Setting] = {}
    print(
        table_row("OpenBLAS: wanted", "got", "bits", "Numba: wanted", "got", "bits", "suites", "s")
    )
    print(table_row(*["---"] * 8))
    for setting in tried:
        wanted = setting.core or "its own", setting.target or "host"
        found = probe(setting, folder)
        if found is None:
            print(table_row(wanted[0], "-", "-", wanted[1], "-", "-", "not on this processor", "-"))
            continue
        # what LLVM makes of other loops a sum cannot tell: targets also count by their names
        same = first.setdefault((found.products, found.sums, found.target), setting)
        seconds: object = "-"
        if same is not setting:
            said = f"equal to {same.name}"
        else:
            ran = run(setting, folder, arguments)
            said = ", ".join(f"{number} {what}" for what, number in ran.counts.items()) or "no end"
            seconds = round(ran.seconds)
            if ran.status:
                amiss.append(f"{setting.name}: {said}; see {folder / setting.name}.log")
        got = found.core, found.products, wanted[1], found.target, found.sums
        print(table_row(wanted[0], *got, said, seconds), flush=True)
    kernels = len({products for products, *_ in first})
    print(f"\nkernels of OpenBLAS that differ: {kernels}")
    if kernels < FEWEST:
        amiss.append(f"only {kernels} kernels of OpenBLAS that differ ran; {FEWEST} are needed")
    return amiss


def main(arguments: list[str] | None = None) -> int:
    """Run all; 1 when a suite failed or too few kernels differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="for logs and kept kernels")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.probe:
        print(json.dumps(asdict(found_here())))
        return 0
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    amiss = matrix(folder, options.pytest, settings())
    print("\n".join(amiss) or "every suite passed under each of them")
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
