"""The file store and what protects files: put with a sidecar, looked at before they are used."""

from __future__ import annotations

import zlib
from random import Random
from typing import Any

import pytest

from flight.components.file_store.checkups import WatchedStorage, checkup_of
from flight.components.file_store.component import FileStore
from flight.components.file_store.dictionary import FileStoreHousekeeping
from flight.framework.ports import Refused, StorageResult
from flight.storage import file_names
from flight.storage.simulated import SimulatedStorage
from icd.failures import FailureCode
from tests.flight.support.component_harness import Asker, Bench

TEXT = Random(7).randbytes(5000)
PATH, STORED = "in/text.bin", "state/files/in/text.bin"
BESIDE = f"{STORED}.edac"


class Store:
    """A file store whose storage is watched, as the deployment has it."""

    def __init__(self) -> None:
        self.storage = SimulatedStorage()
        self.watched = WatchedStorage(self.storage)
        self.bench = Bench("files", 6)
        component = FileStore(self.bench.port, self.watched)
        self.watched.found = component.looked_at
        self.bench.plug(component)
        self.storage.settle()

    def do(self, command: str, *arguments: object) -> Asker:
        asker = self.bench.do(command, *arguments)
        self.settle()
        return asker

    def settle(self) -> None:
        self.storage.settle()
        self.bench.step(0.1)

    def put(self, data: bytes = TEXT) -> Asker:
        self.do("put_begin", 7, PATH, len(data), zlib.crc32(data))
        for at in range(0, len(data), 3072):
            self.do("put_segment", 7, at, data[at : at + 3072])
        return self.do("put_end", 7)

    def events(self, name: str) -> list[tuple[Any, ...]]:
        return self.bench.events(name)

    @property
    def hk(self) -> FileStoreHousekeeping:
        """What the next housekeeping report would say."""
        self.bench.component.housekeeping()
        hk: FileStoreHousekeeping = self.bench.component.hk
        return hk


@pytest.fixture
def store() -> Store:
    store = Store()
    assert store.put().is_done
    return store


@pytest.mark.verifies("VA-EDC-05")
def test_a_file_has_its_sidecar_when_it_is_in_its_place(store: Store) -> None:
    assert bytes(store.storage.files[STORED]) == TEXT
    assert bytes(store.storage.files[BESIDE]) == b"SIDE" + TEXT
    assert not any("incoming" in name for name in store.storage.files)
    assert store.hk.storage_failures == 0


def test_a_newer_file_of_the_name_gets_a_sidecar_of_its_own(store: Store) -> None:
    assert store.put(TEXT[:100]).is_done
    assert bytes(store.storage.files[BESIDE]) == b"SIDE" + TEXT[:100]


def test_at_no_moment_is_a_file_beside_the_sidecar_of_another() -> None:
    store = Store()
    store.put()
    newer = TEXT[::-1]
    seen: set[bytes] = set()
    perform = store.storage.perform

    def watching(operation: str, **arguments: Any) -> StorageResult:
        result = perform(operation, **arguments)
        beside = store.storage.files.get(BESIDE)
        if beside is not None:
            assert beside[4:] == store.storage.files[STORED], operation
            seen.add(bytes(beside))
        return result

    store.storage.perform = watching  # type: ignore[method-assign]
    assert store.put(newer).is_done
    assert len(seen) == 2


@pytest.mark.verifies("VA-EDC-05")
@pytest.mark.parametrize("operation", ["protect"])
def test_a_file_that_cannot_be_protected_is_stored_all_the_same_and_that_is_said(
    operation: str,
) -> None:
    store = Store()
    store.storage.faults[operation] = "EIO"
    assert store.put().is_done
    assert bytes(store.storage.files[STORED]) == TEXT
    assert BESIDE not in store.storage.files
    assert store.events("file_unprotected") == [(PATH, "storage: EIO protect")]


