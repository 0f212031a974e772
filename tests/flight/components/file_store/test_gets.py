"""Files on their way down: paced, resumable, to the station that asked and no other."""

from __future__ import annotations

import zlib
from random import Random

import pytest

from flight.components.file_store import gets
from flight.components.file_store.component import FileStore
from flight.components.file_store.dictionary import FileStoreHousekeeping
from flight.storage.simulated import SimulatedStorage
from icd.failures import FailureCode
from tests.flight.support.component_harness import Asker, Bench

SEGMENT = gets.SEGMENT
DATA = Random(3).randbytes(100 * SEGMENT + 17)


class Store:
    """A file store that holds one file."""

    def __init__(self) -> None:
        self.storage = SimulatedStorage()
        for folder in ("state/files/out", "state/files/products/job-1"):
            self.storage.perform("make_dir", path=folder)
        self.storage.perform("write", path="state/files/out/data.bin", data=DATA)
        self.bench = Bench("files", 6)
        self.bench.plug(FileStore(self.bench.port, self.storage))
        self.storage.settle()

    def do(self, command: str, *args: object, source: int = 1) -> Asker:
        asker = self.bench.do(command, *args, source=source)
        self.storage.settle()
        return asker

    def flow(self, seconds: float = 1.0, room: int = 1000) -> None:
        """Let the link take reports for a while."""
        for _ in range(round(seconds * 10)):
            self.bench.room = room
            self.bench.step(0.1)
            self.storage.settle()

    def received(self, station: int = 1, transaction: int = 1) -> bytes:
        data = bytearray(len(DATA))
        for number, offset, octets in self.bench.reports("segment", station):
            if number == transaction:
                data[offset : offset + len(octets)] = octets
        return bytes(data)

    @property
    def hk(self) -> FileStoreHousekeeping:
        """What the next housekeeping report would say."""
        self.bench.component.housekeeping()
        hk: FileStoreHousekeeping = self.bench.component.hk
        return hk


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_file_comes_down_whole_to_the_station_that_asked(store: Store) -> None:
    begun = store.do("get_begin", 1, "out/data.bin", 0, source=5).result
    assert (begun.size, begun.crc32) == (len(DATA), zlib.crc32(DATA))
    store.flow()
    assert store.received(5) == DATA
    assert store.bench.reports("segment", 1) == []
    assert store.hk.octets_sent == len(DATA)
    assert store.do("get_end", 1, source=5).is_done
    assert store.hk.open_gets == 0


@pytest.mark.verifies("VA-FIL-03")
def test_a_file_goes_on_from_an_offset(store: Store) -> None:
    store.do("get_begin", 1, "out/data.bin", 50 * SEGMENT)
    store.flow()
    assert store.received()[50 * SEGMENT :] == DATA[50 * SEGMENT :]
    assert min(offset for _, offset, _ in store.bench.reports("segment")) == 50 * SEGMENT


def test_a_part_that_was_lost_is_sent_again(store: Store) -> None:
    store.do("get_begin", 1, "out/data.bin", len(DATA))
    assert store.do("get_more", 1, 5000, 4000).is_done
    store.flow()
    assert store.received()[5000:9000] == DATA[5000:9000]
    assert sum(len(octets) for _, _, octets in store.bench.reports("segment")) == 4000


@pytest.mark.verifies("VA-FIL-02")
def test_nothing_is_lost_when_the_link_has_no_room(store: Store) -> None:
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", 0)
    store.bench.step(1.0)
    assert store.bench.reports("segment") == []
    reads = store.storage.requests.count("read")
    assert reads <= 3
    store.flow(6, room=3)
    assert store.received() == DATA
    assert len(store.bench.reports("segment")) == 101


def test_a_link_without_room_is_looked_at_ever_more_rarely(store: Store) -> None:
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", 0)
    waits = []
    for _ in range(9):
        due = store.bench.step(0.5)
        assert due is not None
        waits.append(due - store.bench.now)
    assert waits == sorted(waits)
    assert waits[-1] == 500_000_000


