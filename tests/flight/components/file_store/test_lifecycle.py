"""The lifecycle alone: each phase with each telecommand, replay, and whatever may come."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.components.file_store import gets, listing, puts
from flight.components.file_store import stimuli as s
from flight.components.file_store.chains import CHAINS
from flight.components.file_store.component import FileStore
from flight.components.file_store.dictionary import Listed
from flight.components.file_store.lifecycle import FileStoreLifecycle
from flight.components.file_store.put import Phase
from flight.components.file_store.storage_answers import BUSY
from flight.framework.lifecycle import Tell, replay
from flight.framework.ports import StorageResult
from flight.framework.time_units import SECOND
from flight.storage.simulated import SimulatedStorage
from icd.failures import FailureCode
from tests.flight.support.component_harness import Asker, Bench

NOW = 1_000 * SECOND
STATION = 1
TEXT = b"ab"
SOUND = {"size": len(TEXT), "crc32": zlib.crc32(TEXT)}
MENDED = dict.fromkeys(("blocks", "corrected", "rechecked", "bits", "lost", "first_lost"), 0)
Out = s.Instruction | Tell


def fitting(submit: s.Submit) -> StorageResult:
    """What storage would answer, if all went well: every file holds TEXT."""
    match submit.operation:
        case "list":
            is_first = submit.arguments.get("offset") == 0
            return StorageResult(True, [["a", False, 2], ["b", True, 0]] if is_first else [])
        case "read":
            return StorageResult(True, bytes(submit.arguments["length"]))
        case "free":
            return StorageResult(True, 1 << 30)
        case "mend":
            return StorageResult(True, MENDED | SOUND)
        case "digest" | "protect":
            return StorageResult(True, SOUND)
    return StorageResult(True)


class World:
    """A lifecycle, and what its component would do for it."""

    def __init__(self, is_started: bool = True) -> None:
        self.now = NOW
        self.log: list[tuple[int, s.Stimulus]] = []
        self.core = FileStoreLifecycle(log=self.log)
        self.said: list[Out] = []
        self.asked = 0
        self.answers: Counter[int] = Counter()
        self.waiting: dict[int, s.Submit] = {}
        self.taken = 1 << 30
        """Reports that the link really takes of those that it is given at once."""
        self.give(s.Start())
        if is_started:
            self.settle()

    def give(self, stimulus: s.Stimulus) -> tuple[Out, ...]:
        """Give a stimulus, and what its instructions bring at once."""
        out = self.core.step(self.now, stimulus)
        self.said += out
        for instruction in out:
            self._do(instruction)
        return out

    def ask(self, kind: Callable[..., s.Telecommand], *args: Any) -> tuple[Out, ...]:
        self.asked += 1
        return self.give(kind(self.asked, STATION, *args))

    def answer(self, number: int, result: StorageResult | None = None) -> tuple[Out, ...]:
        submit = self.waiting.pop(number)
        return self.give(s.Stored(number, fitting(submit) if result is None else result))

    def next(self, result: StorageResult | None = None) -> tuple[Out, ...]:
        """Answer what has waited longest."""
        return self.answer(min(self.waiting), result)

    def settle(self) -> None:
        """Answer everything, and give the link all the room there is, until nothing is left."""
        self.taken = 1 << 30
        for _ in range(1000):
            while self.waiting:
                self.next()
            if not self.core.stations() and not self.core.is_sending:
                return
            self.give(s.Room(dict.fromkeys(self.core.stations(), 1000)))
            if not self.waiting and not self.core.stations():
                return

    def _do(self, instruction: Out) -> None:
        match instruction:
            case s.Submit():
                self.waiting[instruction.number] = instruction
            case s.Answer() | s.Refuse() | s.Forget():
                self.answers[instruction.asker] += 1
            case s.SendSegments(station, transaction, segments):
                count = min(len(segments), self.taken)
                self.give(s.SegmentsSent(station, transaction, count))
            case s.SendEntries(asker, _, entries):
                self.give(s.EntriesSent(asker, min(len(entries), self.taken)))


# ---------------------------------------------------------------- each phase with each telecommand

BEGIN = (s.PutBegin, 7, "in/a", len(TEXT), zlib.crc32(TEXT))
SEGMENT = (s.PutSegment, 7, 0, TEXT)
END = (s.PutEnd, 7)
ABORT = (s.PutAbort, 7)
STATUS = (s.PutStatus, 7)
ALL: dict[str, tuple[Any, ...]] = {
    "begin": BEGIN,
    "segment": SEGMENT,
    "end": END,
    "abort": ABORT,
    "status": STATUS,
}
ANSWERS: dict[Phase, dict[str, type]] = {
    Phase.OPENING: {"status": s.Answer},
    Phase.OPEN: {
        "begin": s.Answer,
        "segment": s.Submit,
        "abort": s.Submit,
        "status": s.Answer,
    },
    Phase.CHECKING: {"begin": s.Answer, "segment": s.Answer, "status": s.Answer},
    Phase.MOVING: {"begin": s.Answer, "segment": s.Answer, "status": s.Answer},
    Phase.ABORTING: {"status": s.Answer},
}
WAIT = {
    (Phase.OPENING, "begin"),
    (Phase.CHECKING, "end"),
    (Phase.MOVING, "end"),
    (Phase.ABORTING, "abort"),
}


def world_in(phase: Phase) -> World:
    """A world with transfer 7 in a phase."""
    world = World()
    world.ask(*BEGIN)
    if phase is Phase.OPENING:
        return world
    world.settle()
    if phase in (Phase.CHECKING, Phase.MOVING):
        world.ask(*SEGMENT)
        world.settle()
        world.ask(*END)
    if phase is Phase.MOVING:
        world.next()
    if phase is Phase.ABORTING:
        world.ask(*ABORT)
    assert world.core.puts.puts[7].phase is phase
    return world


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", ALL)
def test_each_phase_does_with_each_telecommand_what_the_table_says(phase: Phase, name: str) -> None:
    world = world_in(phase)
    out = world.ask(*ALL[name])
    if (phase, name) in WAIT:
        assert out == (), "it is answered at the end of the chain"
    else:
        (instruction,) = out
        assert isinstance(instruction, ANSWERS[phase].get(name, s.Refuse))
        if isinstance(instruction, s.Refuse) and name != "end":
            assert f"transfer 7 is {phase.value}" in instruction.reason
    world.settle()
    assert world.answers == Counter(range(1, world.asked + 1)), "one answer each"


def test_every_phase_is_in_the_table_and_every_step_in_the_chains() -> None:
    assert set(puts.TABLE) == set(Phase)
    assert {row.then for row in CHAINS.values()} - {None} <= set(CHAINS)


def test_every_telecommand_has_a_part_that_it_is_for() -> None:
    assert set(FileStoreLifecycle()._handlers) == set(s.Telecommand.__subclasses__())


# ---------------------------------------------------------------- what nobody waits for


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    world = World()
    assert world.give(s.Stored(99, StorageResult(True))) == ()
    assert world.give(s.SegmentsSent(1, 7, 3)) == ()
    assert world.give(s.EntriesSent(7, 3)) == ()


def test_a_request_that_storage_does_not_take_is_answered_busy_and_counted() -> None:
    world = World()
    world.ask(s.Digest, "in/a")
    (refusal,) = world.next(BUSY)
    assert isinstance(refusal, s.Refuse)
    assert refusal.code is FailureCode.STORAGE_FAILED
    assert world.core.storage_failures == 1


def listing_over(world: World) -> tuple[Out, ...]:
    """Room for nobody, after the time-out of the listing's telecommand."""
    world.now += int(listing.TIMEOUT_S * SECOND)
    return world.give(s.Room({}))


