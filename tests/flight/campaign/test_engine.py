"""Campaigns from file to report: the same each time, however they are run or interrupted."""

from __future__ import annotations

import json
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from flight.__main__ import main
from flight.campaign import engine, plan, pool, results
from flight.campaign.fault_models import Outcome
from flight.campaign.results import OtherCampaign, Results
from flight.campaign.summary import Counts, summary
from flight.campaign.trials import Trials
from tests.flight.campaign.made_up import KINDS

pytestmark = pytest.mark.numerical

DOUBLER = """\
name = "doubling"
seed = 11
trials = 120
no_fault = 5
timed_runs = 2
[kernel.doubler]
inputs = 3
"""
TOLD = """\
name = "told"
seed = 3
trials = 14
deadline = "2 s"
[kernel.told]
"""


def written(tmp_path: Path, content: str) -> Path:
    source = tmp_path / "made_up.toml"
    source.write_text(content)
    return source


def computed(content: str) -> list[results.Record]:
    """All records of a campaign, computed in this process."""
    campaign = plan.loads(content, KINDS)
    laboratory = Trials(campaign)
    prepared = [laboratory.prepare(number) for number in range(campaign.trials)]
    return [each.record(laboratory.run(each)) for each in prepared]


@pytest.mark.verifies("VA-CAM-05")
@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_octets(tmp_path: Path) -> None:
    source = written(tmp_path, DOUBLER)
    for jobs in (1, 3):
        engine.run(source, tmp_path / str(jobs), jobs, kinds=KINDS)
    one, three = (tmp_path / str(jobs) / results.FILE for jobs in (1, 3))
    assert one.read_bytes() == three.read_bytes()
    assert list(results.read(tmp_path / "1")) == computed(DOUBLER)


@pytest.mark.verifies("VA-CAM-04")
@pytest.mark.slow
def test_processes_that_die_or_hang_are_outcomes_and_the_rest_goes_on(tmp_path: Path) -> None:
    campaign = engine.run(written(tmp_path, TOLD), tmp_path / "out", 2, kinds=KINDS)
    records = list(results.read(tmp_path / "out"))
    assert len(records) == campaign.trials
    laboratory = Trials(campaign)
    for record in records:
        (fault,) = laboratory.prepare(record["trial"]).faults
        expected = {0: Outcome.CRASH, 1: Outcome.HANG}.get(fault.call, Outcome.MASKED)
        assert record["outcome"] == expected.value
    assert {"DUE crash", "DUE hang"} <= {record["outcome"] for record in records}


@pytest.mark.verifies("VA-CAM-05")
def test_a_file_cut_anywhere_goes_on_to_the_same_file(tmp_path: Path) -> None:
    records = computed(DOUBLER)
    with Results(tmp_path, "d") as kept:
        for record in records:
            kept.append(record)
    path = tmp_path / results.FILE
    whole = path.read_bytes()
    draw = random.Random(1)
    for offset in [0, 1, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(60))]:
        path.write_bytes(whole[:offset])
        with Results(tmp_path, "d") as kept:
            assert kept.count <= whole[:offset].count(b"\n")
            for record in records[kept.count :]:
                kept.append(record)
        assert path.read_bytes() == whole


def test_a_rotten_line_is_dropped_with_all_behind_it(tmp_path: Path) -> None:
    records = computed(DOUBLER)[:20]
    with Results(tmp_path, "d") as kept:
        for record in records:
            kept.append(record)
    path = tmp_path / results.FILE
    lines = path.read_bytes().splitlines(keepends=True)
    rotten = bytearray(lines[8])
    rotten[30] ^= 4
    path.write_bytes(b"".join([*lines[:8], bytes(rotten), *lines[9:]]))
    assert len(list(results.read(tmp_path))) == 7
    with Results(tmp_path, "d") as kept:
        assert kept.count == 7


@pytest.mark.verifies("VA-CAM-05")
def test_results_of_another_campaign_are_left_alone(tmp_path: Path) -> None:
    with Results(tmp_path, "one") as kept:
        kept.append(computed(DOUBLER)[0])
    before = (tmp_path / results.FILE).read_bytes()
    with pytest.raises(OtherCampaign, match=r"another campaign .* --out"):
        Results(tmp_path, "other")
    assert (tmp_path / results.FILE).read_bytes() == before


def test_a_folder_without_results_holds_none(tmp_path: Path) -> None:
    assert list(results.read(tmp_path)) == []
    (tmp_path / results.FILE).write_bytes(b"no header\n")
    assert list(results.read(tmp_path)) == []


def test_a_worker_that_cannot_prepare_says_why() -> None:

    campaign = plan.loads(TOLD, {"told": KINDS["told"]._replace(subject=_raises)})
    with pytest.raises(pool.PoolError, match="it cannot be made"):
        list(pool.run(campaign, 0, 3, 1))


def _raises(settings: object, seed: int) -> None:
    raise RuntimeError(f"it cannot be made: {settings} {seed}")


@pytest.mark.verifies("VA-CAM-04")
def test_false_positives_are_counted_apart() -> None:
    content = DOUBLER.replace("inputs = 3", 'inputs = 3\nhabit = "nervous"')
    campaign = plan.loads(content, KINDS)
    counted = summary(campaign, computed(content))
    for row in counted["levels"]:
        assert row["trials"] == 120
        assert row["no_fault"] == {"false positive": 5}
        assert row["false_positive"]["count"] == 5
    clean = summary(plan.loads(DOUBLER, KINDS), computed(DOUBLER))
    assert all(row["false_positive"]["count"] == 0 for row in clean["levels"])
    assert all(row["false_positive"]["none_seen_below"] == 0.6 for row in clean["levels"])


