"""Runs a campaign from where its folder stands to its report."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flight.campaign import overhead, plan, pool, report, results
from flight.campaign.kernels.kind import Kinds
from flight.campaign.plan import Campaign
from flight.campaign.results import Record, Results
from flight.campaign.summary import summary
from flight.campaign.trials import Trials
from icd.written import json_value

CAMPAIGN, RUN, SUMMARY, REPORT = "campaign.toml", "run.json", "summary.json", "report.html"
DETAILS, DETAILED = "details.json", ("cells", "bits")

Progress = Callable[[int, int], None]


class FolderError(ValueError):
    """The folder holds no campaign, or cannot be written; the message says what to do."""


def run(
    source: Path,
    folder: Path,
    jobs: int,
    on_progress: Progress = lambda _done, _total: None,
    kinds: Kinds | None = None,
) -> Campaign:
    """Run what is left of a campaign; its results, times, summary and report lie in `folder`.

    Raises settings.SettingsError, results.OtherCampaign, pool.PoolError, OSError.
    """
    campaign = plan.load(source, kinds)
    folder.mkdir(parents=True, exist_ok=True)
    with Results(folder, campaign.digest) as kept:
        (folder / CAMPAIGN).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        on_progress(kept.count, campaign.trials)
        for prepared, ended in pool.run(campaign, kept.count, campaign.trials, jobs):
            kept.append(prepared.record(ended))
            on_progress(kept.count, campaign.trials)
    about = {
        "machine": machine(),
        "command": shlex.join(["flight", *sys.argv[1:]]),
        "overhead": overhead.measure(Trials(campaign)),
    }
    (folder / RUN).write_text(_json(about))
    write_report(folder, kinds)
    return campaign


def write_report(folder: Path, kinds: Kinds | None = None) -> Path:
    """Count what a folder holds anew, and write summary and report; raises FolderError."""
    campaign = opened(folder, kinds)
    about = json_value((folder / RUN).read_bytes()) if (folder / RUN).exists() else {}
    counted = summary(campaign, results.read(folder)) | about
    details = {name: counted[name] for name in DETAILED}
    (folder / DETAILS).write_text(_json(details))
    short = {name: value for name, value in counted.items() if name not in DETAILED}
    (folder / SUMMARY).write_text(_json(short))
    out = folder / REPORT
    out.write_text(report.html(counted, (folder / CAMPAIGN).read_text()), encoding="utf-8")
    return out


def replay(
    folder: Path, number: int, kinds: Kinds | None = None
) -> tuple[dict[str, Any], Record, Record | None]:
    """Do one trial again: its full address, its record, and the one that is kept, if there is.

    Raises FolderError, and LookupError when there is no such trial.
    """
    campaign = opened(folder, kinds)
    campaign.trial(number)
    ((prepared, ended),) = pool.run(campaign, number, number + 1, 1)
    kept = next((r for r in results.read(folder) if r["trial"] == number), None)
    shown = prepared.printed() | {"outcome": ended.outcome.value, "error": ended.error}
    shown |= {"found": list(ended.found), "note": ended.note}
    return shown, prepared.record(ended), kept


def opened(folder: Path, kinds: Kinds | None = None) -> Campaign:
    """The campaign of a folder; raises FolderError."""
    path = folder / CAMPAIGN
    if not path.is_file():
        raise FolderError(f"{folder} holds no campaign; run one there: flight campaign FILE --out")
    return plan.load(path, kinds)


def _json(content: dict[str, Any]) -> str:
    """JSON with a row of a table on each line."""
    parts = []
    for name, value in content.items():
        written = json.dumps(value)
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            written = f"[\n  {rows}\n ]" if value else "[]"
        parts.append(f" {json.dumps(name)}: {written}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def machine() -> dict[str, Any]:
    """What the times were taken on, and what the bits depend on."""
    from flight.jobs import blas, compiled

    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": version("numba"),
        "blas_core": blas.core_type(),
        "compiled_for": list(compiled.target()),
        "vanallen": version("vanallen"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()
