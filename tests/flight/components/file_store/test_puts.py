"""Files on their way up: in any order, over restarts and full disks, checked before they count."""

from __future__ import annotations

import zlib
from random import Random

import pytest

from flight.components.file_store import puts
from flight.components.file_store.component import FileStore
from flight.components.file_store.dictionary import FileStoreHousekeeping
from flight.components.file_store.resume import MOST_TRIES
from flight.framework.ports import Refused, StorageResult
from flight.storage import file_names
from flight.storage.simulated import SimulatedStorage
from icd.codec import FieldError
from icd.dictionary import Severity
from icd.failures import FailureCode
from tests.flight.support.component_harness import Asker, Bench

SEGMENT = 3072
TEXT = Random(7).randbytes(10 * SEGMENT + 100)
CRC = zlib.crc32(TEXT)


class Store:
    """A file store on a bench with storage in memory."""

    def __init__(self, storage: SimulatedStorage | None = None) -> None:
        self.storage = storage or SimulatedStorage()
        self.bench = Bench("files", 6)
        self.bench.plug(FileStore(self.bench.port, self.storage))
        self.storage.settle()

    def do(self, command: str, *args: object, source: int = 1) -> Asker:
        asker = self.bench.do(command, *args, source=source)
        self.storage.settle()
        return asker

    def begin(self, transaction: int = 7, path: str = "in/text.txt", data: bytes = TEXT) -> Asker:
        return self.do("put_begin", transaction, path, len(data), zlib.crc32(data))

    def send(self, offsets: list[int], transaction: int = 7, data: bytes = TEXT) -> list[Asker]:
        return [self.do("put_segment", transaction, at, data[at : at + SEGMENT]) for at in offsets]

    def file(self, path: str) -> bytes | None:
        data = self.storage.files.get(f"state/files/{path}")
        return None if data is None else bytes(data)

    @property
    def hk(self) -> FileStoreHousekeeping:
        """What the next housekeeping report would say."""
        self.bench.component.housekeeping()
        hk: FileStoreHousekeeping = self.bench.component.hk
        return hk


OFFSETS = list(range(0, len(TEXT), SEGMENT))


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_file_sent_in_order_is_put_in_its_place_and_announced(store: Store) -> None:
    assert store.begin().is_done
    assert all(asker.is_done for asker in store.send(OFFSETS))
    assert store.file("in/text.txt") is None
    assert store.do("put_end", 7).is_done
    assert store.file("in/text.txt") == TEXT
    assert store.bench.events("file_received") == [(7, "in/text.txt", len(TEXT))]
    assert not any("incoming" in name for name in store.storage.files)


@pytest.mark.verifies("VA-FIL-01")
def test_segments_may_come_in_any_order_and_twice(store: Store) -> None:
    order = OFFSETS * 2
    Random(1).shuffle(order)
    store.begin()
    store.send(order)
    assert store.do("put_end", 7).is_done
    assert store.file("in/text.txt") == TEXT
    assert store.hk.segments_repeated == len(OFFSETS)


def test_an_empty_file_needs_no_segment(store: Store) -> None:
    store.begin(data=b"")
    assert store.do("put_end", 7).is_done
    assert store.file("in/text.txt") == b""


@pytest.mark.verifies("VA-STO-01")
def test_a_segment_is_completed_only_once_storage_has_made_it_durable(store: Store) -> None:
    store.begin()
    asker = store.bench.do("put_segment", 7, 0, TEXT[:SEGMENT])
    assert not asker.is_answered
    store.storage.settle()
    assert asker.is_done


def test_the_status_names_the_first_gap(store: Store) -> None:
    store.begin()
    store.send([0, 3 * SEGMENT])
    status = store.do("put_status", 7).result
    assert (status.received, status.missing_first, status.missing_length) == (
        SEGMENT,
        SEGMENT,
        2 * SEGMENT,
    )
    assert not status.complete
    store.send(OFFSETS)
    status = store.do("put_status", 7).result
    assert (status.received, status.missing_length, status.complete) == (len(TEXT), 0, True)


