"""The base of every flight component: its signatures are its dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar, cast

from flight.framework.declaration import Declaration, command, declare, event, report, request
from flight.framework.ports import Pending, Port, Refused
from icd.codec import Codec, FieldError
from icd.dictionary import ComponentDictionary, Mode, Severity
from icd.failures import FailureCode

__all__ = [
    "Component",
    "FailureCode",
    "Mode",
    "Pending",
    "Port",
    "Refused",
    "Severity",
    "command",
    "event",
    "report",
    "request",
]

Housekeeping = TypeVar("Housekeeping")
Parameters = TypeVar("Parameters")


class Component(Generic[Housekeeping, Parameters]):
    """A part of the flight software: told by telecommands, stepped by its rate group, reporting by
    housekeeping and events.

    A subclass names its two dataclasses, and declares commands, events and reports with the
    decorators of this module; `__init_subclass__` reads them once, at import, and refuses what
    ground could not decode. `self.hk` and `self.parameters` are instances of the two.
    """

    declaration: ClassVar[Declaration]
    _hk_values: Callable[[Any], tuple[Any, ...]]
    hk_codec: ClassVar[Codec]
    parameter_codec: ClassVar[Codec]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.declaration = declare(cls)
        names = [field.name for field in cls.declaration.housekeeping]
        cls._hk_values = staticmethod(_getter(names))
        cls.hk_codec = Codec(cls.declaration.housekeeping)
        cls.parameter_codec = Codec(cls.declaration.parameters)

    def __init__(self, port: Port) -> None:
        self.port = port
        self.hk: Housekeeping = self.declaration.housekeeping_type()
        self.parameters: Parameters = self.declaration.parameters_type()

    def start(self, now: int) -> None:
        """Called once before the first `run`, and again in the new instance after a restart."""

    def run(self, now: int) -> int | None:  # noqa: ARG002
        """Step the component: on-board ns in, next due time out; None: only when woken."""
        return None

    def parameters_changed(self) -> None:
        """Called after `self.parameters` was replaced by a telecommand."""

    @classmethod
    def dictionary(cls, name: str, apid: int) -> ComponentDictionary:
        """This class's dictionary under an instance name and APID."""
        return cls.declaration.dictionary(name, apid)

    def defer(self) -> Pending[Any]:
        """Answer the telecommand now being carried out later: return this from the handler.

        Only valid inside a command or request handler.
        """
        return self.port.defer()

    def housekeeping(self) -> bytes:
        """The packed housekeeping fields; counters beyond their type saturate."""
        return self.hk_codec.pack_saturated(self._hk_values(self.hk))

    def parameter_values(self) -> tuple[Any, ...]:
        """The parameters in declared order."""
        return tuple(getattr(self.parameters, f.name) for f in self.declaration.parameters)

    def set_parameters(self, changes: Sequence[tuple[int, Any]]) -> None:
        """Replace parameters by index, all or none; raises FieldError for a value out of range."""
        fields = self.declaration.parameters
        named: dict[str, Any] = {}
        for index, value in changes:
            Codec([fields[index]]).check([value])
            named[fields[index].name] = self.declaration.convert_parameter(index, value)
        changed = replace(cast("Any", self.parameters), **named)
        self.parameters = cast("Parameters", changed)
        self.parameters_changed()


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda _hk: ()
    get = attrgetter(*names)
    if len(names) == 1:
        return lambda hk: (get(hk),)
    return get


__all__ += ["FieldError"]
