"""The doctor on ports, locks and other payloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from flight.deployment.configuration import ConfigurationError, address_of
from flight.doctor import neighbours
from flight.doctor.finding import Verdict
from tests.flight.support.fake_machine import FakeMachine


def fly(machine: FakeMachine, pid: int, plan: Path) -> None:
    words = ["python", "-m", "flight.supervisor", str(plan), ""]
    machine.write(f"/proc/{pid}/cmdline", "\0".join(words))


class TestLink:
    def test_any_free_port_of_the_loopback_is_well(self, machine: FakeMachine) -> None:
        assert machine.asked(neighbours.link).verdict is Verdict.OK

    @pytest.mark.parametrize(
        ("endpoint", "asked"),
        [
            ("tcp://10.0.0.5:5005", ("10.0.0.5", 5005)),
            ("tcp://*:5005", ("0.0.0.0", 5005)),
            ("tcp://[::1]:5905", ("::1", 5905)),
        ],
    )
    def test_a_port_that_is_taken_is_an_error_with_the_reason(
        self, machine: FakeMachine, endpoint: str, asked: tuple[str, int]
    ) -> None:
        questions = []
        machine.configuration = {"link": {"endpoint": endpoint}}
        machine.set(why_not_bound=lambda host, port: questions.append((host, port)) or "in use")
        found = machine.asked(neighbours.link)
        assert found.verdict is Verdict.ERROR
        assert found.text.endswith("in use")
        assert questions == [asked]
        machine.set(why_not_bound=lambda _host, _port: "")
        assert machine.asked(neighbours.link).verdict is Verdict.OK

    @pytest.mark.parametrize(
        "endpoint",
        ["ipc:///tmp/link", "tcp://::1:5005", "tcp://localhost:5005", "tcp://*:99999", "tcp://*"],
    )
    def test_an_endpoint_is_refused_in_the_words_of_flight_run(
        self, machine: FakeMachine, endpoint: str
    ) -> None:
        machine.configuration = {"link": {"endpoint": endpoint}}
        found = machine.asked(neighbours.link)
        with pytest.raises(ConfigurationError) as refused:
            address_of(endpoint)
        assert (found.verdict, found.text) == (Verdict.ERROR, str(refused.value))

    @pytest.mark.verifies("VA-SEC-04")
    def test_commanding_in_clear_from_elsewhere_is_an_error(self, machine: FakeMachine) -> None:
        for elsewhere in ("tcp://*:5005", "tcp://[::]:5005"):
            machine.configuration = {"link": {"endpoint": elsewhere, "insecure": True}}
            assert machine.asked(neighbours.link).verdict is Verdict.ERROR
        machine.configuration = {"link": {"endpoint": "tcp://[::1]:*", "insecure": True}}
        assert machine.asked(neighbours.link).verdict is Verdict.OK


class TestPayloads:
    @pytest.mark.parametrize("what", ["run", "state"])
    def test_a_payload_that_flies_in_these_folders_is_an_error(
        self, machine: FakeMachine, what: str
    ) -> None:
        folder = {"run": machine.run, "state": machine.state}[what]
        (folder / f"{what}.lock").write_text("4711\n")
        fly(machine, 4711, machine.run / "plan.json")
        found = machine.asked(neighbours.this_payload)
        assert (found.verdict, found.text) == (Verdict.ERROR, f"pid 4711 flies in {folder}")

    def test_a_lock_that_a_dead_payload_left_is_none(self, machine: FakeMachine) -> None:
        (machine.run / "run.lock").write_text("4711\n")
        (machine.state / "state.lock").write_text("")
        assert machine.asked(neighbours.this_payload).verdict is Verdict.OK

    def test_other_payloads_are_named(self, machine: FakeMachine) -> None:
        machine.write("/proc/1/cmdline", "init\0")
        machine.write("/proc/2/cmdline", "flight.supervisor")  # a title, not an argument
        assert machine.asked(neighbours.other_payloads).verdict is Verdict.OK
        fly(machine, 77, machine.run / "plan.json")
        assert machine.asked(neighbours.other_payloads).verdict is Verdict.OK
        fly(machine, 78, Path("/tmp/other/plan.json"))
        found = machine.asked(neighbours.other_payloads)
        assert (found.verdict, found.text) == (
            Verdict.WARNING,
            "other payloads fly here: pid 78",
        )
