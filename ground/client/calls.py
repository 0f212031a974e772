"""What clients do, without I/O: each call yields requests, is sent their replies, and returns.

The sync and the async client both drive these generators, so there is one description of how a
wait is anchored, when a transfer is begun again, and what is raised.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ground import clock
from ground.client.results import CommandResult, Event, Value
from ground.errors import CommandFailed, Forgotten, NoServer, TimedOut, TransferFailed

T = TypeVar("T")
POLL_S = 5.0
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Ask(NamedTuple):
    """One request; the server may take `wait_s` to answer it."""

    method: str
    args: dict[str, Any]
    wait_s: float = 0.0


Call = Generator[Ask, Any, T]
Progress = Callable[[int, int], None]
Stages = Callable[[CommandResult], None]


class _Deadline:
    def __init__(self, timeout_s: float) -> None:
        self._end = clock.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        return self._end - clock.monotonic()

    @property
    def wait_s(self) -> float:
        return max(0.0, min(POLL_S, self.left_s))


def simple(method: str, args: dict[str, Any], wait_s: float = 0.0) -> Call[Any]:
    """One request, one reply."""
    return (yield Ask(method, args, wait_s))


def command(
    ask: Ask,
    payload: str | None,
    wait: str,
    timeout_s: float | None,
    check: bool,
    stages: Stages | None,
) -> Call[CommandResult]:
    """Send a telecommand by `ask` and follow it to the stage `wait`."""
    result = CommandResult.of((yield ask))
    deadline = None if timeout_s is None else _Deadline(timeout_s)
    if stages is not None:
        stages(result)
    while not _is_over(result, wait) and (deadline is None or deadline.left_s > 0):
        wait_s = POLL_S if deadline is None else deadline.wait_s
        args: dict[str, Any] = {"id": result.id, "payload": payload, "wait_s": wait_s}
        args |= {"revision": result.revision} if stages is not None else {"wait": wait}
        result = CommandResult.of((yield Ask("command", args, wait_s)))
        if stages is not None:
            stages(result)
    if check and not _is_good(result, wait):
        raise CommandFailed(
            f"{result.name}: {result.state}{': ' if result.reason else ''}{result.reason}", result
        )
    return result


def submit_ask(
    payload: str | None,
    job: str,
    arguments: Mapping[str, Any] | None,
    limits: Mapping[str, int | None],
    protection: str | None,
) -> Ask:
    """The request that submits a job."""
    args = {"payload": payload, "job": job, "arguments": dict(arguments or {})} | dict(limits)
    args["protection"] = protection
    return Ask("submit", args, POLL_S)


_RANK = ("queued", "sent", "accepted", "started", "progress", "completed")
_BAD = ("failed", "rejected", "timed out")


def _is_over(result: CommandResult, wait: str) -> bool:
    if result.state in _BAD:
        return True
    if wait == "completed":
        return result.is_settled
    return _RANK.index(result.state) >= _RANK.index(wait)


def _is_good(result: CommandResult, wait: str) -> bool:
    return result.state not in _BAD and _RANK.index(result.state) >= _RANK.index(wait)


def cursor(payload: str | None) -> Call[int]:
    """The cursor of the newest packet: a wait anchored on it sees only what comes later."""
    reply = yield Ask("events", {"payload": payload, "after": None})
    return int(reply["cursor"])


def events(
    payload: str | None, after: int, severity: int, limit: int, wait_s: float
) -> Call[list[Event]]:
    """Events after a cursor, all pages of them."""
    found: list[Event] = []
    while len(found) < limit:
        args = {"payload": payload, "after": after, "severity": severity, "limit": limit}
        reply = yield Ask("events", args | {"wait_s": wait_s}, wait_s)
        found += [Event.of(row) for row in reply["events"]]
        if reply["cursor"] == after or wait_s:
            break
        after = reply["cursor"]
    return found[:limit]


def expect_event(
    payload: str | None,
    name: str,
    where: Mapping[str, Any],
    after: int | None,
    timeout_s: float,
) -> Call[Event]:
    """The first event of that name whose arguments are as `where` says, after the cursor."""
    deadline = _Deadline(timeout_s)
    after = (yield from cursor(payload)) if after is None else after
    while True:
        args = {"payload": payload, "after": after, "wait_s": deadline.wait_s}
        reply = yield Ask("events", args, deadline.wait_s)
        for row in reply["events"]:
            if row["name"] == name and all(
                row["arguments"].get(key) == value for key, value in where.items()
            ):
                return Event.of(row)
        after = reply["cursor"]
        if deadline.left_s <= 0:
            raise TimedOut(f"no event {name} {dict(where) or ''} within {timeout_s:g} s".strip())


def values(
    payload: str | None, component: str | None, after: int, wait_s: float
) -> Call[dict[str, Value]]:
    """Current values by their full name."""
    args = {"payload": payload, "component": component, "after": after, "wait_s": wait_s}
    reply = yield Ask("values", args, wait_s)
    return {row["name"]: Value.of(row) for row in reply["rows"]}


def parameters(payload: str | None, component: str) -> Call[dict[str, Value]]:
    """A component's parameters by their full name."""
    args = {"payload": payload, "component": component, "wait_s": POLL_S}
    rows = yield Ask("parameters", args, 2 * POLL_S)
    return {row["name"]: Value.of(row) for row in rows}


