"""Wrong telecommands are refused before sending, with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from ground.errors import CommandRefused
from ground.server.commanding import Catalogue
from icd.dictionary import ComponentDictionary, Dictionary
from icd.fields import Field
from tests.ground.support.dictionaries import DICTIONARY

CATALOGUE = Catalogue(DICTIONARY)


@pytest.mark.verifies("VA-GND-02")
@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("board.set_lvl", {}, "did you mean 'board.set_level'?"),
        ("board.set_level", {}, "needs level; write level=16"),
        ("board.set_level", {"level": 9000}, "level = 9000 W; give 16 … 8192 W"),
        ("board.set_level", {"level": "8"}, "give 16 … 8192 W"),
        ("board.set_level", {"level": 70000}, "give 16 … 8192 W"),
        ("board.set_level", {"level": "many"}, "give u16, 16 … 8192 W, such as level=16"),
        ("board.set_level", {"level": 20.5}, "give a whole number"),
        ("board.set_level", {"lvl": 20}, "no argument 'lvl'; did you mean 'level'?"),
        ("board.measure", {"level": 1}, "no argument 'level'; it takes none"),
        ("board.set_state", {"state": "ASLEEP", "hold": "no"}, "give IDLE | BUSY | LOST"),
        ("board.set_state", {"state": 3, "hold": "no"}, "give one of IDLE = 0"),
        ("board.set_state", {"state": "BUSY", "hold": "perhaps"}, "such as hold=yes"),
        ("board.tune", {"gains": "0.1,0.2"}, "gains needs 3 values, not 2"),
        ("board.tune", {"gains": "0.1,0.2,1.5"}, "give 0 … 1"),
        ("board.tune", {"gains": [0.1, 0.2, float("nan")]}, "give 0 … 1"),
        ("board.name_it", {"name": "a" * 17}, "give at most 16"),
        ("board.set_level", {"level": "1_000"}, "level = '1_000'; give"),
        ("board.set_level", {"level": "\uff11\uff12"}, "level = '\uff11\uff12'; give"),
        ("board.tune", {"gains": "0.1,0.2,nan"}, "such as gains="),
        ("board.tune", {"gains": "0.1,0.2,0_1.0"}, "such as gains="),
        ("board.set_state", {"state": "0_1", "hold": "no"}, "give IDLE | BUSY | LOST"),
        ("board.set_state", {"state": 1.5, "hold": "no"}, "give IDLE | BUSY | LOST"),
        ("board.name_it", {"name": 5}, "give text 16"),
    ],
)
def test_a_wrong_command_is_refused_with_what_to_write(
    name: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(CommandRefused) as refused:
        CATALOGUE.request(name, arguments)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "arguments", "octets"),
    [
        ("board.set_level", {"level": "0x100"}, b"\x01\x01\x00"),
        ("board.set_level", {"level": " 1000 "}, b"\x01\x03\xe8"),
        ("board.set_state", {"state": "busy", "hold": "on"}, b"\x04\x01\x01"),
        ("board.name_it", {"name": "é"}, b"\x07\xc3\xa9" + bytes(14)),
        ("board.hk_enable", {}, b"\x01\x00\x01"),
        ("board.hk_period", {"period_ms": 500}, b"\x01\x00\x01\x00\x00\x01\xf4"),
        ("board.event_disable", {"event": "hot"}, b"\x01\x00\x01"),
        ("board.alive", {}, b"\x00\x04"),
        ("time_rate", {"exponent": 3}, b"\x03"),
        ("ping", {}, b""),
    ],
)
def test_a_right_command_becomes_the_octets_of_its_request(
    name: str, arguments: dict[str, Any], octets: bytes
) -> None:
    assert CATALOGUE.request(name, arguments).data == octets


def test_parameters_are_set_by_index_and_only_those_given() -> None:
    fields = (Field("period", "f", unit="s", low=0.1, high=60.0), Field("depth", "B"))
    component = ComponentDictionary("scrubber", 9, "Scrubber", "x", parameters=fields)
    catalogue = Catalogue(Dictionary((component,)))
    assert catalogue.request("scrubber.set", {"depth": 4}).data == b"\x01\x00\x01\x04"
    with pytest.raises(CommandRefused, match="needs period"):
        catalogue.request("scrubber.set", {})
    with pytest.raises(CommandRefused, match="60 s"):
        catalogue.request("scrubber.set", {"period": 61})


def test_without_a_dictionary_only_the_fixed_commands_are_known() -> None:
    assert set(Catalogue(None).known) == {"ping", "time_rate"}
