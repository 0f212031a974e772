"""The deployment: what survives a restart, and what the whole executive repeats exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.deployment.deployment import COMMANDS, EXECUTIVE, INSTANCES, TELEMETRY, dictionary
from flight.deployment.simulated import STATION, SimulatedPayload
from icd import reports, telecommand, telemetry
from icd.dictionary import Mode
from icd.reports import Stage


def flying() -> SimulatedPayload:
    """A payload after its first seconds, in contact."""
    payload = SimulatedPayload()
    payload.advance(2)
    payload.contact()
    return payload


def tell(
    payload: SimulatedPayload, apid: int, service: int, subtype: int, body: bytes = b""
) -> None:
    payload.telecommand(telecommand.build(apid, 0, service, subtype, body, source=STATION))
    payload.advance(0.5)
    payload.collect()


def stages(payload: SimulatedPayload) -> list[Stage]:
    """Verification stages among what the station received."""
    packets = [telemetry.parse(p) for p in payload.packets if p[0] & 8]
    return [Stage(p.subtype) for p in packets if p.service == 1]


def test_every_instance_has_a_name_and_an_apid_of_its_own() -> None:
    assert len({name for name, _, _ in INSTANCES}) == len(INSTANCES)
    assert len({apid for _, apid, _ in INSTANCES}) == len(INSTANCES)
    plugged = {slot.apid: slot.name for slot in flying().deployment.executive.slots.values()}
    assert plugged == {apid: name for name, apid, _ in INSTANCES}
    assert [c.name for c in dictionary().components] == [name for name, _, _ in INSTANCES]


@pytest.mark.verifies("VA-CMD-07")
def test_a_ping_is_answered() -> None:
    payload = flying()
    tell(payload, COMMANDS, 17, 1)
    assert stages(payload) == [Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED]
    assert payload.identities == 1


def test_the_boot_count_rises_and_the_mode_stays() -> None:
    payload = flying()
    assert payload.deployment.boots == 1
    tell(payload, COMMANDS, 8, 1, reports.function(1, bytes([0, COMMANDS, 2])))
    tell(payload, COMMANDS, 8, 1, reports.function(2, bytes([Mode.SAFE])))
    assert payload.deployment.modes.now is Mode.SAFE
    payload.advance(2)
    payload.reboot()
    assert payload.deployment.boots == 2
    assert payload.deployment.modes.now is Mode.SAFE
    payload.advance(10)
    assert payload.deployment.executive.slots[EXECUTIVE].component.hk.boots == 2


@pytest.mark.verifies("VA-SEC-02")
def test_after_a_restart_an_old_telecommand_is_a_replay() -> None:
    payload = flying()
    tell(payload, COMMANDS, 17, 1)
    payload.advance(2)
    sent = payload._sequence
    payload.reboot()
    payload._sequence = sent - 2  # all that was sent before is sent again
    payload.contact()
    tell(payload, COMMANDS, 17, 1)
    handler = payload.deployment.executive.slots[COMMANDS].component
    assert (handler.hk.accepted, handler.hk.frames_replayed) == (0, 2)
    payload._sequence += 2048  # as ground does when nothing answers
    payload.contact()
    tell(payload, COMMANDS, 17, 1)
    assert handler.hk.completed == 1


@pytest.mark.parametrize(
    "saved",
    [
        {"boots": "many"},
        {"boots": -5},
        {"boots": 2**32},
        {"mode": "x"},
        {"mode": 99},
        {"replay": 5},
        {"replay": {"1": "x"}},
        {"replay": {"1": -1}},
        {"replay": {"1": 2**64}},
        {"clock": 3},
    ],
)
def test_saved_state_that_makes_no_sense_does_not_keep_it_from_flying(
    saved: dict[str, Any],
) -> None:
    payload = SimulatedPayload()
    payload.reboot(saved)
    payload.advance(1)
    payload.contact()
    tell(payload, COMMANDS, 17, 1)
    assert Stage.COMPLETED in stages(payload)


@pytest.mark.verifies("VA-SEC-02")
def test_a_ceiling_that_is_not_durable_holds_telecommands_back() -> None:
    payload = SimulatedPayload()
    payload.storage.is_hung = True
    payload.contact()
    tell(payload, COMMANDS, 17, 1)
    assert stages(payload) == []
    payload.storage.is_hung = False
    payload.advance(2)
    payload.contact()
    payload.collect()
    assert Stage.COMPLETED in stages(payload)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([apid for _, apid, _ in INSTANCES]),
        st.sampled_from([(17, 1), (17, 3), (8, 1), (3, 27), (3, 5), (20, 1), (20, 3), (5, 6)]),
        st.binary(max_size=12),
        st.integers(0, 5000),
    ),
    max_size=8,
)


@pytest.mark.verifies("VA-EXE-06")
@settings(max_examples=15)
@given(REQUESTS)
def test_the_same_stimuli_give_the_same_telemetry_octet_for_octet(requests: Any) -> None:
    def fly() -> list[bytes]:
        payload = flying()
        for apid, (service, subtype), body, milliseconds in requests:
            tell(payload, apid, service, subtype, body)
            payload.advance(milliseconds / 1000)
            payload.contact()
        return payload.packets

    assert fly() == fly()


@pytest.mark.verifies("VA-CMD-01", "VA-LINK-05")
@settings(max_examples=40)
@given(REQUESTS)
def test_no_request_whatever_raises_in_any_component(requests: Any) -> None:
    payload = flying()
    for apid, (service, subtype), body, _ in requests:
        tell(payload, apid, service, subtype, body)
    payload.advance(60)
    slots = payload.deployment.executive.slots
    handler, monitor = slots[COMMANDS].component, slots[EXECUTIVE].component
    assert monitor.hk.raised == 0
    assert handler.hk.pending == 0
    assert handler.hk.accepted == handler.hk.completed + handler.hk.failed
    assert slots[TELEMETRY].component.hk.dropped == 0
