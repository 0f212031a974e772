"""Names of the file store: what a path may look like, and what no new file may be called."""

from __future__ import annotations

import pytest

from flight.framework.ports import Refused
from flight.storage import file_names


@pytest.mark.parametrize("path", ["a", "inputs/text.txt", "a-b/c d.txt", ".hidden", "ä/日本"])
def test_a_plain_relative_path_is_one(path: str) -> None:
    file_names.check_writable(path)
    assert file_names.file_path(path) == f"state/files/{path}"


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("part", [" ", "-rf", "-", " a", "a ", "--"])
@pytest.mark.parametrize("where", ["{}", "in/{}", "{}/a"])
def test_no_new_file_has_a_name_that_a_tool_would_take_for_an_option_or_nobody_sees(
    part: str, where: str
) -> None:
    with pytest.raises(Refused, match="begins or ends with a blank, or begins with a dash"):
        file_names.check_writable(where.format(part))


@pytest.mark.parametrize("path", [" ", "-rf", "in/-x"])
def test_a_file_that_is_called_so_already_can_be_fetched_and_removed(path: str) -> None:
    file_names.check(path)


@pytest.mark.parametrize(
    "path", ["", "/a", "a//b", "a/", "..", "a/../b", "./a", "a\\b", "a\nb", "a\u00a0b", "x" * 129]
)
def test_what_is_no_such_path_is_refused(path: str) -> None:
    with pytest.raises(Refused, match=r"write a relative path|give at most 128"):
        file_names.check(path)
