"""A pytest plugin: tests marked `heavy("NAME")` run as `make test-NAME` only.

That target gives `--heavy NAME` in an environment of its own. Any other run deselects them, because
they would fail there, or take too long.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the name of the target."""
    parser.getgroup("van allen").addoption(
        "--heavy",
        metavar="NAME",
        help="run only the tests marked heavy(NAME); without it, only those that are not",
    )


def target(item: pytest.Item) -> str | None:
    """The target that a test belongs to; None for `make test`."""
    marker = item.get_closest_marker("heavy")
    if marker is None:
        return None
    (name,) = marker.args
    return str(name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what belongs to the target that was asked for."""
    wanted: str | None = config.getoption("--heavy")
    others = [item for item in items if target(item) != wanted]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if target(item) == wanted]