def test_a_listing_whose_entries_nobody_took_in_time_gets_no_answer() -> None:
    world = World()
    world.ask(s.List, "in")
    world.give(s.Room({}))
    world.next()
    assert listing_over(world) == (s.Forget(1),)
    assert not world.core.is_sending


def test_a_listing_that_storage_answers_too_late_is_let_go_when_it_does() -> None:
    world = World()
    world.ask(s.List, "in")
    world.give(s.Room({}))
    assert listing_over(world) == ()
    assert world.next() == (s.Forget(1),)
    world.ask(s.List, "in")
    world.give(s.Room({}))
    listing_over(world)
    assert world.next(StorageResult(True, [])) == (s.Answer(2, Listed(0, 0)),)


def test_what_the_link_does_not_take_is_given_to_it_again() -> None:
    world = World()
    world.taken = 0
    world.ask(s.GetBegin, 1, "in/a", 0)
    world.next()
    world.give(s.Room({}))
    world.next()
    for _ in range(2):
        (send,) = world.give(s.Room({STATION: 5}))
        assert send == s.SendSegments(STATION, 1, ((0, bytes(2)),))
    assert world.core.gets.segments == 0
    world.taken = 1
    world.give(s.Room({STATION: 5}))
    assert (world.core.gets.segments, world.core.gets.octets) == (1, 2)


