"""Every example in docs/protection.md does what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

PAGE = Path(__file__).parents[3] / "docs" / "protection.md"


def test_the_examples_on_the_page_are_true() -> None:
    text = PAGE.read_text(encoding="utf-8")
    parsed = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    result = runner.run(parsed, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted > 20
