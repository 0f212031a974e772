"""The machine that the doctor's tests examine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flight.support.fake_machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)
