"""The doctor on what may be done to the board."""

from __future__ import annotations

import pytest

from flight.doctor import controls
from flight.doctor.finding import Verdict
from tests.flight.support.fake_machine import FakeMachine

STATUS = "/proc/self/status"


def allow(machine: FakeMachine, *names: str, board: str = "nvml", level: str = "L1") -> None:
    machine.configuration = {
        "board": {"name": board, "allow_control": list(names)},
        "recovery": {"max_level": level},
    }


@pytest.mark.verifies("VA-BRD-04")
def test_nothing_may_be_changed_unless_it_is_named(machine: FakeMachine) -> None:
    allow(machine)
    assert (
        machine.asked(controls.controls).text
        == "no limit, clock or counter of the board may be changed"
    )


def test_a_control_that_no_board_has_is_an_error_before_the_board_server_says_so(
    machine: FakeMachine,
) -> None:
    allow(machine, "power limit")
    found = machine.asked(controls.controls)
    assert found.verdict is Verdict.ERROR
    assert "power_limit_w" in found.advice


def test_what_is_allowed_must_be_possible_for_this_user(machine: FakeMachine) -> None:
    allow(machine, "power_limit_w", "gpu_reset", "kill_contexts")
    machine.become_somebody_else()
    found = machine.asked(controls.controls)
    assert found.text == "allowed, but this process cannot: power_limit_w, gpu_reset"
    machine.write(STATUS, "Name:\tx\nCapEff:\t0000000000200000\n")
    assert machine.asked(controls.controls).text.endswith("cannot: gpu_reset")
    machine.set(uid=0)
    assert machine.asked(controls.controls).verdict is Verdict.OK


def test_a_power_cycle_needs_somebody_to_ask(machine: FakeMachine) -> None:
    allow(machine, "rail_power_cycle")
    assert machine.asked(controls.controls).verdict is Verdict.WARNING
    machine.set(environment={"VANALLEN_HOST_BUS": "/usr/local/bin/host-bus"})
    assert machine.asked(controls.controls).verdict is Verdict.OK


@pytest.mark.verifies("VA-RCV-12")
def test_the_other_slot_needs_a_jetson_its_tool_root_and_somebody_to_ask(
    machine: FakeMachine,
) -> None:
    bus = {"VANALLEN_HOST_BUS_FOLDER": "/run/host-bus"}
    for board, tool, uid, environment, cannot in (
        ("nvml", True, 0, bus, "other_slot, confirm_slot"),
        ("jetson", False, 0, bus, "other_slot, confirm_slot"),
        ("jetson", True, 0, {}, "rail_power_cycle, other_slot"),
        ("jetson", True, 0, bus, ""),
    ):
        allow(machine, board=board, level="L6")
        machine.set(uid=uid, environment=environment)
        path = machine.root / "usr/sbin/nvbootctrl"
        path.unlink(missing_ok=True)
        if tool:
            machine.write("/usr/sbin/nvbootctrl", "#!/bin/sh\n")
        found = machine.asked(controls.recovery)
        assert found.text.partition("cannot: ")[2] == cannot


def test_an_emulated_board_does_what_it_is_allowed(machine: FakeMachine) -> None:
    allow(machine, "gpu_reset", board="emulated-h100")
    machine.become_somebody_else()
    assert machine.asked(controls.controls).verdict is Verdict.OK


def test_the_controls_of_an_unknown_board_are_judged_as_those_of_a_real_one(
    machine: FakeMachine,
) -> None:
    allow(machine, "gpu_reset", board="nvidia")
    machine.become_somebody_else()
    assert machine.asked(controls.controls).verdict is Verdict.WARNING


def test_recovery_that_this_process_cannot_carry_out_is_a_warning_that_names_the_rungs(
    machine: FakeMachine,
) -> None:
    allow(machine)
    machine.become_somebody_else()
    assert machine.asked(controls.recovery).text == "recovery goes up to L1 restart the job"
    allow(machine, level="L3")
    found = machine.asked(controls.recovery)
    assert found.verdict is Verdict.WARNING
    assert found.text.endswith("up to L3 GPU reset, but this process cannot: gpu_reset")
    machine.set(uid=0)
    assert machine.asked(controls.recovery).verdict is Verdict.OK
    allow(machine, board="emulated-h100", level="L7")
    assert machine.asked(controls.recovery).verdict is Verdict.OK
