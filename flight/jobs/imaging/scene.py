"""The imaging job: a band index of a scene, and what changed in it since an earlier one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from flight.fault_tolerance.guard import Guard
from flight.fault_tolerance.levels import Level
from flight.jobs.api import Array, InputError, Job
from flight.jobs.imaging import JOB, Parameters, images, kernels

TILE_ROWS = 256
"""Rows worked on between two beats."""

HISTOGRAM_BINS = 20


def run(job: Job) -> None:
    """Make the products that `job.parameters` ask for; raises InputError for an image."""
    parameters: Parameters = job.parameters
    scene = job.region("scene", images.read(job.input("scene"), "scene"))
    earlier = None
    if parameters.earlier:
        earlier = job.region("earlier", images.read(job.input("earlier"), "earlier"))
    _check(parameters, scene, earlier)
    work = Scene(job, len(range(0, scene.shape[1], TILE_ROWS)) * (6 if earlier is not None else 3))
    index = work.index(scene)
    statistics = work.statistics(index)
    report: dict[str, Any] = {
        "format": 1,
        "parameters": {name: v for name, v in asdict(parameters).items() if not _is_file(name)},
        "bands": scene.shape[0],
        "rows": scene.shape[1],
        "columns": scene.shape[2],
        "index": statistics | {"histogram": _histogram(index)},
    }
    np.save(job.output("index.npy"), index)
    job.metric(mean_index=statistics["mean"] or 0.0)
    if earlier is not None:
        mask, change = work.change(index, work.index(earlier), parameters.threshold)
        images.write_pgm(job.output("change.pgm"), mask)
        report["change"] = change
        job.metric(changed=change["changed_percent"])
    job.output("report.json").write_text(json.dumps(report, indent=1) + "\n")
    job.progress(work.total, work.total)


class Scene:
    """The work on one scene, tile by tile, each tile one launch.

    From level ABFT on each launch is repeated (there is no checksum to keep), and one row of a tile
    holds values whose index is known: a kernel that is wrong in the same way each time is found.
    """

    def __init__(self, job: Job, total: int) -> None:
        self.job = job
        self.total = total
        self.guard = Guard(lambda: job.level, job.tally, JOB.bit_identical, job.log)
        self._done = 0

    def index(self, image: Array) -> Array:
        """The band index of an image, float32."""
        parameters: Parameters = self.job.parameters
        upper, lower = image[parameters.upper_band], image[parameters.lower_band]
        out = np.empty(upper.shape, np.float32)
        known = self.guard.known_answers(kernels.problems(upper.shape[1]))

        def work(rows: slice) -> None:
            if self.guard.level is Level.NONE:
                self._launch(kernels.band_index, upper[rows], lower[rows], out[rows])
            else:
                known.run(self._index_of, (upper[rows], lower[rows]), out[rows])

        self._tiles(len(out), work)
        return out

    def _index_of(self, upper: Array, lower: Array, out: Array) -> None:
        self._launch(kernels.band_index, upper, lower, out, overwritten=(out,))

    def statistics(self, values: Array) -> dict[str, Any]:
        """How many values are numbers, their mean, deviation and range; null where there are none.

        Two passes, so that the deviation of nearly equal values stays exact.
        """
        known, total, _ = self._sums(values, 0.0)
        if not known:
            return {"known": 0, "mean": None, "deviation": None, "lowest": None, "highest": None}
        mean = total / known
        _, rest, squares = self._sums(values, mean)
        return {
            "known": known,
            "mean": mean,
            "deviation": math.sqrt(max(squares - rest * rest / known, 0.0) / known),
            "lowest": float(np.nanmin(values)),
            "highest": float(np.nanmax(values)),
        }

    def change(
        self, later: Array, earlier: Array, threshold: float
    ) -> tuple[Array, dict[str, Any]]:
        """The mask of changes beyond `threshold` deviations of the difference, and counts."""
        difference = later - earlier
        found = self.statistics(difference)
        mask = np.zeros(difference.shape, np.uint8)
        changed = 0
        if found["known"] and found["deviation"] > 0:
            limit = threshold * found["deviation"]
            counts = self._tiles(
                len(mask),
                lambda rows: self._launch(
                    kernels.change_mask,
                    difference[rows],
                    found["mean"],
                    limit,
                    mask[rows],
                    overwritten=(mask[rows],),
                ),
            )
            changed = sum(counts)
        percent = 100.0 * changed / found["known"] if found["known"] else 0.0
        return mask, found | {"changed": changed, "changed_percent": percent}

    def _sums(self, values: Array, centre: float) -> tuple[int, float, float]:
        rows = self._tiles(
            len(values), lambda rows: self._launch(kernels.sums, values[rows], centre)
        )
        known, totals, squares = zip(*rows, strict=True)
        return sum(known), math.fsum(totals), math.fsum(squares)

    def _tiles(self, rows: int, work: Callable[[slice], Any]) -> list[Any]:
        results: list[Any] = []
        for low in range(0, rows, TILE_ROWS):
            self.job.beat()
            tile = slice(low, low + TILE_ROWS)
            results.append(work(tile))
            self._done += 1
            self.job.progress(min(self._done, self.total), self.total)
        return results

    def _launch(self, kernel: Any, *arguments: Any, overwritten: tuple[Array, ...] = ()) -> Any:
        """Run a kernel on the job's device, as often as the level asks."""

        def launch() -> Any:
            result = self.job.compute.launch(kernel, *arguments)
            self.job.compute.synchronise()
            return result

        return self.guard.call(launch, overwritten=overwritten)


def _check(parameters: Parameters, scene: Array, earlier: Array | None) -> None:
    bands = len(scene)
    for name in ("upper_band", "lower_band"):
        if getattr(parameters, name) >= bands:
            raise InputError(
                f"{name} = {getattr(parameters, name)}; scene has {bands} band"
                f"{'s' * (bands > 1)}, give 0 … {bands - 1}"
            )
    if parameters.upper_band == parameters.lower_band:
        raise InputError("upper_band and lower_band are the same; an index needs two bands")
    if earlier is not None and earlier.shape != scene.shape:
        raise InputError(
            f"earlier has shape {earlier.shape}, scene has {scene.shape}; give acquisitions of the "
            "same bands and size (bands x rows x columns)"
        )


def _histogram(index: Array) -> list[int]:
    """Counts of the index in equal bins from -1 to 1."""
    counts, _ = np.histogram(index[np.isfinite(index)], HISTOGRAM_BINS, (-1.0, 1.0))
    return [int(count) for count in counts]


def _is_file(name: str) -> bool:
    return name in ("scene", "earlier")
