"""Reads a component class into its declaration: what it can be told and can report."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import string
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_args, get_type_hints

from icd.codec import Codec, FieldError
from icd.dictionary import (
    CommandEntry,
    ComponentDictionary,
    EventEntry,
    Mode,
    ReportEntry,
    Severity,
)
from icd.fields import DeclarationError, Field, fields_of, python_types_of

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")
_MARK = "__vanallen__"
Converters = tuple[tuple[int, Callable[[Any], Any]], ...]


@dataclass(frozen=True)
class _Mark:
    what: str
    number: int
    options: dict[str, Any]


def command(
    opcode: int,
    *,
    timeout_s: float = 10.0,
    critical: bool = False,
    modes: tuple[Mode, ...] = tuple(Mode),
) -> Callable[[Callable[Concatenate[C, P], R]], Callable[Concatenate[C, P], R]]:
    """Let ground call this method as PUS 8 function `opcode` of its component.

    Its signature gives the arguments, its return annotation the results (None, a dataclass, or
    Pending[...] of either for an answer that comes later), its docstring the help text.
    """
    options = {"timeout_s": timeout_s, "is_critical": critical, "modes": modes}

    def mark(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
        method.__dict__[_MARK] = _Mark("command", opcode, options)
        return method

    return mark


def request(
    service: int, subtype: int
) -> Callable[[Callable[[C, int, bytes], R]], Callable[[C, int, bytes], R]]:
    """Let this method carry out a standard PUS request: it gets the APID and the body."""

    def mark(method: Callable[[C, int, bytes], R]) -> Callable[[C, int, bytes], R]:
        method.__dict__[_MARK] = _Mark("request", service << 8 | subtype, {})
        return method

    return mark


def event(
    number: int, severity: Severity
) -> Callable[[Callable[Concatenate[C, P], None]], Callable[Concatenate[C, P], None]]:
    """Make a call of this method an event report; its docstring is the text ground shows."""

    def mark(method: Callable[Concatenate[C, P], None]) -> Callable[Concatenate[C, P], None]:
        codec = _LazyCodec(method)

        @wraps(method)
        def send(self: Any, *args: Any, **kwargs: Any) -> None:
            values = args if not kwargs else codec.order(args, kwargs)
            port = self.port
            port.telemetry.event(port.apid, number, severity, codec.pack(values))

        send.__dict__[_MARK] = _Mark("event", number, {"severity": severity})
        return cast("Callable[Concatenate[C, P], None]", send)

    return mark


def report(
    number: int,
) -> Callable[[Callable[Concatenate[C, P], bool]], Callable[Concatenate[C, P], bool]]:
    """Make a call of this method a component report (service 130), of bulk priority.

    The call returns False when the queue has no room. A keyword `station`, not declared, limits
    it to one station.
    """

    def mark(method: Callable[Concatenate[C, P], bool]) -> Callable[Concatenate[C, P], bool]:
        codec = _LazyCodec(method)

        @wraps(method)
        def send(self: Any, *args: Any, **kwargs: Any) -> bool:
            station = kwargs.pop("station", None)
            values = args if not kwargs else codec.order(args, kwargs)
            port = self.port
            sent: bool = port.telemetry.report(port.apid, number, codec.pack(values), station)
            return sent

        send.__dict__[_MARK] = _Mark("report", number, {})
        return cast("Callable[Concatenate[C, P], bool]", send)

    return mark


class _LazyCodec:
    """The codec of a method's arguments, made when first needed: annotations may look forward."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self._codec: Codec | None = None
        self.pack: Callable[[Any], bytes] = self._first_pack

    def _first_pack(self, values: Any) -> bytes:
        self._codec = Codec(_arguments(self._method))
        self.pack = self._codec.pack_saturated
        return self.pack(values)

    def order(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        bound = inspect.signature(self._method).bind(None, *args, **kwargs)
        return tuple(bound.arguments.values())[1:]


@dataclass(frozen=True)
class CommandPlan:
    """How to check and call one command."""

    entry: CommandEntry
    method_name: str
    codec: Codec
    converters: Converters
    results: Codec
    modes: tuple[Mode, ...]
    timeout_ns: int

    def decode(self, packed: bytes) -> tuple[Any, ...]:
        """Checked arguments as the method takes them; raises FieldError."""
        values = self.codec.unpack(packed)
        self.codec.check(values)
        if not self.converters:
            return values
        listed = list(values)
        for index, convert in self.converters:
            listed[index] = convert(listed[index])
        return tuple(listed)


@dataclass(frozen=True)
class Declaration:
    """What one component class declares."""

    kind: str
    description: str
    housekeeping_type: type
    parameters_type: type
    housekeeping: tuple[Field, ...]
    parameters: tuple[Field, ...]
    commands: dict[int, CommandPlan]
    requests: dict[int, str]
    """service << 8 | subtype → the method's name."""
    events: tuple[EventEntry, ...]
    reports: tuple[ReportEntry, ...]

    def dictionary(self, name: str, apid: int) -> ComponentDictionary:
        """The dictionary of an instance."""
        return ComponentDictionary(
            name,
            apid,
            self.kind,
            self.description,
            tuple(plan.entry for plan in self.commands.values()),
            self.events,
            self.reports,
            self.housekeeping,
            self.parameters,
        )

    def convert_parameter(self, index: int, value: Any) -> Any:
        """The value as the parameters' dataclass holds it."""
        python_type = python_types_of(self.parameters_type)[index]
        return python_type(value) if _is_enum(python_type) else value


def declare(cls: type) -> Declaration:
    """Read a component class; raises DeclarationError with a sentence that says what to write."""
    housekeeping_type, parameters_type = _the_two_dataclasses(cls)
    members = {name: m for base in reversed(cls.__mro__) for name, m in vars(base).items()}
    marked = [(m.__dict__[_MARK], m) for m in members.values() if _MARK in _dict_of(m)]
    commands = [_command_plan(mark, m) for mark, m in marked if mark.what == "command"]
    events = [_event_entry(mark, m) for mark, m in marked if mark.what == "event"]
    reports = [_report_entry(mark, m) for mark, m in marked if mark.what == "report"]
    requests = {mark.number: m.__name__ for mark, m in marked if mark.what == "request"}
    for what, highest, numbers in (
        ("opcode", 255, [plan.entry.opcode for plan in commands]),
        ("event number", 65535, [entry.number for entry in events]),
        ("report number", 65535, [entry.number for entry in reports]),
    ):
        _check_numbers(cls, what, highest, numbers)
    declaration = Declaration(
        cls.__name__,
        _described(cls),
        housekeeping_type,
        parameters_type,
        fields_of(housekeeping_type, cls.__name__),
        fields_of(parameters_type, cls.__name__),
        {plan.entry.opcode: plan for plan in commands},
        requests,
        tuple(events),
        tuple(reports),
    )
    _check_defaults(cls, declaration)
    return declaration


def _dict_of(member: Any) -> dict[str, Any]:
    return getattr(member, "__dict__", {})


def _the_two_dataclasses(cls: type) -> tuple[type, type]:
    base = cls.__dict__.get("__orig_bases__", (None,))[0]
    two = get_args(base)
    if len(two) != 2 or not all(dataclasses.is_dataclass(t) for t in two):
        raise DeclarationError(
            f"{cls.__name__}: write class {cls.__name__}(Component[Housekeeping, Parameters]) "
            "with two dataclasses"
        )
    return two


def _check_defaults(cls: type, declaration: Declaration) -> None:
    for kind in (declaration.housekeeping_type, declaration.parameters_type):
        for field in dataclasses.fields(kind):
            if field.default is dataclasses.MISSING:
                raise DeclarationError(
                    f"{cls.__name__}: field '{field.name}' of {kind.__name__} needs a default"
                )
    for field, declared in zip(
        dataclasses.fields(declaration.parameters_type), declaration.parameters, strict=True
    ):
        try:
            Codec([declared]).check([field.default])
        except FieldError as error:
            raise DeclarationError(f"{cls.__name__}: its own default is refused: {error}") from None


def _arguments(method: Callable[..., Any]) -> tuple[Field, ...]:
    return fields_of(method, method.__qualname__)


def _command_plan(mark: _Mark, method: Callable[..., Any]) -> CommandPlan:
    arguments = _arguments(method)
    results = _results(method)
    modes: tuple[Mode, ...] = mark.options["modes"]
    entry = CommandEntry(
        mark.number,
        method.__name__,
        _described(method),
        arguments,
        results,
        mark.options["timeout_s"],
        mark.options["is_critical"],
        tuple(mode.name for mode in modes),
    )
    converters = tuple(
        (index, {member.value: member for member in python_type}.__getitem__)
        for index, python_type in enumerate(python_types_of(method))
        if _is_enum(python_type)
    )
    timeout_ns = int(entry.timeout_s * 1e9)
    return CommandPlan(
        entry, method.__name__, Codec(arguments), converters, Codec(results), modes, timeout_ns
    )


def _is_enum(python_type: Any) -> bool:
    return isinstance(python_type, type) and issubclass(python_type, enum.IntEnum)


def _results(method: Callable[..., Any]) -> tuple[Field, ...]:
    returned = get_type_hints(method, include_extras=True).get("return")
    if typing.get_origin(returned) is not None and len(get_args(returned)) == 1:
        (returned,) = get_args(returned)
    if returned is None or returned is type(None):
        return ()
    if not dataclasses.is_dataclass(returned):
        raise DeclarationError(
            f"{method.__qualname__}: a command returns None, a dataclass of results, "
            "or Pending[...] of either"
        )
    return fields_of(cast("type", returned), method.__qualname__)


def _event_entry(mark: _Mark, method: Callable[..., Any]) -> EventEntry:
    template = _described(method)
    inner = getattr(method, "__wrapped__", method)
    arguments = _arguments(inner)
    try:
        shown = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise DeclarationError(f"{method.__qualname__}: its text is no template: {error}") from None
    if unknown := shown - {argument.name for argument in arguments}:
        raise DeclarationError(
            f"{method.__qualname__}: its text shows {{{', '.join(sorted(unknown))}}}, "
            "which is not an argument"
        )
    return EventEntry(mark.number, method.__name__, mark.options["severity"], template, arguments)


def _report_entry(mark: _Mark, method: Callable[..., Any]) -> ReportEntry:
    inner = getattr(method, "__wrapped__", method)
    return ReportEntry(mark.number, method.__name__, _described(method), _arguments(inner))


def _described(thing: Any) -> str:
    if not thing.__doc__:
        raise DeclarationError(f"{thing.__qualname__} needs a docstring: operators read it")
    return inspect.cleandoc(thing.__doc__)


def _check_numbers(cls: type, what: str, highest: int, numbers: list[int]) -> None:
    beyond = [number for number in numbers if not 0 <= number <= highest]
    if beyond:
        raise DeclarationError(f"{cls.__name__}: {what} {beyond[0]}; give 0 … {highest}")
    twice = {number for number in numbers if numbers.count(number) > 1}
    if twice:
        raise DeclarationError(
            f"{cls.__name__}: {what} {min(twice)} is declared twice; give each its own"
        )
