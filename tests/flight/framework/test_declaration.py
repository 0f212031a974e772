"""What a component declares, and each mistake that is refused at import with what to write."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from flight.framework.component import (
    Component,
    Mode,
    Pending,
    Port,
    Severity,
    command,
    event,
    report,
)
from icd.codec import Codec, FieldError
from icd.fields import F32, U8, U16, DeclarationError, Field, Limits, Text32
from tests.flight.support.small_executive import Colour, Craft, Gadget


@dataclass
class Hk:
    count: U16 = 0


@dataclass(frozen=True)
class Parameters:
    rate: Annotated[F32, Limits(0.0, 1.0)] = 0.5


@dataclass
class Result:
    total: U16


def declare(body: dict[str, Any], hk: Any = Hk, parameters: Any = Parameters) -> Any:
    """Write a component class with that body, as an import would."""

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update({"__doc__": "A component.", **body})

    base = Component[hk, parameters]
    bases = (Component,)
    namespace: dict[str, Any] = {"__orig_bases__": (base,)}
    fill(namespace)
    return type("Part", bases, namespace)


class TestWhatIsDeclared:
    @pytest.mark.verifies("VA-EXE-01")
    def test_the_signature_is_the_dictionary(self) -> None:
        entry = Gadget.dictionary("gadget", 9)
        assert (entry.name, entry.apid, entry.kind) == ("gadget", 9, "Gadget")
        assert entry.description == "Does what tests need."
        add, paint, later = entry.commands[:3]
        assert (add.opcode, add.name, add.description) == (1, "add", "Add two numbers.")
        assert add.arguments == (
            Field("one", "H", description="a", unit="m", low=1, high=100),
            Field("other", "H"),
        )
        assert add.results == later.results == (Field("total", "I"),)
        assert (add.timeout_s, later.timeout_s) == (10.0, 2.0)
        assert paint.arguments[0].labels == ((1, "RED"), (2, "BLUE"))
        assert [c.name for c in entry.commands if c.is_critical] == ["fire"]
        assert [c.modes for c in entry.commands if c.name == "work"] == [("NOMINAL",)]
        assert add.modes == ("NOMINAL", "SAFE")
        assert entry.housekeeping == (Field("calls", "I", description="commands carried out"),)
        assert entry.parameters[0].name == "gain"
        (noted,) = entry.events
        assert (noted.number, noted.severity, noted.template) == (
            1,
            Severity.INFO,
            "Noted {number}: {text}.",
        )

    def test_labels_arrive_in_the_method_as_its_enumeration(self) -> None:
        craft = Craft()
        craft.do("paint", 2)
        assert craft.calls[-1][1] is Colour.BLUE

    def test_a_call_of_an_event_sends_it_also_by_keyword(self) -> None:
        craft = Craft()
        craft.gadget.noted(3, "x" * 200)
        craft.gadget.noted(text="y", number=999)
        assert craft.events(craft.slot, "noted") == [(3, "x" * 128), (255, "y")]

    def test_a_report_may_be_for_one_station(self) -> None:
        sent: list[tuple[Any, ...]] = []

        class Sink:
            def report(self, *args: Any) -> bool:
                sent.append(args)
                return len(sent) < 2

        part = declare({"row": report(4)(Methods.row)})(Port("part", 6, Sink()))  # type: ignore[arg-type]
        assert part.row(5)
        assert not part.row(number=6, station=3)
        assert sent == [(6, 4, b"\0\5", None), (6, 4, b"\0\6", 3)]

    @pytest.mark.verifies("VA-TLM-04")
    def test_housekeeping_saturates(self) -> None:
        part = declare({})(Port("part", 6, Craft()))
        part.hk.count = 70_000
        assert part.housekeeping() == b"\xff\xff"

    def test_a_component_without_fields_has_empty_housekeeping(self) -> None:
        @dataclass
        class Nothing:
            pass

        part = declare({}, hk=Nothing, parameters=Nothing)(Port("part", 6, Craft()))
        assert part.housekeeping() == b""
        assert part.parameter_values() == ()

    @pytest.mark.verifies("VA-EXE-10")
    def test_several_parameters_are_set_together_or_not_at_all(self) -> None:
        gadget = Craft().gadget
        before = gadget.parameters
        with pytest.raises(FieldError, match="gain = 11; give 0 … 10"):
            gadget.set_parameters([(2, 5), (0, 11.0)])
        assert gadget.parameters is before
        gadget.set_parameters([(2, 5), (0, 9.0), (1, 2)])
        assert gadget.parameter_values() == (9.0, Colour.BLUE, 5)


class Big(enum.IntEnum):
    LARGE = 256


class Methods:
    """Methods as a component would declare them, most of them wrongly."""

    def bare(self) -> None: ...

    def typeless(self, x: int) -> None:
        """Has an argument without a wire type."""

    def unlabelled(self, x: Big) -> None:
        """Has an enumeration that does not fit."""

    def number(self) -> int:
        """Gives back no dataclass."""
        return 1

    def pair_of(self) -> tuple[int, str]:
        """Gives back two things."""
        return 1, ""

    def either(self) -> Pending[Result] | None:
        """Gives back one or the other."""
        return None

    def fine(self) -> None:
        """Is fine."""

    def other(self) -> None:
        """Is fine too."""

    def row(self, number: U16) -> bool:
        """A row."""
        return number > 0


def shows(text: str) -> Callable[..., None]:
    class Source:
        def happened(self, region: U8, name: Text32) -> None: ...

    Source.happened.__doc__ = text
    return Source.happened


class TestWhatIsRefused:
    @pytest.mark.verifies("VA-EXE-01")
    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"__doc__": None}, "Part needs a docstring: operators read it"),
            ({"a": command(1)(Methods.bare)}, "bare needs a docstring"),
            ({"a": command(1)(Methods.typeless)}, "field 'x' has no wire type; write it as"),
            ({"a": command(1)(Methods.unlabelled)}, "LARGE of field 'x' does not fit u8"),
            ({"a": command(1)(Methods.number)}, "returns None, a dataclass of results, or Pending"),
            (
                {"a": command(1)(Methods.pair_of)},
                "returns None, a dataclass of results, or Pending",
            ),
            ({"a": command(1)(Methods.either)}, "returns None, a dataclass of results, or Pending"),
            ({"a": command(256)(Methods.fine)}, "Part: opcode 256; give 0 … 255"),
            ({"a": event(1, Severity.LOW)(shows("{area} is lost"))}, r"shows \{area\}, which is"),
            ({"a": event(1, Severity.LOW)(shows("{} is lost"))}, r"shows \{\}, which is"),
            ({"a": event(1, Severity.LOW)(shows("{region"))}, "is no template"),
            ({"a": event(1, Severity.LOW)(shows(""))}, "needs a docstring"),
            ({"a": event(-1, Severity.LOW)(shows("lost"))}, "event number -1; give 0 … 65535"),
            ({"a": report(65536)(Methods.row)}, "report number 65536"),
        ],
    )
    def test_each_mistake_has_its_sentence(self, body: dict[str, Any], says: str) -> None:
        with pytest.raises(DeclarationError, match=says):
            declare(body)

    @pytest.mark.verifies("VA-EXE-01")
    @pytest.mark.parametrize(
        ("mark", "what"),
        [
            (lambda: command(3), "opcode"),
            (lambda: event(3, Severity.LOW), "event number"),
            (lambda: report(3), "report number"),
        ],
    )
    def test_a_number_given_twice_is_refused(self, mark: Any, what: str) -> None:
        with pytest.raises(DeclarationError, match=f"{what} 3 is declared twice; give each its"):
            declare({"one": mark()(Methods.fine), "other": mark()(Methods.other)})

    @pytest.mark.verifies("VA-EXE-01")
    def test_the_two_dataclasses_must_be_named(self) -> None:
        with pytest.raises(DeclarationError, match=r"write class Part\(Component\[Housekeeping, P"):
            type("Part", (Component,), {"__doc__": "A component."})

    @pytest.mark.verifies("VA-EXE-01")
    def test_every_field_needs_a_default(self) -> None:
        @dataclass
        class Bad:
            x: U8

        with pytest.raises(DeclarationError, match="field 'x' of Bad needs a default"):
            declare({}, hk=Bad)

    @pytest.mark.verifies("VA-EXE-01")
    def test_a_default_that_is_made_each_time_is_none(self) -> None:
        @dataclass
        class Bad:
            x: U8 = field(default_factory=int)

        with pytest.raises(DeclarationError, match="field 'x' of Bad needs a default"):
            declare({}, hk=Bad)

    @pytest.mark.verifies("VA-EXE-01")
    def test_a_default_outside_its_own_limits_is_refused(self) -> None:
        @dataclass(frozen=True)
        class Bad:
            rate: Annotated[F32, Limits(1.0, 2.0)] = 3.0

        with pytest.raises(
            DeclarationError, match="its own default is refused: rate = 3; give 1 … 2"
        ):
            declare({}, parameters=Bad)


def test_defer_outside_a_handler_is_a_mistake() -> None:
    part = declare({})(Port("part", 6, Craft()))
    with pytest.raises(RuntimeError, match="only valid inside a command or request"):
        part.defer()
    assert part.run(0) is None
    assert not part.port.post(lambda: None)


def test_every_mode_has_a_number_of_its_own() -> None:
    assert [(mode.name, int(mode)) for mode in Mode] == [("NOMINAL", 0), ("SAFE", 1)]


def test_arguments_decode_as_the_dictionary_says() -> None:
    plan = Gadget.declaration.commands[1]
    assert plan.decode(Codec(plan.entry.arguments).pack((7, 8))) == (7, 8)
