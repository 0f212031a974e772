"""What the executive may ask of the scrub worker, and the answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.components.scrubber.regions import TEST_REGION, State, is_name
from flight.components.scrubber.worker.golden_copies import GoldenError, GoldenFiles
from flight.components.scrubber.worker.loader import Loader
from flight.components.scrubber.worker.mapped_regions import Busy, NotWalkable
from flight.components.scrubber.worker.rounds import Rounds
from flight.framework.channel import Message
from flight.framework.time_units import SECOND
from flight.workers.lifeline import Lifeline

SMALLEST_PERIOD_S, LARGEST_PERIOD_S = 0.1, 86_400.0
LARGEST_TEST = 1 << 26
Body = dict[str, Any]


class Refusal(Exception):
    """It is not done; the message says why."""


class Answers:
    """Heeds the executive's messages; each question gets one `done {id, ok, text, value}`."""

    def __init__(self, lifeline: Lifeline, state_dir: Path, run_dir: Path, rounds: Rounds) -> None:
        self._lifeline = lifeline
        self._rounds = rounds
        self._golden = GoldenFiles(state_dir, run_dir)
        self._loader = Loader(lifeline, self._golden, rounds.files.own_folder)
        self._walks: list[tuple[int, set[str], int]] = []
        """Walks that were asked for: question, regions still to be walked, when it began."""
        rounds.on_walked = self._walked
        self._heeds: dict[str, Callable[[Body, int], None]] = {
            "hello": self._hello,
            "settings": self._settings,
            "processes": self._processes,
            "scrub": self._scrub,
            "register": self._register,
            "reload": self._reload,
            "retire": self._retire,
            "remake": self._remake,
            "test": self._test,
            "inject": self._inject,
        }

    def heed(self, message: Message, now: int) -> None:
        """Do what a message asks; what cannot be done is answered with the reason."""
        heed = self._heeds.get(message.kind)
        if heed is None:
            return
        try:
            heed(message.body, now)
        except (Refusal, GoldenError, NotWalkable, Busy, OSError) as error:
            self._answer(message.body, ok=False, text=str(error))
        except (KeyError, TypeError, ValueError) as error:
            self._answer(message.body, ok=False, text=f"{message.kind} makes no sense: {error!r}")

    def close(self) -> None:
        """End what is under way."""
        self._loader.close()

    # ------------------------------------------------------------ told

    def _hello(self, _: Body, __: int) -> None:
        self._lifeline.channel.send("ready", {"pid": os.getpid()})
        self._rounds.tell_again()

    def _settings(self, body: Body, _: int) -> None:
        rounds = self._rounds
        period_s = min(LARGEST_PERIOD_S, max(SMALLEST_PERIOD_S, float(body["period_s"])))
        factor = max(1.0, float(body["factor"]))
        rounds.pace.rate, rounds.pace.factor = max(1.0, float(body["rate"])), factor
        rounds.walk.period = int(period_s * SECOND / factor)
        rounds.is_enabled = body["is_enabled"] is True

    def _processes(self, body: Body, _: int) -> None:
        self._rounds.processes = [(str(name), int(pid)) for name, pid in body["rows"]]
        self._rounds.tell_again()

    # ------------------------------------------------------------ asked

    def _scrub(self, body: Body, now: int) -> None:
        walk, name = self._rounds.walk, str(body["region"])
        wanted = {name} if name else set(walk.regions)
        if not wanted or not wanted <= walk.regions.keys():
            raise Refusal(f"no sealed region {name!r}" if name else "no sealed region")
        walk.want(name)
        if "id" in body:
            self._walks.append((int(body["id"]), wanted, now))

    def _walked(self, name: str, now: int) -> None:
        for number, wanted, began in list(self._walks):
            wanted.discard(name)
            wanted &= self._rounds.walk.regions.keys()
            if not wanted:
                self._walks.remove((number, wanted, began))
                self._answer({"id": number}, value=(now - began) // 1_000_000)

    def _register(self, body: Body, _: int) -> None:
        name, golden = self._own_name(body), str(body["golden"])
        known = self._rounds.mapped.get(name)
        if known and known.state is State.WALKED and known.said.golden == golden:
            self._answer(body, value=known.said.length)
            return
        self._load(body, name, golden)

    def _reload(self, body: Body, _: int) -> None:
        self._rounds.warm()
        name, block = str(body["region"]), int(body["block"])
        mapped = self._rounds.mapped.get(name)
        golden = str(body.get("golden") or (mapped.said.golden if mapped else ""))
        if not golden:
            raise Refusal("it has no golden copy")
        if block < 0 or mapped is None:
            if name.startswith("job-"):
                raise Refusal("only its job can make it anew")
            self._load(body, self._own_name(body), golden)
            return
        source = self._golden.open(golden)
        try:
            first = block * mapped.octets_of_block
            last = min(first + mapped.octets_of_block, mapped.said.length)
            content = source.read(first, last, self._lifeline.beat_if_due)
        finally:
            source.close()
        if not mapped.put_right(block, content):
            raise Refusal("the golden copy holds something else by now")
        self._answer(body)

    def _retire(self, body: Body, _: int) -> None:
        self._rounds.retire(str(body["region"]))
        self._answer(body)

    def _remake(self, body: Body, _: int) -> None:
        self._make_test(int(body.get("octets") or self._test_octets()))
        self._answer(body)

    def _test(self, body: Body, _: int) -> None:
        octets = int(body["octets"])
        self._make_test(octets)
        self._answer(body, value=octets)

    def _inject(self, body: Body, _: int) -> None:
        mapped = self._rounds.mapped.get(TEST_REGION)
        if mapped is None:
            raise Refusal("there is no test region; make one first")
        block, bits = int(body["block"]), int(body["bits"])
        first_bit, distance = int(body["first_bit"]), max(1, int(body["distance"]))
        start = block * mapped.octets_of_block * 8 + first_bit
        last = start + (bits - 1) * distance
        end = mapped.said.length * 8
        if block < 0 or first_bit < 0 or bits < 1 or last >= end:
            raise Refusal(f"bit {last} of a region that ends at bit {end}")
        for bit in range(start, last + 1, distance):
            mapped.file.data[bit // 8] ^= 1 << bit % 8
        self._answer(body)

    # ------------------------------------------------------------ small steps

    def _own_name(self, body: Body) -> str:
        name = str(body["region"])
        if not is_name(name) or name.startswith("job-") or name == TEST_REGION:
            raise Refusal(f"{name!r} cannot be registered")
        return name

    def _load(self, body: Body, name: str, golden: str) -> None:
        def ended(ok: bool, text: str, octets: int) -> None:
            if ok:
                self._rounds.search()
            self._answer(body, ok=ok, text=text, value=octets)

        self._loader.load(name, golden, ended)

    def _test_octets(self) -> int:
        mapped = self._rounds.mapped.get(TEST_REGION)
        return mapped.said.length if mapped else 1 << 20

    def _make_test(self, octets: int) -> None:
        self._rounds.warm()
        from flight.edac.region_file import create

        if not 0 < octets <= LARGEST_TEST:
            raise Refusal(f"a test region of {octets} octets; give 1 … {LARGEST_TEST}")
        folder = self._rounds.files.own_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        made = create(folder / TEST_REGION, TEST_REGION, octets)
        made.data[:] = 0x55
        made.seal()
        made.close()
        self._rounds.search()

    def _answer(self, body: Body, *, ok: bool = True, text: str = "", value: int = 0) -> None:
        if "id" in body:
            self._rounds.tell_changes()
            answer = {"id": body["id"], "ok": ok, "text": text[:160], "value": value}
            self._lifeline.channel.send("done", answer)
