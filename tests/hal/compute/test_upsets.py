"""Flips in the host driver: sent by the board, logged, done at an address, and done again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal.compute.device import open_device
from hal.compute.host import HostDevice
from hal.compute.upsets import Replayed, flip
from hal.errors import ComputeError
from hal.kernels import Kernel
from hal.kernels.matmul import MATMUL
from icd import flips
from icd.board_state import BoardState, files_of
from icd.flips import FlipDraw, FlipKind, Letter

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

ONE_BIT = ("80",)
ONE_ELEMENT = ("00000080",)


class Sender:
    """The world's side of flips, for one context."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "board.state"
        self.log = folder / flips.LOG
        self.board = BoardState.create(self.path, 1)
        self.count = 0
        for path in files_of(self.path)[1:]:
            flips.append(path)

    def send(self, kind: FlipKind, where: float = 0.0, **changes: Any) -> FlipDraw:
        self.count += 1
        masks = ONE_BIT if kind is FlipKind.MEMORY else ONE_ELEMENT
        body = {"rows": 1, "columns": 1, "masks": masks, **changes}
        draw = FlipDraw(self.count, kind, "test", int(where * 2**64), 0, **body)
        (slot,) = [slot for slot, row in enumerate(self.board.contexts) if row.pid]
        letter = Letter(draw, os.getpid(), slot, 2.5, 100.0)
        flips.append(self.path.with_name(flips.DRAWS), letter.line())
        self.board.contexts[slot].flips_sent += 1
        return draw

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in flips.read_log(self.log) if one["type"] == kind]


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    opened = Sender(tmp_path)
    yield opened
    opened.board.close()


@pytest.fixture
def device(sender: Sender) -> Iterator[HostDevice]:
    opened = HostDevice(sender.path)
    yield opened
    opened.close()


def nothing() -> int:
    return 1


@pytest.mark.verifies("VA-FLP-02")
def test_a_memory_flip_changes_the_octet_that_it_names_before_the_next_launch(
    sender: Sender, device: HostDevice
) -> None:
    first = device.allocate(100, np.uint8)
    second = device.allocate(100, np.uint8)
    device.mark(7, 3)
    device.launch(nothing)
    sender.send(FlipKind.MEMORY, 0.75)
    assert not second.any()
    device.launch(nothing)
    assert not first.any()
    assert np.flatnonzero(second).tolist() == [50]
    assert second[50] == 0x80
    (record,) = sender.records("flip")
    assert {name: record[name] for name in ("job", "step", "call", "array", "offset", "mask")} == {
        "job": 7,
        "step": 3,
        "call": 1,
        "array": "allocation 1",
        "offset": 50,
        "mask": "80",
    }
    assert (record["t"], record["acceleration"], record["pid"]) == (2.5, 100.0, os.getpid())


def test_a_kernel_writes_its_last_arguments_and_a_logic_flip_is_in_them(
    sender: Sender, device: HostDevice
) -> None:
    a = device.copy_in(np.eye(4, dtype=np.float32))
    out = device.allocate((4, 4), np.float32)
    sender.send(FlipKind.LOGIC, 5.5 / 16)
    device.launch(MATMUL, a, a, out)
    assert np.flatnonzero(out != np.eye(4)).tolist() == [5]
    assert out[1, 1] == -1.0
    assert np.array_equal(a, np.eye(4))
    assert sender.records("flip")[0]["array"] == "argument 2"


def test_a_kernel_with_two_outputs_can_be_struck_in_both(
    sender: Sender, device: HostDevice
) -> None:
    def both(a: Any, low: Any, high: Any) -> None:
        low[...], high[...] = a - 1, a + 1

    kernel = Kernel("both", both, both, outputs=2)
    a, low, high = (device.allocate(4, np.float32) for _ in range(3))
    sender.send(FlipKind.LOGIC, 0.1)
    sender.send(FlipKind.LOGIC, 0.9)
    device.launch(kernel, a, low, high)
    assert (a.tolist(), low.tolist()) == ([0.0] * 4, [1.0, -1.0, -1.0, -1.0])
    assert high.tolist() == [1.0, 1.0, 1.0, -1.0]


