"""Jobs by the fragments of the dictionary."""

from __future__ import annotations

import pytest

from ground.client import Client
from ground.errors import CommandRefused
from icd.codec import Codec

from .dictionaries import MATMUL, NANOGPT
from .fake_payload import FakePayload


def test_a_submit_carries_kind_fragment_and_packed_arguments(
    client: Client, payload: FakePayload
) -> None:
    payload.handlers["jobs.submit"] = lambda tc, _: payload.complete(tc, 12)
    result = client.submit("matmul", {"size": "512"}, priority=3)
    assert result.result == {"job": 12}
    ((_, values),) = [taken for taken in payload.taken if taken[0] == "jobs.submit"]
    packed = Codec(MATMUL.parameters).pack((512, 1))
    assert values == (1, MATMUL.hash, 3, 0, 0, packed)
    assert result.arguments == {"job": "matmul", "size": 512, "repeats": 1, "priority": 3}


@pytest.mark.parametrize(
    ("job", "arguments", "words"),
    [
        ("matmull", {}, "did you mean 'matmul'"),
        ("matmul", {"size": 8}, "size = 8; give 16 … 4096"),
        ("matmul", {"sise": 64}, "did you mean 'size'"),
        ("nanogpt", {}, "needs text"),
        ("nanogpt", {"text": "a" * 129}, "give at most 128"),
    ],
)
def test_a_wrong_submit_is_refused_before_sending(
    client: Client, payload: FakePayload, job: str, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(CommandRefused, match=words):
        client.submit(job, arguments)
    assert payload.taken == []


def test_the_latest_row_of_each_job_is_kept_with_named_metrics(
    client: Client, payload: FakePayload
) -> None:
    def tell() -> None:
        for phase, step in ((0, 0), (1, 10), (1, 20)):
            report = (7, 1, phase, step, 40, "", (step / 2, *[0.0] * 7))
            payload.component_report("jobs.job_status", *report)
        payload.component_report("jobs.job_status", 8, 9, 4, 5, 5, "ended", [0.0] * 8)

    payload.do(tell)
    rows = client.jobs(wait_s=5.0)
    while len(rows) < 2:
        rows = client.jobs(after=max(row["cursor"] for row in rows), wait_s=5.0)
    assert [(r["job"], r["name"], r["phase"], r["step"]) for r in rows] == [
        (7, "matmul", "RUNNING", 20),
        (8, "kind 9", "DONE", 5),
    ]
    assert rows[0]["metrics"] == {"gflops": 10.0}
    assert [row["ended"] for row in rows] == [False, True]


def test_a_job_whose_input_is_a_file_takes_its_path(client: Client, payload: FakePayload) -> None:
    client.submit("nanogpt", {"text": "inputs/text.txt"})
    values = payload.taken[-1][1]
    assert values[5] == Codec(NANOGPT.parameters).pack(("inputs/text.txt", 100))


def test_jobs_told_before_this_server_began_are_asked_for(
    client: Client, payload: FakePayload
) -> None:
    def tell(tc: object, _: object) -> None:
        payload.component_report("jobs.job_status", 3, 1, 4, 5, 5, "ended", [0.0] * 8)
        payload.complete(tc, 1)  # type: ignore[arg-type]

    payload.handlers["jobs.list"] = tell
    assert [(row["job"], row["phase"]) for row in client.jobs()] == [(3, "DONE")]


def test_jobs_that_the_payload_forgot_are_forgotten(client: Client, payload: FakePayload) -> None:
    payload.do(lambda: payload.component_report("jobs.job_status", 9, 1, 4, 5, 5, "old", [0.0] * 8))
    while [row["job"] for row in client.jobs(wait_s=1.0)] != [9]:
        continue
    payload.handlers["jobs.list"] = lambda tc, _: payload.complete(tc, 0)
    assert client.jobs(refresh=True) == []