def test_a_restart_between_moving_and_forgetting_protects_the_file_again() -> None:
    store = Store()
    perform = store.storage.perform

    def dying(operation: str, **arguments: Any) -> StorageResult:
        if operation == "rename" and "edac" in arguments["destination"]:
            store.storage.is_hung = True
        return perform(operation, **arguments)

    store.storage.perform = dying  # type: ignore[method-assign]
    store.put()
    store.storage.files.pop(BESIDE, None)
    store.storage.perform = perform  # type: ignore[method-assign]
    store.storage.is_hung = False
    again = Store.__new__(Store)
    again.storage, again.watched = store.storage, WatchedStorage(store.storage)
    again.storage.lose()
    again.bench = Bench("files", 6)
    again.bench.plug(FileStore(again.bench.port, again.watched))
    again.settle()
    assert again.do("put_end", 7).is_done
    assert bytes(again.storage.files[BESIDE]) == b"SIDE" + TEXT


@pytest.mark.verifies("VA-EDC-03")
def test_a_file_that_was_hit_is_set_right_before_it_is_sent_and_that_is_told(store: Store) -> None:
    store.storage.files[STORED][100] ^= 1
    begun = store.do("get_begin", 1, PATH, 0).result
    assert (begun.size, begun.crc32) == (len(TEXT), zlib.crc32(TEXT))
    assert bytes(store.storage.files[STORED]) == TEXT
    assert store.events("file_repaired") == [(PATH, 1, 1)]


@pytest.mark.verifies("VA-EDC-04")
def test_a_file_beyond_repair_is_refused_with_a_way_out_and_told(store: Store) -> None:
    store.storage.files[STORED][100] ^= 1
    store.storage.files[BESIDE] = bytearray(b"torn")
    refused = store.do("get_begin", 1, PATH, 0)
    assert refused.code is FailureCode.CHECKSUM_MISMATCH
    assert refused.reason == (
        "1 of its 1 blocks cannot be corrected; "
        "put it again, or delete in/text.bin.edac to have it as it is"
    )
    assert store.events("file_damaged") == [(PATH, 1, 0, "1 of its 1 blocks cannot be corrected")]
    assert store.do("delete", f"{PATH}.edac").is_done
    assert store.do("get_begin", 1, PATH, 0).is_done


@pytest.mark.verifies("VA-EDC-06")
def test_ground_can_have_a_file_verified_and_then_repaired(store: Store) -> None:
    store.storage.files[STORED][100] ^= 1
    found = store.do("verify", PATH).result
    assert (found.protected, found.blocks, found.corrected, found.repaired) == (True, 1, 1, False)
    assert bytes(store.storage.files[STORED]) != TEXT
    found = store.do("repair", PATH).result
    assert (found.corrected, found.bits, found.lost, found.repaired) == (1, 1, 0, True)
    assert bytes(store.storage.files[STORED]) == TEXT
    assert store.events("file_repaired") == [(PATH, 1, 1)]
    assert store.do("verify", "none").code is FailureCode.NOT_FOUND


def test_a_file_without_a_sidecar_is_said_to_have_none(store: Store) -> None:
    store.do("delete", f"{PATH}.edac")
    assert store.do("verify", PATH).result.protected is False


def test_sidecars_go_with_their_files_and_are_not_listed(store: Store) -> None:
    listed = store.do("list", "in")
    store.settle()
    assert listed.result.entries == 1
    assert [row[0] for row in store.bench.reports("entry")] == [PATH]
    assert store.do("delete", PATH).is_done
    assert BESIDE not in store.storage.files
    assert store.hk.storage_failures == 0


def test_a_sidecar_can_be_fetched_and_cannot_be_put(store: Store) -> None:
    assert store.do("get_begin", 1, f"{PATH}.edac", 0).is_done
    refused = store.do("put_begin", 8, "in/other.edac", 1, 1)
    assert "give another name" in refused.reason
    with pytest.raises(Refused, match="makes the files called"):
        file_names.check_writable("a.edac")


@pytest.mark.parametrize("value", [None, {}, {"blocks": -1}, {"blocks": "3"}])
def test_an_answer_of_storage_that_is_nonsense_is_no_checkup(value: object) -> None:
    assert checkup_of(StorageResult(True, value)) is None


def test_what_others_have_storage_look_at_is_told_too(store: Store) -> None:
    store.storage.files[STORED][100] ^= 1
    store.watched.submit("mend", lambda _: None, path=STORED)
    store.settle()
    assert store.events("file_repaired") == [(PATH, 1, 1)]