@pytest.mark.parametrize(
    ("function", "array"),
    [
        (lambda a: a + 1, "result 0"),
        (lambda a: (3, a * 2), "result 1"),
        (lambda a: a.fill(1), "argument 0"),
        (lambda _: 3, "allocation 0"),
    ],
    ids=["returned", "in a tuple", "procedure", "number"],
)
def test_what_a_function_wrote_is_known_by_what_it_returns(
    sender: Sender, device: HostDevice, function: Any, array: str
) -> None:
    held = device.allocate(8, np.float32)
    sender.send(FlipKind.LOGIC)
    device.launch(function, np.ones(8, np.float32))
    (record,) = sender.records("flip")
    assert record["array"] == array
    assert bool(held.any()) == (array == "allocation 0") or held[0] == 0.0


def test_arrays_that_a_launch_is_given_are_in_the_devices_memory(
    sender: Sender, device: HostDevice
) -> None:
    mine, constant = np.zeros(10, np.uint8), np.zeros(10, np.uint8)
    constant.flags.writeable = False
    sender.send(FlipKind.MEMORY, 0.95)
    device.launch(lambda *_: 1, constant, mine, "text", np.array([None]))
    assert np.flatnonzero(mine).tolist() == [9]
    assert not constant.any()


def test_an_argument_that_is_an_allocation_is_there_once(
    sender: Sender, device: HostDevice
) -> None:
    held = device.allocate(10, np.uint8)
    sender.send(FlipKind.MEMORY, 0.99)
    device.launch(lambda *_: 1, held[:5], held)
    assert np.flatnonzero(held).tolist() == [9]


def test_what_is_copied_out_may_have_flipped_while_it_lay_there(
    sender: Sender, device: HostDevice
) -> None:
    held = device.allocate(4, np.uint8)
    sender.send(FlipKind.MEMORY)
    assert device.copy_out(held).tolist() == [0x80, 0, 0, 0]


def test_memory_that_is_free_again_is_not_struck(sender: Sender, device: HostDevice) -> None:
    dropped = device.allocate(1000, np.uint8)
    kept = device.allocate(10, np.uint8)
    del dropped
    sender.send(FlipKind.MEMORY, 0.0)
    device.launch(nothing)
    assert kept[0] == 0x80


def test_a_view_with_gaps_is_struck_in_its_own_elements(sender: Sender, device: HostDevice) -> None:
    whole = np.zeros((4, 6), np.float32)
    sender.send(FlipKind.LOGIC, 4.5 / 8)
    device.launch(lambda part: part.fill(1.0), whole[:, 1:5:2])
    assert np.argwhere(whole == -1.0).tolist() == [[2, 1]]
    assert np.count_nonzero(whole) == 8


def test_a_draw_that_finds_nothing_says_so(sender: Sender, device: HostDevice) -> None:
    sender.send(FlipKind.MEMORY)
    device.launch(nothing)
    sender.send(FlipKind.LOGIC)
    device.close()
    reasons = [record["reason"] for record in sender.records("missed")]
    assert reasons == ["the job holds nothing there", "the context that it struck ended first"]


def test_a_process_that_begins_tells_from_which_step(sender: Sender, device: HostDevice) -> None:
    device.mark(5, 40)
    device.launch(nothing)
    device.mark(5, 41)
    device.launch(nothing)
    assert sender.records("begun") == [{"type": "begun", "job": 5, "step": 40, "pid": os.getpid()}]


def test_draws_for_another_context_are_not_ours(sender: Sender, device: HostDevice) -> None:
    held = device.allocate(4, np.uint8)
    letter = Letter(sender.send(FlipKind.MEMORY), 1, 0, 0.0, 1.0)
    draws = sender.path.with_name(flips.DRAWS)
    draws.write_text(letter.line())
    device.launch(nothing)
    assert not held.any()