def test_counts_add_up_whichever_way_they_are_cut() -> None:
    records = computed(DOUBLER)
    counted = summary(plan.loads(DOUBLER, KINDS), records)
    faulty = [record for record in records if record["site"] is not None]
    for name in ("levels", "by_site", "by_model", "cells"):
        assert sum(row["trials"] for row in counted[name]) == len(faulty)
        assert all(sum(row["outcomes"].values()) == row["trials"] for row in counted[name])
    singles = [r for r in faulty if r["model"] == "single bit" and r["bit"] is not None]
    assert sum(row["trials"] for row in counted["bits"]) == len(singles)
    assert Counts(records).trials == len(records) == counted["trials"]


def test_the_largest_error_that_nobody_knew_of_is_kept() -> None:
    records = computed(DOUBLER)
    counted = summary(plan.loads(DOUBLER, KINDS), records)
    worst = {row["level"]: row.get("worst_silent") for row in counted["levels"]}
    silent = [r["error"] for r in records if r["level"] == "edac" and r["outcome"][:3] == "SDC"]
    assert worst["edac"] == ("not finite" if None in silent else max(silent))
    assert worst["tmr"] is None


def test_protection_compares_with_none() -> None:
    counted = summary(plan.loads(DOUBLER, KINDS), computed(DOUBLER))
    rows = {row["level"]: row for row in counted["comparisons"]}
    assert set(rows) == {"edac", "abft", "dmr", "tmr"}
    assert rows["tmr"]["protected"]["count"] == 0
    assert rows["tmr"]["difference"]["low"] > 0.5
    assert rows["tmr"]["p_value"] < 1e-20


class Page(HTMLParser):
    """Checks that tags close, and keeps the text."""

    VOID = {"meta", "br"}

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name in ("src", "href") for name, _ in attrs), (
            "it needs nothing from outside"
        )
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.verifies("VA-CAM-07")
@pytest.mark.slow
def test_the_shipped_campaign_runs_and_its_report_holds_the_numbers(tmp_path: Path) -> None:
    out = tmp_path / "quick"
    ran = CliRunner().invoke(
        main, ["campaign", "examples/campaigns/quick.toml", "--out", str(out), "--jobs", "2"]
    )
    assert ran.exit_code == 0, ran.output
    counted = json.loads((out / engine.SUMMARY).read_text())
    assert counted["trials"] == counted["trials_planned"] > 1000
    page = Page((out / engine.REPORT).read_text(encoding="utf-8"))
    text = " ".join(page.words)
    assert page.tags.count("svg") >= 9
    for row in counted["levels"]:
        silent = row["silent"]
        shown = f"{100 * silent['low']:.1f}" if silent["low"] >= 0.1 else row["kernel"]
        assert shown in text
        assert f"{row['trials']:,}" in text
    assert counted["machine"]["processor"] in text
    assert {row["level"] for row in counted["overhead"]} == {
        "none",
        "edac",
        "known answers",
        "abft",
        "dmr",
        "tmr",
    }

    again = CliRunner().invoke(main, ["campaign", "replay", str(out), "77"])
    assert again.exit_code == 0, again.output
    assert "the same as what is kept" in again.output
    assert '"mask"' in again.output
    report = (out / engine.REPORT).read_bytes()
    assert CliRunner().invoke(main, ["campaign", "report", str(out)]).exit_code == 0
    assert (out / engine.REPORT).read_bytes() == report


@pytest.mark.verifies("VA-CAM-05")
def test_a_trial_that_ends_otherwise_than_kept_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "built_in", lambda: KINDS)
    content = DOUBLER.replace("timed_runs = 2", "timed_runs = 0").replace("120", "2")
    records = computed(content)
    records[1]["outcome"] = "masked"
    campaign = plan.loads(content, KINDS)
    with Results(tmp_path, campaign.digest) as kept:
        for record in records[:2]:
            kept.append(record)
    (tmp_path / engine.CAMPAIGN).write_text(content)
    same, other, unknown = (
        CliRunner().invoke(main, ["campaign", "replay", str(tmp_path), str(trial)])
        for trial in (0, 1, 2)
    )
    assert (same.exit_code, other.exit_code, unknown.exit_code) == (0, 1, 0)
    assert "kept is another" in other.output
    assert "no result of this trial yet" in unknown.output
    beyond = CliRunner().invoke(main, ["campaign", "replay", str(tmp_path), "9999"])
    assert "there is no trial 9999" in beyond.output


def test_mistakes_on_the_command_line_get_a_sentence(tmp_path: Path) -> None:
    bad = written(tmp_path, "name = 3\n")
    runner = CliRunner()
    ran = runner.invoke(main, ["campaign", str(bad), "--out", str(tmp_path / "out")])
    assert ran.exit_code == 1
    assert "made_up.toml:1:" in ran.output
    for words in (["replay", str(tmp_path), "1"], ["report", str(tmp_path)]):
        ran = runner.invoke(main, ["campaign", *words])
        assert ran.exit_code == 1
        assert "holds no campaign" in ran.output
    assert "CAMPAIGN.toml" in runner.invoke(main, ["campaign", "--help"]).output
