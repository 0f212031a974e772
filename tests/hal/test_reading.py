"""The stamp of readings: right by the date at the start, and stepped by nobody."""

from __future__ import annotations

import time

import pytest

from hal.reading import tai_now

TAI_SINCE_1958_NS = (378_691_200 + 37) * 1_000_000_000


@pytest.mark.verifies("VA-BRD-13")
@pytest.mark.parametrize("step_s", [-1, -40, -400 * 86_400, 3600])
def test_a_date_that_is_set_moves_no_stamp(step_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tai_now()
    assert abs(before - TAI_SINCE_1958_NS - time.time_ns()) < 3600 * 10**9
    date_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: date_ns + step_s * 10**9)
    assert 0 <= tai_now() - before < 60 * 10**9
