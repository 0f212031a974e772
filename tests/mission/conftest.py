"""Payloads to fly: one shared by each module, or the running one named by --target."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.session import Session
from ground.client.client import Client
from tests.mission.station import Station
from tests.mission.watching import until

HERE = Path(__file__).parent
STATIONS = '[stations]\n1 = "operator"\n2 = "operator"\n3 = "observer"\n'
"""Station 1 is the ground server, 2 and 3 are the tests' own."""


@contextmanager
def cleanly(board: str, payload_id: int = 1) -> Iterator[Session]:
    """A session of which nothing may be left: no process, and no file."""
    session = Session(board, payload_id=payload_id)
    try:
        yield session
    finally:
        session.close()
        until(lambda: not session.survivors(), 5.0, f"end of {session.survivors()}")
        assert not session.root.exists()


def start(session: Session, *options: str) -> None:
    """Start the payload with three stations."""
    configuration = session.root / "payload.toml"
    configuration.write_text(STATIONS)
    session.start_payload("--config", str(configuration), *options)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Notes how many seconds something took; the end of the run lists it."""

    def note(what: str, seconds: float) -> None:
        request.node.user_properties.append((what, round(seconds, 2)))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what the stories measured."""
    lines = [
        f"{seconds:8.2f} s  {what}"
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        for what, seconds in report.user_properties
    ]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(lines, key=lambda line: line[12:])))


@pytest.fixture
def session(board_name: str) -> Iterator[Session]:
    """A payload and a ground server of this test's own, not yet started."""
    with cleanly(board_name) as own:
        yield own


@pytest.fixture
def flying(session: Session) -> Iterator[tuple[Session, Client]]:
    """The same, started."""
    start(session)
    with session.start_ground() as client:
        yield session, client


@pytest.fixture(scope="module")
def shared(target: str | None, board_name: str) -> Iterator[Session]:
    """A payload that a whole module shares: started here, or running elsewhere.

    With --target, $VANALLEN_KEYS names the keys file that its stations have.
    """
    with cleanly(board_name) as session:
        if target is None:
            start(session)
        else:
            session.adopt(target, Path(os.environ["VANALLEN_KEYS"]))
        yield session


@pytest.fixture(scope="module")
def payload(shared: Session) -> Iterator[Client]:
    """A client of the shared payload."""
    with shared.start_ground() as client:
        yield client


@pytest.fixture
def station(shared: Session) -> Iterator[Callable[..., Station]]:
    """Makes stations at the shared payload, by key slot; one is skipped where it has no key."""
    opened: list[Station] = []

    def make(slot: int = 2, key: bytes | None = None) -> Station:
        try:
            opened.append(Station.of(shared, slot, key))
        except KeyError:
            pytest.skip(f"the payload has no key in slot {slot}")
        return opened[-1]

    yield make
    for one in opened:
        one.__exit__(None, None, None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Every test here is a story; the longest tests go first: nothing waits for them at the end."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.story)
    yield
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
