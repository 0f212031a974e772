"""A scrub worker that walks regions which are only numbers, on the clock that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

from flight.components.scrubber.regions import TEST_REGION, Kind, State, Verdict
from flight.framework.simulated_worker import SimulatedWorker
from flight.framework.time_units import SECOND

TELL_NS = 5 * SECOND
BLOCK = 32 << 10


@dataclass
class SimulatedRegion:
    """One region: which of its blocks are wrong, and how."""

    octets: int
    kind: Kind = Kind.FILE
    job: int = 0
    made: int = 1
    golden: str = ""
    passes: int = 0
    ended: int = -1
    corrected: int = 0
    flipped: dict[int, int] = field(default_factory=dict)
    """Block → wrong bits that the next walk sets right."""
    lost: set[int] = field(default_factory=set)


class SimulatedScrubber(SimulatedWorker):
    """Walks every region once a period when stepped. `regions` is what it knows; a test changes
    it, and sets `golden_is_gone` for a file store that does not give a golden copy back."""

    def __init__(self, clock: Callable[[], int], files: Mapping[str, Sized]) -> None:
        super().__init__("scrub", clock)
        self.regions: dict[str, SimulatedRegion] = {}
        self.golden_is_gone = False
        self.settings: dict[str, Any] = {"is_enabled": False, "period_s": 10.0, "factor": 1.0}
        self._files = files
        self._wake: Callable[[], None] = lambda: None
        self._walk_due = self._tell_due = 0
        self._walks: list[int] = []
        self._octets = 0

    def on_work(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a message is taken, so that whoever steps this knows."""
        self._wake = wake

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Take a message; it is heeded at the next step."""
        taken = super().send(kind, body)
        if taken:
            self._wake()
        return taken

    def replaced(self) -> None:
        """Another worker has started in its place; it finds the same files."""
        super().replaced()
        self._walk_due = self._tell_due = 0
        self.say("ready", {"pid": self.pid})

    def run(self, now: int) -> int | None:
        """Heed messages, walk and tell. On-board ns in, next due out."""
        if self.is_hung or self.is_gone:
            return None
        messages, self.sent = self.sent, []
        for kind, body in messages:
            self._heed(kind, body, now)
        is_due = self.settings["is_enabled"] and now >= self._walk_due
        if self.regions and (is_due or self._walks):
            self._walk(now)
        if now >= self._tell_due:
            self._tell(now)
        dues = [self._tell_due]
        if self.regions and self.settings["is_enabled"]:
            dues.append(self._walk_due)
        return min(dues)

    def _heed(self, kind: str, body: Mapping[str, Any], now: int) -> None:
        self._tell_due = now
        if kind == "hello":
            self.say("ready", {"pid": self.pid})
        elif kind == "settings":
            self.settings = dict(body)
            self._walk_due = now
        elif kind == "scrub":
            self._walks.append(body.get("id", 0))
        elif kind in ANSWERED:
            why = ANSWERED[kind](self, body)
            value = 0
            if kind in ("register", "test") and not why:
                value = self.regions[body.get("region", TEST_REGION)].octets
            self.say("done", {"id": body["id"], "ok": not why, "text": why, "value": value})

    def _register(self, body: Mapping[str, Any]) -> str:
        name, golden = body["region"], body["golden"]
        if golden not in self._files:
            return f"{golden}: No such file or directory"
        if name not in self.regions:
            self.regions[name] = SimulatedRegion(len(self._files[golden]), golden=golden)
        return ""

    def _reload(self, body: Mapping[str, Any]) -> str:
        region = self.regions[body["region"]]
        if self.golden_is_gone or region.golden not in self._files:
            return "the golden copy is gone"
        region.lost.discard(body["block"])
        return ""

    def _retire(self, body: Mapping[str, Any]) -> str:
        self.regions.pop(body["region"], None)
        return ""

    def _remake(self, _: Mapping[str, Any]) -> str:
        return self._test({"octets": self.regions[TEST_REGION].octets})

    def _test(self, body: Mapping[str, Any]) -> str:
        before = self.regions.get(TEST_REGION)
        made = before.made + 1 if before else 1
        self.regions[TEST_REGION] = SimulatedRegion(body["octets"], Kind.TEST, made=made)
        return ""

    def _inject(self, body: Mapping[str, Any]) -> str:
        """Bits at a distance of 512 are in one lane: two of them are lost."""
        region = self.regions[TEST_REGION]
        if body["bits"] > 1 and body["distance"] % 512 == 0:
            region.lost.add(body["block"])
        else:
            region.flipped[body["block"]] = body["bits"]
        return ""

    def _walk(self, now: int) -> None:
        self._walk_due = now + int(self.settings["period_s"] * SECOND / self.settings["factor"])
        rows = []
        for name, region in self.regions.items():
            place = [name, int(region.kind), region.job, region.made]
            for block, bits in region.flipped.items():
                rows.append([*place, block, int(Verdict.CORRECTED), bits, 0, block * BLOCK])
                region.corrected += 1
            for block in sorted(region.lost):
                rows.append([*place, block, int(Verdict.LOST), 0, 0, block * BLOCK])
            region.flipped.clear()
            region.passes, region.ended = region.passes + 1, now
            self._octets += region.octets
        if rows:
            self.say("found", {"rows": rows})
        for number in filter(None, self._walks):
            self.say("done", {"id": number, "ok": True, "text": "", "value": 1})
        self._walks.clear()

    def _tell(self, now: int) -> None:
        self._tell_due = now + TELL_NS
        rows = []
        for name, region in self.regions.items():
            age_ms = (now - region.ended) // 1_000_000 if region.passes else -1
            head = [name, int(region.kind), region.job, region.made, region.octets]
            counts = [region.passes, age_ms, region.corrected, len(region.lost)]
            rows.append([*head, int(State.WALKED), *counts])
        self.say("regions", {"rows": rows})
        status = {"rate": 0.0, "octets": self._octets, "stripes": 0, "longest_us": 0}
        self.say("status", {**status, "is_crowded": False, "unscrubbed": []})


ANSWERED: Mapping[str, Callable[[SimulatedScrubber, Mapping[str, Any]], str]] = {
    "register": SimulatedScrubber._register,
    "reload": SimulatedScrubber._reload,
    "retire": SimulatedScrubber._retire,
    "remake": SimulatedScrubber._remake,
    "test": SimulatedScrubber._test,
    "inject": SimulatedScrubber._inject,
}
"""What each request does; it returns why not, or an empty text."""
