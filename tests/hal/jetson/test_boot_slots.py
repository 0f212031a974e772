"""Boot slots as nvbootctrl tells them, old and new."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from hal.errors import BoardError, DriverFault, DriverMissing, Unsupported, WrongRequest
from hal.jetson.boot_slots import BootSlots, KnownSlots, SlotTable

pytestmark = pytest.mark.portable

# What the tool prints: JetPack 6 on an Orin, and JetPack 4 on a Xavier NX
# (forums.developer.nvidia.com, "Xavier NX Production Boot Chain selection issues").
NEW = """Current version: 36.4.3
Capsule update status: 0
Current bootloader slot: A
Active bootloader slot: {active}
num_slots: 2
slot: 0,             status: normal
slot: 1,             status: {status}
"""
OLD = """Current bootloader slot: A
Active bootloader slot: A
magic:0x43424e00, version: 3 features: 1 num_slots: 2
slot: 0, priority: 15, suffix: _a, retry_count: 7, boot_successful: 1
slot: 1, priority: 14, suffix: _b, retry_count: {retries}, boot_successful: 0
"""


class Tool:
    """An nvbootctrl with two slots; it may not do what it is told."""

    def __init__(self, *, status: str = "normal", obeys: bool = True) -> None:
        self.active = 0
        self.status = status
        self.obeys = obeys
        self.calls: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> str:
        self.calls.append(list(arguments))
        if "set-active-boot-slot" in arguments and self.obeys:
            self.active = int(arguments[-1])
        return NEW.format(active="AB"[self.active], status=self.status)


def saying(text: str) -> BootSlots:
    return BootSlots(lambda _: text, allow_control=True)


def test_the_table_says_what_runs_what_boots_next_and_what_could() -> None:
    table = BootSlots(Tool()).table()
    assert (table.current, table.active, table.other) == (0, 0, 1)
    assert table.version == "36.4.3"
    assert [(slot.letter, slot.status, slot.is_bootable) for slot in table.slots] == [
        ("A", "normal", True),
        ("B", "normal", True),
    ]


def test_an_old_loader_tells_retries_and_success_instead() -> None:
    table = saying(OLD.format(retries=3)).table()
    assert (table.slots[1].retries_left, table.slots[1].is_successful) == (3, False)
    assert table.other == 1
    assert saying(OLD.format(retries=0)).table().other is None


def test_a_slot_is_activated_and_the_table_read_back() -> None:
    tool = Tool()
    after = BootSlots(tool, allow_control=True).activate(1)
    assert (after.current, after.active) == (0, 1)
    assert ["nvbootctrl", "set-active-boot-slot", "1"] in tool.calls


def test_the_table_is_asked_for_once_a_minute_until_something_is_done() -> None:
    tool = Tool()
    known = KnownSlots(BootSlots(tool).table)
    assert [known.table(at * 10**9).current for at in (0, 1, 59)] == [0, 0, 0]
    assert len(tool.calls) == 1
    known.table(60 * 10**9)
    known.forget()
    known.table(61 * 10**9)
    assert len(tool.calls) == 3


def test_a_tool_that_fails_is_not_asked_again_at_once() -> None:
    calls: list[int] = []

    def fail() -> SlotTable:
        calls.append(1)
        raise DriverMissing("nvbootctrl is not installed")

    known = KnownSlots(fail)
    for at in (0, 1):
        with pytest.raises(DriverMissing):
            known.table(at)
    assert len(calls) == 1


def test_slots_are_read_only_until_allowed() -> None:
    tool = Tool()
    acts: tuple[Callable[[BootSlots], object], ...] = (
        lambda slots: slots.activate(1),
        BootSlots.confirm,
    )
    for act in acts:
        with pytest.raises(WrongRequest, match="allow other_slot by name"):
            act(BootSlots(tool))
    assert tool.active == 0


def test_a_slot_that_is_not_there_or_cannot_boot_is_refused() -> None:
    with pytest.raises(WrongRequest, match="give one of 0, 1"):
        BootSlots(Tool(), allow_control=True).activate(2)
    with pytest.raises(WrongRequest, match="unbootable"):
        BootSlots(Tool(status="unbootable"), allow_control=True).activate(1)


@pytest.mark.verifies("VA-BRD-10")
def test_a_slot_that_was_not_activated_is_never_reported_as_done() -> None:
    with pytest.raises(DriverFault, match="left slot 0 active"):
        BootSlots(Tool(obeys=False), allow_control=True).activate(1)


def test_the_root_file_system_has_slots_of_its_own() -> None:
    tool = Tool()
    BootSlots(tool, rootfs=True).table()
    assert tool.calls == [["nvbootctrl", "-t", "rootfs", "dump-slots-info"]]


def test_the_running_slot_is_confirmed() -> None:
    tool = Tool()
    BootSlots(tool, allow_control=True).confirm()
    assert tool.calls == [["nvbootctrl", "mark-boot-successful"]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", DriverFault),
        ("Segmentation fault", DriverFault),
        ("Current bootloader slot: A", DriverFault),
        ("Error: redundancy is not supported", Unsupported),
    ],
)
def test_an_answer_that_is_none_is_an_error_of_ours(text: str, kind: type[BoardError]) -> None:
    with pytest.raises(kind):
        saying(text).table()


def test_a_computer_without_the_tool_says_so() -> None:
    def missing(arguments: Sequence[str]) -> str:
        raise DriverMissing(f"{arguments[0]} is not installed; it comes with JetPack")

    with pytest.raises(DriverMissing, match="nvbootctrl is not installed"):
        BootSlots(missing).table()
