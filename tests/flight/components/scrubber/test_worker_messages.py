"""What the scrub worker may say: everything else is refused, with a reason."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.components.scrubber import worker_messages as messages
from flight.components.scrubber.regions import Kind, State, Verdict
from flight.components.scrubber.saved_settings import kept_files, kept_times
from flight.components.scrubber.worker_messages import MessageError

ROW = ["weights", 3, 0, 17, 4096, 1, 2, 1500, 3, 0]
FOUND = ["weights", 3, 0, 17, 5, 1, 2, 0, 163840]
UNUSABLE = ["job-3.state", 1, 3, 17, "its file was cut short"]
STATUS = {"rate": 1.5, "octets": 10, "stripes": 2, "longest_us": 900, "is_crowded": True}
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(), inner, max_size=4),
)


def test_what_makes_sense_is_understood() -> None:
    (row,) = messages.regions({"rows": [ROW]})
    assert (row.name, row.kind, row.state, row.age_ms) == (
        "weights",
        Kind.FILE,
        State.WALKED,
        1500,
    )
    (found,) = messages.found({"rows": [FOUND]})
    assert (found.verdict, found.block, found.offset) == (Verdict.CORRECTED, 5, 163840)
    (unusable,) = messages.unusable({"rows": [UNUSABLE]})
    assert (unusable.job, unusable.reason) == (3, "its file was cut short")
    status = messages.status({**STATUS, "unscrubbed": [["storage", 77]]})
    assert (status.rate, status.is_crowded, status.unscrubbed) == (1.5, True, (("storage", 77),))
    answer = messages.answer({"id": 3, "ok": True, "text": "a\nb", "value": 4})
    assert (answer.number, answer.ok, answer.text, answer.value) == (3, True, "ab", 4)


@pytest.mark.verifies("VA-SEC-05")
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "../x"),
        (0, ""),
        (0, 7),
        (1, 99),
        (1, True),
        (2, -1),
        (3, 1 << 63),
        (4, 1.5),
        (5, 0),
        (7, -2),
    ],
)
def test_a_row_with_one_senseless_value_is_refused(place: int, value: Any) -> None:
    row = [*ROW[:place], value, *ROW[place + 1 :]]
    with pytest.raises(MessageError):
        messages.regions({"rows": [row]})


@pytest.mark.verifies("VA-SEC-05")
@pytest.mark.parametrize("rows", [None, 3, [3], [[]], [ROW[:-1]], [ROW] * 300, "rows"])
def test_rows_that_are_none_or_too_many_are_refused(rows: Any) -> None:
    with pytest.raises(MessageError):
        messages.regions({"rows": rows})


@pytest.mark.verifies("VA-SEC-05")
@given(body=st.dictionaries(st.sampled_from(["rows", "id", "rate", "unscrubbed"]), plain))
def test_no_message_does_worse_than_be_refused(body: dict[str, Any]) -> None:
    for read in (
        messages.regions,
        messages.found,
        messages.unusable,
        messages.status,
        messages.answer,
    ):
        with suppress(MessageError):
            read(body)


@given(saved=plain)
def test_saved_state_that_rotted_is_left_out(saved: Any) -> None:
    assert all(isinstance(path, str) for path in kept_files(saved).values())
    assert all(type(time) is int for time in kept_times(saved))


def test_saved_files_keep_their_names() -> None:
    assert kept_files({"weights": "a/b.bin", "../x": "c", "y": 3}) == {"weights": "a/b.bin"}
    assert kept_times([1, "x", 2]) == (1, 2)
