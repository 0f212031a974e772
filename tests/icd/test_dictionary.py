"""The dictionary: its file, its two hashes, and the golden copy of this deployment's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flight.deployment.deployment import dictionary
from icd.dictionary import (
    CommandEntry,
    ComponentDictionary,
    Dictionary,
    EventEntry,
    JobFragment,
    ReportEntry,
    Severity,
)
from icd.fields import Field

pytestmark = pytest.mark.portable

GOLDEN = Path(__file__).parents[1] / "golden" / "dictionary.json"
SPEED = Field("speed", "f", description="how fast", unit="m/s", low=0.0, high=9.0)
MODE = Field("mode", "B", labels=((0, "OFF"), (1, "ON")))
COMPONENT = ComponentDictionary(
    "wheel",
    9,
    "Wheel",
    "Turns.",
    (CommandEntry(1, "turn", "Turn it.", (SPEED,), (MODE,)), CommandEntry(2, "stop", "Stop it.")),
    (EventEntry(1, "stuck", Severity.HIGH, "stuck at {speed}", (SPEED,)),),
    (ReportEntry(1, "row", "A row.", (MODE,)),),
    (SPEED, MODE),
    (SPEED,),
)
FRAGMENT = JobFragment(
    4, "spin", "Spins.", (SPEED, MODE), (1.5, None), (("log", "what was done"),), (SPEED,)
)
WHOLE = Dictionary((COMPONENT, replace(COMPONENT, name="spare", apid=10)), (FRAGMENT,))


def changed(**changes: Any) -> Dictionary:
    return replace(WHOLE, components=(replace(COMPONENT, **changes), *WHOLE.components[1:]))


def turn(**changes: Any) -> Dictionary:
    return changed(commands=(replace(COMPONENT.commands[0], **changes), COMPONENT.commands[1]))


def test_the_file_reads_back_as_it_was() -> None:
    assert Dictionary.from_json(WHOLE.to_json()) == WHOLE
    assert dictionary() == Dictionary.from_json(dictionary().to_json())


def test_a_component_is_found_by_its_name() -> None:
    assert WHOLE.component("spare").apid == 10
    with pytest.raises(KeyError, match="no component 'x'; known are wheel, spare"):
        WHOLE.component("x")


@pytest.mark.verifies("VA-EXE-02")
@pytest.mark.parametrize(
    "altered",
    [
        changed(apid=11),
        turn(opcode=3),
        turn(arguments=()),
        turn(arguments=(replace(SPEED, code="d"),)),
        turn(results=(SPEED,)),
        changed(events=(replace(COMPONENT.events[0], severity=Severity.LOW),)),
        changed(events=(replace(COMPONENT.events[0], number=2),)),
        changed(reports=(replace(COMPONENT.reports[0], number=2),)),
        changed(housekeeping=(MODE, SPEED)),
        changed(housekeeping=(SPEED, replace(MODE, labels=((0, "OFF"), (1, "GO"))))),
        changed(housekeeping=(SPEED, replace(MODE, labels=((0, "OFF"), (2, "ON"))))),
        changed(parameters=(replace(SPEED, count=2, is_array=True),)),
        Dictionary((COMPONENT,), (FRAGMENT,)),
    ],
)
def test_numbers_types_order_and_labels_change_both_hashes(altered: Dictionary) -> None:
    assert altered.wire_hash != WHOLE.wire_hash
    assert altered.text_hash != WHOLE.text_hash


@pytest.mark.verifies("VA-EXE-02")
@pytest.mark.parametrize(
    "altered",
    [
        changed(name="roll"),
        changed(description="Rolls."),
        turn(name="spin"),
        turn(timeout_s=3.0),
        turn(is_critical=True),
        turn(arguments=(replace(SPEED, unit="km/h"),)),
        turn(arguments=(replace(SPEED, high=8.0),)),
        turn(arguments=(replace(SPEED, name="rate"),)),
        changed(events=(replace(COMPONENT.events[0], template="stuck"),)),
        changed(commands=COMPONENT.commands[::-1]),
        Dictionary(WHOLE.components, (replace(FRAGMENT, description="Turns."),)),
        Dictionary(WHOLE.components),
    ],
)
def test_texts_change_the_text_hash_only(altered: Dictionary) -> None:
    assert altered.wire_hash == WHOLE.wire_hash
    assert altered.text_hash != WHOLE.text_hash


@pytest.mark.verifies("VA-JOB-01")
def test_a_fragment_hash_changes_with_what_a_submit_carries() -> None:
    assert replace(FRAGMENT, description="x", defaults=(2.0, None)).hash == FRAGMENT.hash
    assert replace(FRAGMENT, number=5).hash != FRAGMENT.hash
    assert replace(FRAGMENT, parameters=(MODE, SPEED)).hash != FRAGMENT.hash
    assert 0 <= FRAGMENT.hash < 1 << 32


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    def drop(plain: dict[str, Any]) -> None:
        del plain[key]

    return drop


def _description(plain: dict[str, Any]) -> None:
    plain["components"][0]["description"] = "Rolls."


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (_description, "was altered"),
        (lambda plain: plain.update(wire_hash="0" * 16), "was altered"),
        (lambda plain: plain.update(text_hash="0" * 16), "was altered"),
        (lambda plain: plain.update(format=2), "dictionary format 2; this reads 1"),
        (_without("format"), "not a dictionary file"),
        (_without("jobs"), "not a dictionary file"),
        (_without("text_hash"), "not a dictionary file"),
        (lambda plain: plain["components"][0].update(colour=1), r"components\[0\] .* 'colour'"),
        (lambda plain: plain.update(components=[7]), "not a dictionary file"),
    ],
)
def test_an_altered_file_is_refused(alter: Callable[[dict[str, Any]], None], says: str) -> None:
    plain = json.loads(WHOLE.to_json())
    alter(plain)
    with pytest.raises(ValueError, match=says):
        Dictionary.from_json(json.dumps(plain))


def _first(plain: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain["components"][0]
    return found


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (lambda one: one.update(apid="9"), r"components\[0\].apid is '9', not a whole number"),
        (lambda one: one.update(apid=True), "apid is True, not a whole number"),
        (lambda one: one.update(apid=9.0), "apid is 9.0, not a whole number"),
        (lambda one: one.update(apid=2046), "APID 2046 is not in 0 … 2045"),
        (lambda one: one.update(apid=-1), "APID -1 is not in"),
        (lambda one: one.update(apid=10), "APID 10 is given twice"),
        (lambda one: one.update(name="spare"), "component: name spare is given twice"),
        (lambda one: one.update(name=None), "name is None, not a text"),
        (lambda one: one.update(commands={}), "commands is {}, not a list"),
        (lambda one: one["commands"][0].update(opcode="1"), r"commands\[0\].opcode is '1'"),
        (lambda one: one["commands"][0].update(opcode=256), "opcode 256 is not in 0 … 255"),
        (lambda one: one["commands"][0].update(opcode=2), "opcode 2 is given twice"),
        (lambda one: one["commands"][0].update(timeout_s="9"), "timeout_s is '9', not a number"),
        (lambda one: one["events"][0].update(severity=5), "is 5, not one of 1, 2, 3, 4"),
        (lambda one: one["events"][0].update(number=None), "number is None"),
        (lambda one: one["reports"][0].update(number=65536), "report number 65536"),
        (lambda one: one["parameters"][0].update(code="z"), "speed has no wire type"),
        (lambda one: one["parameters"][0].update(count=0), "speed has no wire type"),
        (lambda one: one["parameters"][0].update(low="0"), "low is '0', not a number"),
        (lambda one: one["housekeeping"][0].update(code="o"), "octets speed must be the last"),
        (lambda one: one["housekeeping"][1].update(labels=[[0]]), "has 1 values, not 2"),
        (lambda one: one["housekeeping"][1].update(labels=[["0", "OFF"]]), "is '0', not a whole"),
        (lambda one: one.pop("apid"), r"components\[0\] has no apid"),
        (lambda one: one.update(housekeeping=[7]), r"housekeeping\[0\] is 7, not an object"),
    ],
)
def test_a_dictionary_is_checked_value_by_value_whatever_its_hashes(
    alter: Callable[[dict[str, Any]], None], says: str
) -> None:
    plain = json.loads(WHOLE.to_json())
    alter(_first(plain))
    with pytest.raises(ValueError, match=f"not a dictionary file: .*{says}"):
        Dictionary.from_json(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '"dictionary"'])
def test_what_is_no_dictionary_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Dictionary.from_json(text)


@pytest.mark.verifies("VA-EXE-02")
def test_the_deployments_dictionary_is_the_one_ground_already_knows() -> None:
    """A change of the wire is a decision. When it is meant, make the golden copy anew with

        python -m flight dictionary --out tests/golden/dictionary.json

    and say in the change log what ground has to know.
    """
    now, golden = dictionary(), Dictionary.from_json(GOLDEN.read_text(encoding="utf-8"))
    assert now.wire_hash == golden.wire_hash, "the wire changed: see this test's docstring"
    assert now.to_json() == golden.to_json(), "texts changed: see this test's docstring"
