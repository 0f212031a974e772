"""Saved state: coalesced, done only when durable, tried again; and its way to the worker."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.framework.channel import Channel, pair
from flight.framework.ports import StorageResult, WorkerMessage
from flight.framework.time_units import SECOND
from flight.framework.worker_link import WorkerLink
from flight.storage.client import MOST_PENDING, TIMEOUT, BoundStorage, StorageClient
from flight.storage.saved_state import BACKUP, PATH, SavedState, encode, parse
from flight.storage.simulated import SimulatedStorage


class TestSavedState:
    def test_a_value_is_durable_when_done_is_called_and_not_before(self) -> None:
        storage, told = SimulatedStorage(), []
        state = SavedState(storage, {})
        state.put("boots", 3, lambda: told.append(parse(bytes(storage.files[PATH]))))
        assert told == []
        storage.settle()
        assert told == [{"boots": 3}]

    @pytest.mark.verifies("VA-STO-01")
    def test_changes_during_a_write_go_together_into_the_next(self) -> None:
        storage, told = SimulatedStorage(), []
        state = SavedState(storage, {})
        for number in range(10):
            state.put("n", number, lambda n=number: told.append(n))  # type: ignore[misc]
        storage.settle()
        assert storage.requests == ["write", "write", "write"]
        assert told == list(range(10))
        assert parse(bytes(storage.files[PATH])) == {"n": 9}

    def test_a_write_that_failed_is_tried_again_and_counted(self) -> None:
        storage, told = SimulatedStorage(), []
        state = SavedState(storage, {})
        storage.faults["write"] = "ENOSPC"
        state.put("n", 1, lambda: told.append("first"))
        storage.settle()
        state.put("n", 2, lambda: told.append("second"))
        storage.settle()
        assert (told, state.failures) == ([], 2)
        storage.faults.clear()
        assert state.run(5) == 5 + SECOND
        storage.settle()
        assert told == ["first", "second"]
        assert parse(bytes(storage.files[PATH])) == {"n": 2}

    def test_a_full_queue_is_tried_again(self) -> None:
        storage = SimulatedStorage(depth=0)
        state = SavedState(storage, {})
        state.put("n", 1)
        storage.depth = 1
        state.run(0)
        storage.settle()
        assert parse(bytes(storage.files[PATH])) == {"n": 1}

    def test_nothing_is_written_when_nothing_changed(self) -> None:
        storage = SimulatedStorage()
        SavedState(storage, {"n": 1}).run(0)
        assert storage.requests == []

    def test_a_value_of_another_type_is_as_good_as_none(self) -> None:
        state = SavedState(SimulatedStorage(), {"boots": "three", "replay": [1]})
        assert state.get("boots", 0) == 0
        assert state.get("replay", {}) == {}
        assert state.get("other", 5) == 5

    @pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{}", b'{"format": 2}', b'{"format": 1'])
    def test_what_is_no_state_file_is_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError):
            parse(data)


class Worker:
    """The storage worker's end of the channel, played by the test."""

    def __init__(self) -> None:
        self.now = 0
        self.link = WorkerLink("storage")
        self.client = StorageClient(self.link, lambda: self.now)
        self.answers: list[StorageResult] = []
        self.attach()

    def attach(self) -> None:
        """The worker starts, or starts anew."""
        mine, theirs = pair()
        self.channel = Channel(theirs)
        self.link.attach(Channel(mine), 99)

    def ask(self, path: str = "state/x") -> bool:
        return self.client.submit("read", self.answers.append, path=path)

    def requests(self) -> list[dict[str, Any]]:
        """What the worker was asked, greetings left out."""
        return [m.body for m in self.channel.receive() if m.kind != "hello"]

    def answer(self, kind: str = "done", **body: Any) -> None:
        self.channel.send(kind, body)
        self.link.receive(self.now)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.channel.close()
    worker.link.close()


