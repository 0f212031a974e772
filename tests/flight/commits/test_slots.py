"""Commits: two slots, each whole or not valid."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest

from flight.commits.record import BODY_AT, find, seal_of
from flight.commits.slots import Array, CommitError, CommitSlots, load, newest, path_of
from flight.edac.blocks import Region


def arrays() -> dict[str, Array]:
    return {
        "weights": np.arange(1000, dtype=np.float32).reshape(10, 100),
        "flags": np.array([True, False]),
        "step": np.array(3, dtype=np.int64),
        "empty": np.zeros((0, 4)),
    }


def committed(folder: Path, times: int, state: dict[str, Array] | None = None) -> list[Path]:
    """The slots of a job that committed that often."""
    slots = CommitSlots(folder, arrays() if state is None else state)
    paths = [path_of(folder, slots.commit(step).slot) for step in range(1, times + 1)]
    slots.close()
    return paths


def same(found: dict[str, Array]) -> bool:
    wanted = arrays()
    return all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def of_version_1(state: dict[str, Array], step: int, number: int) -> bytes:
    """A commit as software before the code wrote it."""
    table = msgpack.packb(
        [[name, a.dtype.str, list(a.shape), a.nbytes] for name, a in state.items()]
    )
    body = bytearray(40) + table
    for array in state.values():
        body += bytes(-len(body) % 64) + array.tobytes()
    size = len(body) + 4
    body[:40] = struct.pack("<8sHxxIQQQ", b"VACOMMIT", 1, len(table), step, number, size)
    return bytes(body) + struct.pack(">I", zlib.crc32(body))


def test_commits_go_to_the_slots_in_turn_and_the_newest_is_found(tmp_path: Path) -> None:
    state = arrays()
    slots = CommitSlots(tmp_path, state)
    for step in (1, 2, 3):
        state["weights"][...] = step
        assert slots.commit(step).slot == (step + 1) % 2
    slots.close()
    found, passed_over = newest([path_of(tmp_path, 0), path_of(tmp_path, 1)], arrays())
    assert found is not None
    assert passed_over == []
    assert (found.step, found.path) == (3, path_of(tmp_path, 0))
    assert found.arrays["weights"].shape == (10, 100)
    assert (found.arrays["weights"] == 3).all()
    assert found.arrays["flags"].tolist() == [True, False]
    assert found.arrays["step"] == 3


def test_the_published_seal_stands_for_all_of_the_content(tmp_path: Path) -> None:
    state = arrays()
    slots = CommitSlots(tmp_path, state)
    one, other = slots.commit(1), slots.commit(1)
    state["weights"][9, 99] += 1
    changed = slots.commit(1)
    for published in (other, changed):
        content = path_of(tmp_path, published.slot).read_bytes()
        record = find(content, content)
        assert record is not None
        assert (published.size, published.seal) == (len(content), seal_of(record))
    assert len({one.seal, other.seal, changed.seal}) == 3
    slots.close()


def test_no_part_of_a_torn_commit_counts(tmp_path: Path) -> None:
    torn = committed(tmp_path, 2)[1]
    content = torn.read_bytes()
    for cut in range(0, len(content), 997):
        torn.write_bytes(content[:cut])
        found, passed_over = newest([torn, path_of(tmp_path, 0)], arrays())
        assert found is not None
        assert found.step == 1
        assert len(passed_over) == 1


@pytest.mark.verifies("VA-EDC-01")
def test_any_burst_of_512_bits_is_set_right_at_every_place_of_the_file(tmp_path: Path) -> None:
    (path,) = committed(tmp_path, 1)
    content = path.read_bytes()
    for at in range(0, len(content) - 64, 61):
        hit = bytearray(content)
        hit[at : at + 64] = bytes(octet ^ 0xFF for octet in hit[at : at + 64])
        path.write_bytes(hit)
        found = load(path, arrays())
        assert same(found.arrays), f"a burst at octet {at}"
        assert found.examined is not None
        assert found.examined.lost == []


@pytest.mark.verifies("VA-EDC-01")
@pytest.mark.parametrize("size", [0, 9_000, 100_000])
def test_a_line_that_is_wiped_is_set_right_in_arrays_of_any_size(tmp_path: Path, size: int) -> None:
    state = {"values": np.random.default_rng(size).normal(size=size)}
    (path,) = committed(tmp_path, 1, state)
    content = path.read_bytes()
    for at in range(64, len(content) - 64, 64 * 131):
        path.write_bytes(content[:at] + bytes(64) + content[at + 64 :])
        assert (load(path, state).arrays["values"] == state["values"]).all()


def test_it_says_what_it_set_right(tmp_path: Path) -> None:
    (path,) = committed(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[BODY_AT + 300] ^= 0b101
    content[10] ^= 1
    path.write_bytes(content)
    examined = load(path, arrays()).examined
    assert examined is not None
    assert (examined.corrected, examined.rechecked, examined.bits) == (1, 0, 2)
    assert (examined.mended, examined.records_damaged) == (1, 1)


@pytest.mark.verifies("VA-EDC-02")
def test_a_commit_that_is_lost_is_passed_over_for_the_older_one(tmp_path: Path) -> None:
    _, newer = committed(tmp_path, 2)
    content = bytearray(newer.read_bytes())
    for line in (10, 20):
        content[BODY_AT + 64 * line] ^= 1
    newer.write_bytes(content)
    found, passed_over = newest([newer, path_of(tmp_path, 0)], arrays())
    assert found is not None
    assert found.step == 1
    assert passed_over == ["commit.1: 1 of 1 blocks are lost (0)"]


def test_all_six_records_may_be_hit_as_long_as_most_agree(tmp_path: Path) -> None:
    (path,) = committed(tmp_path, 1)
    content = bytearray(path.read_bytes())
    size = len(content)
    for copy, at in enumerate((0, 64, 128, size - 196, size - 132, size - 68)):
        content[at + 20 + copy] ^= 0x40
    path.write_bytes(content)
    assert load(path, arrays()).step == 1


def test_a_commit_with_no_record_left_is_refused(tmp_path: Path) -> None:
    (path,) = committed(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[:192] = content[-196:-4] = bytes(192)
    path.write_bytes(content)
    with pytest.raises(CommitError, match=r"commit\.0 is not a whole commit"):
        load(path, arrays())


def test_a_body_that_belongs_to_another_record_is_refused(tmp_path: Path) -> None:
    (one,) = committed(tmp_path, 1)
    first = one.read_bytes()
    (other,) = committed(tmp_path, 1, arrays() | {"step": np.array(4)})
    second = other.read_bytes()
    one.write_bytes(first[:192] + second[192:-196] + first[-196:])
    with pytest.raises(CommitError, match=r"commit\.0 mixes two commits"):
        load(one, arrays())


@pytest.mark.verifies("VA-EDC-02")
def test_a_process_killed_amid_a_commit_leaves_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = arrays()
    slots = CommitSlots(tmp_path, state)
    slots.commit(1)
    slots.commit(2)
    monkeypatch.setattr(Region, "encode", killed)
    state["weights"][...] = 3
    with pytest.raises(KeyboardInterrupt):
        slots.commit(3)
    found, passed_over = newest([path_of(tmp_path, 0), path_of(tmp_path, 1)], arrays())
    assert found is not None
    assert found.step == 2
    assert passed_over == ["commit.0 is not a whole commit"]
    slots.close()


def test_a_commit_of_the_version_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "commit.A"
    path.write_bytes(of_version_1(arrays(), step=7, number=3))
    found = load(path, arrays())
    assert (found.step, found.number, found.examined) == (7, 3, None)
    assert same(found.arrays)
    for at in (20, 60, 500, -1):
        content = bytearray(of_version_1(arrays(), step=7, number=3))
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(CommitError, match=r"commit\.A"):
            load(path, arrays())
    path.write_bytes(of_version_1({"weights": np.zeros(3)}, step=1, number=1))
    with pytest.raises(CommitError, match="start the job anew"):
        load(path, arrays())
    path.write_bytes(b"VACOMMIT\x01\0")
    with pytest.raises(CommitError, match="too short"):
        load(path, arrays())


def test_a_commit_of_other_arrays_is_refused(tmp_path: Path) -> None:
    slots = CommitSlots(tmp_path, {"weights": np.zeros(8, np.float32)})
    slots.commit(1)
    slots.close()
    for other in (
        {"weights": np.zeros(8, np.int32)},
        {"weights": np.zeros((2, 4), np.float32)},
        {"heights": np.zeros(8, np.float32)},
    ):
        with pytest.raises(CommitError, match="start the job anew"):
            load(path_of(tmp_path, 0), other)


def test_arrays_that_cannot_be_committed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommitError, match="use numbers"):
        CommitSlots(tmp_path, {"text": np.array(["a"], dtype=object)})
    with pytest.raises(CommitError, match="contiguous"):
        CommitSlots(tmp_path, {"columns": np.zeros((4, 4))[:, ::2]})


def test_no_commit_is_no_commit(tmp_path: Path) -> None:
    assert newest([tmp_path / "commit.0"], arrays()) == (None, [])
