"""Turns names and values into telecommands by the dictionary; refuses wrong ones with a sentence.

A command is named COMPONENT.COMMAND. Besides the declared ones every component has the standard
ones of its services, such as board.hk_period or board.event_disable.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ground.errors import CommandRefused, nearest
from icd import reports, written
from icd.codec import Codec, FieldError
from icd.dictionary import CommandEntry, ComponentDictionary, Dictionary
from icd.fields import Field
from icd.reports import Service

COMMAND_HANDLER_APID = 1
LINK_MARGIN_S = 2.0
"""Ground waits so much longer than the payload's own time-out."""


@dataclass(frozen=True)
class Request:
    """A checked telecommand, before it has a sequence count."""

    name: str
    apid: int
    service: int
    subtype: int
    data: bytes
    arguments: dict[str, Any]
    timeout_s: float
    has_result: bool


@dataclass(frozen=True)
class Known:
    """One command that can be sent: how it is called and how its body is made."""

    name: str
    entry: CommandEntry
    apid: int
    service: int
    subtype: int
    body: Callable[[tuple[Any, ...]], bytes]
    is_standard: bool = False
    is_partial: bool = False
    """Any of its arguments may be left out; the body is made of (index, value) pairs."""


class Catalogue:
    """Every command of a dictionary; without one, only what is fixed for ever."""

    def __init__(self, dictionary: Dictionary | None) -> None:
        self.known: dict[str, Known] = {known.name: known for known in _fixed()}
        for component in dictionary.components if dictionary else ():
            for known in (*_standard(component), *_declared(component)):
                self.known[known.name] = known

    def find(self, name: str) -> Known:
        """The command of that name; raises CommandRefused naming the nearest one."""
        known = self.known.get(name)
        if known is None:
            raise CommandRefused(f"no command '{name}'; {nearest(name, sorted(self.known))}")
        return known

    def request(self, name: str, given: Mapping[str, Any]) -> Request:
        """Check a command and its values; raises CommandRefused with what to write instead."""
        known = self.find(name)
        fields = known.entry.arguments
        if known.is_partial:
            fields = tuple(field for field in fields if field.name in given) or fields
        values = arguments(name, known.entry.arguments, given, fields)
        try:
            Codec(fields).check(values)
            data = known.body(_indexed(known, fields, values) if known.is_partial else values)
        except FieldError as error:
            raise CommandRefused(f"{name}: {error}") from error
        shown = {field.name: _shown(field, v) for field, v in zip(fields, values, strict=True)}
        return Request(
            name,
            known.apid,
            known.service,
            known.subtype,
            data,
            shown,
            known.entry.timeout_s + LINK_MARGIN_S,
            bool(known.entry.results),
        )


def arguments(
    name: str,
    fields: Sequence[Field],
    given: Mapping[str, Any],
    wanted: Sequence[Field] | None = None,
    defaults: Sequence[Any] = (),
) -> tuple[Any, ...]:
    """Values of the `wanted` fields (all) from texts or Python values; raises CommandRefused."""
    names = [field.name for field in fields]
    for wrong in given:
        if wrong not in names:
            hint = nearest(wrong, names) if names else "it takes none"
            raise CommandRefused(f"{name} has no argument '{wrong}'; {hint}")
    values = []
    for index, field in enumerate(fields if wanted is None else wanted):
        if field.name in given:
            values.append(_value(name, field, given[field.name]))
        elif index < len(defaults) and defaults[index] is not None:
            values.append(_value(name, field, defaults[index]))
        else:
            raise CommandRefused(f"{name} needs {field.name}; write {field.name}={_example(field)}")
    return tuple(values)


def describe(field: Field) -> str:
    """A field for people: its type, labels or range, and unit."""
    if field.labels:
        return " | ".join(label for _, label in field.labels)
    text = field.type_name
    if field.low is not None or field.high is not None:
        low, high = field.range or (None, None)
        text += f", {_number(low)} … {_number(high)}"
    return f"{text} {field.unit}".rstrip()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _value(name: str, field: Field, given: Any) -> Any:
    """One value in its Python type, from a text or as it is."""
    try:
        if field.is_array:
            parts = given.split(",") if isinstance(given, str) else list(given)
            return tuple(_scalar(field, part) for part in parts)
        return _scalar(field, given)
    except (ValueError, TypeError):
        raise CommandRefused(
            f"{name}: {field.name} = {given!r}; give {describe(field)}, "
            f"such as {field.name}={_example(field)}"
        ) from None


def _scalar(field: Field, given: Any) -> Any:
    if field.labels:
        return _labelled(field, given)
    if field.code == "s":
        if not isinstance(given, str):
            raise TypeError(given)
        return given
    if field.code == "o":
        return bytes.fromhex(given) if isinstance(given, str) else bytes(given)
    if field.code == "?":
        return _flag(given)
    if field.code in "fd":
        return written.real(given) if isinstance(given, str) else float(given)
    if isinstance(given, str):
        return written.whole_of_any_base(given)
    return given


def _labelled(field: Field, given: Any) -> int:
    if not isinstance(given, str):
        return operator.index(given)
    for number, label in field.labels:
        if given.lower() == label.lower():
            return number
    return written.whole_of_any_base(given)


