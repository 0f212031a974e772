"""Requests that wait for answers: each is answered once, whatever number the answer names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from flight.framework.ports import Worker
from flight.framework.requests import Requests


class FakeWorker:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.pid, self.is_full = 40, False
        self.sent: list[tuple[str, Mapping[str, Any]]] = []

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        if not self.is_full:
            self.sent.append((kind, body))
        return not self.is_full


class Scene:
    """Three may wait."""

    def __init__(self) -> None:
        self.worker = FakeWorker()
        self.requests: Requests[str] = Requests(cast("Worker", self.worker), 3)
        self.answers: list[str] = []

    def ask(self, name: str, **options: Any) -> bool:
        return self.requests.ask(
            name, {}, lambda answer: self.answers.append(f"{name}: {answer}"), **options
        )


def test_each_request_has_a_number_and_gets_the_answer_that_names_it() -> None:
    scene = Scene()
    assert [scene.ask(name) for name in "ab"] == [True, True]
    assert scene.worker.sent == [("a", {"id": 1}), ("b", {"id": 2})]
    for number in (2, 1):
        answered = scene.requests.take(number)
        assert answered
        answered("yes")
    assert scene.answers == ["b: yes", "a: yes"]


@pytest.mark.parametrize("number", [1, 99, None, "2", True, 2.0, [2]])
def test_an_answer_that_nobody_waits_for_finds_nobody(number: object) -> None:
    scene = Scene()
    scene.ask("a")
    scene.ask("b")
    scene.requests.take(1)
    assert scene.requests.take(number) is None
    assert len(scene.requests) == 1


def test_what_is_not_sent_is_not_waited_for() -> None:
    scene = Scene()
    scene.worker.is_full = True
    assert not scene.ask("a")
    scene.worker.is_full = False
    assert [scene.ask(name) for name in "bcde"] == [True, True, True, False]
    assert scene.requests.is_full
    assert len(scene.worker.sent) == 3


def test_overdue_and_unanswerable_requests_are_found_oldest_first() -> None:
    scene = Scene()
    scene.ask("a", deadline=10)
    scene.ask("b", number=77)
    scene.worker.pid = 41
    scene.ask("c", deadline=11, number=5)
    assert not scene.requests.overdue(9)
    for answered in scene.requests.overdue(10):
        answered("late")
    for answered in scene.requests.take_unanswerable():
        answered("gone")
    for answered in scene.requests.take_all():
        answered("all")
    assert scene.answers == ["a: late", "b: gone", "c: all"]
    assert scene.requests.take_oldest() is None
