"""What the world draws arrives at an emulated board as its driver would report it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim_hw.nvml.board import EmulatedBoard
from sim_hw.nvml.inject import EVENT_XID, World
from sim_hw.world.devices import Upset
from sim_hw.world.effects import EFFECTS, Effect, Recovery
from sim_hw.world.faults import Fault
from sim_hw.world.striking import strike_h100, strike_orin

RECOVERY_CHANGED = 154
H100 = [
    (upset, effect) for upset, outcomes in EFFECTS["h100", "ecc"].items() for _, effect in outcomes
]
ORIN = [
    (upset, effect) for upset, outcomes in EFFECTS["orin", "ecc"].items() for _, effect in outcomes
]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[World]:
    emulated = EmulatedBoard(tmp_path, "h100", 1, 1)
    world = World(tmp_path)
    yield world
    world.close()
    emulated.close()


def reported(board: World) -> tuple[int, ...]:
    state = board.nvml.state
    events = [state.events[index] for index in range(state.event_head)]
    codes = tuple(event.data for event in events if event.kind == EVENT_XID)
    return tuple(code for code in codes if code != RECOVERY_CHANGED)


def named(case: tuple[Upset, Effect]) -> str:
    return f"{case[0].value}: {case[1].name} {case[1].xids}"


@pytest.mark.verifies("VA-SIM-03")
@pytest.mark.parametrize("case", H100, ids=named)
def test_a_fault_is_reported_by_the_emulated_driver_as_the_truth_log_says(
    board: World, case: tuple[Upset, Effect]
) -> None:
    upset, effect = case
    left = strike_h100(board, 0, Fault(1, 0.0, upset, effect))
    assert reported(board) == effect.xids
    gpu = board.gpu(0)
    counts = {
        ("dram", "corrected"): gpu.corrected.volatile_count,
        ("dram", "uncorrected"): gpu.uncorrected.volatile_count,
    }
    if effect.counter in counts and 64 not in effect.xids:
        assert sum(counts[effect.counter]) == 1
    of_the_host = upset in (Upset.HOST_INTERRUPT, Upset.LATCH_UP)
    assert left is (effect.recovery if of_the_host else Recovery.NONE)
    assert bool(gpu.lost) == (79 in effect.xids)


@pytest.mark.parametrize("case", ORIN, ids=named)
def test_a_fault_of_a_module_ends_contexts_and_counts(case: tuple[Upset, Effect]) -> None:
    upset, effect = case
    calls: list[tuple[object, ...]] = []

    class Module:
        def ecc(self, corrected: int, uncorrected: int) -> None:
            calls.append(("ecc", corrected, uncorrected))

        def crash(self, pid: int | None = None) -> int:
            calls.append(("crash", pid))
            return 1

    left = strike_orin(Module(), Fault(1, 0.0, upset, effect))
    assert (("crash", None) in calls) == effect.kills_context
    assert (("ecc", 1, 0) in calls) == (effect.counter is not None and not effect.kills_context)
    if effect.flips is not None:
        assert calls == []
    assert left is (Recovery.NONE if effect.recovery is Recovery.REPLACE else effect.recovery)
