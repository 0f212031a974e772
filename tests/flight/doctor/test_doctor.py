"""The whole examination, the probes of the real machine, and the command."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from flight.__main__ import main
from flight.doctor import board_probe
from flight.doctor import machine as probes
from flight.doctor.examination import CHECKS, can_fly, examine
from flight.doctor.finding import Finding, Verdict
from flight.doctor.machine import Machine, Subject
from hal.device import BoardIdentity
from tests.flight.support.fake_machine import FakeMachine


@pytest.mark.verifies("VA-OPS-01")
def test_a_healthy_machine_can_fly_and_every_check_has_a_line(machine: FakeMachine) -> None:
    found = list(examine(machine.subject()))
    assert can_fly(found)
    assert len({finding.check for finding in found}) == len(CHECKS)
    assert all(finding.text for finding in found)


@pytest.mark.verifies("VA-OPS-01")
def test_whatever_is_not_well_comes_with_what_to_do(machine: FakeMachine) -> None:
    machine.configuration = {
        "compute": "cuda",
        "board": {"name": "nvml"},
        "watchdog": {"device": "/dev/watchdog0"},
        "link": {"insecure": True},
    }
    machine.set(
        python=(3, 8, 0),
        open_files=10,
        clocks=lambda: (0.0, 9.0, 0.0),
        is_synchronised=lambda: None,
        has_pidfd=lambda: False,
        landlock_version=lambda: 0,
        free_bytes=lambda _path: 0,
        ask_board=lambda _board: {"error": "gone"},
    )
    found = list(examine(machine.subject()))
    unwell = [finding for finding in found if finding.verdict is not Verdict.OK]
    assert len(unwell) > 10
    assert all(finding.advice for finding in unwell)
    assert not can_fly(found)


def test_an_empty_machine_is_examined_to_the_end(machine: FakeMachine, tmp_path: Path) -> None:
    machine.set(root=tmp_path / "nothing", environment={})
    assert len(list(examine(machine.subject()))) == len(CHECKS)


def test_a_check_that_fails_itself_is_an_error_and_the_others_go_on(machine: FakeMachine) -> None:
    def broken(_subject: Subject) -> Finding:
        raise ZeroDivisionError

    found = list(examine(machine.subject(), (broken, *CHECKS[:1])))
    assert [finding.verdict for finding in found] == [Verdict.ERROR, Verdict.OK]
    assert found[0].text == "the check failed: ZeroDivisionError()"


class TestProbes:
    def test_this_machine_answers_every_probe(self) -> None:
        real = Machine()
        assert real.has_pidfd() in (True, False)
        assert real.is_synchronised() in (True, False, None)
        assert real.landlock_version() >= 0
        date, monotonic, boot = real.clocks()
        assert 0 < monotonic <= boot + 1 < date
        assert real.free_bytes(Path("/")) > 0
        assert not real.may_use(Path("/nowhere/at-all"))
        assert real.text("/nowhere/at-all") is None

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_a_port_is_free_until_somebody_listens(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as taken:
            taken.bind((host, 0))
            taken.listen()
            assert "in use" in probes.why_not_bound(host, taken.getsockname()[1])

    def test_an_impossible_address_has_a_reason(self) -> None:
        assert probes.why_not_bound("203.0.113.1", 5005)
        assert probes.why_not_bound("127.0.0.1", 70000)

    def test_a_board_that_cannot_be_opened_says_why(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert board_probe.main(["board_probe", "no-such-board"]) == 0
        assert "no board 'no-such-board'" in json.loads(capsys.readouterr().out)["error"]

    def test_a_board_that_opens_is_closed_again(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        board = Mock()
        board.identity.return_value = BoardIdentity("nvml", "NVML", "580.1", "13.1", "13.0", ())
        monkeypatch.setattr(board_probe, "open_board", lambda _name: board)
        assert board_probe.main(["board_probe", "nvml"]) == 0
        assert json.loads(capsys.readouterr().out)["driver_version"] == "580.1"
        board.close.assert_called_once_with()

    def test_the_driver_is_asked_by_a_process_apart(self) -> None:
        assert "no board 'no-such'" in probes.ask_board("no-such")["error"]

    @pytest.mark.verifies("VA-OPS-02")
    def test_a_driver_that_never_answers_does_not_hang_the_doctor(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hangs = tmp_path / "python"
        hangs.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
        hangs.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(hangs))
        assert "did not answer" in probes.ask_board("nvml", timeout_s=0.2)["error"]

    @pytest.mark.parametrize(
        ("says", "error"), [("no json", "ended with 0"), ("[]", "gave no identity")]
    )
    def test_a_driver_that_talks_nonsense_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, error: str
    ) -> None:
        talks = tmp_path / "python"
        talks.write_text(f"#!/bin/sh\necho '{says}'\n")
        talks.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(talks))
        assert error in probes.ask_board("nvml")["error"]


class TestCommand:
    def run(self, tmp_path: Path, *arguments: str) -> tuple[int, str]:
        folders = ["--state", str(tmp_path / "state"), "--run", str(tmp_path / "run")]
        result = CliRunner().invoke(main, ["doctor", *folders, *arguments])
        return result.exit_code, result.output

    def test_it_prints_a_line_a_check_and_leaves_nothing(self, tmp_path: Path) -> None:
        status, output = self.run(tmp_path)
        assert len(output.splitlines()) == len(CHECKS)
        assert status in (0, 1)
        assert all(line.split()[0] in ("ok", "warning", "error") for line in output.splitlines())
        assert list(tmp_path.iterdir()) == []

    def test_an_error_is_exit_status_one(self, tmp_path: Path) -> None:
        status, output = self.run(tmp_path, "--board", "no-such-board")
        assert status == 1
        assert "error    driver" in output
        assert " → give --board" in output

    def test_json_has_the_same_findings(self, tmp_path: Path) -> None:
        _, output = self.run(tmp_path, "--json")
        rows = json.loads(output)
        assert [set(row) for row in rows] == [{"check", "verdict", "text", "advice"}] * len(CHECKS)

    def test_a_wrong_configuration_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "payload.toml"
        path.write_text("[watchdog]\ndevise = 1\n")
        status, output = self.run(tmp_path, "--config", str(path))
        assert status == 1
        assert "did you mean 'device'" in output