def test_two_stations_get_their_own_file_at_once(store: Store) -> None:
    store.do("get_begin", 1, "out/data.bin", 0, source=1)
    store.do("get_begin", 1, "out/data.bin", 0, source=2)
    store.flow()
    assert store.received(1) == store.received(2) == DATA


def test_a_transfer_begun_anew_while_it_is_being_opened_is_answered_once(store: Store) -> None:
    first = store.bench.do("get_begin", 1, "out/data.bin", 0)
    early = store.bench.do("get_more", 1, 0, 1)
    second = store.do("get_begin", 1, "out/data.bin", 0)
    assert "being opened" in early.reason
    assert "begun again" in first.reason
    assert second.is_done
    store.flow()
    assert store.received() == DATA


def test_reads_that_come_after_the_end_are_let_go(store: Store) -> None:
    store.do("get_begin", 1, "out/data.bin", 0)
    store.bench.step(0.1)
    assert store.bench.do("get_end", 1).is_done
    sent = len(store.bench.reports("segment"))
    store.flow()
    assert len(store.bench.reports("segment")) == sent


def test_a_report_that_the_downlink_does_not_take_is_sent_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.bench, "bulk_room", lambda _station: max(1, store.bench.room))
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", 0)
    store.do("list", "out")
    store.bench.step(0.1)
    store.storage.settle()
    assert store.bench.sent == []
    store.flow()
    assert store.received() == DATA
    assert len(store.bench.reports("entry")) == 1


def test_a_file_that_is_not_there_is_not_found(store: Store) -> None:
    assert store.do("get_begin", 1, "out/nothing", 0).code is FailureCode.NOT_FOUND
    assert store.hk.open_gets == 0


def test_an_offset_beyond_the_end_is_refused_with_the_size(store: Store) -> None:
    asker = store.do("get_begin", 1, "out/data.bin", len(DATA) + 1)
    assert asker.code is FailureCode.ARGUMENT_RANGE
    assert str(len(DATA)) in asker.reason


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (len(DATA), 1), (0, len(DATA) + 1)])
def test_a_part_outside_the_file_is_refused(store: Store, offset: int, length: int) -> None:
    store.do("get_begin", 1, "out/data.bin", 0)
    assert store.do("get_more", 1, offset, length).code is FailureCode.ARGUMENT_RANGE


def test_parts_of_a_file_that_is_not_being_sent_are_refused_with_what_to_do(store: Store) -> None:
    for command, args in (("get_more", (1, 0, 1)), ("get_end", (1,))):
        asker = store.do(command, *args)
        assert asker.code is FailureCode.NOT_FOUND
        assert "send get_begin" in asker.reason


def test_at_most_sixteen_files_are_sent_at_once(store: Store) -> None:
    for number in range(gets.MOST_OPEN):
        assert store.do("get_begin", number, "out/data.bin", len(DATA)).is_done
    assert "16 files are being sent" in store.do("get_begin", 99, "out/data.bin", 0).reason


def test_too_many_separate_parts_are_refused(store: Store) -> None:
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", len(DATA))
    store.storage.is_hung = True
    answers = [store.do("get_more", 1, 100 * n, 1) for n in range(gets.MOST_RANGES + 4)]
    assert answers[gets.MOST_RANGES - 1].is_done
    assert "parts wait to be sent" in answers[-1].reason


def test_a_file_deleted_on_the_way_is_told_once(store: Store) -> None:
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", 0)
    assert store.do("delete", "out/data.bin").is_done
    store.flow()
    assert store.bench.events("get_failed") == [(1, "out/data.bin", "ENOENT")]
    assert store.bench.events("deleted") == [("out/data.bin",)]


def test_a_file_that_became_shorter_is_told(store: Store) -> None:
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", 0)
    store.storage.perform("truncate", path="state/files/out/data.bin", size=100_000)
    store.flow()
    assert store.bench.events("get_failed") == [(1, "out/data.bin", "it became shorter")]