def test_an_incomplete_file_cannot_be_ended(store: Store) -> None:
    store.begin()
    store.send(OFFSETS[1:])
    asker = store.do("put_end", 7)
    assert asker.reason == "3072 octets from 0 on are missing; send them first"


@pytest.mark.verifies("VA-FIL-02")
def test_a_wrong_checksum_is_told_and_every_octet_asked_for_again(store: Store) -> None:
    store.do("put_begin", 7, "in/text.txt", len(TEXT), CRC ^ 1)
    store.send(OFFSETS)
    assert store.do("put_end", 7).code is FailureCode.CHECKSUM_MISMATCH
    assert store.bench.events("checksum_mismatch") == [(7, "in/text.txt", CRC ^ 1, CRC)]
    assert store.bench.severity("checksum_mismatch") is Severity.MEDIUM
    assert store.bench.events("file_received") == []
    assert store.file("in/text.txt") is None
    assert store.do("put_status", 7).result.received == 0


@pytest.mark.verifies("VA-STO-02")
def test_an_existing_file_stays_whole_until_the_new_one_is_right(store: Store) -> None:
    store.storage.perform("make_dir", path="state/files/in")
    store.storage.perform("write", path="state/files/in/text.txt", data=b"old")
    store.begin()
    store.send(OFFSETS)
    assert store.file("in/text.txt") == b"old"
    store.do("put_end", 7)
    assert store.file("in/text.txt") == TEXT


def test_a_repeated_end_or_begin_is_answered_as_the_first_one(store: Store) -> None:
    store.begin()
    assert store.begin().is_done
    store.send(OFFSETS)
    first = store.bench.do("put_end", 7)
    second = store.bench.do("put_end", 7)
    store.storage.settle()
    assert first.is_done
    assert second.is_done
    assert store.do("put_end", 7).is_done
    assert store.do("put_status", 7).result.complete
    assert len(store.bench.events("file_received")) == 1


def test_a_file_deleted_since_is_asked_for_again_when_it_is_put_again(store: Store) -> None:
    store.begin()
    store.send(OFFSETS)
    store.do("put_end", 7)
    store.do("delete", "in/text.txt")
    assert store.do("put_status", 7).code is FailureCode.NOT_FOUND
    assert store.do("put_end", 7).code is FailureCode.NOT_FOUND
    assert store.begin().is_done
    assert store.do("put_status", 7).result.received == 0


def test_a_number_in_use_for_another_file_is_refused_with_what_to_do(store: Store) -> None:
    store.begin()
    reason = store.begin(path="in/other.txt").reason
    assert "transfer 7 is open for in/text.txt" in reason
    assert "another number" in reason


def test_at_most_sixteen_transfers_are_open(store: Store) -> None:
    for number in range(puts.MOST_OPEN):
        assert store.begin(number, f"in/{number}").is_done
    assert "16 transfers are open" in store.begin(99, "in/99").reason
    assert store.do("put_abort", 3).is_done
    assert store.begin(99, "in/99").is_done


BAD_PATHS = ["", "/etc/passwd", "../keys.json", "in/../../keys.json", "in//text", "./text", "in/"]
BAD_PATHS += ["a\nb", "a\\b", "products/job-1/weights.bin", "products"]


@pytest.mark.verifies("VA-STO-04")
@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_outside_the_store_is_refused_with_what_to_write(store: Store, path: str) -> None:
    asker = store.begin(path=path)
    assert asker.code is FailureCode.REFUSED
    assert any(word in asker.reason for word in ("write", "put the file", "no '.'", "backslash"))
    assert store.hk.refused == 1


def test_octets_beyond_the_announced_end_are_refused(store: Store) -> None:
    store.begin()
    asker = store.do("put_segment", 7, len(TEXT) - 1, b"xy")
    assert asker.code is FailureCode.ARGUMENT_RANGE
    assert store.do("put_segment", 7, 0, b"").code is FailureCode.ARGUMENT_RANGE


