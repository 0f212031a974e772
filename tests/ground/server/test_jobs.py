"""Jobs by the fragments of the dictionary."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ground.cli.jobs import line
from ground.client.client import Client
from ground.client.client_async import connect_async
from ground.errors import CommandRefused
from ground.server.commanding import Catalogue, Request
from ground.server.jobs import rows, submit_request
from icd.codec import Codec
from icd.dictionary import Dictionary
from tests.ground.support.dictionaries import DICTIONARY, MATMUL, NANOGPT
from tests.ground.support.fake_payload import FakePayload

DMR, ADAPTIVE = 2, 4


def test_a_submit_carries_kind_fragment_and_packed_arguments(
    client: Client, payload: FakePayload
) -> None:
    payload.handlers["jobs.submit"] = lambda tc, _: payload.complete(tc, 12)
    result = client.submit("matmul", {"size": "512"}, priority=3)
    assert result.result == {"job": 12}
    ((_, values),) = [taken for taken in payload.taken if taken[0] == "jobs.submit"]
    packed = Codec(MATMUL.parameters).pack((512, 1))
    assert values == (1, MATMUL.hash, 3, 0, 0, ADAPTIVE, packed)
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


@pytest.mark.verifies("VA-JOB-12")
def test_a_metric_that_the_payload_does_not_know_is_shown_as_unknown() -> None:
    told = {"job": 7, "name": "nanogpt", "phase": "DONE", "step": 9, "reason": ""}
    text = line(told | {"metrics": {"loss": None, "wrong": 0.0}})
    assert text.endswith("loss=— wrong=0")


@pytest.mark.verifies("VA-JOB-12")
@pytest.mark.parametrize(
    ("told", "metric"), [({"metrics_known": 0}, None), ({"metrics_known": 1}, 0.0), ({}, 0.0)]
)
def test_what_a_payload_says_of_its_metrics_is_believed(
    told: dict[str, int], metric: float | None
) -> None:
    row = {"job": 7, "kind": MATMUL.number, "phase": "RUNNING", "metrics": (0.0,) * 8} | told
    payload: Any = SimpleNamespace(dictionary=DICTIONARY, table=lambda _name, _after: [row])
    (found,) = rows(payload)
    assert found["metrics"] == {"gflops": metric}


def test_a_job_whose_input_is_a_file_takes_its_path(client: Client, payload: FakePayload) -> None:
    client.submit("nanogpt", {"text": "inputs/text.txt"})
    values = payload.taken[-1][1]
    assert values[6] == Codec(NANOGPT.parameters).pack(("inputs/text.txt", 100))


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


@pytest.mark.verifies("VA-LVL-01")
@pytest.mark.parametrize("written", ["dmr", "DMR", "2"])
def test_a_protection_level_goes_with_the_submit_by_its_name(
    client: Client, payload: FakePayload, written: str
) -> None:
    result = client.submit("matmul", {}, protection=written)
    assert payload.taken[-1][1][5] == DMR
    assert result.arguments["protection"] == "DMR"


def test_a_level_that_there_is_not_is_refused_with_those_that_there_are(
    client: Client, payload: FakePayload
) -> None:
    with pytest.raises(CommandRefused, match=r"NONE \| ABFT \| DMR \| TMR \| ADAPTIVE"):
        client.submit("matmul", {}, protection="double")
    assert payload.taken == []


@pytest.mark.usefixtures("client")
def test_the_asynchronous_client_asks_for_a_level_as_well(
    payload: FakePayload, state: Path
) -> None:
    async def submit() -> None:
        async with await connect_async(state) as awaited:
            await awaited.submit("matmul", {}, protection="tmr", check=False)

    asyncio.run(submit())
    assert payload.taken[-1][1][5] == DMR + 1


class OldPayload:
    """A payload whose jobs have no level yet."""

    def __init__(self) -> None:
        jobs = next(c for c in DICTIONARY.components if c.name == "jobs")
        submit, *others = jobs.commands
        fields = tuple(f for f in submit.arguments if f.name != "protection")
        older = replace(jobs, commands=(replace(submit, arguments=fields), *others))
        self.dictionary = Dictionary((older,), DICTIONARY.jobs)

    def request(self, name: str, given: dict[str, Any]) -> Request:
        return Catalogue(self.dictionary).request(name, given)


def test_a_payload_from_before_there_were_levels_is_asked_for_none() -> None:
    older: Any = OldPayload()
    assert submit_request(older, "matmul", {}, {"protection": None}).name == "jobs.submit"
    with pytest.raises(CommandRefused, match="have no protection; leave it out"):
        submit_request(older, "matmul", {}, {"protection": "dmr"})


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({}, ""),
        ({"protection": "DMR", "level": "DMR", "wrong": 0}, "dmr"),
        ({"protection": "ADAPTIVE", "level": "ABFT", "lost": 0}, "adaptive: abft"),
        (
            {"protection": "TMR", "level": "TMR", "wrong": 3, "blocks_corrected": 2, "lost": 1},
            "tmr, 3 wrong, 2 blocks corrected, 1 lost",
        ),
    ],
)
def test_a_job_is_shown_with_its_level_and_what_was_found(row: dict[str, Any], shown: str) -> None:
    told = {"job": 7, "name": "matmul", "phase": "RUNNING", "step": 1, "metrics": {}} | row
    assert line(told).partition(" 1")[2].strip() == shown