def test_reads_that_a_lost_storage_worker_forgot_are_asked_for_again(store: Store) -> None:
    store.storage.is_hung = True
    store.do("get_begin", 1, "out/data.bin", 0)
    store.storage.is_hung = False
    store.storage.run(store.bench.now)
    store.bench.step(0.1)
    store.storage.lose()
    store.flow()
    assert store.received() == DATA


def test_a_storage_queue_that_is_full_only_delays_a_file(store: Store) -> None:
    store.do("get_begin", 1, "out/data.bin", 0)
    store.storage.depth = 0
    store.flow()
    store.storage.depth = 64
    store.flow()
    assert store.received() == DATA


def test_a_file_that_nobody_takes_is_let_go(store: Store) -> None:
    store.bench.room = 0
    store.do("get_begin", 1, "out/data.bin", 0)
    store.bench.step(3600)
    assert store.hk.open_gets == 0
    assert store.bench.events("get_failed") == [(1, "out/data.bin", "no station takes it")]


def test_a_file_sent_to_its_end_is_let_go_without_a_word(store: Store) -> None:
    store.do("get_begin", 1, "out/data.bin", 0)
    store.flow()
    store.bench.step(3600)
    assert store.hk.open_gets == 0
    assert store.bench.events("get_failed") == []


def test_a_folder_is_listed_entry_by_entry(store: Store) -> None:
    listed = store.do("list", "", source=4)
    store.flow()
    assert store.bench.reports("entry", 4) == [("out", 0, True), ("products", 0, True)]
    assert (listed.result.entries, listed.result.left_out) == (2, 0)
    store.do("list", "out")
    store.flow()
    assert store.bench.reports("entry", 1) == [("out/data.bin", len(DATA), False)]


def test_a_long_folder_is_listed_at_the_pace_of_the_link(store: Store) -> None:
    for number in range(600):
        store.storage.perform("write", path=f"state/files/out/{number:03}", data=b"")
    store.storage.perform("write", path=f"state/files/out/{'x' * 126}", data=b"")
    listed = store.do("list", "out")
    store.flow(10, room=30)
    assert len(store.bench.reports("entry")) == 601
    assert (listed.result.entries, listed.result.left_out) == (601, 1)


def test_a_listing_that_nobody_takes_ends_with_its_telecommand(store: Store) -> None:
    store.bench.room = 0
    store.do("list", "")
    store.bench.step(31)
    store.storage.settle()
    store.bench.step(0.1)
    for _ in range(4):
        assert store.do("list", "").failure is None
    assert "folders are being listed" in store.do("list", "").reason


def test_a_folder_that_is_not_there_is_not_found(store: Store) -> None:
    asker = store.do("list", "nothing")
    store.flow(0.1)
    assert asker.code is FailureCode.NOT_FOUND


def test_digest_and_free_tell_what_storage_found(store: Store) -> None:
    digest = store.do("digest", "out/data.bin").result
    assert (digest.size, digest.crc32) == (len(DATA), zlib.crc32(DATA))
    assert store.do("free").result.free == store.storage.capacity - len(DATA)
    assert store.do("digest", "nothing").code is FailureCode.NOT_FOUND
    store.storage.faults["free"] = "EIO"
    assert store.do("free").code is FailureCode.STORAGE_FAILED


def test_a_folder_is_deleted_with_everything_in_it(store: Store) -> None:
    assert store.do("delete", "out").reason == "this is a folder; give the path of a file"
    assert store.do("delete_folder", "out").is_done
    assert store.do("get_begin", 1, "out/data.bin", 0).code is FailureCode.NOT_FOUND
    assert "write a relative path" in store.do("delete_folder", "").reason


def test_deleting_must_be_armed() -> None:
    commands = {c.entry.name: c.entry for c in FileStore.declaration.commands.values()}
    assert {name for name, entry in commands.items() if entry.is_critical} == {
        "delete",
        "delete_folder",
    }