def test_an_unknown_transfer_is_not_found(store: Store) -> None:
    for command in ("put_status", "put_end", "put_abort"):
        assert store.do(command, 5).code is FailureCode.NOT_FOUND
    assert store.do("put_segment", 5, 0, b"x").code is FailureCode.NOT_FOUND


def test_too_many_gaps_are_refused_until_one_is_filled(store: Store) -> None:
    data = bytes(4 * puts.MOST_RANGES)
    store.begin(data=data)
    for number in range(puts.MOST_RANGES):
        store.do("put_segment", 7, 2 * number, b"\0")
    far = 4 * puts.MOST_RANGES - 1
    assert "gaps are open" in store.do("put_segment", 7, far, b"\0").reason
    store.do("put_segment", 7, 1, b"\0")
    assert store.do("put_segment", 7, far, b"\0").is_done


@pytest.mark.verifies("VA-FIL-03")
def test_after_a_restart_what_is_not_known_to_be_durable_is_asked_for_again(store: Store) -> None:
    store.bench.component.parameters_changed()
    store.bench.component.set_parameters([(1, 4)])
    store.begin()
    store.send(OFFSETS[:6])
    again = Store(store.storage)
    assert again.bench.events("transfers_resumed") == [(1,)]
    assert again.do("put_status", 7).result.received == 4 * SEGMENT
    again.send(OFFSETS[4:])
    assert again.do("put_end", 7).is_done
    assert again.file("in/text.txt") == TEXT


def test_a_restart_between_the_move_and_its_record_still_ends_well(store: Store) -> None:
    store.begin()
    store.send(OFFSETS)
    store.storage.perform("make_dir", path="state/files/in")
    store.storage.perform(
        "rename", source="state/incoming/7.part", destination="state/files/in/text.txt"
    )
    again = Store(store.storage)
    assert again.do("put_end", 7).is_done
    assert again.bench.events("file_received") == [(7, "in/text.txt", len(TEXT))]


def test_a_part_shorter_than_its_record_counts_only_what_is_there(store: Store) -> None:
    store.begin()
    store.send(OFFSETS)
    store.storage.perform("truncate", path="state/incoming/7.part", size=5000)
    again = Store(store.storage)
    assert again.do("put_status", 7).result.received == 5000


GOOD_RECORD = b'{"format":1,"transaction":7,"size":9,"crc32":1,"received":[],"path":"a"}'
DAMAGED_RECORDS = [b"", b"[]", b"{}", b"\xff", b'{"format": 2}']
DAMAGED_RECORDS += [
    GOOD_RECORD.replace(*change)
    for change in (
        (b":7", b":8"),
        (b":9", b":-9"),
        (b"[]", b"[[0]]"),
        (b"[]", b"[[0, 1e3]]"),
        (b'"a"', b'"../a"'),
    )
]


@pytest.mark.parametrize("record", DAMAGED_RECORDS)
def test_a_damaged_record_is_told_and_swept_away(record: bytes) -> None:
    storage = SimulatedStorage()
    storage.perform("make_dir", path="state/incoming")
    storage.perform("write", path="state/incoming/7.json", data=record)
    storage.perform("write", path="state/incoming/9.part", data=b"orphan")
    store = Store(storage)
    assert store.bench.events("record_damaged") == [("7.json",)]
    assert storage.files == {}


@pytest.mark.parametrize("error", ["BUSY", "TIMEOUT", "RESTARTED", "EIO"])
def test_a_record_that_storage_does_not_give_at_once_is_asked_for_again(error: str) -> None:
    before = Store()
    before.begin()
    before.send(OFFSETS[:3])
    before.storage.faults["read"] = error
    after = Store(before.storage)
    assert not after.bench.do("put_status", 7).is_answered
    for _ in range(3):
        after.bench.step(1.0)
        after.storage.settle()
    assert len(after.bench.events("storage_unusable")) == 1
    after.storage.faults.clear()
    after.bench.step(1.0)
    after.storage.settle()
    assert after.bench.events("record_damaged") == []
    assert after.do("put_status", 7).is_done


