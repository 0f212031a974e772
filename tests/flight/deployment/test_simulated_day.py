"""The whole executive through simulated days, quiet ones and eventful ones."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from flight.components.job_runner.simulated import Behaviour
from flight.deployment.simulated import SimulatedPayload
from flight.framework.time_units import SECOND
from flight.jobs.registry import by_name
from icd.dictionary import Mode, Severity
from icd.failures import FailureCode
from icd.reports import Stage
from tests.flight.support.simulated_station import Operator

HOUR = 3600


@pytest.fixture
def payload() -> SimulatedPayload:
    return SimulatedPayload()


@pytest.fixture
def operator(payload: SimulatedPayload) -> Operator:
    made = Operator(payload)
    made.settle()
    return made


@pytest.mark.slow
@pytest.mark.verifies("VA-EXE-07")
def test_a_quiet_day_raises_nothing_slips_nothing_and_drops_only_old_housekeeping(
    operator: Operator,
) -> None:
    operator.payload.advance(24 * HOUR)
    operator.settle(15)
    assert not [event for event in operator.events if event.severity >= Severity.MEDIUM]
    executive = operator.housekeeping["executive"]
    assert (executive["slips"], executive["raised"], executive["queue_drops"]) == (0, 0, 0)
    watchdog = operator.housekeeping["watchdog"]
    assert watchdog["late"] == watchdog["silent_components"] == watchdog["silent_workers"] == 0
    assert watchdog["strokes"] > 20 * HOUR
    board = operator.housekeeping["board"]
    assert set(board["validity"]) == {0}
    assert board["malformed"] == 0


@pytest.mark.verifies("VA-EXE-06")
def test_the_same_stimuli_give_the_same_telemetry_octet_for_octet() -> None:
    def flight() -> list[bytes]:
        payload = SimulatedPayload()
        operator = Operator(payload)
        payload.contact()
        for minute in range(30):
            operator.send("commands.no_operation")
            if minute == 3:
                _submit(operator, size=64)
            payload.advance(60)
            payload.contact()
        return list(payload.packets)

    assert flight() == flight()


def _submit(operator: Operator, kind: str = "matmul", **settings: Any) -> bytes:
    declaration = by_name(kind)
    arguments = declaration.pack(declaration.parse({k: str(v) for k, v in settings.items()}))
    fragment = declaration.fragment()
    return operator.send("jobs.submit", fragment.number, fragment.hash, 5, 0, 0, 4, arguments)


@pytest.mark.slow
@pytest.mark.verifies("VA-CMD-01", "VA-JOB-07")
def test_a_day_of_passes_ends_every_telecommand_and_every_job_exactly_once(
    operator: Operator,
) -> None:
    draw = random.Random(11)
    payload = operator.payload
    sent: list[bytes] = []
    jobs: list[int] = []
    for _ in range(8):
        for _ in range(draw.randrange(1, 4)):
            request = _submit(operator, size=draw.randrange(16, 512))
            operator.settle(2)
            jobs.append(operator.result_of(request)["job"])
            sent.append(request)
        text = draw.randbytes(draw.randrange(1, 20_000))
        sent += _uplink(operator, len(sent), f"texts/{len(sent)}.bin", text)
        sent.append(operator.send("jobs.list"))
        operator.settle(30)
        payload.advance(3 * HOUR - 60)
    operator.settle(60)
    for request in sent:
        assert operator.outcome(request) is Stage.COMPLETED, operator.reasons.get(request)
    assert len(set(jobs)) == len(jobs)
    done = [event.values["job"] for event in operator.seen("jobs.job_done")]
    assert sorted(done) == jobs
    assert operator.housekeeping["executive"]["raised"] == 0


def _uplink(operator: Operator, transaction: int, path: str, content: bytes) -> list[bytes]:
    sent = [operator.send("files.put_begin", transaction, path, len(content), zlib.crc32(content))]
    operator.settle(1)
    for offset in range(0, len(content), 3072):
        part = content[offset : offset + 3072]
        sent.append(operator.send("files.put_segment", transaction, offset, part))
    operator.settle(1)
    sent.append(operator.send("files.put_end", transaction))
    operator.settle(1)
    assert bytes(operator.payload.storage.files[f"state/files/{path}"]) == content
    return sent


@pytest.mark.verifies("VA-EXE-09", "VA-SEC-02")
def test_after_a_reboot_time_goes_on_boots_count_and_old_frames_are_refused(
    operator: Operator,
) -> None:
    payload = operator.payload
    seen: list[bytes] = []
    original = payload.deployment.link.receive

    def tap(routing: bytes, octets: bytes) -> None:
        seen.append(octets)
        original(routing, octets)

    payload.deployment.link.receive = tap  # type: ignore[method-assign]
    assert operator.do("commands.no_operation")[0] is Stage.COMPLETED
    boots = payload.deployment.boots
    payload.reboot()
    payload.advance(1)
    assert payload.deployment.boots == boots + 1
    for octets in seen:
        payload.deployment.link.receive(b"thief", octets)
    payload.advance(1)
    handler = payload.deployment.executive.slots[1].component
    assert handler.hk.frames_replayed == len(seen)
    assert handler.hk.accepted == 0


def test_a_board_server_that_hangs_is_replaced_and_the_rest_flies_on(operator: Operator) -> None:
    payload = operator.payload
    payload.board.is_hung = True
    operator.settle(6)
    assert "board" in payload.supervisor.replaced
    (silent,) = operator.seen("watchdog.worker_silent")
    assert silent.values["silence"] < 2.0
    operator.settle(10)
    assert set(operator.housekeeping["board"]["validity"]) == {0}
    assert operator.do("commands.no_operation")[0] is Stage.COMPLETED


@pytest.mark.verifies("VA-STO-03")
def test_a_full_disk_refuses_files_and_keeps_flying(operator: Operator) -> None:
    payload = operator.payload
    payload.storage.capacity = payload.storage.used + 2000
    operator.send("files.put_begin", 9, "big.bin", 9000, 1)
    for offset in (0, 3072, 6144):
        operator.send("files.put_segment", 9, offset, b"x" * 2856)
    operator.settle(5)
    assert FailureCode.NO_SPACE in operator.codes.values()
    assert operator.seen("files.no_space")
    assert operator.do("commands.no_operation")[0] is Stage.COMPLETED
    assert operator.housekeeping.get("executive", {"raised": 0})["raised"] == 0


def test_a_hung_storage_worker_times_commands_out_and_nothing_waits_for_ever(
    operator: Operator,
) -> None:
    payload = operator.payload
    payload.storage.is_hung = True
    request = _submit(operator, size=64)
    ping = operator.send("commands.no_operation")
    operator.settle(120)
    assert operator.outcome(ping) is Stage.COMPLETED
    assert operator.outcome(request).is_failure


def test_a_job_that_crashes_is_tried_again_and_then_reported(operator: Operator) -> None:
    operator.payload.launcher.default = Behaviour(steps=20, crash_at=7, commit_every=0)
    request = _submit(operator, size=64)
    operator.settle(300)
    job = operator.result_of(request)["job"]
    assert len(operator.seen("jobs.job_retried")) >= 2
    assert [event.values["job"] for event in operator.seen("jobs.job_failed")] == [job]


COMPONENTS = ("commands", "telemetry", "watchdog", "board", "jobs", "files", "executive")


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.verifies("VA-EXE-04")
def test_a_full_queue_rejects_new_work_counts_it_and_says_so(operator: Operator, name: str) -> None:
    apid = operator.payload.deployment.dictionary.component(name).apid
    slot = operator.payload.deployment.executive.slots[apid]
    while slot.post(lambda: None):
        pass
    assert len(slot.inbox) == slot.inbox.depth
    operator.settle(12)
    overflows = operator.seen("executive.queue_overflowed")
    assert name in {event.values["name"] for event in overflows}
    assert operator.do("commands.no_operation")[0] is Stage.COMPLETED


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.verifies("VA-CMD-03")
def test_invalid_commands_to_any_component_are_rejected_with_a_reason(
    operator: Operator, name: str
) -> None:
    of = operator.payload.deployment.dictionary.component(name)
    unknown = operator.request(of.apid, 8, 1, b"\xfa")
    empty = operator.request(of.apid, 8, 1)
    strange = operator.request(of.apid, 77, 1)
    wrong = [operator.request(of.apid, 8, 1, bytes([c.opcode]) + bytes(4000)) for c in of.commands]
    operator.settle()
    for request in (unknown, empty, strange, *wrong):
        assert operator.outcome(request) is Stage.REJECTED
        assert operator.reasons[request]


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.verifies("VA-EXE-03")
def test_a_component_that_raises_is_rebuilt_and_the_others_fly_on(
    operator: Operator, name: str
) -> None:
    of = operator.payload.deployment.dictionary.component(name)
    slot = operator.payload.deployment.executive.slots[of.apid]
    before = slot.component

    def explode() -> None:
        raise ZeroDivisionError("an upset in the divisor")

    assert slot.post(explode)
    operator.settle(12)
    assert slot.component is not before
    (raised,) = operator.seen("executive.component_raised")
    assert raised.values["name"] == name
    assert "ZeroDivisionError" in raised.values["error"]
    assert operator.do("commands.no_operation")[0] is Stage.COMPLETED


@pytest.mark.verifies("VA-EXE-05")
def test_a_step_that_outlasts_its_period_is_counted_as_slipped_cycles(operator: Operator) -> None:
    payload = operator.payload
    payload.now += 5 * SECOND
    operator.settle(12)
    assert operator.housekeeping["executive"]["slips"] > 0
    assert operator.seen("executive.cycles_slipped")


@pytest.mark.verifies("VA-CMD-05")
def test_safe_mode_holds_every_job_also_across_a_reboot(operator: Operator) -> None:
    payload = operator.payload
    handler = payload.deployment.dictionary.component("commands")
    opcode = next(c.opcode for c in handler.commands if c.name == "set_mode")
    operator.do("commands.arm", handler.apid, opcode)
    assert operator.do("commands.set_mode", Mode.SAFE)[0] is Stage.COMPLETED
    request = _submit(operator, size=64)
    operator.settle(60)
    assert operator.outcome(request) is Stage.COMPLETED
    assert not payload.launcher.launches
    payload.reboot()
    operator.settle(60)
    assert not payload.launcher.launches
    operator.do("commands.arm", handler.apid, opcode)
    assert operator.do("commands.set_mode", Mode.NOMINAL)[0] is Stage.COMPLETED
    operator.settle(60)
    assert len(payload.launcher.launches) == 1
