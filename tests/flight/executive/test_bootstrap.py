"""What an executive reads before its first step, whatever has become of the files."""

from __future__ import annotations

import json

import pytest

from flight.executive.bootstrap import KEYS, MARGIN, NoAnswerError, look
from flight.framework.ports import StorageResult
from flight.storage.saved_state import BACKUP, PATH, encode
from icd.dictionary import Mode

STATE = {"boots": 4, "mode": 0, "replay": {"1": 5000}}
KEY = bytes(range(32))


class Disk:
    """Files to read, or the error that comes instead."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | str] = {
            PATH: encode(STATE),
            BACKUP: encode(STATE),
            KEYS: json.dumps({"slots": {"1": KEY.hex()}}).encode(),
        }

    def read(self, path: str) -> StorageResult:
        found = self.files.get(path, "ENOENT")
        if isinstance(found, str):
            return StorageResult(False, error=found)
        return StorageResult(True, found)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_all_that_was_saved_is_found(disk: Disk) -> None:
    found = look(disk.read, needs_keys=True)
    assert (found.saved, found.keys, found.lost) == (STATE, {1: KEY}, [])


def test_an_empty_state_directory_is_a_first_start(disk: Disk) -> None:
    del disk.files[PATH], disk.files[BACKUP]
    found = look(disk.read, needs_keys=True)
    assert (found.saved, found.reason, found.lost) == ({}, "first start", [])


@pytest.mark.verifies("VA-SEC-02")
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b"[" * 9999, "EIO", "ENOENT"])
def test_the_second_copy_serves_with_anti_replay_moved_on(disk: Disk, damage: bytes | str) -> None:
    disk.files[PATH] = damage
    found = look(disk.read, needs_keys=True)
    assert found.saved == STATE | {"replay": {"1": 5000 + MARGIN}}
    assert "second copy" in found.reason
    assert found.lost == []


@pytest.mark.verifies("VA-SEC-02")
def test_state_lost_altogether_is_safe_mode_and_says_what_to_do(disk: Disk) -> None:
    disk.files |= {PATH: b"{", BACKUP: "EIO"}
    found = look(disk.read, needs_keys=True)
    assert found.saved == {"mode": Mode.SAFE}
    assert "change the keys" in found.lost[0]


@pytest.mark.parametrize("path", [PATH, BACKUP, KEYS])
@pytest.mark.parametrize("error", ["TIMEOUT", "RESTARTED"])
def test_storage_that_does_not_answer_is_no_reason_to_begin_anew(
    disk: Disk, path: str, error: str
) -> None:
    disk.files |= {PATH: "EIO", path: error}
    with pytest.raises(NoAnswerError, match=error):
        look(disk.read, needs_keys=True)


def test_one_bad_key_does_not_cost_the_others(disk: Disk) -> None:
    slots = {"1": KEY.hex(), "2": "00", "3": 7, "70000": KEY.hex(), "x": KEY.hex(), "4": "zz"}
    disk.files[KEYS] = json.dumps({"slots": slots}).encode()
    found = look(disk.read, needs_keys=True)
    assert found.keys == {1: KEY}
    assert [text.split()[2] for text in found.lost] == ["2", "3", "70000", "x", "4"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"slots": []}', "ENOENT", "EACCES"])
def test_keys_that_cannot_be_read_are_said(disk: Disk, content: bytes | str) -> None:
    disk.files[KEYS] = content
    found = look(disk.read, needs_keys=True)
    assert found.keys == {}
    assert found.lost[0].startswith("keys.json")


def test_a_payload_in_clear_needs_no_keys(disk: Disk) -> None:
    del disk.files[KEYS]
    assert look(disk.read, needs_keys=False).lost == []
