"""What every suite shares: the target under test, leave to control it, and derandomised draws."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from hal import boards
from hal.errors import HalError
from tests.support import heavy, listed_skips

# "ci" draws the same examples every time, so that coverage can be held to a figure; "explore" draws
# new ones: HYPOTHESIS_PROFILE=explore make test. A slow machine is no bug, hence no deadline.
settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

EMULATED = "emulated-"
DEFAULT_BOARD = "emulated-h100"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Say which payload the functional suites fly, and take the options of our own plugins."""
    for plugin in (heavy, listed_skips):
        pluginmanager.register(plugin)
    group = parser.getgroup("van allen")
    group.addoption(
        "--target",
        metavar="ENDPOINT",
        help="fly this running payload (tcp://host:port) instead of starting one",
    )
    group.addoption(
        "--board",
        metavar="NAME",
        help=f"board of the payload that the tests start (default: {DEFAULT_BOARD}), and the only "
        "one that the conformance suite asks (default: every emulated one)",
    )
    group.addoption(
        "--allow-control",
        action="store_true",
        help="run tests marked control on a real board too: they change its state",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what would control a board that may be real, unless that was allowed."""
    board: str = config.getoption("--board") or DEFAULT_BOARD
    ours = config.getoption("--target") is None and board.startswith(EMULATED)
    if ours or config.getoption("--allow-control"):
        return
    reason = "changes the state of a board that may be real; allow it with --allow-control"
    for item in items:
        if item.get_closest_marker("control"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> str | None:
    """Endpoint of a running payload to fly, or None where the suite starts its own."""
    endpoint: str | None = request.config.getoption("--target")
    return endpoint


@pytest.fixture(scope="session")
def board_name(request: pytest.FixtureRequest) -> str:
    """Name of the board (a row of hal/boards.py) that a payload is started with.

    What needs a real board that is not here is skipped, and says what is missing.
    """
    name: str = request.config.getoption("--board") or DEFAULT_BOARD
    if not name.startswith(EMULATED) and request.config.getoption("--target") is None:
        try:
            boards.open_board(name).close()
        except HalError as error:
            pytest.skip(f"no such board here: {error}")
    return name