def wait_value(
    payload: str | None,
    name: str,
    wanted: Any,
    comparison: str,
    after: int | None,
    timeout_s: float,
) -> Call[Value]:
    """The first value of `name`, newer than the cursor `after`, that compares as wanted."""
    if not callable(wanted) and comparison not in COMPARISONS:
        raise ValueError(f"no comparison '{comparison}'; give one of {', '.join(COMPARISONS)}")
    component, _, _ = name.partition(".")
    after = (yield from cursor(payload)) if after is None else after
    deadline = _Deadline(timeout_s)
    last: Value | None = None
    while True:
        args = {"payload": payload, "component": component, "after": after}
        reply = yield Ask("values", args | {"wait_s": deadline.wait_s}, deadline.wait_s)
        found = {row["name"]: Value.of(row) for row in reply["rows"]}
        if found and name not in found:
            raise TimedOut(f"no housekeeping field {name}; there are {', '.join(sorted(found))}")
        if found:
            last = found[name]
            after = last.cursor
            if wanted(last.value) if callable(wanted) else _compares(last, comparison, wanted):
                return last
        if deadline.left_s <= 0:
            state = "it never came" if last is None else f"it is {last.value!r} {last.unit}"
            shown = "as wanted" if callable(wanted) else f"{comparison} {wanted!r}"
            raise TimedOut(f"{name} was not {shown} within {timeout_s:g} s; {state.rstrip()}")


def _compares(value: Value, comparison: str, wanted: Any) -> bool:
    try:
        return COMPARISONS[comparison](value.value, wanted)
    except TypeError:
        return False


def transfer(
    method: str, args: dict[str, Any], progress: Progress | None, timeout_s: float
) -> Call[dict[str, Any]]:
    """A put or get from begin to end; begun again when the server was restarted meanwhile."""
    deadline = _Deadline(timeout_s)
    state: dict[str, Any] | None = None
    shown = -1
    while True:
        try:
            if state is None:
                state = yield Ask(method, args)
            else:
                about = {"id": state["id"], "revision": state["revision"], "wait_s": 1.0}
                state = yield Ask("transfer", about, 1.0)
        except Forgotten:
            state = None
            continue
        except NoServer:
            if deadline.left_s <= 0:
                raise
            continue
        if progress is not None and state["total"] and state["done"] != shown:
            shown = state["done"]
            progress(shown, state["total"])
        if state["state"] == "done":
            return state
        if state["state"] == "failed":
            raise TransferFailed(state["reason"])
        if deadline.left_s <= 0:
            raise TimedOut(f"{method} did not end within {timeout_s:g} s; it goes on")


def absolute(path: str | Path) -> str:
    """A local path as the server, which runs elsewhere in the tree, must see it."""
    return str(Path(path).absolute())
