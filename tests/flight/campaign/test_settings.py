"""A campaign file that cannot be is refused with the line and what to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flight.campaign import plan
from flight.campaign.fault_models import Shield, Site
from flight.campaign.settings import SettingsError

GOOD = """\
name = "good"
seed = 7
trials = 100
deadline = "5 s"
levels = ["none", "dmr"]
[kernel.matmul]
rows = 32
tolerance = 0.001
[kernel.edac-region]
size = "16 KiB"
trials = 30
levels = ["edac"]
"""


def refusal(old: str, new: str) -> str:
    assert old in GOOD
    with pytest.raises(SettingsError) as caught:
        plan.loads(GOOD.replace(old, new))
    return str(caught.value)


@pytest.mark.verifies("VA-CAM-01")
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seed = 7", "sed = 7", 'campaign.toml:2: "sed" is not a key of the file; write "seed"'),
        ("seed = 7", "", "campaign.toml:1: the file has no seed; add seed = 1"),
        ("seed = 7", "seed = 7.5", "campaign.toml:2: seed is a whole number; write seed = 1"),
        ("trials = 100", "trials = 0", "trials = 0 is out of range; write a value from 1 to 1e+07"),
        ("trials = 100", "trials = true", "trials is a whole number"),
        ('"5 s"', "5", 'deadline has a unit; write deadline = "1 s"'),
        ('"5 s"', '"5"', "'5' has no unit, which is not one of s, ms, min"),
        ('"5 s"', '"5_0 s"', "deadline has a unit; write"),
        ('"5 s"', '"\uff15 s"', "deadline has a unit; write"),
        ('"5 s"', '"5 h"', 'the unit "h" is not one of s, ms, min'),
        ('"5 s"', '"9000 min"', "out of range; write a value from 0.1 s to 3600 s"),
        ('"dmr"]', '"dmrr"]', "campaign.toml:5: levels: there is no 'dmrr'; write \"dmr\""),
        ('"dmr"]', '"none"]', "levels names something twice; write each once"),
        ('["none", "dmr"]', '"none"', 'levels is a list; write levels = ["none"]'),
        ("[kernel.matmul]", "[kernel.matmull]", 'there is no kernel "matmull"; write "matmul"'),
        ("[kernel.matmul]", "[kernel.zzz]", 'known are "matmul"'),
        (
            "rows = 32",
            "rows = 1",
            "campaign.toml:7: rows = 1 is out of range; write a value from 2",
        ),
        ("rows = 32", "row = 32", '"row" is not a key of [kernel.matmul]; write "rows"'),
        ("0.001", '"0.1 %"', "campaign.toml:8: tolerance is a bare number; write tolerance = 1"),
        ('"16 KiB"', '"16 kB"', 'the unit "kB" is not one of octets, KiB, MiB'),
        ("rows = 32", 'precision = "int8"', 'write one of "float32", "float64"'),
        ("trials = 30", "n = 100", "n = 100 is no power of two; write 64, 128"),
        ('["edac"]', '["dmr"]', '[kernel.edac-region] has no levels "dmr"'),
        ('levels = ["edac"]', "", "good"),
        ('name = "good"', 'name = ""', 'name is text; write name = "…"'),
        ('name = "good"', "name = ", "campaign.toml:1: not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_to_write(
    old: str, new: str, sentence: str
) -> None:
    if sentence == "good":
        assert plan.loads(GOOD.replace(old, new)).trials == 230
        return
    assert sentence in refusal(old, new)


def test_a_kernel_that_is_left_nothing_to_do_is_refused() -> None:
    with pytest.raises(SettingsError, match="offers none of the sites here; write sites out of"):
        plan.loads(GOOD.replace("seed = 7", 'seed = 7\nsites = ["link"]'))
    with pytest.raises(SettingsError, match=r"kernel holds tables; write a table \[kernel.matmul"):
        plan.loads("kernel = 3\n" + GOOD.partition("[kernel.matmul]")[0])
    with pytest.raises(SettingsError, match="matmul is a table"):
        plan.loads(GOOD.partition("[kernel.matmul]")[0] + "[kernel]\nmatmul = 3\n")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        plan.load(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "\xe9"')
    with pytest.raises(SettingsError, match="save it as UTF-8"):
        plan.load(latin)


@pytest.mark.verifies("VA-CAM-01")
def test_trials_are_spread_evenly_over_sites_and_models_and_keep_their_numbers() -> None:
    campaign = plan.loads(GOOD)
    assert campaign.trials == 230
    trials = [campaign.trial(number) for number in range(100)]
    cells = {(trial.site, trial.model) for trial in trials}
    assert len(cells) == 4 * 8
    sites = [trial.site for trial in trials]
    assert min(sites.count(site) for site in set(sites)) >= 24
    assert campaign.trial(100).shield is Shield.DMR
    assert campaign.trial(229).site is Site.HOST
    with pytest.raises(LookupError, match=r"give 0 … 229"):
        campaign.trial(230)


def test_what_trials_depend_on_changes_the_digest_and_nothing_else_does() -> None:
    digest = plan.loads(GOOD).digest
    assert plan.loads(GOOD.replace("good", "better") + "# a remark\n").digest == digest
    assert plan.loads("timed_runs = 2\n" + GOOD).digest == digest
    assert plan.loads(GOOD.replace("rows = 32", "rows = 33")).digest != digest
    assert plan.loads(GOOD.replace("seed = 7", "seed = 8")).digest != digest


def test_the_shipped_campaigns_and_the_one_on_the_page_are_accepted() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "campaigns.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert plan.loads(example).trials == 2 * (40_000 + 1_000)
    for name in ("quick", "reference"):
        assert plan.load(root / "examples" / "campaigns" / f"{name}.toml").file.name == name


def test_the_reference_campaign_has_ten_thousand_trials_of_each_kernel_at_each_level() -> None:
    campaign = plan.load(Path(__file__).parents[3] / "examples" / "campaigns" / "reference.toml")
    faulty = {(b.kernel, b.shield): b.faulty for b in campaign.blocks}
    for kernel in ("matmul", "nanogpt-step"):
        for level in (Shield.NONE, Shield.EDAC, Shield.ABFT, Shield.DMR, Shield.TMR):
            assert faulty[kernel, level] >= 10_000
