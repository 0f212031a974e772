"""The imaging job: known pixels, the plain form of every kernel, and images it refuses."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.fault_tolerance.levels import Level
from flight.jobs.api import InputError, ResultError
from flight.jobs.imaging import JOB, images, kernels
from flight.jobs.local import LocalJob, entry_of

pytestmark = pytest.mark.numerical

pytestmark = pytest.mark.portable

MakeJob = Callable[..., LocalJob]
Finish = Callable[[LocalJob], dict[str, bytes]]

RED, NEAR_INFRARED = 0, 1

# Reflectances and the NDVI that follows, as published in "Measuring Vegetation (NDVI & EVI)",
# J. Weier and D. Herring, NASA Earth Observatory, 2000: healthy vegetation (0.50 near infrared,
# 0.08 visible) has 0.72, unhealthy or sparse vegetation (0.40, 0.30) has 0.14.
PUBLISHED = [(0.50, 0.08, 0.72), (0.40, 0.30, 0.14)]


@pytest.fixture
def scene() -> Any:
    """Two bands of a made-up landscape, 600 rows by 130 columns, one dark column."""
    draws = np.random.default_rng(4)
    made = draws.integers(200, 4000, (2, 600, 130)).astype(np.uint16)
    made[:, :, 7] = 0
    return made


def save(path: Path, image: Any) -> Path:
    np.save(path, image)
    return path


def loaded(octets: bytes) -> Any:
    return np.load(io.BytesIO(octets), allow_pickle=False)


@pytest.mark.verifies("VA-JOB-10")
def test_known_reflectances_have_the_published_index(
    make_job: MakeJob, finish: Finish, tmp_path: Path
) -> None:
    image = np.zeros((2, 1, len(PUBLISHED)), np.uint16)
    for column, (infrared, red, _) in enumerate(PUBLISHED):
        image[NEAR_INFRARED, 0, column] = round(infrared * 10_000)
        image[RED, 0, column] = round(red * 10_000)
    products = finish(make_job(JOB, inputs={"scene": save(tmp_path / "a.npy", image)}))
    found = loaded(products["index.npy"])[0]
    assert found.tolist() == pytest.approx([ndvi for _, _, ndvi in PUBLISHED], abs=0.005)
    assert set(products) == {"index.npy", "report.json"}


def test_a_change_is_found_where_it_is_and_nowhere_else(
    make_job: MakeJob, finish: Finish, tmp_path: Path, scene: Any
) -> None:
    later = scene.copy()
    later[NEAR_INFRARED, 100:140, 20:60] = 60_000
    later[RED, 100:140, 20:60] = 100
    inputs = {
        "scene": save(tmp_path / "b.npy", later),
        "earlier": save(tmp_path / "a.npy", scene),
    }
    job = make_job(JOB, {"threshold": "2"}, inputs)
    products = finish(job)
    mask = images.read(job.folder / "change.pgm", "mask")[0]
    inside = mask[100:140, 20:60] == 255
    assert inside.mean() > 0.9
    assert mask.sum() == 255 * inside.sum()
    report = json.loads(products["report.json"])
    assert report["change"]["changed"] == inside.sum()
    assert report["index"]["known"] == 600 * 129
    assert job.metrics["changed"] == pytest.approx(100 * inside.sum() / (600 * 129))
    assert (job.done, job.total) == (18, 18)


def test_the_report_agrees_with_plain_numpy(
    make_job: MakeJob, finish: Finish, tmp_path: Path, scene: Any
) -> None:
    products = finish(make_job(JOB, inputs={"scene": save(tmp_path / "a.npy", scene)}))
    index = loaded(products["index.npy"])
    assert np.array_equal(index, kernels.plain_band_index(scene[1], scene[0]), equal_nan=True)
    report = json.loads(products["report.json"])["index"]
    exact = index.astype(float)
    assert report["mean"] == pytest.approx(np.nanmean(exact), rel=1e-12)
    assert report["deviation"] == pytest.approx(np.nanstd(exact), rel=1e-12)
    assert (report["lowest"], report["highest"]) == (np.nanmin(index), np.nanmax(index))
    assert sum(report["histogram"]) == report["known"]


def test_the_kernels_give_the_bits_of_their_plain_forms(scene: Any) -> None:
    index = np.empty(scene.shape[1:], np.float32)
    kernels.band_index(scene[1], scene[0], index)
    assert np.array_equal(index, kernels.plain_band_index(scene[1], scene[0]), equal_nan=True)
    known, total, squares = kernels.sums(index, 0.25)
    plain_known, plain_total, plain_squares = kernels.plain_sums(index, 0.25)
    assert known == plain_known
    assert (total, squares) == pytest.approx((plain_total, plain_squares), rel=1e-12)
    mask = np.empty(index.shape, np.uint8)
    changed = kernels.change_mask(index, 0.1, 0.5, mask)
    assert np.array_equal(mask, kernels.plain_change_mask(index, 0.1, 0.5))
    assert changed == np.count_nonzero(mask)


def test_equal_runs_give_equal_octets(
    make_job: MakeJob, finish: Finish, tmp_path: Path, scene: Any
) -> None:
    inputs = {"scene": save(tmp_path / "a.npy", scene), "earlier": tmp_path / "a.npy"}
    first, second = (finish(make_job(JOB, inputs=inputs)) for _ in range(2))
    assert first == second
    assert json.loads(first["report.json"])["change"]["changed"] == 0


def test_a_scene_all_dark_has_no_mean_and_no_change(
    make_job: MakeJob, finish: Finish, tmp_path: Path
) -> None:
    dark = save(tmp_path / "dark.npy", np.zeros((2, 4, 5), np.uint16))
    products = finish(make_job(JOB, inputs={"scene": dark, "earlier": dark}))
    report = json.loads(products["report.json"])
    assert report["index"]["mean"] is None
    assert report["change"]["changed_percent"] == 0.0


def test_a_ppm_is_red_green_blue_with_octets_or_pairs_of_octets(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 # a comment\n2 1\n255\n" + bytes([1, 2, 3, 4, 5, 6]))
    assert images.read(path, "scene").tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]
    path.write_bytes(b"P5\n1 2\n65535\n\x01\x00\x00\x02")
    assert images.read(path, "scene").tolist() == [[[256], [2]]]


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("first", [10, 13, 0])
def test_a_header_of_crlf_lines_shifts_no_pixel(tmp_path: Path, first: int) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\r\n# a comment\r\n2 1\r\n255\r\n" + bytes([first, 2, 3, 4, 5, 6]))
    assert images.read(path, "scene").tolist() == [[[first, 4]], [[2, 5]], [[3, 6]]]
    path.write_bytes(b"P5 2 1 255\r" + bytes([10, 7]))  # as the format says: one octet ends it
    assert images.read(path, "scene").tolist() == [[[10, 7]]]


def test_what_is_written_as_pgm_is_read_again(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) + 9  # 9, 10, 13, 32 are white space
    images.write_pgm(tmp_path / "a.pgm", grey)
    assert np.array_equal(images.read(tmp_path / "a.pgm", "mask")[0], grey)


def test_an_npy_of_two_dimensions_is_one_band(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", np.array([[1, 2]], ">u2"))
    assert images.read(path, "scene").tolist() == [[[1, 2]]]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "|u1"])
def test_what_numpy_writes_is_read_in_every_order_and_version(
    tmp_path: Path, order: Literal["C", "F"], version: tuple[int, int], dtype: str
) -> None:
    image = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, image, version)
    assert np.array_equal(images.read(tmp_path / "a.npy", "scene"), image)


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "scene: not an image this job reads; give .npy"),
        (b"GIF89a", "not an image this job reads"),
        (b"P6" + b" " * 4000 + b"x", "not an image this job reads"),
        (b"P6\n2 2\n255\n" + bytes(11), "11 octets of pixels where 12 should be"),
        (b"P6\n2 2\n255\n" + bytes(13), "13 octets of pixels where 12 should be"),
        (b"P6\r\n2 2\r\n255\r\n" + bytes(13), "14 octets of pixels where 12 should be"),
        (b"P5\n1 2\n255\n\0\0P5\n1 2\n255\n\0\0", "octets of pixels where 2 should be"),
        (b"P5\n1 2\n100\n\x64\x65", "a pixel of 101 where 100 is the most"),
        (b"P5\n0 2\n255\n", "0 x 2 pixels"),
        (b"P5\n1 2\n70000\n" + bytes(4), "up to 70000"),
        (npy(np.zeros((2, 2))), "header .*<f8.*; give .npy"),
        (npy(np.zeros((1, 2, 2, 2), np.uint8)), r"pixels of shape \(1, 2, 2, 2\)"),
        (npy(np.zeros((2, 0, 4), np.uint8)), r"pixels of shape \(2, 0, 4\)"),
        (npy(np.zeros((2, 9, 9), np.uint8))[:-1], "161 octets of pixels where 162 should be"),
        (npy(np.zeros((2, 9, 9), np.uint8)) + b"x", "163 octets of pixels where 162 should be"),
        (b"\x93NUMPY\x04\x00" + bytes(120), "a .npy of an unknown version"),
        (npy(np.array([{}], object), allow_pickle=True), r"header .*\|O"),
    ],
)
def test_a_file_that_is_no_such_image_is_refused(tmp_path: Path, octets: bytes, says: str) -> None:
    path = tmp_path / "scene"
    path.write_bytes(octets)
    with pytest.raises(InputError, match=says):
        images.read(path, "scene")


@given(
    header=st.one_of(
        st.text(st.characters(max_codepoint=255), max_size=80),
        st.builds(
            "{{'descr': {!r}, 'fortran_order': {}, 'shape': {}, }}".format,
            st.sampled_from(["<u2", "|u1", ">u2", "<f8", "|O", "<U5", "", "u2,u2", "(3,)u2"]),
            st.booleans(),
            st.lists(st.integers(-2, 2**63), max_size=4).map(tuple),
        ),
    ),
    pixels=st.binary(max_size=64),
)
def test_no_header_of_an_npy_does_worse_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, header: str, pixels: bytes
) -> None:
    octets = header.encode("latin-1")
    start = b"\x93NUMPY\x01\x00" + len(octets).to_bytes(2, "little") + octets
    path = tmp_path_factory.mktemp("fuzz") / "scene"
    path.write_bytes(start + pixels)
    with contextlib.suppress(InputError):
        assert images.read(path, "scene").dtype == np.uint16


@pytest.mark.parametrize(
    ("settings", "other", "says"),
    [
        ({"upper_band": "2"}, None, "upper_band = 2; scene has 2 bands, give 0 … 1"),
        ({"upper_band": "0"}, None, "the same; an index needs two bands"),
        ({}, np.zeros((2, 3, 3), np.uint16), "earlier has shape .*, scene has"),
    ],
)
def test_bands_and_shapes_that_do_not_fit_are_refused(
    make_job: MakeJob, finish: Finish, tmp_path: Path, settings: Any, other: Any, says: str
) -> None:
    inputs = {"scene": save(tmp_path / "a.npy", np.ones((2, 4, 5), np.uint16))}
    if other is not None:
        inputs["earlier"] = save(tmp_path / "b.npy", other)
    with pytest.raises(InputError, match=says):
        finish(make_job(JOB, settings, inputs))


def test_a_job_without_its_scene_is_refused(make_job: MakeJob, finish: Finish) -> None:
    job = make_job(JOB, {"scene": "forgotten.npy"})
    with pytest.raises(InputError, match="scene names no file; set scene=FILE"):
        finish(job)


@pytest.mark.verifies("VA-PRT-06", "VA-PRT-08")
@pytest.mark.parametrize("level", Level)
def test_products_are_the_same_at_every_level_and_from_abft_on_known_answers_are_among_the_rows(
    make_job: MakeJob, finish: Finish, tmp_path: Path, scene: Any, level: Level
) -> None:
    inputs = {
        "scene": save(tmp_path / "later.npy", scene),
        "earlier": save(tmp_path / "earlier.npy", scene // 2),
    }
    job = make_job(JOB, inputs=inputs, level=level)
    assert finish(job) == finish(make_job(JOB, inputs=inputs))
    tiles = 2 * 2  # of 256 rows, of two images; the last 88 rows are too few
    assert job.tally.known_answers == (tiles if level else 0)
    assert (job.tally.checks > 0) == (level > Level.NONE)
    assert (job.tally.wrong, job.tally.known_wrong) == (0, 0)


@pytest.mark.verifies("VA-PRT-08")
def test_a_kernel_that_is_stuck_is_found_although_it_gives_the_same_bits_twice(
    make_job: MakeJob, tmp_path: Path, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(_upper: Any, _lower: Any, out: Any) -> None:
        out[...] = 0.25

    monkeypatch.setattr(kernels, "band_index", stuck)
    job = make_job(JOB, inputs={"scene": save(tmp_path / "a.npy", scene)}, level=Level.TMR)
    with pytest.raises(ResultError, match="it runs, but what it computes is wrong"):
        entry_of(JOB)(job)
    assert job.tally.wrong == 0, "repetition sees nothing"
    assert job.tally.known_wrong == 3