def _flag(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    try:
        return words[str(given).lower()]
    except KeyError:
        raise ValueError(given) from None


def _example(field: Field) -> str:
    if field.labels:
        return field.labels[0][1]
    if field.code == "s":
        return "TEXT"
    if field.code == "o":
        return "HEX"
    if field.code == "?":
        return "yes"
    value = field.low if field.low is not None else 1
    one = f"{value:g}"
    return ",".join([one] * field.count) if field.is_array else one


def _shown(field: Field, value: Any) -> Any:
    """A value for the history: labels by name, octets by their number."""
    if field.labels:
        return dict(field.labels).get(value, value)
    if field.code == "o":
        return f"{len(value)} octets"
    return list(value) if field.is_array else value


def _declared(component: ComponentDictionary) -> list[Known]:
    def known(entry: CommandEntry) -> Known:
        codec = Codec(entry.arguments)
        return Known(
            f"{component.name}.{entry.name}",
            entry,
            component.apid,
            Service.FUNCTION,
            reports.FUNCTION_PERFORM,
            lambda values: reports.function(entry.opcode, codec.pack(values)),
        )

    return [known(entry) for entry in component.commands]


def _fixed() -> list[Known]:
    ping = CommandEntry(0, "ping", "Ask the payload's executive for a sign of life.")
    rate = Field("exponent", "B", description="a report every 2**exponent s", low=0, high=8)
    return [
        Known("ping", ping, COMMAND_HANDLER_APID, Service.TEST, reports.PING, lambda _: b"", True),
        Known(
            "time_rate",
            CommandEntry(0, "time_rate", "Set how often the time report is sent.", (rate,)),
            COMMAND_HANDLER_APID,
            Service.TIME,
            reports.TIME_SET_RATE,
            lambda values: bytes(values),
            True,
        ),
    ]


def _milliseconds(name: str) -> Field:
    return Field(name, "I", unit="ms")


def _standard(component: ComponentDictionary) -> list[Known]:
    """The requests that the services offer for every component."""
    made = [_alive(component), *_parameter_requests(component)]
    if component.housekeeping:
        hk, period = Service.HOUSEKEEPING, (_milliseconds("period_ms"),)
        change = (_milliseconds("shortest_ms"), _milliseconds("longest_ms"))
        plain = reports.structure_request
        made += [
            _service(component, "hk_enable", "Send its housekeeping periodically.", hk,
                     reports.HK_ENABLE, (), lambda _: plain()),
            _service(component, "hk_disable", "Stop its periodic housekeeping.", hk,
                     reports.HK_DISABLE, (), lambda _: plain()),
            _service(component, "hk_now", "Send its housekeeping once.", hk,
                     reports.HK_ONE_SHOT, (), lambda _: plain()),
            _service(component, "hk_period", "Set the period of its housekeeping.", hk,
                     reports.HK_PERIOD, period, lambda values: plain(values[0])),
            _service(component, "hk_on_change", "Send its housekeeping when it changes.", hk,
                     reports.HK_ON_CHANGE, change,
                     lambda values: reports.on_change_request(*values)),
        ]  # fmt: skip
    if component.events:
        labels = tuple((event.number, event.name) for event in component.events)
        one = (Field("event", "H", labels=labels, description="which event"),)
        made += [
            _service(component, "event_enable", "Let one of its events through.", Service.EVENT,
                     reports.EVENT_ENABLE, one, reports.event_numbers),
            _service(component, "event_disable", "Hold one of its events back.", Service.EVENT,
                     reports.EVENT_DISABLE, one, reports.event_numbers),
        ]  # fmt: skip
    return made


def _indexed(known: Known, fields: Sequence[Field], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """(index, field, value) triples for what was given of all arguments."""
    places = {field.name: index for index, field in enumerate(known.entry.arguments)}
    return tuple((places[f.name], f, value) for f, value in zip(fields, values, strict=True))


def _parameter_requests(component: ComponentDictionary) -> list[Known]:
    if not component.parameters:
        return []
    get = CommandEntry(0, "parameters", "Report its parameters.")
    set_ = CommandEntry(0, "set", "Set some of its parameters, all or none.", component.parameters)
    service, name, apid = Service.PARAMETER, component.name, component.apid
    ask, change = reports.PARAMETER_REPORT_REQUEST, reports.PARAMETER_SET
    return [
        Known(f"{name}.parameters", get, apid, service, ask, lambda _: b"", True),
        Known(f"{name}.set", set_, apid, service, change, _changes, True, True),
    ]


def _changes(triples: tuple[Any, ...]) -> bytes:
    """The body of (20, 3): a count, then a 16-bit index and the packed value each."""
    pairs = [index.to_bytes(2, "big") + Codec([field]).pack([v]) for index, field, v in triples]
    return bytes([len(pairs)]) + b"".join(pairs)


def _alive(component: ComponentDictionary) -> Known:
    return Known(
        f"{component.name}.alive",
        CommandEntry(0, "alive", "Ask whether the component is alive."),
        COMMAND_HANDLER_APID,
        Service.TEST,
        reports.ALIVE_REQUEST,
        lambda _: component.apid.to_bytes(2, "big"),
        True,
    )


def _service(
    component: ComponentDictionary,
    name: str,
    description: str,
    service: int,
    subtype: int,
    fields: tuple[Field, ...],
    body: Callable[[tuple[Any, ...]], bytes],
) -> Known:
    entry = CommandEntry(0, name, description, fields)
    return Known(f"{component.name}.{name}", entry, component.apid, service, subtype, body, True)
