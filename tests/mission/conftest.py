"""Payloads to fly: one shared by the functional suite, or the running one named by --target."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.session import Session
from ground.client import Client


@pytest.fixture
def session(board_name: str) -> Iterator[Session]:
    """A payload and a ground server of this test's own, not yet started."""
    with Session(board_name) as own:
        yield own


@pytest.fixture
def flying(session: Session) -> Iterator[tuple[Session, Client]]:
    """The same, started."""
    session.start_payload()
    with session.start_ground() as client:
        yield session, client


@pytest.fixture(scope="module")
def payload(target: str | None, board_name: str) -> Iterator[Client]:
    """A client of a payload that a whole module shares: started here, or running elsewhere.

    With --target, $VANALLEN_KEYS names the keys file that its stations have.
    """
    with Session(board_name) as shared:
        if target is None:
            shared.start_payload()
        else:
            shared.adopt(target, Path(os.environ["VANALLEN_KEYS"]))
        with shared.start_ground() as client:
            yield client