def test_a_board_without_the_file_of_draws_flips_nothing(tmp_path: Path) -> None:
    board = BoardState.create(tmp_path / "board.state", 1)
    with HostDevice(tmp_path / "board.state") as device:
        board.contexts[0].flips_sent += 1
        held = device.allocate(4, np.uint8)
        device.launch(nothing)
        assert not held.any()
    assert [path.name for path in tmp_path.iterdir()] == ["board.state"]
    board.close()


def test_a_flip_that_cannot_be_logged_is_not_done(
    sender: Sender, device: HostDevice, capfd: pytest.CaptureFixture[str]
) -> None:
    held = device.allocate(4, np.uint8)
    device.launch(nothing)
    sender.log.unlink()
    sender.log.mkdir()
    sender.send(FlipKind.MEMORY)
    device.launch(nothing)
    assert not held.any()
    assert "flips are left out" in capfd.readouterr().err


def worked(device: Any) -> np.ndarray:
    """A small job of four steps whose end depends on every bit."""
    state = device.allocate((8, 8), np.float32)
    scratch = device.allocate((8, 8), np.float32)
    state[...] = np.random.default_rng(3).standard_normal((8, 8))
    for step in range(4):
        device.mark(9, step)
        for _ in range(3):
            device.launch(MATMUL, state, state, scratch)
            device.launch(np.divide, scratch, np.abs(scratch).max(), state)
    return device.copy_out(state)


@pytest.mark.verifies("VA-FLP-03")
def test_a_log_done_again_gives_the_same_wrong_bits(sender: Sender, device: HostDevice) -> None:
    random = np.random.default_rng(1)
    launch = device.launch

    def disturbed(*arguments: Any) -> Any:
        kind = list(FlipKind)[int(random.integers(2))]
        if random.random() < 0.4:
            sender.send(kind, float(random.random()), operation="xor")
        return launch(*arguments)

    device.launch = disturbed  # type: ignore[method-assign]
    wrong = worked(device)
    replay = Replayed.of(sender.log, 9)
    count = replay.left
    again = worked(open_device("host", flips=replay))
    right = worked(open_device("host"))
    assert count > 5
    assert replay.left == 0
    assert wrong.tobytes() == again.tobytes() != right.tobytes()


def test_a_log_of_another_job_is_refused_where_it_does_not_fit(
    sender: Sender, device: HostDevice
) -> None:
    held = device.allocate(1000, np.uint8)
    sender.send(FlipKind.MEMORY, 0.9)
    device.launch(nothing)
    replay = open_device("host", flips=Replayed.of(sender.log, 0))
    short = replay.allocate(10, np.uint8)
    with pytest.raises(ComputeError, match="replay the job that was struck"):
        replay.launch(nothing)
    assert held.any()
    assert not short.any()


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.uint8, np.bool_])
def test_a_flip_and_its_repetition_leave_what_was_there(dtype: Any) -> None:
    array = np.ones((3, 4), dtype).T
    flip(array, 1, b"\x81", "xor")
    assert array.tobytes() != np.ones((3, 4), dtype).T.tobytes()
    flip(array, 1, b"\x81", "xor")
    assert array.tobytes() == np.ones((3, 4), dtype).T.tobytes()


def test_each_line_of_the_log_is_whole_json(sender: Sender, device: HostDevice) -> None:
    out = device.allocate((40, 40), np.float32)
    sender.send(FlipKind.LOGIC, 0.302, rows=6, columns=7, masks=("01000000", "02000000"))
    device.launch(lambda a: a.fill(0.0), out)
    lines = [json.loads(line) for line in sender.log.read_text().splitlines()]
    assert sum(line["type"] == "flip" for line in lines) == 42 == np.count_nonzero(out)
