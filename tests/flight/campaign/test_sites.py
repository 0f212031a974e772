"""Each site is struck where it says, and what protects it comes behind the strike."""

from __future__ import annotations

import numpy as np
import pytest

from flight.campaign.address import Address, NothingThere, Opportunity, draw
from flight.campaign.bench import Bench, MemoryLost
from flight.campaign.device import StruckDevice
from flight.campaign.fault_models import Model, Shield, Site
from flight.campaign.patterns import Array, Pattern
from flight.campaign.random_draws import RandomDraws
from hal.compute.device import open_device

pytestmark = pytest.mark.numerical

TOP_BIT = Pattern(3, b"\x40")
"""The highest bit of the exponent of element 0."""


def fault(
    site: Site, array: str, call: int = 0, part: int = 0, pattern: Pattern = TOP_BIT
) -> Address:
    return Address(site, Model.SINGLE, 0, call, array, part, pattern)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


@pytest.mark.verifies("VA-CAM-03")
def test_host_memory_is_struck_at_its_rest_and_at_no_other() -> None:
    bench = Bench(Shield.NONE, [fault(Site.HOST, "x", call=1)])
    x = ones(8)
    bench.rest(x=x)
    assert np.array_equal(x, ones(8))
    bench.rest(x=x)
    assert np.flatnonzero(x != 1).tolist() == [0]
    assert bench.struck == 1


def test_memory_under_the_code_is_right_again_when_its_rest_ends() -> None:
    for name in ("x", "x.checks"):
        bench = Bench(Shield.EDAC, [fault(Site.HOST, name)])
        x = ones(8)
        bench.rest(x=x)
        assert np.array_equal(x, ones(8))
        assert bench.tally.blocks_corrected == 1


def test_more_than_the_code_corrects_is_said() -> None:
    twice = Pattern(0, b"\1", count=2, stride=64)
    bench = Bench(Shield.EDAC, [fault(Site.HOST, "x", pattern=twice)])
    with pytest.raises(MemoryLost, match="block 0 of x"):
        bench.rest(x=ones(64))
    assert bench.tally.blocks_lost == 1


@pytest.mark.verifies("VA-CAM-03")
def test_device_memory_is_struck_between_launches_and_the_host_keeps_what_it_had() -> None:
    bench = Bench(Shield.NONE, [fault(Site.DEVICE, "a", call=1)])
    host = ones(4)
    with open_device() as inner:
        device = StruckDevice(inner, bench)
        array = device.copy_in(host)
        device.name(a=array)
        sums = [float(device.launch(np.sum, array)) for _ in range(2)]
        assert sums[0] == 4
        assert sums[1] != 4
        assert np.array_equal(host, ones(4))
        assert device.copy_out(array)[0] != 1
        device.forget()
        assert float(device.launch(np.sum, device.copy_in(host))) == 4


def test_a_device_that_is_no_processor_of_the_host_is_struck_through_copies() -> None:
    class Elsewhere:
        kind = "elsewhere"

        def __init__(self) -> None:
            self.inner = open_device()

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    bench = Bench(Shield.NONE, [fault(Site.DEVICE, "a")])
    device = StruckDevice(Elsewhere(), bench)  # type: ignore[arg-type]
    array = device.copy_in(ones(4))
    device.name(a=array)
    device.synchronise()
    device.mark(1, 2)
    assert float(device.launch(np.sum, array)) != 4
    device.close()


@pytest.mark.verifies("VA-CAM-03")
def test_an_accumulator_is_struck_in_its_own_product_only() -> None:
    bench = Bench(Shield.NONE, [fault(Site.ACCUMULATOR, "out", call=1, part=2)])
    results = [bench.product(ones(4, 4), ones(4, 4)) for _ in range(3)]
    assert [np.count_nonzero(result != 4) for result in results] == [0, 1, 0]


@pytest.mark.verifies("VA-CAM-03")
def test_a_load_spoils_one_use_and_leaves_the_operands_right() -> None:
    a, b = ones(4, 4), ones(4, 40)
    bench = Bench(Shield.NONE, [fault(Site.LOAD, "left", part=1)])
    out = bench.product(a, b)
    assert np.array_equal(np.flatnonzero((out != 4).any(axis=0)), np.arange(16, 32))
    assert np.array_equal(np.flatnonzero((out != 4).any(axis=1)), [0])
    assert np.array_equal(a, ones(4, 4))


def test_calls_that_sum_nothing_are_struck_in_results_and_in_what_they_read() -> None:
    def double(x: Array, y: Array) -> None:
        np.add(x, x, out=y)

    for site, name in ((Site.ACCUMULATOR, "y"), (Site.LOAD, "x")):
        bench = Bench(Shield.NONE, [fault(site, name)])
        x, y = ones(4), ones(4)
        bench.call(double, {"x": x}, {"y": y})
        assert np.flatnonzero(y != 2).tolist() == [0]
        assert np.array_equal(x, ones(4))


@pytest.mark.verifies("VA-CAM-03")
def test_a_stuck_kernel_stays_so_and_two_equal_wrong_runs_agree() -> None:
    def double(x: Array, y: Array) -> None:
        np.add(x, x, out=y)

    stuck = Pattern(0, bytes(4), "set", 0, 4)
    bench = Bench(Shield.DMR, [fault(Site.KERNEL, "y", call=2, pattern=stuck)])
    results = []
    for size in (4, 6, 2):
        y = ones(size)
        bench.call(double, {"x": ones(size)}, {"y": y})
        results.append(y.tolist())
    assert results == [[2] * 4, [0] * 6, [0] * 2]
    assert bench.tally.wrong == 0


def test_two_runs_that_are_compared_are_struck_one_at_a_time() -> None:
    bench = Bench(Shield.DMR, [fault(Site.ACCUMULATOR, "out", call=1)])
    assert np.array_equal(bench.product(ones(4, 4), ones(4, 4)), 4 * ones(4, 4))
    assert bench.tally.outvoted == 1


def test_an_undisturbed_run_notes_everything_that_can_be_struck() -> None:
    notes: list[Opportunity] = []
    bench = Bench(Shield.EDAC, notes=notes)
    bench.rest(x=ones(8))
    bench.product(ones(4, 6), ones(6, 40))
    bench.results(5, y=ones(10))
    seen = {(each.site, each.call, each.array, each.weight, each.parts) for each in notes}
    assert (Site.HOST, 0, "x", 32, 1) in seen
    assert (Site.ACCUMULATOR, 0, "out", 2 * 960, 6) in seen
    assert (Site.LOAD, 0, "left", 960, 3) in seen
    assert (Site.ACCUMULATOR, 1, "y", 50, 1) in seen
    assert any(each.array == "x.checks" for each in notes)


def test_larger_things_are_struck_more_often() -> None:
    notes: list[Opportunity] = []
    bench = Bench(Shield.NONE, notes=notes)
    bench.rest(small=ones(10), large=ones(30))
    hits = [draw(Site.HOST, Model.ZERO, notes, RandomDraws(1, i), 0).array for i in range(1000)]
    assert 700 < hits.count("large") < 800


def test_a_site_with_nothing_in_it_is_refused() -> None:
    with pytest.raises(NothingThere, match="device memory"):
        draw(Site.DEVICE, Model.ZERO, [], RandomDraws(1, 1), 0)