@pytest.mark.parametrize("error", ["BUSY", "TIMEOUT", "RESTARTED"])
def test_a_read_that_storage_did_not_carry_out_is_asked_for_again(error: str) -> None:
    world = World()
    world.ask(s.GetBegin, 1, "in/a", 0)
    world.next()
    (first,) = world.give(s.Room({}))
    assert world.next(StorageResult(False, error=error)) == ()
    assert world.core.next_due() is not None
    (again,) = world.give(s.Room({}))
    assert isinstance(first, s.Submit)
    assert isinstance(again, s.Submit)
    assert (again.operation, again.arguments) == (first.operation, first.arguments)


def test_one_station_gets_no_more_reports_than_it_has_room_for() -> None:
    world = World()
    world.taken = 0
    for number in (1, 2):
        world.ask(s.GetBegin, number, "in/a", 0)
        world.next()
    world.give(s.Room({}))
    world.next()
    world.next()
    (send,) = world.give(s.Room({STATION: 1}))
    assert isinstance(send, s.SendSegments)
    assert send.transaction == 1


# ---------------------------------------------------------------- a busy session, replayed

FILE = Random(5).randbytes(10 * gets.SEGMENT + 100)
OFFSETS = range(0, len(FILE), gets.SEGMENT)


class Session:
    """A file store that is told much, with everything its lifecycles were told and said."""

    def __init__(self) -> None:
        self.storage = SimulatedStorage()
        self.bench = Bench("files", 6)
        self.logs: list[list[tuple[int, s.Stimulus]]] = []
        self.said: list[list[Out]] = []
        self.start()

    def start(self) -> None:
        """Start the component, or another one in its place."""
        component = FileStore(self.bench.port, self.storage)
        log: list[tuple[int, s.Stimulus]] = []
        said: list[Out] = []
        self.logs.append(log)
        self.said.append(said)
        step = component.core.step

        def recorded(now: int, stimulus: s.Stimulus) -> tuple[Out, ...]:
            log.append((now, stimulus))
            out = step(now, stimulus)
            said.extend(out)
            return out

        component.core.step = recorded  # type: ignore[method-assign]
        self.bench.plug(component)
        self.storage.settle()

    def do(self, command: str, *args: object) -> Asker:
        asker = self.bench.do(command, *args)
        self.storage.settle()
        return asker

    def send(self, number: int, seed: int) -> None:
        """Every segment twice, in any order."""
        offsets = [*OFFSETS, *OFFSETS]
        Random(seed).shuffle(offsets)
        for at in offsets:
            self.do("put_segment", number, at, FILE[at : at + gets.SEGMENT])

    def flow(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.bench.room = 3
            self.bench.step(0.1)
            self.storage.settle()

    def told(self) -> set[str]:
        return {event[0] for event in self.bench.events()}


def busy_session() -> Session:
    """Transfers up and down through a mismatch, a full disk and a restart."""
    session = Session()
    storage, crc32 = session.storage, zlib.crc32(FILE)
    session.do("put_begin", 1, "in/a", len(FILE), crc32)
    session.send(1, seed=1)
    assert session.do("put_end", 1).is_done
    session.do("put_begin", 2, "in/b", len(FILE), crc32 ^ 1)
    session.send(2, seed=2)
    assert session.do("put_end", 2).code is FailureCode.CHECKSUM_MISMATCH
    session.do("get_begin", 1, "in/a", 0)
    session.do("list", "in")
    session.flow(1)
    session.do("put_begin", 3, "in/c", len(FILE), crc32)
    storage.capacity = storage.used + 5 * gets.SEGMENT
    session.send(3, seed=3)
    storage.capacity = 1 << 30
    session.send(3, seed=4)
    storage.perform("write", path="state/incoming/9.json", data=b"no record")
    session.start()
    early = session.bench.do("put_status", 3)
    session.storage.settle()
    assert early.is_done
    session.send(3, seed=5)
    assert session.do("put_end", 3).is_done
    session.do("get_begin", 1, "in/c", 3 * gets.SEGMENT)
    session.do("delete", "in/a")
    session.flow(2)
    session.bench.step(3600)
    session.storage.settle()
    return session


def test_the_log_of_a_busy_session_replays_to_the_same_instructions() -> None:
    session = busy_session()
    events = {"file_received", "checksum_mismatch", "no_space", "record_damaged"}
    events |= {"transfers_resumed", "deleted", "transfer_expired"}
    assert session.told() == events
    assert len(session.logs) == 2
    for log, said in zip(session.logs, session.said, strict=True):
        assert {type(each) for each in said} >= {s.Submit, s.Answer, s.SendSegments, Tell}
        assert replay(FileStoreLifecycle(), log) == said


# ---------------------------------------------------------------- whatever may come

NUMBERS = st.integers(1, 3)
PATHS = st.sampled_from(["in/a", "in/a", "in/b", "in/a.edac", "products/x", "../a", ""])
SIZES = st.sampled_from([0, 2, 2, 2, 5, 1 << 50])
OFFSETS_OF = st.sampled_from([0, 0, 1, 2, 9])
TELECOMMANDS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just(s.PutBegin), NUMBERS, PATHS, SIZES, st.just(zlib.crc32(TEXT))),
    st.just((*BEGIN[:2], "in/a", *BEGIN[3:])),
    st.just(SEGMENT),
    st.just(END),
    st.tuples(
        st.just(s.PutSegment), NUMBERS, OFFSETS_OF, st.sampled_from([b"", b"a", TEXT, b"a" * 9])
    ),
    st.tuples(st.sampled_from([s.PutStatus, s.PutEnd, s.PutAbort, s.GetEnd]), NUMBERS),
    st.tuples(st.just(s.GetBegin), NUMBERS, PATHS, OFFSETS_OF),
    st.tuples(st.just(s.GetMore), NUMBERS, OFFSETS_OF, OFFSETS_OF),
    st.tuples(
        st.sampled_from([s.List, s.Delete, s.DeleteFolder, s.Digest, s.Verify, s.Repair]), PATHS
    ),
    st.just((s.Free,)),
)
RESULTS = st.builds(
    StorageResult,
    st.booleans(),
    st.sampled_from([None, 3, -1, b"", b"ab", [], [["a", False, 2]], [[1]], {}, SOUND, MENDED]),
    st.sampled_from(["", "ENOENT", "ENOSPC", "EIO", "BUSY", "TIMEOUT", "RESTARTED"]),
)
POLICIES = st.builds(
    s.Policy, st.integers(10, 60).map(lambda x: x * SECOND), st.integers(1, 2), st.integers(1, 3)
)
ACTIONS = st.one_of(
    st.tuples(st.just("ask"), TELECOMMANDS),
    st.tuples(st.just("ask"), TELECOMMANDS),
    st.tuples(st.just("answer"), st.integers(0, 5)),
    st.tuples(st.just("answer"), st.integers(0, 5)),
    st.tuples(st.just("answer wrongly"), st.tuples(st.integers(0, 5), RESULTS)),
    st.tuples(st.just("stray"), st.tuples(st.integers(1000, 1002), RESULTS)),
    st.tuples(st.just("room"), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    st.tuples(st.just("wait"), st.integers(0, 40)),
    st.tuples(st.just("policy"), POLICIES),
    st.tuples(st.just("looked"), RESULTS),
)


def act(world: World, action: str, what: Any) -> None:
    match action:
        case "ask":
            world.ask(*what)
        case "answer" if world.waiting:
            world.answer(sorted(world.waiting)[what % len(world.waiting)])
        case "answer wrongly" if world.waiting:
            world.answer(sorted(world.waiting)[what[0] % len(world.waiting)], what[1])
        case "stray":
            world.give(s.Stored(*what))
        case "room":
            world.taken = what[1]
            world.give(s.Room({STATION: what[0]}))
        case "wait":
            world.now += what * SECOND
            world.give(s.Tick())
        case "policy":
            world.give(s.SetPolicy(what))
        case "looked":
            world.give(s.Looked("state/files/in/a", what))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(ACTIONS, max_size=50), st.booleans())
def test_whatever_comes_each_telecommand_is_answered_once_and_a_replay_says_the_same(
    actions: list[tuple[str, Any]], is_started: bool
) -> None:
    world = World(is_started)
    for action, what in actions:
        act(world, action, what)
        check(world)
    for _ in range(3):
        world.settle()
        world.now += 2 * SECOND
        world.give(s.Tick())
    world.settle()
    assert world.answers == Counter(range(1, world.asked + 1)), "one answer each"
    assert replay(FileStoreLifecycle(), world.log) == world.said


def check(world: World) -> None:
    """What is so after every step."""
    assert set(world.answers.values()) <= {1}, "none is answered twice"
    assert set(world.answers) <= set(range(1, world.asked + 1)), "nor one that was not asked"
    assert len(world.core.puts.puts) <= puts.MOST_OPEN
    assert len(world.core.gets.gets) <= gets.MOST_OPEN
    for put in world.core.puts.puts.values():
        assert (not put.askers) or put.phase is not Phase.OPEN, "an open transfer keeps nobody"
        assert all(0 <= start < end <= put.size for start, end in put.received)
    due = world.core.next_due()
    assert due is None or due > 0
