"""A job's declaration: what it derives, and what it refuses with a sentence that helps."""

from __future__ import annotations

import enum
import importlib.metadata
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest

from flight.jobs import registry
from flight.jobs.declaration import JobDeclaration, Output
from flight.jobs.nanogpt import JOB as NANOGPT
from flight.jobs.nanogpt import Configuration
from icd.codec import FieldError
from icd.fields import (
    F32,
    F64,
    U8,
    U16,
    Count,
    DeclarationError,
    FileName,
    Flag,
    Limits,
    Segment,
    Text32,
    Wire,
)

pytestmark = pytest.mark.portable


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Everything:
    scene: Annotated[Text32, FileName(), "what to look at"]
    size: Annotated[U16, "how large", Limits(2, 100)] = 10
    colour: Colour = Colour.BLUE
    gain: F32 = 0.1
    quick: Flag = False
    bands: Annotated[tuple[int, ...], Wire("B"), Count(3)] = (1, 2, 3)
    tail: Segment = b""


@dataclass(frozen=True)
class Speed:
    speed: F64 = 0.0


PAINT = JobDeclaration(
    200, "paint", "Paint.", Everything, "nowhere:run", (Output("a.txt", "paint"),), Speed
)


def test_words_become_parameters_and_what_is_not_set_keeps_its_default() -> None:
    words = {"scene": "a.npy", "size": "0x10", "colour": "red", "quick": "yes", "bands": "4,5,6"}
    parameters = PAINT.parse(words | {"tail": "00ff"})
    assert parameters.scene == "a.npy"
    assert (parameters.size, parameters.quick, parameters.bands) == (16, True, (4, 5, 6))
    assert parameters.colour is Colour.RED
    assert parameters.tail == b"\x00\xff"
    assert parameters.gain == pytest.approx(0.1, abs=1e-8)


def test_a_value_set_by_hand_is_the_one_that_a_telecommand_would_carry() -> None:
    parameters = PAINT.parse({"scene": "a"})
    assert parameters.gain != 0.1, "0.1 travels as float32"
    assert PAINT.unpack(PAINT.pack(parameters)) == parameters


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "needs scene; set scene=FILE"),
        ({"scene": "a", "siez": "3"}, "no parameter 'siez'; set scene, size"),
        ({"scene": "a", "size": "many"}, "size = many; give a u16"),
        ({"scene": "a", "size": "101"}, "give 2 … 100"),
        ({"scene": "a", "size": "1_0"}, "size = 1_0; give a u16"),
        ({"scene": "a", "size": "\uff11\uff12"}, "give a u16"),
        ({"scene": "a", "gain": "1_0.5"}, "gain = 1_0.5; give"),
        ({"scene": "a", "size": "70000"}, "give 2 … 100"),
        ({"scene": "a", "colour": "green"}, "give one of red, blue"),
        ({"scene": "a", "quick": "perhaps"}, "give true or false"),
        ({"scene": "a", "gain": "nan"}, "gain = nan"),
        ({"scene": "a" * 33}, "at most 32"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_write_instead(
    words: dict[str, str], says: str
) -> None:
    with pytest.raises(FieldError, match=says):
        PAINT.parse(words)


def test_octets_with_a_value_out_of_range_are_refused() -> None:
    good = PAINT.pack(PAINT.parse({"scene": "a"}))
    with pytest.raises(FieldError, match="size = 0"):
        PAINT.unpack(good[:32] + b"\0\0" + good[34:])


def test_the_fragment_holds_what_ground_needs() -> None:
    fragment = PAINT.fragment()
    assert (fragment.number, fragment.name) == (200, "paint")
    assert fragment.defaults[:4] == (None, 10, 2, 0.1)
    assert type(fragment.defaults[2]) is int
    assert fragment.outputs == (("a.txt", "paint"),)
    assert [metric.name for metric in fragment.metrics] == ["speed"]
    assert PAINT.inputs == ("scene",)


def test_a_parameter_without_a_default_is_refused() -> None:
    @dataclass(frozen=True)
    class Bare:
        size: U8

    with pytest.raises(DeclarationError, match="'size' has no default"):
        replace(PAINT, parameters=Bare)


def test_metrics_are_at_most_eight_float64() -> None:
    @dataclass
    class Whole:
        count: U8 = 0

    with pytest.raises(DeclarationError, match="metric 'count' must be F64"):
        replace(PAINT, metrics=Whole)
    many: Any = dataclass(type("Many", (), {"__annotations__": {f"m{i}": F64 for i in range(9)}}))
    with pytest.raises(DeclarationError, match="9 metrics; declare at most 8"):
        replace(PAINT, metrics=many)


def test_a_job_without_metrics_has_none() -> None:
    assert replace(PAINT, metrics=None).metric_fields == ()


def test_the_shipped_jobs_are_known_by_number_and_by_name() -> None:
    assert {number: job.name for number, job in registry.jobs().items()} == {
        1: "nanogpt",
        2: "matmul",
        3: "imaging",
    }
    assert registry.by_name("nanogpt") is NANOGPT
    assert NANOGPT.parse({"configuration": "baby"}).configuration is Configuration.BABY


def test_an_unknown_job_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="no job 'nanogtp'; give one of nanogpt, matmul, imaging"):
        registry.by_name("nanogtp")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs entry points that load to the given objects."""

    class Point:
        def __init__(self, name: str, loaded: Any) -> None:
            self.name = name
            self.loaded = loaded

        def load(self) -> Any:
            return self.loaded

    def install(**loaded: Any) -> None:
        points = [Point(name, value) for name, value in loaded.items()]
        monkeypatch.setattr(registry, "entry_points", lambda **_: points)
        registry.jobs.cache_clear()

    yield install
    monkeypatch.undo()
    assert registry.entry_points is importlib.metadata.entry_points
    registry.jobs.cache_clear()


def test_an_installed_job_joins_the_shipped_ones(installed: Any) -> None:
    installed(paint=PAINT, nanogpt=NANOGPT)
    assert list(registry.jobs()) == [1, 2, 3, 200]


@pytest.mark.parametrize(
    ("loaded", "says"),
    [
        ("text", "'paint' in vanallen.jobs is 'text'; point it at a JobDeclaration"),
        (replace(PAINT, number=1), "both number 1"),
        (replace(PAINT, name="matmul"), "two jobs are named 'matmul'"),
    ],
)
def test_an_installed_job_that_clashes_is_refused(installed: Any, loaded: Any, says: str) -> None:
    installed(paint=loaded)
    with pytest.raises(DeclarationError, match=says):
        registry.jobs()
