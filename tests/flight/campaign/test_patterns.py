"""What each fault model changes: no more, no less, and never outside the array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.campaign import patterns
from flight.campaign.fault_models import MEMORY_MODELS, Model
from flight.campaign.patterns import Form, Pattern
from flight.campaign.random_draws import RandomDraws

FORM = Form((12, 70), 4)


def changed(pattern: Pattern, form: Form = FORM) -> np.ndarray:
    """The bits that a pattern changes in an array of the form that holds one odd value."""
    before = np.full(form.octets, 0b01011010, np.uint8)
    after = before.copy()
    pattern.apply(after)
    return np.flatnonzero(np.unpackbits(before ^ after, bitorder="little"))


def drawn(model: Model, count: int = 200, form: Form = FORM) -> list[Pattern]:
    return [patterns.draw(model, form, RandomDraws(5, trial)) for trial in range(count)]


@pytest.mark.verifies("VA-CAM-02")
def test_a_single_flip_changes_one_bit_and_all_bits_get_their_turn() -> None:
    bits = [changed(pattern) for pattern in drawn(Model.SINGLE, 4000)]
    assert {len(each) for each in bits} == {1}
    shares = np.bincount([int(each[0]) % 32 for each in bits], minlength=32) / 4000
    assert shares.min() > 0.015
    assert shares.max() < 0.055


def test_an_adjacent_double_changes_two_neighbouring_bits_also_across_octets() -> None:
    bits = [changed(pattern) for pattern in drawn(Model.ADJACENT, 400)]
    assert all(len(each) == 2 and each[1] - each[0] == 1 for each in bits)
    assert any(each[0] % 8 == 7 for each in bits)


@pytest.mark.verifies("VA-CAM-02")
def test_bursts_are_8_to_512_bits_long_and_wrong_at_both_ends() -> None:
    spans = [int(bits[-1] - bits[0]) + 1 for bits in map(changed, drawn(Model.BURST, 400))]
    assert set(spans) == set(patterns.BURSTS)
    assert (min(spans), max(spans)) == (8, 512)


def test_a_random_value_and_a_zero_change_one_element_only() -> None:
    for model in (Model.RANDOM, Model.ZERO):
        for pattern in drawn(model):
            assert len(set(changed(pattern) // 32)) <= 1
            assert pattern.offset % 4 == 0
    array = np.arange(1, 841, dtype=np.float32)
    drawn(Model.ZERO, 1)[0].apply(array.view(np.uint8))
    assert np.count_nonzero(array == 0) == 1


def test_a_warp_block_changes_32_aligned_elements_less_at_the_end() -> None:
    lengths = set()
    for pattern in drawn(Model.WARP):
        assert pattern.offset % (4 * 32) == 0
        lengths.add(len(pattern.mask) // 4)
    assert lengths == {32, 840 % 32}


def test_a_row_and_a_column_change_the_same_bit_of_each_of_their_elements() -> None:
    for pattern in drawn(Model.ROW):
        bits = changed(pattern)
        assert len(bits) == 70
        assert len(set(bits // 32 // 70)) == 1
        assert len(set(bits % 32)) == 1
    for pattern in drawn(Model.COLUMN):
        bits = changed(pattern)
        assert len(bits) == 12
        assert len(set(bits // 32 % 70)) == 1


def test_a_constant_result_and_a_stuck_lane_reach_to_the_end_of_any_array() -> None:
    (constant, *_), (lane, *_) = drawn(Model.CONSTANT), drawn(Model.LANE)
    for size in (840, 70):
        array = np.arange(size, dtype=np.float32)
        constant.apply(array.view(np.uint8))
        assert len(set(array.view(np.uint32).tolist())) == 1
        before = np.zeros(size, np.uint32)
        lane.apply(before.view(np.uint8))
        stuck = np.flatnonzero(before)
        assert np.array_equal(stuck, np.arange(lane.offset // 4, size, patterns.LANES))
        assert len({int(value).bit_count() for value in before[stuck]}) == 1


shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


@given(shapes, st.sampled_from([1, 2, 4, 8]), st.sampled_from(MEMORY_MODELS), st.integers(0, 2**60))
@pytest.mark.verifies("VA-CAM-02")
def test_no_pattern_reaches_outside_its_array(
    shape: tuple[int, ...], itemsize: int, model: Model, trial: int
) -> None:
    form = Form(shape, itemsize)
    pattern = patterns.draw(model, form, RandomDraws(1, trial))
    assert pattern.offset >= 0
    end = pattern.offset + (pattern.count - 1) * pattern.stride + len(pattern.mask)
    assert end <= form.octets
    elements = pattern.elements(itemsize)
    assert set(changed(pattern, form) // (8 * itemsize)) <= set(elements)


def test_draws_depend_on_seed_and_trial_alone() -> None:
    assert drawn(Model.BURST) == drawn(Model.BURST)
    assert RandomDraws(1, 2).raw() != RandomDraws(2, 1).raw()
    assert [RandomDraws(3, 4).below(10) for _ in range(3)] == [RandomDraws(3, 4).below(10)] * 3
    assert len(RandomDraws(3, 4).octets(13)) == 13


def test_what_befalls_no_array_is_refused() -> None:
    with pytest.raises(ValueError, match="befalls"):
        patterns.draw(Model.XID, FORM, RandomDraws(1, 1))
