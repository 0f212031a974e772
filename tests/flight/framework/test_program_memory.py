"""Checksums of code and tables: what changes is found, what the interpreter writes is no change."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from flight.components.recovery import fault_table
from flight.components.scrubber.regions import STEPS, Kind
from flight.framework.bytecode import as_compiled, live_instructions
from flight.framework.program_memory import NoProgram, ProgramMemory, table_octets

SOURCE = '''
LIMITS = {"power": (1, 2.5), "names": ["a", "b"], "on": True}
"""A table."""
_private = 3

def area(width, height):
    total = 0
    for _ in range(3):
        total += width * height + 1234567
    return total

class Box:
    unit = "m"
    def __init__(self, side):
        self.side = side
    def volume(self):
        return area(self.side, self.side) * self.side
    @staticmethod
    def kind():
        return "box of %s" % Box.unit
    @property
    def name(self):
        return (lambda text: text + "!")("box")
'''


@pytest.fixture
def module() -> ModuleType:
    """A module of our own packages that tests may damage."""
    made = ModuleType("flight.made_up")
    exec(SOURCE, made.__dict__)
    made.Box.__module__ = made.__name__
    return made


def program(module: ModuleType) -> ProgramMemory:
    found = ProgramMemory({module.__name__: module})
    assert check_all(found) == []
    return found


def check_all(program: ProgramMemory) -> list[str]:
    """Compare everything once."""
    changed, passes = [], program.passes
    while program.passes == passes:
        changed += program.check(200)
    return changed


def flip(address: int, bit: int = 0) -> None:
    """What an upset does to one octet of memory."""
    octet = ctypes.c_ubyte.from_address(address)
    octet.value ^= 1 << bit


def address_of_instructions(code: CodeType) -> int:
    """Where the instructions are that the interpreter executes."""
    octets = live_instructions(code)
    if hasattr(code, "_co_code_adaptive"):
        whole = ctypes.string_at(id(code), sys.getsizeof(code))
        return id(code) + whole.index(octets)
    return id(octets) + bytes.__basicsize__ - 1  # octets is code.co_code itself


@pytest.mark.verifies("VA-SCR-10")
def test_sound_memory_is_never_found_changed(module: ModuleType) -> None:
    memory = program(module)
    assert memory.items >= 7
    for _ in range(3):
        assert check_all(memory) == []


@pytest.mark.verifies("VA-SCR-10")
@pytest.mark.parametrize("octet", [0, 2, 5], ids=["first opcode", "second opcode", "argument"])
def test_a_flipped_bit_of_an_instruction_is_found_and_told_once(
    module: ModuleType, octet: int
) -> None:
    memory = program(module)
    address = address_of_instructions(module.area.__code__) + octet
    flip(address, bit=1)
    try:
        assert check_all(memory) == ["flight.made_up:area"]
        assert check_all(memory) == []
    finally:
        flip(address, bit=1)


@pytest.mark.verifies("VA-SCR-10")
def test_a_flipped_bit_of_a_constant_is_found(module: ModuleType) -> None:
    memory = program(module)
    constant = next(each for each in module.area.__code__.co_consts if each == 1234567)
    address = id(constant) + int.__basicsize__
    flip(address)
    try:
        assert check_all(memory) == ["flight.made_up:area"]
    finally:
        flip(address)


@pytest.mark.verifies("VA-SCR-10")
def test_a_changed_method_static_method_property_or_inner_function_is_found(
    module: ModuleType,
) -> None:
    box = module.Box
    name = box.__dict__["name"].fget.__code__
    inner = next(each for each in name.co_consts if isinstance(each, CodeType))
    for code, owner in (
        (box.volume.__code__, "Box.volume"),
        (box.kind.__code__, "Box.kind"),
        (name, "Box.name"),
        (inner, "Box.name"),
    ):
        memory = program(module)
        address = address_of_instructions(code) + 3
        flip(address)
        try:
            assert check_all(memory) == [f"flight.made_up:{owner}"]
        finally:
            flip(address)


@pytest.mark.verifies("VA-SCR-10")
def test_a_changed_table_is_found_and_a_variable_is_none(module: ModuleType) -> None:
    memory = program(module)
    module._private = 4
    assert check_all(memory) == []
    module.LIMITS["power"] = (1, 2.25)
    assert check_all(memory) == ["flight.made_up:LIMITS"]


@pytest.mark.verifies("VA-SCR-10")
def test_what_the_interpreter_writes_while_code_runs_is_no_change(module: ModuleType) -> None:
    memory = program(module)
    before = live_instructions(module.area.__code__)
    for side in (1, 2.5, True):
        for _ in range(200):
            module.Box(side).volume()
            assert module.Box.kind() == "box of m"
            assert module.Box(side).name == "box!"
        assert check_all(memory) == []
    if sys.version_info >= (3, 11) and not sys.gettrace():
        assert live_instructions(module.area.__code__) != before  # it did write


@pytest.mark.verifies("VA-SCR-10")
def test_all_code_of_this_process_stays_the_same_while_it_works(tmp_path: Path) -> None:
    memory = ProgramMemory()
    check_all(memory)
    for i in range(200):
        (tmp_path / "file").write_text(json.dumps({"a": [i, None, 1.5], "b": {"c": "d"}}))
        assert json.loads((tmp_path / "file").read_text())["a"][0] == i
    found = [name for name in check_all(memory) if not name.startswith(("coverage", "_pytest"))]
    assert found == []
    assert memory.items > 2000


def test_live_instructions_mean_what_the_compiler_wrote() -> None:
    code = check_all.__code__
    if sys.version_info < (3, 11):
        assert as_compiled(live_instructions(code)) == code.co_code
    else:
        assert as_compiled(live_instructions(code)) == as_compiled(code.co_code)


def test_functions_that_come_later_are_taken_up_and_those_that_go_are_let_go(
    module: ModuleType,
) -> None:
    memory = program(module)
    before = memory.items
    exec("def late():\n    return 1\n", module.__dict__)
    assert check_all(memory) == []
    assert memory.items == before + 1
    del module.area
    assert check_all(memory) == []
    assert memory.items == before


def test_recomputing_takes_memory_as_it_is_for_right(module: ModuleType) -> None:
    memory = program(module)
    module.LIMITS["power"] = (9, 9)
    memory.recompute()
    assert check_all(memory) == []


def test_a_small_slice_compares_a_little_and_goes_on_at_the_next(module: ModuleType) -> None:
    memory = ProgramMemory({module.__name__: module})
    memory.check(1)
    assert memory.passes == 0
    slices = 0
    while not memory.passes:
        memory.check(1)
        slices += 1
    assert slices >= memory.items


def test_a_module_that_loads_while_others_are_compared_does_no_harm(module: ModuleType) -> None:
    modules = {module.__name__: module}
    memory = ProgramMemory(modules)
    memory.check(1)
    modules["flight.other"] = ModuleType("flight.other")
    modules["not a module"] = object()  # type: ignore[assignment]
    assert check_all(memory) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda: dict(STEPS) | {Kind.JOB: STEPS[Kind.FILE]},
        lambda: {**fault_table.RUNGS, 0: "x"},
    ],
)
def test_tables_of_enums_and_dataclasses_are_told_apart(
    change: Callable[[], dict[object, object]],
) -> None:
    changed = table_octets(change())
    assert changed not in (table_octets(STEPS), table_octets(fault_table.RUNGS))
    assert table_octets(STEPS) == table_octets(dict(STEPS))


def test_a_simulated_executive_has_no_program_of_its_own() -> None:
    none = NoProgram()
    none.recompute()
    assert none.check(1 << 20) == []
    assert none.items == none.passes == 0


def test_some_packages_can_be_compared_alone(module: ModuleType) -> None:
    other = ModuleType("elsewhere.made_up")
    exec(SOURCE, other.__dict__)
    modules = {module.__name__: module, other.__name__: other}
    memory = ProgramMemory(modules, packages=("flight",))
    assert check_all(memory) == []
    assert memory.items == program(module).items
