"""The table [watchdog]: nothing is armed unless it is named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from flight.deployment.configuration import ConfigurationError, from_mapping
from flight.deployment.launch import prepare


def test_no_hardware_watchdog_is_armed_unless_it_is_named() -> None:
    assert from_mapping({}).watchdog.device == ""


def test_a_named_device_and_its_timeout_are_taken() -> None:
    chosen = from_mapping({"watchdog": {"device": "/dev/watchdog0", "timeout_s": 30}}).watchdog
    assert (chosen.device, chosen.timeout_s) == ("/dev/watchdog0", 30)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"device": "watchdog0"}, "give a path such as '/dev/watchdog0'"),
        ({"timeout_s": 5}, r"watchdog.timeout_s = 5 s; give 10 … 600 s"),
        ({"timeout_s": 601}, "give 10 … 600 s"),
        ({"timeout_s": 30.0}, "give a whole number"),
        ({"timeout": 30}, "did you mean 'timeout_s'"),
    ],
)
def test_a_wrong_watchdog_table_is_refused_with_what_to_write(
    table: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        from_mapping({"watchdog": table})


def test_a_named_device_has_a_process_of_its_own_in_the_plan() -> None:
    with tempfile.TemporaryDirectory(prefix="va-") as folder:
        for device, expected in (("", False), ("/dev/watchdog0", True)):
            configuration = from_mapping({"watchdog": {"device": device}})
            run = Path(folder) / ("with" if expected else "without")
            plan = json.loads(prepare(configuration, run / "state", run).read_text())
            names = [process["name"] for process in plan["processes"]]
            assert ("hardware_watchdog" in names) is expected
        written = json.loads((run / "hardware_watchdog.json").read_text())
        assert written == {"device": "/dev/watchdog0", "timeout_s": 60}