def test_a_record_that_storage_never_gives_is_told_and_left_for_the_next_start() -> None:
    before = Store()
    before.begin()
    before.storage.faults["read"] = "EIO"
    after = Store(before.storage)
    for _ in range(MOST_TRIES + 1):
        after.bench.step(1.0)
        after.storage.settle()
    assert after.bench.events("record_damaged") == [("7.json",)]
    assert after.do("put_status", 7).code is FailureCode.NOT_FOUND
    assert "state/incoming/7.json" in after.storage.files
    after.storage.faults.clear()
    assert Store(after.storage).do("put_status", 7).is_done


def test_telecommands_wait_while_the_table_is_read_and_are_then_carried_out() -> None:
    storage = SimulatedStorage()
    bench = Bench("files", 6)
    bench.plug(FileStore(bench.port, storage))
    early = bench.do("put_begin", 1, "a", 0, 0)
    assert not early.is_answered
    storage.settle()
    assert early.is_done
    storage.is_hung = True
    bench.plug(FileStore(bench.port, storage))
    many = [bench.do("put_status", 1) for _ in range(65)]
    assert "still being read" in many[-1].reason
    assert not many[0].is_answered


def test_a_table_that_cannot_be_read_is_told_once_and_tried_every_second() -> None:
    storage = SimulatedStorage()
    storage.faults["list"] = "EIO"
    store = Store(storage)
    for _ in range(3):
        store.bench.step(1.0)
        storage.settle()
    assert len(store.bench.events("storage_unusable")) == 1
    storage.faults.clear()
    store.bench.step(1.0)
    storage.settle()
    assert store.begin().is_done


@pytest.mark.verifies("VA-STO-03")
def test_a_full_disk_fails_each_segment_but_is_told_once_and_the_transfer_goes_on() -> None:
    store = Store(SimulatedStorage(capacity=len(TEXT) + 2000))
    store.begin()
    store.storage.capacity = 5 * SEGMENT
    answers = store.send(OFFSETS)
    assert answers[0].is_done
    assert answers[-1].code is FailureCode.NO_SPACE
    assert len(store.bench.events("no_space")) == 1
    assert store.bench.severity("no_space") is Severity.MEDIUM
    store.storage.capacity = 1 << 30
    store.send(OFFSETS)
    assert store.do("put_end", 7).is_done


def test_a_file_that_cannot_fit_is_refused_at_once() -> None:
    store = Store(SimulatedStorage(capacity=1000))
    assert store.begin().code is FailureCode.NO_SPACE
    assert store.hk.open_puts == 0


def test_an_idle_transfer_expires_with_an_event_and_leaves_nothing(store: Store) -> None:
    store.begin()
    store.send([0])
    due = store.bench.step(0.0)
    assert due == store.bench.now + 3600 * 10**9
    store.bench.step(3600)
    store.storage.settle()
    assert store.bench.events("transfer_expired") == [(7, "in/text.txt", SEGMENT)]
    assert store.storage.files == {}
    assert store.hk.open_puts == 0


def test_a_storage_queue_that_is_full_fails_the_telecommand_and_says_send_again(
    store: Store,
) -> None:
    store.begin()
    store.storage.depth = 0
    asker = store.do("put_segment", 7, 0, TEXT[:SEGMENT])
    assert asker.code is FailureCode.STORAGE_FAILED
    assert "send it again" in asker.reason
    assert store.hk.storage_failures == 1


def test_a_storage_worker_that_is_lost_fails_what_waited_and_nothing_else(store: Store) -> None:
    store.begin()
    asker = store.bench.do("put_segment", 7, 0, TEXT[:SEGMENT])
    store.storage.lose()
    assert asker.code is FailureCode.STORAGE_FAILED
    store.send(OFFSETS)
    assert store.do("put_end", 7).is_done


