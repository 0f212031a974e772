"""What XIDs do to compute on the emulated H100: which contexts die, and what brings them back."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from hal.compute.device import DeviceLost
from hal.compute.host import HostDevice
from hal.device import Board, FaultKind
from hal.nvml import xid
from sim_hw.nvml.xid import EFFECTS, Blow, Cure
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = pytest.mark.portable


def compute(stepped: SteppedBoard) -> HostDevice:
    return HostDevice(stepped.folder / "board.state", clock=stepped.clock, sleep=stepped.sleep)


def works(device: HostDevice) -> bool:
    try:
        device.launch(np.add, 1, 1)
        device.synchronise()
    except DeviceLost:
        return False
    return True


def test_every_xid_that_the_driver_names_has_an_effect_and_the_other_way_round() -> None:
    assert set(EFFECTS) == set(xid.NAMES)


@pytest.mark.verifies("VA-SIM-03")
@pytest.mark.parametrize("code", sorted(EFFECTS))
def test_an_xid_ends_the_contexts_it_stands_for_and_is_reported_with_its_advice(
    stepped: SteppedBoard, emulated_board: Board, code: int
) -> None:
    effect = EFFECTS[code]
    first, second = compute(stepped), compute(stepped)
    stepped.world.xid(0, code)
    alive = [works(first), works(second)]
    assert (
        alive
        == {
            Blow.NOTHING: [True, True],
            Blow.ONE_CONTEXT: [False, True],
            Blow.EVERY_CONTEXT: [False, False],
            Blow.OFF_BUS: [False, False],
        }[effect.blow]
    )
    faults = emulated_board.faults(1.0)
    assert (faults[0].kind, faults[0].code) == (FaultKind.XID, code)
    advised = [fault.code for fault in faults if fault.code in (154, 0x8000) and code != 154]
    assert advised == ([0x8000, 154] if effect.recommended else [])
    if effect.blow is not Blow.OFF_BUS:
        (action,) = [r for r in emulated_board.read() if r.name == "gpu0.recovery_action"]
        assert action.value == effect.recommended
    first.close()
    second.close()


@pytest.mark.verifies("VA-SIM-03")
@pytest.mark.parametrize("code", sorted(code for code in EFFECTS if EFFECTS[code].cure))
def test_after_a_fatal_xid_no_context_opens_until_the_gpu_is_reset(
    stepped: SteppedBoard, code: int
) -> None:
    stepped.world.xid(0, code)
    with pytest.raises(DeviceLost, match=r"reset"):
        compute(stepped)
    stepped.world.restore(0)
    stepped.tick()
    again = compute(stepped)
    assert works(again)
    again.close()


def test_a_context_that_died_stays_dead_until_it_is_opened_again(stepped: SteppedBoard) -> None:
    device = compute(stepped)
    stepped.world.xid(0, 94)
    with pytest.raises(DeviceLost, match="XID 94 ended this context"):
        device.synchronise()
    stepped.run(1.0)
    assert not works(device)
    device.close()
    with compute(stepped) as again:
        assert works(again)


def test_the_context_of_a_named_process_is_the_one_that_dies(stepped: SteppedBoard) -> None:
    ours = compute(stepped)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        row = stepped.world.board.claim(0, other.pid)
        stepped.world.xid(0, 13, pid=other.pid)
        assert row.killed_by == 13
    assert works(ours)
    stepped.world.xid(0, 13, pid=os.getpid())
    assert not works(ours)
    ours.close()


def test_a_contained_error_leaves_the_gpu_fit_and_an_uncontained_one_does_not(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    stepped.world.ecc(0, 0, 1, containment="contained")
    assert [fault.code for fault in emulated_board.faults(0.0)] == [2, 48, 63, 0x400, 94, 0x1000]
    assert not stepped.world.gpu(0).needs_reset
    stepped.world.ecc(0, 0, 1, place="sram", containment="uncontained")
    codes = [fault.code for fault in emulated_board.faults(0.0)]
    assert codes == [2, 48, 95, 0x2000, 0x8000, 154]
    assert stepped.world.gpu(0).cure == Cure.GPU_RESET


def test_a_bank_without_spare_rows_fails_its_remap(
    stepped: SteppedBoard, emulated_board: Board
) -> None:
    for _ in range(8):
        stepped.world.ecc(0, 0, 1, bank=7)
    found = {r.name: r.value for r in emulated_board.read()}
    assert (found["gpu0.remapped_rows_uncorrected"], found["gpu0.remap_failed"]) == (8.0, 0.0)
    assert (found["gpu0.banks_spare_max"], found["gpu0.banks_spare_none"]) == (639.0, 1.0)
    stepped.world.ecc(0, 0, 1, bank=7)
    found = {r.name: r.value for r in emulated_board.read()}
    assert (found["gpu0.remapped_rows_uncorrected"], found["gpu0.remap_failed"]) == (8.0, 1.0)
    assert emulated_board.faults(0.0)[-1].code == 154


def test_a_reset_makes_recorded_remaps_active(stepped: SteppedBoard, emulated_board: Board) -> None:
    stepped.world.ecc(0, 0, 2)

    def told() -> tuple[float | None, ...]:
        found = {r.name: r.value for r in emulated_board.read()}
        return found["gpu0.remap_pending"], found["gpu0.remapped_rows_uncorrected_inactive"]

    assert told() == (1.0, 1.0)
    stepped.world.restore(0)
    assert told() == (0.0, 0.0)
