"""Faults: as many as the physics says, always the same for a seed, and with the right effects."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icd.flips import FlipKind
from sim_hw.world.devices import DEVICES, CrossSections, HardFailures, Upset
from sim_hw.world.effects import EFFECTS, Effect, Recovery, outcome
from sim_hw.world.faults import Faults, PoissonStream, Scripted

pytestmark = pytest.mark.numerical

SECONDS = np.arange(0.0, 86400.0)
RATE = 0.02 * (1.0 + np.sin(SECONDS / 900.0)) * (SECONDS < 60_000.0)
MEAN_FLUX = {  # p/(cm² s) above 30 MeV, and events of an H100 and an Orin: docs/world.md
    "325 km": (2.74, 0.08, 0.6, 0.9, 0.26, 0.04, 0.03, 0.17, 0.26),
    "ISS": (13.1, 0.38, 2.8, 4.1, 1.2, 0.2, 0.15, 0.8, 1.2),
    "550 km 53": (37.3, 1.1, 8.1, 12.0, 3.5, 0.6, 0.42, 2.4, 3.5),
    "550 km": (26.7, 0.77, 5.8, 8.4, 2.5, 0.4, 0.30, 1.7, 2.5),
    "650 km": (52.0, 1.5, 11.0, 16.0, 4.9, 0.8, 0.58, 3.3, 4.9),
}


def drawn(stream: PoissonStream, block: int = 86400) -> np.ndarray:
    found = []
    for first in range(0, len(SECONDS), block):
        part = slice(first, first + block)
        end = min(86400.0, first + block)
        found.append(stream.until(end, SECONDS[part], RATE[part]))
    return np.concatenate(found)


def test_a_thinned_stream_has_the_rate_it_was_given() -> None:
    """Counts in 24 hours of 40 seeds against the integral of the rate: chi-squared."""
    counts = np.zeros(24)
    for seed in range(40):
        counts += np.histogram(drawn(PoissonStream((seed,), 0.05)), 24, (0.0, 86400.0))[0]
    expected = 40 * RATE.reshape(24, 3600).sum(axis=1)
    assert counts[expected == 0.0].sum() == 0
    some = expected > 0.0
    chi2 = ((counts[some] - expected[some]) ** 2 / expected[some]).sum()
    assert 4.0 < chi2 < 40.0  # 16.7 degrees of freedom; 0.1 % tails


def test_gaps_of_a_constant_rate_are_exponential() -> None:
    """Kolmogorov-Smirnov at 1 %."""
    stream = PoissonStream((7,), 1.0)
    times = stream.until(20_000.0, np.zeros(1), np.full(1, 0.5))
    gaps = np.sort(np.diff(times))
    steps = np.arange(1, len(gaps) + 1) / len(gaps)
    distance = np.abs(steps - (1.0 - np.exp(-0.5 * gaps))).max()
    assert distance < 1.63 / np.sqrt(len(gaps))


@given(st.integers(1, 86400))
def test_what_is_drawn_does_not_depend_on_the_blocks(block: int) -> None:
    block = max(block, 500)
    whole = drawn(PoissonStream((1, 2), 0.05))
    assert (drawn(PoissonStream((1, 2), 0.05), block) == whole).all()


def test_another_seed_draws_other_times_and_no_rate_draws_none() -> None:
    first, second = (drawn(PoissonStream((seed,), 0.05)) for seed in (1, 2))
    assert len(np.intersect1d(first, second)) == 0
    assert len(PoissonStream((1,), 0.0).until(1e9, np.zeros(1), np.zeros(1))) == 0


def test_a_rate_above_the_bound_is_a_defect_and_not_a_wrong_draw() -> None:
    with pytest.raises(RuntimeError, match="exceeds the bound"):
        PoissonStream((1,), 0.01).until(1e5, np.zeros(1), np.full(1, 0.02))


@pytest.mark.parametrize("orbit", MEAN_FLUX)
def test_expected_rates_are_those_of_the_table(orbit: str) -> None:
    flux, corrected, uncorrectable, wrong, hangs, host, orin, orin_wrong, orin_host = MEAN_FLUX[
        orbit
    ]
    h100 = Faults(DEVICES["h100"], "ecc", 1, 1e4).rates_a_day(flux, 1.0)
    year = 365.25
    assert h100[Upset.DRAM_CORRECTABLE] + h100[Upset.SRAM_CORRECTABLE] == pytest.approx(
        corrected, rel=0.1
    )
    both = h100[Upset.DRAM_UNCORRECTABLE] + h100[Upset.SRAM_UNCORRECTABLE]
    assert year * both == pytest.approx(uncorrectable, rel=0.2)
    assert year * h100[Upset.LOGIC] == pytest.approx(wrong, rel=0.1)
    assert year * h100[Upset.GPU_INTERRUPT] == pytest.approx(hangs, rel=0.1)
    assert year * h100[Upset.HOST_INTERRUPT] == pytest.approx(host, rel=0.25)
    module = Faults(DEVICES["orin"], "ecc", 1, 1e4).rates_a_day(flux, 1.0)
    assert module[Upset.DRAM_CORRECTABLE] + module[Upset.SRAM_CORRECTABLE] == pytest.approx(
        orin, rel=0.2
    )
    assert year * module[Upset.LOGIC] == pytest.approx(orin_wrong, rel=0.1)
    assert year * module[Upset.HOST_INTERRUPT] == pytest.approx(orin_host, rel=0.1)


def a_day(seed: int = 1, load: float = 1.0, **settings: object) -> list:
    faults = Faults(DEVICES["h100"], "ecc", seed, 4000.0, **{"acceleration": 1e3, **settings})
    flux = np.full(SECONDS.shape, 26.7)
    return faults.until(86400.0, SECONDS, flux, np.full(SECONDS.shape, load))


def test_a_day_has_as_many_faults_as_expected_and_in_order() -> None:
    found = a_day()
    expected = 1e3 * (0.34e-6 + 7.9e-9 + 1e-8 + 3.5e-9) * 26.7 * 86400.0
    assert len(found) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert [fault.id for fault in found] == list(range(1, len(found) + 1))
    times = [fault.elapsed_s for fault in found]
    assert times == sorted(times)


def test_the_same_seed_draws_the_same_faults_and_another_draws_others() -> None:
    assert a_day(3) == a_day(3)
    assert a_day(3) != a_day(4)


def test_an_idle_payload_computes_nothing_wrong() -> None:
    assert not [fault for fault in a_day(load=0.0) if fault.upset is Upset.LOGIC]
    assert [fault for fault in a_day(load=1.0) if fault.upset is Upset.LOGIC]


def test_one_stream_does_not_disturb_another() -> None:
    """Without logic upsets all others stay where they were."""
    others = [(fault.upset, fault.elapsed_s, fault.effect) for fault in a_day(load=0.0)]
    with_logic = [
        (fault.upset, fault.elapsed_s, fault.effect)
        for fault in a_day(load=1.0)
        if fault.upset is not Upset.LOGIC
    ]
    assert others == with_logic


def test_no_bit_flips_unless_the_door_is_open() -> None:
    assert all(fault.flip is None for fault in a_day())
    flipping = [fault for fault in a_day(flips_open=True) if fault.effect.flips is not None]
    assert flipping
    assert all(fault.flip is not None for fault in flipping)


def test_failures_without_particles_follow_ageing_and_not_acceleration() -> None:
    device = DEVICES["h100"]
    slow = Faults(device, "ecc", 1, 1e4, acceleration=1e6).rates_a_day(1.0, 1.0)
    old = Faults(device, "ecc", 1, 1e4, ageing=100.0).rates_a_day(1.0, 1.0)
    assert slow[Upset.GPU_FAILURE] == pytest.approx(24 * 7e-6)
    assert old[Upset.GPU_FAILURE] == pytest.approx(24 * 7e-4)
    assert old[Upset.LOGIC] == pytest.approx(1e-8 * 86400.0)


def test_what_a_scenario_asks_for_happens_when_it_says() -> None:
    script = (
        Scripted(7000.0, Upset.GPU_INTERRUPT, 79),
        Scripted(5000.5, Upset.MEMORY_FAILURE),
        Scripted(6000.0, Upset.GPU_INTERRUPT, 999),
    )
    found = a_day(acceleration=1.0, script=script)
    asked = [fault for fault in found if fault.scripted]
    assert [fault.elapsed_s for fault in asked] == [5000.5, 6000.0, 7000.0]
    assert asked[0].effect.xids == (48, 63)
    assert asked[1].effect == Effect("XID 999", xids=(999,))
    assert asked[2].effect.recovery is Recovery.POWER_CYCLE


@pytest.mark.parametrize("key", EFFECTS, ids=lambda key: " with ".join(key))
def test_every_upset_of_every_board_and_memory_has_effects_that_add_up(key: tuple) -> None:
    table = EFFECTS[key]
    assert set(table) == set(Upset)
    for outcomes in table.values():
        assert sum(share for share, _ in outcomes) == pytest.approx(1.0)
        assert all(share > 0.0 for share, _ in outcomes)


@pytest.mark.verifies("VA-FLP-01")
def test_ecc_corrects_reports_or_lets_escape_and_plain_memory_flips_in_silence() -> None:
    for board in DEVICES:
        ecc, plain = EFFECTS[board, "ecc"], EFFECTS[board, "plain"]
        ((_, corrected),) = ecc[Upset.DRAM_CORRECTABLE]
        assert corrected.counter == ("dram", "corrected")
        assert not corrected.kills_context
        silent = [effect for _, effect in ecc[Upset.DRAM_UNCORRECTABLE] if not effect.kills_context]
        assert [effect.flips for effect in silent] == [FlipKind.MEMORY]
        for upset in (Upset.DRAM_CORRECTABLE, Upset.DRAM_UNCORRECTABLE):
            ((_, effect),) = plain[upset]
            assert (effect.flips, effect.xids, effect.counter) == (FlipKind.MEMORY, (), None)
        ((_, wrong),) = ecc[Upset.LOGIC]
        assert wrong.flips is FlipKind.LOGIC


def test_an_uncorrectable_error_of_an_h100_is_an_xid_and_ends_the_context() -> None:
    for _, effect in EFFECTS["h100", "ecc"][Upset.DRAM_UNCORRECTABLE][:2]:
        assert effect.xids[0] == 48
        assert effect.kills_context
    shares = Counter()
    for share, effect in EFFECTS["h100", "ecc"][Upset.GPU_INTERRUPT]:
        shares[effect.xids[0]] += share
    assert shares[13] + shares[31] == pytest.approx(0.40)
    assert shares[119] + shares[120] + shares[62] == pytest.approx(0.25)
    assert shares[43] + shares[45] == pytest.approx(0.15)
    assert shares[109] + shares[46] == pytest.approx(0.10)
    assert shares[79] == pytest.approx(0.10)


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_every_draw_falls_on_an_effect(draw: float) -> None:
    outcomes = EFFECTS["h100", "ecc"][Upset.GPU_INTERRUPT]
    assert outcome(outcomes, draw) in [effect for _, effect in outcomes]
    assert outcome(outcomes, 1.0) is outcomes[-1][1]


@pytest.mark.parametrize("profile", [CrossSections, HardFailures])
def test_every_rate_says_where_it_comes_from(profile: type) -> None:
    for device in DEVICES.values():
        for value in (device.cross_sections, device.failures):
            for field in dataclasses.fields(value):
                assert field.metadata["unit"]
                assert field.metadata["provenance"]
    assert {field.name for field in dataclasses.fields(profile)} <= {one.value for one in Upset}
