"""The scrubber component on a bench: what ground asks, what its worker says, what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from flight.components.scrubber import stimuli as s
from flight.components.scrubber.component import MOST_REGISTERED, Scrubber
from flight.components.scrubber.dictionary import ScrubberParameters, ScrubberSettings
from flight.components.scrubber.lifecycle import ScrubberLifecycle
from flight.components.scrubber.ports import MemoryErrors, OwnerChecked
from flight.components.scrubber.regions import Kind, State, Verdict
from flight.framework.lifecycle import Tell, replay
from flight.framework.simulated_worker import SimulatedWorker
from icd.dictionary import Severity
from icd.failures import FailureCode
from tests.flight.support.component_harness import Asker, Bench

MIB = 1 << 20
WEIGHTS = ["weights", int(Kind.FILE), 0, 17, 4 * MIB, int(State.WALKED), 2, 1500, 0, 0]
TEST = ["test", int(Kind.TEST), 0, 18, MIB, int(State.WALKED), 1, 500, 0, 0]
STATE = ["job-3.state", int(Kind.JOB), 3, 19, MIB, int(State.OPEN), 0, -1, 0, 0]
STATUS = {
    "rate": 50.0 * MIB,
    "octets": 9,
    "stripes": 3,
    "longest_us": 900,
    "is_crowded": True,
    "unscrubbed": [["storage", 3 * MIB]],
}


class FakeProgram:
    """Program memory that a test changes."""

    def __init__(self) -> None:
        self.items, self.passes = 100, 0
        self.changed: list[str] = []
        self.checked: list[int] = []
        self.recomputed = 0

    def check(self, octets: int) -> list[str]:
        self.checked.append(octets)
        found, self.changed = self.changed, []
        return found

    def recompute(self) -> None:
        self.recomputed += 1


class Payload:
    """Everything that the scrubber is connected to, as a test sets it."""

    def __init__(self, saved: dict[str, object] | None = None) -> None:
        self.bench = Bench("scrubber", 9)
        self.worker = SimulatedWorker("scrub", lambda: self.bench.now, pid=50)
        self.worker.through(self.bench.post)
        self.program = FakeProgram()
        self.saved: dict[str, object] = saved or {}
        self.is_disk_well = True
        self.rolled_back: list[tuple[int, str]] = []
        self.restarted: list[str] = []
        self.scrubber = Scrubber(
            self.bench.port, self.worker, self, self, self, self, self.program, ScrubberSettings()
        )
        self.bench.plug(self.scrubber)

    # --- the ports ---

    def owner_checked(self) -> Sequence[OwnerChecked]:
        return [OwnerChecked(3, 333, 40, 2, 1), OwnerChecked(4, 444, 0, 0, 0)]

    def roll_back(self, job: int, reason: str) -> None:
        self.rolled_back.append((job, reason))

    def memory_errors(self) -> Sequence[MemoryErrors]:
        return [MemoryErrors("gpu0", "ecc_corrected_volatile", 5.0, True)]

    def processes(self) -> Sequence[tuple[str, int]]:
        return [("executive", 9), ("storage", 10), ("launcher", 0)]

    def restart_executive(self, reason: str) -> None:
        self.restarted.append(reason)

    def load(self) -> dict[str, object]:
        return self.saved

    def keep(self, content: dict[str, object], done: Callable[[], None] | None) -> None:
        self.saved = content
        if done is not None and self.is_disk_well:
            done()

    # --- what tests do ---

    def say(self, kind: str, **body: Any) -> None:
        self.worker.say(kind, body)
        self.bench.drain()

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [body for sent, body in self.worker.sent if sent == kind]

    def answer(self, kind: str, *, ok: bool = True, text: str = "", value: int = 0) -> None:
        self.say("done", id=self.sent(kind)[-1]["id"], ok=ok, text=text, value=value)

    def found(self, verdict: Verdict, row: list[Any] = WEIGHTS, block: int = 3) -> None:
        self.say("found", rows=[[*row[:4], block, int(verdict), 2, 0, block * 32768]])

    def show(self) -> Any:
        self.scrubber.housekeeping()
        return self.scrubber.hk


@pytest.fixture
def payload() -> Payload:
    made = Payload()
    made.say("ready", pid=50)
    made.say("regions", rows=[WEIGHTS, TEST, STATE])
    return made


# ---------------------------------------------------------------- telecommands


@pytest.mark.verifies("VA-SCR-06")
def test_a_worker_is_told_how_to_walk_when_it_is_ready(payload: Payload) -> None:
    assert payload.sent("settings") == [
        {"is_enabled": True, "rate": 112.0 * MIB, "period_s": 10.0, "factor": 1.0}
    ]
    payload.say("ready", pid=50)
    assert len(payload.sent("settings")) == 1
    payload.say("ready", pid=51)
    assert len(payload.sent("settings")) == 2


@pytest.mark.verifies("VA-SCR-06")
def test_scrubbing_is_switched_and_its_rate_chosen_also_for_the_next_executive(
    payload: Payload,
) -> None:
    payload.bench.do("disable")
    payload.bench.do("set_rate", 250.0)
    assert payload.sent("settings")[-1]["is_enabled"] is False
    assert payload.sent("settings")[-1]["rate"] == 250.0 * MIB
    assert "disabled" in payload.bench.events("rate_changed")[0]
    after = Payload(payload.saved)
    after.say("ready", pid=60)
    assert after.sent("settings")[-1]["is_enabled"] is False
    assert after.sent("settings")[-1]["rate"] == 250.0 * MIB
    after.bench.do("enable")
    assert after.sent("settings")[-1]["is_enabled"] is True


@pytest.mark.verifies("VA-SCR-06")
def test_a_walk_that_was_asked_for_completes_when_it_is_over(payload: Payload) -> None:
    asker = payload.bench.do("scrub_now", "weights")
    assert not asker.is_answered
    assert payload.sent("scrub")[0]["region"] == "weights"
    payload.answer("scrub", value=250)
    assert asker.result.seconds == 0.25


@pytest.mark.parametrize(
    ("region", "reason"), [("nothing", "no region"), ("job-3.state", "wait until it is sealed")]
)
def test_what_cannot_be_walked_is_refused(payload: Payload, region: str, reason: str) -> None:
    assert reason in payload.bench.do("scrub_now", region).reason


def test_nothing_to_walk_and_a_disabled_scrubber_are_refused(payload: Payload) -> None:
    payload.show()
    payload.bench.do("disable")
    assert "send enable first" in payload.bench.do("scrub_now", "").reason
    empty = Payload()
    assert empty.bench.do("scrub_now", "").code is FailureCode.NOT_FOUND


@pytest.mark.verifies("VA-SCR-06")
def test_a_registered_file_is_loaded_again_by_every_new_worker(payload: Payload) -> None:
    asker = payload.bench.do("register", "nets/w.bin", "net")
    assert payload.sent("register")[0]["golden"] == "state/files/nets/w.bin"
    payload.answer("register", value=4 * MIB)
    assert asker.result.octets == 4 * MIB
    assert payload.bench.events("region_registered") == [("net", "nets/w.bin", 4 * MIB)]
    payload.say("ready", pid=51)
    assert payload.sent("register")[1]["region"] == "net"
    payload.answer("register", ok=False, text="No such file")
    assert payload.bench.events("not_registered") == [("net", "No such file")]
    after = Payload(payload.saved)
    after.say("ready", pid=60)
    assert after.sent("register")[0]["golden"] == "state/files/nets/w.bin"


@pytest.mark.verifies("VA-SCR-06")
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("../keys.json", "net"),
        ("/etc/passwd", "net"),
        ("w.bin", "../net"),
        ("w.bin", "test"),
        ("w.bin", "job-3.x"),
        ("w.bin", ""),
    ],
)
def test_names_and_paths_that_lead_elsewhere_are_refused(
    payload: Payload, file: str, name: str
) -> None:
    assert payload.bench.do("register", file, name).reason
    assert not payload.sent("register")


def test_a_file_that_could_not_be_loaded_is_not_kept(payload: Payload) -> None:
    asker = payload.bench.do("register", "w.bin", "net")
    payload.answer("register", ok=False, text="No space left on device")
    assert asker.reason == "No space left on device"
    assert payload.saved["registered"] == {}


def test_there_is_a_limit_to_registered_files() -> None:
    files = {f"n{i}": "w.bin" for i in range(MOST_REGISTERED)}
    full = Payload({"registered": files})
    assert "retire one first" in full.bench.do("register", "w.bin", "more").reason
    assert not full.bench.do("register", "w.bin", "n0").is_answered


@pytest.mark.verifies("VA-SCR-06")
def test_a_retired_region_is_not_loaded_again(payload: Payload) -> None:
    payload.bench.do("register", "w.bin", "weights")
    payload.answer("register", value=1)
    asker = payload.bench.do("retire", "weights")
    payload.answer("retire")
    assert asker.is_done
    assert payload.saved["registered"] == {}
    assert payload.bench.events("region_retired") == [("weights", 0)]
    assert payload.bench.do("retire", "nothing").code is FailureCode.NOT_FOUND


@pytest.mark.verifies("VA-SCR-07")
def test_errors_are_injected_into_the_test_region_only(payload: Payload) -> None:
    for region in ("weights", "job-3.state", "nothing"):
        asker = payload.bench.do("inject_error", region, 0, 0, 1, 1)
        assert "make_test_region" in asker.reason
    assert not payload.sent("inject")
    assert not payload.bench.do("inject_error", "test", 2, 100, 3, 1).is_answered
    (body,) = payload.sent("inject")
    assert (body["block"], body["first_bit"], body["bits"], body["distance"]) == (2, 100, 3, 1)


@pytest.mark.verifies("VA-SCR-07")
def test_the_test_region_is_made_on_request(payload: Payload) -> None:
    asker = payload.bench.do("make_test_region", MIB)
    payload.answer("test", value=MIB)
    assert asker.result.octets == MIB
    empty = Payload()
    assert "there is none" in empty.bench.do("inject_error", "test", 0, 0, 1, 1).reason


def test_a_worker_that_takes_nothing_is_said(payload: Payload) -> None:
    payload.worker.is_gone = True
    asker = payload.bench.do("scrub_now", "weights")
    assert asker.code is FailureCode.WORKER_UNAVAILABLE


@pytest.mark.verifies("VA-SCR-05")
def test_what_the_last_worker_was_asked_fails_when_another_is_ready(payload: Payload) -> None:
    asker = payload.bench.do("scrub_now", "weights")
    payload.worker.replaced()
    early: Asker = payload.bench.do("scrub_now", "test")
    payload.say("ready", pid=payload.worker.pid)
    assert "started anew" in asker.reason
    assert not early.is_answered  # the new worker was asked, and will answer


@pytest.mark.verifies("VA-SCR-09")
def test_one_table_shows_sealed_owner_checked_and_unscrubbed_memory(payload: Payload) -> None:
    payload.say("status", **STATUS)
    asker = payload.bench.do("list_regions")
    rows = {row[0]: row for row in payload.bench.reports("region", 1)}
    assert asker.result.rows == len(rows) == 5
    assert rows["weights"][1:5] == (Kind.FILE, State.WALKED, 0, 4 * MIB)
    assert rows["job-3"][1:4] == (Kind.OWNER_CHECKED, State.CHECKED, 3)
    assert rows["job-3"][7:] == (2, 1)
    assert rows["storage"][1:5] == (Kind.UNSCRUBBED, State.LEFT, 0, 3 * MIB)


@pytest.mark.verifies("VA-SCR-09")
def test_another_table_shows_what_hardware_scrubber_and_jobs_counted(payload: Payload) -> None:
    payload.found(Verdict.CORRECTED)
    payload.bench.do("list_memory_errors")
    rows = payload.bench.reports("memory_errors", 1)
    assert ("gpu0", "ecc_corrected_volatile", 5.0, True) in rows
    assert ("scrubber", "corrected", 1.0, True) in rows
    assert ("job-3", "lost", 1.0, True) in rows


def test_a_full_downlink_refuses_a_list(payload: Payload) -> None:
    payload.bench.room = 2
    assert "no room" in payload.bench.do("list_regions").reason


# ---------------------------------------------------------------- what the worker says


@pytest.mark.verifies("VA-SCR-02")
def test_a_corrected_block_is_counted_and_told_with_its_place(payload: Payload) -> None:
    payload.found(Verdict.CORRECTED)
    payload.found(Verdict.RECHECKED)
    assert payload.bench.events("block_corrected") == [("weights", 0, 3, 98304, 2)]
    hk = payload.show()
    assert (hk.corrected, hk.checks_corrected, hk.lost) == (1, 1, 0)
    assert hk.factor == 4.0
    assert payload.sent("settings")[-1]["factor"] == 4.0
    assert payload.scrubber.struck == 2


@pytest.mark.verifies("VA-SCR-02", "VA-SCR-03")
def test_a_lost_block_is_told_with_high_severity_and_reloaded(payload: Payload) -> None:
    payload.bench.do("register", "w.bin", "weights")
    payload.answer("register", value=1)
    payload.found(Verdict.LOST)
    assert payload.bench.severity("block_lost") is Severity.HIGH
    (body,) = payload.sent("reload")
    assert (body["region"], body["block"]) == ("weights", 3)
    assert body["golden"] == "state/files/w.bin"
    payload.answer("reload")
    assert payload.bench.events("reloaded")
    hk = payload.show()
    assert (hk.lost, hk.reloaded) == (1, 1)


@pytest.mark.verifies("VA-SCR-03")
def test_a_lost_block_of_a_jobs_state_sends_the_job_back(payload: Payload) -> None:
    payload.found(Verdict.LOST, STATE)
    assert payload.rolled_back == [(3, "lost memory in job-3.state")]
    assert payload.show().rolled_back == 1


@pytest.mark.verifies("VA-SCR-03")
def test_a_region_whose_golden_copy_is_gone_is_retired(payload: Payload) -> None:
    payload.found(Verdict.LOST)
    payload.answer("reload", ok=False, text="the golden copy is gone")
    assert payload.bench.events("step_failed")[0][2] == "the golden copy is gone"
    payload.answer("retire")
    assert payload.bench.events("region_retired")
    assert (payload.show().retired, payload.show().failed_steps) == (1, 1)


@pytest.mark.verifies("VA-SCR-03")
def test_a_registered_region_that_had_to_be_retired_is_not_loaded_again(payload: Payload) -> None:
    payload.bench.do("register", "w.bin", "weights")
    payload.answer("register", value=1)
    payload.found(Verdict.LOST)
    payload.answer("reload", ok=False, text="the golden copy is gone")
    payload.answer("retire")
    assert payload.saved["registered"] == {}
    payload.say("ready", pid=51)
    assert len(payload.sent("register")) == 1


@pytest.mark.verifies("VA-SCR-05")
def test_an_unusable_region_is_told_with_high_severity(payload: Payload) -> None:
    payload.say("unusable", rows=[[*WEIGHTS[:4], "its file was cut short"]])
    assert payload.bench.severity("region_unusable") is Severity.HIGH


@pytest.mark.verifies("VA-SEC-05")
@pytest.mark.parametrize("kind", ["regions", "found", "unusable", "status", "done", "nonsense"])
def test_a_message_that_makes_no_sense_is_counted_and_told(payload: Payload, kind: str) -> None:
    payload.say(kind, rows="?")
    assert payload.show().refused == 1
    assert payload.bench.events("message_refused")[0][0] == kind


@pytest.mark.verifies("VA-SCR-09")
def test_housekeeping_shows_regions_rates_ages_and_what_nobody_checks(payload: Payload) -> None:
    payload.say("status", **STATUS)
    payload.bench.now += 2_000_000_000
    hk = payload.show()
    assert (hk.regions, hk.octets, hk.open_regions, hk.passes) == (2, 5 * MIB, 1, 3)
    assert hk.oldest_walk == pytest.approx(3.5)
    assert (hk.rate, hk.measured, hk.is_crowded) == (112.0, 50.0, True)
    assert hk.longest_stripe == pytest.approx(0.9)
    assert hk.unscrubbed == 3 * MIB
    assert (hk.owner_blocks, hk.owner_corrected, hk.owner_lost) == (40, 2, 1)


def test_the_worker_is_told_of_processes_once_and_again_when_they_change(payload: Payload) -> None:
    payload.say("status", **STATUS)
    payload.say("status", **STATUS)
    assert payload.sent("processes") == [
        {"rows": [["executive", 9], ["storage", 10], ["job-3", 333], ["job-4", 444]]}
    ]


@pytest.mark.verifies("VA-SCR-08")
def test_radiation_raises_the_rate(payload: Payload) -> None:
    payload.scrubber.radiation(2)
    assert payload.sent("settings")[-1]["factor"] == 8.0
    assert payload.bench.events("rate_changed")[-1][1] == 8.0
    payload.scrubber.radiation(0)
    assert payload.sent("settings")[-1]["factor"] == 1.0


def test_a_fault_of_the_board_has_everything_walked(payload: Payload) -> None:
    payload.scrubber.check_all("XID 95")
    assert payload.sent("scrub") == [{"region": ""}]
    assert payload.bench.events("checked_all") == [("XID 95",)]


# ---------------------------------------------------------------- program memory


@pytest.mark.verifies("VA-SCR-10")
def test_program_memory_is_compared_in_small_slices_faster_at_first(payload: Payload) -> None:
    due = payload.bench.step()
    assert due == payload.bench.now + 500_000_000
    payload.program.passes = 1
    assert payload.bench.step(0.5) == payload.bench.now + 1_000_000_000
    assert max(payload.program.checked) <= 16 << 10


@pytest.mark.verifies("VA-SCR-10")
def test_changed_program_memory_ends_the_executive_once_the_disk_knows_why(
    payload: Payload,
) -> None:
    payload.program.changed = ["flight.framework.modes:Modes.change"]
    payload.bench.step(1)
    assert payload.bench.severity("program_changed") is Severity.HIGH
    payload.bench.step()
    assert payload.restarted == ["program memory changed: flight.framework.modes:Modes.change"]
    after = Payload(payload.saved)
    assert after.bench.events("program_restarted") == [
        ("program memory changed: flight.framework.modes:Modes.change",)
    ]
    assert after.show().program_restarts == 1
    assert Payload(after.saved).bench.events("program_restarted") == []


@pytest.mark.verifies("VA-SCR-10")
def test_a_disk_that_does_not_answer_delays_the_restart_by_two_seconds(payload: Payload) -> None:
    payload.is_disk_well = False
    payload.program.changed = ["x"]
    payload.bench.step(1)
    payload.bench.step(1.9)
    assert payload.restarted == []
    payload.bench.step(0.2)
    assert len(payload.restarted) == 1


@pytest.mark.verifies("VA-SCR-10")
def test_ground_may_have_checksums_made_anew(payload: Payload) -> None:
    payload.bench.do("recompute_program")
    assert payload.program.recomputed == 1


def test_parameters_change_what_is_told(payload: Payload) -> None:
    payload.scrubber.set_parameters([(0, 0)])
    payload.found(Verdict.CORRECTED)
    assert payload.bench.events("block_corrected") == []
    payload.bench.step(61)
    assert payload.bench.events("more_corrected") == [(1, 60.0)]


def test_saved_state_that_makes_no_sense_is_left_out() -> None:
    senseless: dict[str, object] = {"enabled": 3, "rate": "x", "registered": [1], "restarts": "y"}
    payload = Payload(senseless)
    payload.say("ready", pid=50)
    assert payload.sent("settings")[0]["rate"] == 112.0 * MIB


def test_what_it_did_can_be_replayed_from_its_stimulus_log(payload: Payload) -> None:
    payload.bench.do("register", "w.bin", "weights")
    payload.answer("register", value=1)
    payload.found(Verdict.LOST)
    payload.bench.do("scrub_now", "weights")
    payload.answer("reload", ok=False, text="the golden copy is gone")
    payload.answer("scrub", value=250)
    payload.answer("retire")
    payload.scrubber.radiation(2)
    payload.program.changed = ["flight.framework.modes:Modes.change"]
    payload.bench.step(1)
    core = ScrubberLifecycle(ScrubberParameters().policy())
    again = replay(core, list(payload.scrubber.core._log or []))
    decided = {"block_lost", "step_failed", "region_retired", "program_changed"}
    told = [event for event in payload.bench.events() if event[0] in decided]
    assert [(out.name, *out.values) for out in again if isinstance(out, Tell)] == told
    assert {event[0] for event in told} == decided
    asked = [(out.kind, out.number) for out in again if isinstance(out, s.Ask)]
    assert asked == [(kind, payload.sent(kind)[0]["id"]) for kind in ("reload", "retire")]
