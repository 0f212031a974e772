"""The configuration: defaults that are safe, and refusals that say what to write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flight.deployment.configuration import (
    Configuration,
    ConfigurationError,
    address_of,
    from_mapping,
    from_toml,
)


@pytest.mark.verifies("VA-LINK-08", "VA-SEC-04")
def test_the_default_is_loopback_and_authenticated() -> None:
    default = from_mapping({})
    assert default == Configuration()
    assert default.link.endpoint.startswith("tcp://127.0.0.1:")
    assert not default.link.insecure
    assert default.board.allow_control == ()
    assert default.observers() == []


def test_a_file_is_read_and_the_rest_are_defaults(tmp_path: Path) -> None:
    path = tmp_path / "payload.toml"
    path.write_text(
        'payload_id = 12\n[board]\nname = "nvml"\nperiod_s = 2\nallow_control = ["power limit"]\n'
        '[housekeeping]\nperiod_s = 5\n[stations]\n1 = "operator"\n7 = "observer"\n'
    )
    read = from_toml(path)
    assert (read.payload_id, read.board.name, read.board.period_s) == (12, "nvml", 2.0)
    assert read.board.allow_control == ("power limit",)
    assert read.observers() == [7]
    assert read.housekeeping == replace(Configuration().housekeeping, period_s=5.0)


def test_it_reaches_other_processes_as_it_was() -> None:
    configuration = from_mapping({"stations": {"3": "observer"}, "board": {"name": "nvml"}})
    assert from_mapping(json.loads(configuration.to_json())) == configuration


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"payload": 1}, "no key 'payload'; did you mean 'payload_id'"),
        ({"zzz": 1}, r"no key 'zzz' \(known are board, compute"),
        ({"link": {"end_point": ""}}, "link has no key 'end_point'; did you mean 'endpoint'"),
        ({"link": 5}, "link must be a table"),
        ({"payload_id": 0}, "payload_id = 0; give 1 … 65535"),
        ({"payload_id": 65536}, "give 1 … 65535"),
        ({"payload_id": "1"}, "payload_id = '1'; give a whole number"),
        ({"payload_id": True}, "give a whole number"),
        ({"payload_id": 1.0}, "give a whole number"),
        ({"compute": "gpu"}, "give 'host' or 'cuda'"),
        ({"link": {"insecure": 1}}, "give true or false"),
        ({"link": {"endpoint": 1}}, "give a text"),
        ({"board": {"period_s": "1"}}, "give a number"),
        ({"board": {"period_s": 0}}, "board.period_s = 0.0 s; give 0.05 … 60 s"),
        ({"board": {"period_s": float("nan")}}, "give 0.05 … 60 s"),
        ({"board": {"allow_control": "all"}}, "must be a list of texts"),
        ({"board": {"allow_control": [1]}}, "must be a list of texts"),
        ({"housekeeping": {"period_s": 0.05}}, "housekeeping.period_s = 0.05 s; give 0.1 … 86400"),
        ({"housekeeping": {"jobs_period_s": 86401}}, "housekeeping.jobs_period_s"),
        ({"stations": {"0": "operator"}}, "station '0'; give a number 1 … 65535"),
        ({"stations": {"01": "operator"}}, "station '01'"),
        ({"stations": {"²": "operator"}}, "station '²'"),
        ({"stations": {"x": "operator"}}, "station 'x'"),
        ({"stations": {"1": "king"}}, "stations.1 = 'king'; give operator or observer"),
        ({"stations": {"1": 1}}, "must be a table of texts"),
        ({"stations": "all"}, "must be a table of texts"),
        ({"scrubber": {"rate_mib_s": 0}}, "1 … 100000 MiB/s"),
        ({"scrubber": {"period_s": 0.01}}, "0.1 … 86400"),
        ({"scrubber": {"enabled": 1}}, "true or false"),
        ({"supervision": {"startup_s": 0}}, "supervision.startup_s = 0.0 s; give 1 … 3600 s"),
        ({"supervision": {"silence_s": 61}}, "give 1 … 60 s"),
        ({"supervision": {"worker_silence_s": 0.5}}, "give 1 … 60 s"),
    ],
)
def test_what_cannot_be_flown_is_refused_with_what_to_write(
    content: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        from_mapping(content)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*absent\.toml: No such file"):
        from_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("payload_id =")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        from_toml(tmp_path / "bad.toml")


@pytest.mark.verifies("VA-LINK-08")
@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("tcp://127.0.0.1:*", ("127.0.0.1", 0)),
        ("tcp://10.0.0.2:5005", ("10.0.0.2", 5005)),
        ("tcp://*:65535", ("", 65535)),
        ("tcp://[::1]:5905", ("::1", 5905)),
        ("tcp://[::]:*", ("::", 0)),
        ("tcp://[2001:DB8:0::1]:7", ("2001:db8::1", 7)),
    ],
)
def test_an_endpoint_is_an_address_and_a_port(endpoint: str, address: tuple[str, int]) -> None:
    assert address_of(endpoint) == address


@pytest.mark.parametrize(
    "endpoint",
    [
        "foo",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "tcp://host.example:*",
        "tcp://1.2.3:5",
        "tcp://::1:5905",
        "tcp://[::1:5905",
        "tcp://[127.0.0.1]:5905",
        "tcp://[:::1]:5905",
        "tcp://[::1]",
        "tcp://\uff11\uff12\uff17.0.0.1:5",
        "tcp://127.0.0.1:5_0",
        "ipc://x",
        "",
    ],
)
def test_an_endpoint_that_is_none_is_refused_with_what_to_write(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"give tcp://ADDRESS:PORT"):
        address_of(endpoint)
