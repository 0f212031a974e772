"""Telecommands from a client to a payload and back, stage by stage."""

from __future__ import annotations

from ground.client import Client

from .fake_payload import FakePayload


def test_a_ping_completes_through_all_stages(client: Client, payload: FakePayload) -> None:
    result = client.ping()
    assert [stage for stage, _ in result.stages] == [
        "queued",
        "sent",
        "accepted",
        "started",
        "completed",
    ]
    assert payload.taken == [("17,1", (b"",))]