class TestStorageClient:
    def test_each_request_gets_its_own_answer_in_any_order(self, worker: Worker) -> None:
        assert worker.ask("state/a")
        assert worker.ask("state/b")
        assert worker.requests() == [{"id": 1, "path": "state/a"}, {"id": 2, "path": "state/b"}]
        worker.answer(id=2, ok=False, error="ENOENT", text="none")
        worker.answer(id=1, ok=True, value=b"x")
        assert worker.answers == [
            StorageResult(False, error="ENOENT", text="none"),
            StorageResult(True, b"x"),
        ]

    @pytest.mark.verifies("VA-SEC-05")
    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("done", {}),
            ("done", {"id": 7}),
            ("done", {"id": [1]}),
            ("done", {"id": {"a": 1}}),
            ("done", {"id": "1"}),
            ("done", {"id": None}),
            ("other", {"id": 1}),
        ],
    )
    def test_a_malformed_answer_is_counted_and_ignored(
        self, worker: Worker, kind: str, body: dict[str, Any]
    ) -> None:
        worker.ask()
        worker.answer(kind, **body)
        assert (worker.client.refused, worker.answers) == (1, [])
        worker.answer(id=1, ok=True)
        assert worker.answers == [StorageResult(True)]

    @pytest.mark.verifies("VA-SEC-05")
    def test_only_true_is_success(self, worker: Worker) -> None:
        worker.ask()
        worker.answer(id=1, ok="yes", error=5)
        assert worker.answers == [StorageResult(False, error="5")]

    def test_what_waits_too_long_is_answered_and_a_late_answer_refused(
        self, worker: Worker
    ) -> None:
        worker.ask()
        worker.now = 1
        worker.ask()
        assert worker.client.run(TIMEOUT) == TIMEOUT + SECOND
        assert [answer.error for answer in worker.answers] == ["TIMEOUT"]
        worker.answer(id=1, ok=True)
        assert (worker.client.refused, len(worker.answers)) == (1, 1)

    @pytest.mark.verifies("VA-SUP-07")
    def test_a_replaced_worker_leaves_no_question_open(self, worker: Worker) -> None:
        worker.ask()
        old = worker.channel
        worker.attach()
        old.close()
        assert [answer.error for answer in worker.answers] == ["RESTARTED"]
        assert worker.link.replaced == 1
        worker.ask()
        worker.answer(id=2, ok=True)
        assert worker.answers[-1].ok

    def test_no_more_than_512_wait(self, worker: Worker) -> None:
        asked = 0
        while worker.ask():
            asked += 1
            worker.requests()
        assert (asked, worker.client.refused) == (MOST_PENDING, 1)

    def test_a_component_is_answered_through_its_own_queue(self, worker: Worker) -> None:
        queue: list[Any] = []
        bound = BoundStorage(worker.client, queue.append)
        assert bound.submit("read", worker.answers.append, path="state/x")
        worker.answer(id=1, ok=True)
        assert worker.answers == []
        queue.pop()()
        assert worker.answers == [StorageResult(True)]

    @given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.none(), st.text())))
    def test_no_answer_whatever_raises(self, body: dict[str, Any]) -> None:
        client = StorageClient(WorkerLink("storage"), lambda: 0)
        client._answered(WorkerMessage("storage", "done", body))
        assert client.refused == 1


class TestWorkerLink:
    def test_it_is_greeted_beats_are_noted_and_the_rest_is_handed_over(
        self, worker: Worker
    ) -> None:
        assert worker.channel.receive()[0].kind == "hello"
        assert (worker.link.pid, worker.link.last_beat) == (99, None)
        seen: list[WorkerMessage] = []
        worker.link.on_message(seen.append)
        worker.now = 77
        worker.answer("beat")
        worker.answer("readings", rows=[])
        assert worker.link.last_beat == 77
        assert seen == [WorkerMessage("storage", "readings", {"rows": []})]

    def test_what_its_owners_queue_does_not_take_is_counted(self, worker: Worker) -> None:
        worker.link.through(lambda _work: False)
        worker.answer("readings")
        assert worker.link.refused == 1

    def test_without_a_worker_nothing_is_sent(self) -> None:
        link = WorkerLink("board")
        assert not link.send("hello", {})
        assert link.fileno() == -1
        link.receive(0)
        link.close()

    def test_a_worker_that_is_gone_has_nothing_to_poll(self, worker: Worker) -> None:
        worker.channel.close()
        worker.link.receive(0)
        assert worker.link.fileno() == -1
        assert not worker.link.send("read", {})


def test_the_state_file_is_plain_json_with_its_format() -> None:
    storage = SimulatedStorage()
    SavedState(storage, {}).put("mode", 1)
    storage.settle()
    said = json.loads(bytes(storage.files[PATH]))
    assert said == {"format": 1, "crc32": zlib.crc32(b'{"mode": 1}'), "mode": 1}


def test_a_second_copy_follows_what_is_durable() -> None:
    storage = SimulatedStorage()
    SavedState(storage, {}).put("mode", 1)
    storage.settle()
    assert storage.files[BACKUP] == storage.files[PATH]


def test_any_flipped_bit_of_the_state_file_is_noticed() -> None:
    octets = encode({"boots": 41, "replay": {"1": 123456}, "mode": 0})
    for place in range(8 * len(octets)):
        flipped = bytearray(octets)
        flipped[place // 8] ^= 1 << place % 8
        with suppress(ValueError):
            assert parse(bytes(flipped)) == parse(octets) or b"crc32" not in flipped
