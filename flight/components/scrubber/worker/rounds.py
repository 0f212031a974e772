"""The rounds of the scrub worker: it finds regions, walks them in stripes, says what it found."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flight.components.scrubber.regions import MOST_FOUND, Kind, State
from flight.components.scrubber.worker.mapped_regions import (
    SUSPICION,
    Busy,
    Mapped,
    NotWalkable,
    RegionFiles,
    Suspicion,
    has_owner,
    identity,
    kind_of,
    open_mapped,
)
from flight.components.scrubber.worker.pace import Pace, Stripe
from flight.components.scrubber.worker.walk import Turn, Walk
from flight.framework.time_units import SECOND

SEARCH_NS = 2 * SECOND
TELL_NS = 5 * SECOND
RATE = 112.0 * (1 << 20)
PERIOD_NS = 10 * SECOND
MOST_UNTOLD = 4096
"""Blocks found that the executive has not read yet; corrected ones beyond are only counted."""

Send = Callable[[str, dict[str, Any]], bool]
Walked = Callable[[str, int], None]


class Rounds:
    """All regions of one payload; `step` does what is due and never takes long."""

    def __init__(self, run_dir: Path, send: Send, warm: Callable[[], None] = lambda: None) -> None:
        self.is_enabled = True
        self.warm = warm
        """Called before the code is needed, whose import takes seconds."""
        self.files = RegionFiles(run_dir)
        self.walk = Walk(PERIOD_NS)
        self.pace = Pace(RATE)
        self.stripe = Stripe()
        self.mapped: dict[str, Mapped] = {}
        self.broken: dict[str, list[Any]] = {}
        """Name → its row in `unusable`: name, kind, job, made, reason."""
        self.retired: dict[str, int] = {}
        """Regions of jobs that are walked no more, and what they were made of."""
        self.processes: list[tuple[str, int]] = []
        self.on_walked: Walked = lambda _name, _now: None
        self._send = send
        self._suspicion = Suspicion(run_dir / SUSPICION)
        self._found: deque[list[Any]] = deque()
        self._left: dict[str, tuple[int, int]] = {}
        """Files that are not walked, broken or without owner, as they were when that was found."""
        self._search_due = self._tell_due = 0
        self._is_changed = False
        self._octets = self._stripes = 0
        self._told_octets, self._told_at, self._now = 0, 0, 0

    def due(self) -> int:
        """When there is something to do, in ns of its clock."""
        dues = [self._search_due, self._tell_due]
        if self.is_enabled and (walk := self.walk.due()) is not None:
            dues.append(max(walk, self.pace.due()))
        return min(dues)

    def step(self, now: int) -> None:
        """Search, walk one stripe, and tell, each where it is due."""
        self._now = now
        if now >= self._search_due:
            self._search_due = now + SEARCH_NS
            self.search()
        if self.is_enabled and now >= self.pace.due():
            self._stripe(now)
        self._tell_found()
        is_due = now >= self._tell_due
        if is_due or self._is_changed:
            self._tell_regions(now)
        if is_due:
            self._tell_status(now)

    def search(self) -> None:
        """Take up regions that have come, let go of those that are gone."""
        found = self.files.search()
        for name in {*self.mapped, *self._left, *self.retired} - found.keys():
            self._left.pop(name, None)
            self.drop(name)
        for name, (path, inode, job) in found.items():
            known = self.mapped.get(name)
            if known is not None and known.inode != inode:
                self._suspicion.survived(name)
                self.drop(name)
                known = None
            if known is None and not self._is_left(name, path, inode):
                self._open(name, path, inode, job)
            elif known is not None:
                self._look_at(known)
        self.pace.needed = self.walk.octets / (self.walk.period / SECOND)

    def drop(self, name: str) -> None:
        """Forget a region, whatever its state."""
        self.walk.drop(name)
        self.broken.pop(name, None)
        self.retired.pop(name, None)
        if mapped := self.mapped.pop(name, None):
            mapped.close()
        self._is_changed = True

    def retire(self, name: str) -> None:
        """Walk a region no more: a file of our own is removed, a job's is left to the job."""
        mapped, path = self.mapped.get(name), self.files.own_folder / name
        is_own = not name.startswith("job-")
        made = mapped.made if mapped else int(self.broken.get(name, [0] * 5)[3])
        inode = mapped.inode if mapped else made
        self.drop(name)
        if is_own:
            path.unlink(missing_ok=True)
        else:
            self.retired[name] = inode

    def close(self) -> None:
        """Unmap every region; the one walked last is not blamed for the end of the process."""
        self._suspicion.walking("")
        for mapped in self.mapped.values():
            mapped.close()

    # ------------------------------------------------------------ searching

    def _is_left(self, name: str, path: Path, inode: int) -> bool:
        """Whether a file is known, and known not to be walked."""
        if name in self._left and self._left[name] != identity(path):
            del self._left[name]
            self._suspicion.survived(name)
            self.drop(name)
        return name in self._left or self.retired.get(name) == inode

    def _open(self, name: str, path: Path, inode: int, job: int) -> None:
        kind = kind_of(name, job, has_golden=False)
        if self._suspicion.is_grave(name):
            why = "workers died again and again while they walked it"
            self._break(name, kind, job, path, inode, why)
            return
        self.warm()
        try:
            mapped = open_mapped(name, path, job)
        except FileNotFoundError:
            return
        except (NotWalkable, OSError) as error:
            self._break(name, kind, job, path, inode, str(error))
            return
        if job and not has_owner(mapped.said):
            self._left[name] = identity(path)
            mapped.close()
            return
        self.mapped[name] = mapped
        self._is_changed = True
        self._look_at(mapped)

    def _look_at(self, mapped: Mapped) -> None:
        """See whether a region is sealed by now, or open again, or nobody's."""
        before, made = mapped.state, mapped.made
        try:
            mapped.refresh()
        except (NotWalkable, OSError) as error:
            self._give_up(mapped, str(error))
            return
        if mapped.job and not has_owner(mapped.said):
            self.drop(mapped.name)
            self._left[mapped.name] = identity(mapped.path)
            return
        is_walked = mapped.name in self.walk.regions
        if mapped.state is State.WALKED and (not is_walked or mapped.made != made):
            self.walk.add(mapped.name, mapped.said.length, mapped.region.blocks)
        elif mapped.state is State.OPEN and is_walked:
            self.walk.drop(mapped.name)
        self._is_changed = self._is_changed or mapped.state is not before

    def _give_up(self, mapped: Mapped, reason: str) -> None:
        self.drop(mapped.name)
        place = (mapped.job, mapped.path, mapped.inode)
        self._break(mapped.name, mapped.kind, *place, reason)

    def _break(self, name: str, kind: Kind, job: int, path: Path, inode: int, reason: str) -> None:
        self._left[name] = identity(path)
        self.broken[name] = [name, int(kind), job, inode, reason[:160]]
        self._is_changed = True

    # ------------------------------------------------------------ walking

    def _stripe(self, now: int) -> None:
        turn = self.walk.next(now, self.stripe.octets)
        if turn is None:
            return
        mapped = self.mapped[turn.name]
        self._suspicion.walking(turn.name)
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        try:
            found = mapped.look(turn.first, turn.last)
        except Busy:
            self.walk.skip(turn.name, now)
            return
        except (NotWalkable, OSError) as error:
            self._give_up(mapped, str(error))
            return
        wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
        octets = min(mapped.said.length, (turn.last - turn.first) * mapped.octets_of_block)
        self.stripe.took(octets, wall, cpu)
        self.pace.walked(octets, now, self.stripe.is_crowded)
        self._octets, self._stripes = self._octets + octets, self._stripes + 1
        for mended in found:
            self._note(mapped, mended)
        self._end(turn, now)

    def _end(self, turn: Turn, now: int) -> None:
        if self.walk.done(turn, now):
            self._suspicion.survived(turn.name)
            self._suspicion.walking("")
            self.on_walked(turn.name, now)

    def _note(self, mapped: Mapped, mended: Any) -> None:
        offset = mended.block * mapped.octets_of_block
        place = [mapped.name, int(mapped.kind), mapped.job, mapped.made, mended.block]
        if int(mended.verdict) and len(self._found) < MOST_UNTOLD:
            bits = [mended.data_bits, mended.check_bits]
            self._found.append([*place, int(mended.verdict), *bits, offset])

    # ------------------------------------------------------------ telling

    def tell_changes(self) -> None:
        """Tell of regions that came or went, before whoever asked for it is answered."""
        if self._is_changed:
            self._tell_regions(self._now)

    def tell_again(self) -> None:
        """There is another executive: tell it everything at once."""
        self._tell_due = 0

    def _tell_found(self) -> None:
        while self._found:
            part = [self._found[i] for i in range(min(len(self._found), MOST_FOUND))]
            if not self._send("found", {"rows": part}):
                return  # kept, and tried again at the next step
            for _ in part:
                self._found.popleft()

    def _tell_regions(self, now: int) -> None:
        self._is_changed = not self._send("regions", {"rows": self._rows(now)})
        if self.broken:
            self._send("unusable", {"rows": list(self.broken.values())})

    def _tell_status(self, now: int) -> None:
        self._tell_due = now + TELL_NS
        seconds = max(now - self._told_at, 1) / SECOND
        rate = (self._octets - self._told_octets) / seconds
        self._told_octets, self._told_at = self._octets, now
        status = {
            "rate": rate,
            "octets": self._octets,
            "stripes": self._stripes,
            "longest_us": self.stripe.longest_ns // 1000,
            "is_crowded": self.stripe.is_crowded,
            "unscrubbed": [[name, own_octets(pid)] for name, pid in self.processes],
        }
        self.stripe.longest_ns = 0
        self._send("status", status)

    def _rows(self, now: int) -> list[list[Any]]:
        rows = [self._row(mapped, now) for mapped in self.mapped.values()]
        for name, kind, job, made, _ in self.broken.values():
            rows.append([name, kind, job, made, 0, int(State.UNUSABLE), 0, -1, 0, 0])
        for name, made in self.retired.items():
            rows.append([name, int(Kind.JOB), 0, made, 0, int(State.RETIRED), 0, -1, 0, 0])
        return rows

    def _row(self, mapped: Mapped, now: int) -> list[Any]:
        progress = self.walk.regions.get(mapped.name)
        passes, age_ms = 0, -1
        if progress is not None and progress.ended is not None:
            passes, age_ms = progress.passes, max(0, now - progress.ended) // 1_000_000
        head = [mapped.name, int(mapped.kind), mapped.job, mapped.made, mapped.said.length]
        counts = [passes, age_ms, mapped.corrected, len(mapped.lost)]
        return [*head, int(mapped.state), *counts]


def own_octets(pid: int) -> int:
    """Memory of a process that is its own and no file's; 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in text.splitlines())
    return int(fields.get("RssAnon", "0 kB").split()[0]) * 1024
