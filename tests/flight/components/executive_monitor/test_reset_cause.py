"""Why the executive starts, by what the last one saved."""

from __future__ import annotations

from typing import Any

import pytest

from flight.components.executive_monitor.reset_cause import Boot, BootCause, cause_of
from flight.components.recovery.fault_table import Kind, Level

HERE = Boot("computer 1", "supervisor 1")
pytestmark = pytest.mark.verifies("VA-RCV-13")


def acting(kind: Kind, level: Level) -> dict[str, Any]:
    return {"acting": [0, int(kind), 79, int(level), -1]}


@pytest.mark.parametrize(
    ("saved", "cause"),
    [
        ({}, BootCause.FIRST_START),
        ({"boots": 3}, BootCause.UNKNOWN),
        ({"boot": 7}, BootCause.UNKNOWN),
        ({"boot": HERE.saved()}, BootCause.EXECUTIVE),
        ({"boot": Boot("computer 1", "supervisor 0").saved()}, BootCause.PAYLOAD),
        ({"boot": Boot("computer 0", "supervisor 1").saved()}, BootCause.POWER),
    ],
)
def test_the_computer_and_the_supervisor_tell_how_much_was_started(
    saved: dict[str, Any], cause: BootCause
) -> None:
    assert cause_of(saved, HERE) is cause


@pytest.mark.parametrize(
    ("recovery", "cause"),
    [
        (acting(Kind.XID, Level.RAIL_POWER_CYCLE), BootCause.HOST_BUS),
        (acting(Kind.ORDER, Level.OTHER_SLOT), BootCause.COMMANDED),
        (acting(Kind.XID, Level.GPU_RESET), BootCause.POWER),
        ({"acting": None}, BootCause.POWER),
        ({"acting": [5]}, BootCause.POWER),
        (None, BootCause.POWER),
    ],
)
def test_a_computer_that_started_again_did_so_for_an_action_that_was_under_way(
    recovery: Any, cause: BootCause
) -> None:
    before = Boot("computer 0", "supervisor 0").saved()
    assert cause_of({"boot": before, "recovery": recovery}, HERE) is cause


def test_an_executive_that_had_everything_start_again_has_said_so() -> None:
    saved = {"boot": HERE.saved(), "leaving": "XID 79: no readings came"}
    assert cause_of(saved, HERE) is BootCause.HOST_BUS
    ordered = {**saved, "recovery": acting(Kind.ORDER, Level.OTHER_SLOT)}
    assert cause_of(ordered, HERE) is BootCause.COMMANDED


def test_a_computer_without_a_boot_id_leaves_the_cause_unknown() -> None:
    assert cause_of({"boot": HERE.saved()}, Boot("", "supervisor 1")) is BootCause.UNKNOWN


def test_every_cause_has_words() -> None:
    assert len({cause.words for cause in BootCause}) == len(BootCause)
