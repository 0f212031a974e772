"""Times the same benchmarks in this tree and in another one, by turns: is it slower than before?

    git worktree add /tmp/before COMMIT && make -C /tmp/before .venv/.dev
    python -m benchmarks.two_trees /tmp/before --rounds 5

Each round runs the benchmarks once in each tree, each with the tree's own environment, and the tree
that goes first changes. What is compared is the fastest round of each run's median; the machine is
shared, so that single runs vary. A ratio above 1: this tree is slower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).absolute().parents[1]
DEFAULT = "benchmarks/test_executive.py"


def medians(tree: Path, target: str) -> dict[str, float]:
    """Median seconds of each benchmark of one run, by name."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        words = [tree / ".venv/bin/python", "-m", "pytest", target, "-n", "0"]
        subprocess.run(
            [*map(str, words), f"--benchmark-json={result}"],
            cwd=tree,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        runs = json.loads(result.read_text(encoding="utf-8"))["benchmarks"]
    return {run["name"]: float(run["stats"]["median"]) for run in runs}


def main() -> None:
    """Print a row for each benchmark that both trees have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("other", type=Path, help="the tree to compare with, its .venv made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", default=DEFAULT, help=f"what pytest runs (default: {DEFAULT})")
    given = parser.parse_args()
    found: dict[Path, list[dict[str, float]]] = {HERE: [], given.other.absolute(): []}
    for number in range(given.rounds):
        for tree in sorted(found, reverse=number % 2 == 0):
            found[tree].append(medians(tree, given.target))
    ours, theirs = found.values()
    print(f"{'benchmark':60} {'before':>10} {'now':>10} {'fastest':>8} {'median':>8}")
    for name in sorted(ours[0].keys() & theirs[0].keys()):
        now, before = ([run[name] for run in runs] for runs in (ours, theirs))
        fastest = min(now) / min(before)
        typical = statistics.median(now) / statistics.median(before)
        print(
            f"{name:60} {min(before) * 1e6:8.2f}us {min(now) * 1e6:8.2f}us "
            f"{fastest:8.3f} {typical:8.3f}"
        )


if __name__ == "__main__":
    main()