@pytest.mark.parametrize("operations", [["make_dir"], ["rename"], ["protect", "digest"]])
def test_an_end_that_storage_fails_leaves_the_transfer_resumable(
    store: Store, operations: list[str]
) -> None:
    store.begin()
    store.send(OFFSETS)
    store.storage.faults.update(dict.fromkeys(operations, "EIO"))
    assert store.do("put_end", 7).code is FailureCode.STORAGE_FAILED
    store.storage.faults.clear()
    assert store.do("put_end", 7).is_done


@pytest.mark.parametrize("value", [None, [], {"size": "9", "crc32": 1}, {"size": -1, "crc32": 0}])
def test_a_digest_answer_that_is_nonsense_fails_the_end(store: Store, value: object) -> None:
    store.begin()
    store.send(OFFSETS)
    store.storage._do_protect = lambda **_: value  # type: ignore[method-assign]
    assert store.do("put_end", 7).code is FailureCode.STORAGE_FAILED


def test_a_raising_storage_reaches_the_executive_which_contains_it(store: Store) -> None:
    def raising(*_: object, **__: object) -> bool:
        raise OSError("broken")

    store.begin()
    store.storage.submit = raising  # type: ignore[method-assign]
    with pytest.raises(OSError, match="broken"):
        store.bench.do("put_segment", 7, 0, b"x")


def test_what_a_transfer_cannot_do_now_is_refused_with_what_it_is_doing(store: Store) -> None:
    opening = store.bench.do("put_begin", 7, "in/text.txt", len(TEXT), CRC)
    again = store.bench.do("put_begin", 7, "in/text.txt", len(TEXT), CRC)
    for command, args in (("put_segment", (0, b"x")), ("put_end", ()), ("put_abort", ())):
        assert "being opened" in store.bench.do(command, 7, *args).reason
    store.storage.settle()
    assert opening.is_done
    assert again.is_done
    store.send(OFFSETS)
    enders = [store.bench.do("put_end", 7) for _ in range(puts.MOST_WAITING + 1)]
    assert "wait for its answer" in enders[-1].reason
    aborters = [store.bench.do("put_abort", 7) for _ in range(2)]
    assert "being checked" in aborters[0].reason
    store.storage.settle()
    assert all(ender.is_done for ender in enders[:-1])


def test_an_abort_sent_twice_is_answered_twice(store: Store) -> None:
    store.begin()
    askers = [store.bench.do("put_abort", 7) for _ in range(2)]
    store.storage.settle()
    assert all(asker.is_done for asker in askers)


def test_a_size_that_no_file_can_have_is_refused(store: Store) -> None:
    assert "no file can have" in store.do("put_begin", 7, "a", 2**63, 0).reason


def test_a_long_path_is_refused_with_the_most_it_may_take(store: Store) -> None:
    with pytest.raises(FieldError, match="at most 128"):
        store.begin(path="é" * 65)
    with pytest.raises(Refused, match="at most 128"):
        file_names.check("é" * 65)


def test_a_late_answer_to_an_aborted_transfer_changes_nothing(store: Store) -> None:
    store.begin()
    late = store.bench.do("put_segment", 7, 0, TEXT[:SEGMENT])
    store.bench.do("put_abort", 7)
    assert "being aborted" in store.bench.do("put_segment", 7, 0, TEXT[:SEGMENT]).reason
    assert "being aborted" in store.bench.do("put_begin", 7, "in/text.txt", len(TEXT), CRC).reason
    store.storage.settle()
    assert late.is_done
    assert store.storage.files == {}


def test_a_result_of_storage_knows_its_failure_code() -> None:
    from flight.components.file_store.storage_answers import failure_of

    assert failure_of(StorageResult(False, error="EROFS", text="read-only"))[0] == (
        "storage: EROFS read-only"
    )
