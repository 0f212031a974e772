"""Commits: two slots, each whole or not valid."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from flight.workers.commits import Array, CommitError, CommitSlots, load, newest, path_of


def arrays() -> dict[str, Array]:
    return {
        "weights": np.arange(1000, dtype=np.float32).reshape(10, 100),
        "flags": np.array([True, False]),
        "step": np.array(3, dtype=np.int64),
        "empty": np.zeros((0, 4)),
    }


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


def test_the_published_checksum_is_that_of_the_whole_file(tmp_path: Path) -> None:
    slots = CommitSlots(tmp_path, arrays())
    one, other = slots.commit(1), slots.commit(2)
    for published in (one, other):
        content = path_of(tmp_path, published.slot).read_bytes()
        assert (published.size, published.crc32) == (len(content), zlib.crc32(content))
    assert one.crc32 != other.crc32
    slots.close()


def test_every_torn_or_flipped_commit_is_passed_over_for_the_other(tmp_path: Path) -> None:
    state = arrays()
    slots = CommitSlots(tmp_path, state)
    slots.commit(1)
    slots.commit(2)
    slots.close()
    torn = path_of(tmp_path, 1)
    content = torn.read_bytes()
    damages = [content[:cut] for cut in range(0, len(content), 97)]
    damages += [
        content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for at in range(0, len(content), 61)
    ]
    for damage in damages:
        torn.write_bytes(damage)
        found, passed_over = newest([torn, path_of(tmp_path, 0)], state)
        assert found is not None
        assert found.step == 1
        assert len(passed_over) == 1


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
