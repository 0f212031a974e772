"""What is told of the board, decided alone: states of a GPU, staleness, whatever may come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.components.board import stimuli as s
from flight.components.board.dictionary import BoardEvents, BoardParameters
from flight.components.board.lifecycle import BoardLifecycle
from flight.components.board.readings import COMPUTER, Fault, Row
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND
from hal.device import FaultKind
from hal.reading import Validity

NOW = 1_000_000 * SECOND
BOUNDS = s.Bounds.of(BoardParameters(warning_w=300.0))


def row(quantity: str, value: float, device: int = 0) -> Row:
    return Row(device, quantity, value, Validity.VALID, "", "")


def lost(reason: str = "off the bus", device: int = 0) -> Row:
    return Row(device, "power_w", None, Validity.LOST, reason, "W")


def xid(code: int, device: int = 0) -> Fault:
    return Fault(device, FaultKind.XID, code, "so", NOW)


class Scene:
    """A lifecycle, and what it was told."""

    def __init__(self) -> None:
        self.log: list[tuple[int, s.Stimulus]] = []
        self.core = BoardLifecycle(BOUNDS, self.log)
        self.now = NOW
        self.out: list[s.Instruction | Tell] = []

    def give(self, stimulus: s.Stimulus, seconds: float = 0.0) -> list[s.Instruction | Tell]:
        self.now += round(seconds * SECOND)
        out = list(self.core.step(self.now, stimulus))
        self.out += out
        return out

    def read(self, *rows: Row, seconds: float = 1.0) -> list[s.Instruction | Tell]:
        return self.give(s.Readings(rows), seconds)


def test_the_board_server_says_what_it_opened_or_why_it_could_not() -> None:
    scene = Scene()
    identity = ("h100", "nvml", "550", 2, "NVIDIA H100")
    assert scene.give(s.Identified(*identity)) == [Tell(BoardEvents.board_identified, identity)]
    assert scene.give(s.Unavailable("no driver")) == [
        Tell(BoardEvents.board_unavailable, ("no driver",))
    ]


def test_readings_are_stale_when_they_are_due_and_not_before() -> None:
    scene = Scene()
    assert scene.core.next_due() is None
    scene.read(row("power_w", 50.0))
    assert scene.core.next_due() == scene.now + 2 * SECOND
    assert scene.give(s.Tick(), 1.9) == []
    assert scene.give(s.Tick(), 0.1) == [
        Tell(BoardEvents.readings_stale, (2.0,)),
        s.NotifySilent(True),
    ]
    assert scene.give(s.Tick(), 9) == []
    assert scene.read() == [Tell(BoardEvents.readings_back), s.NotifySilent(False)]


def test_new_bounds_are_used_from_then_on() -> None:
    scene = Scene()
    scene.read(row("temperature_c", 80.0))
    scene.give(s.SetBounds(s.Bounds.of(BoardParameters(stale_s=10.0, warning_c=70.0))))
    assert scene.core.next_due() == scene.now + 10 * SECOND
    assert scene.read() == [Tell(BoardEvents.temperature_warning, (0, 80.0))]


def test_those_who_wait_for_readings_are_answered_once_and_before_what_readings_tell() -> None:
    scene = Scene()
    scene.give(s.ReadingsWanted())
    assert scene.read(lost())[0] == s.AnswerReaders()
    assert scene.read() == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (xid(63), [Tell(BoardEvents.xid_minor, (0, 63, "so")), s.NotifyFault(xid(63))]),
        (xid(31), [Tell(BoardEvents.xid, (0, 31, "so")), s.NotifyFault(xid(31))]),
        (xid(79, -1), [Tell(BoardEvents.xid_fatal, (0, 79, "so")), s.NotifyFault(xid(79, -1))]),
        (
            fault := Fault(1, FaultKind.ECC_UNCORRECTED, 2, "memory"),
            [Tell(BoardEvents.fault, (1, 2, "memory")), s.NotifyFault(fault)],
        ),
        (fault := Fault(1, FaultKind.ECC_CORRECTED, 1, ""), [s.NotifyFault(fault)]),
    ],
)
def test_a_fault_is_an_event_by_what_it_is_and_passed_on_as_it_came(
    fault: Fault, expected: list[s.Instruction | Tell]
) -> None:
    assert Scene().give(s.Reported(fault)) == expected


def test_a_lost_gpu_is_told_once_whoever_finds_it_and_when_it_is_back() -> None:
    scene = Scene()
    gone = Fault(0, FaultKind.LOST, 0, "gone", NOW)
    assert scene.give(s.Reported(gone)) == [
        Tell(BoardEvents.device_lost, (0, "gone")),
        s.NotifyFault(gone),
    ]
    assert scene.read(lost()) == []
    assert scene.read(row("power_w", 50.0)) == [
        Tell(BoardEvents.device_back, (0,)),
        s.NotifyBack(0),
    ]
    assert scene.read(lost())[0] == Tell(BoardEvents.device_lost, (0, "off the bus"))


@pytest.mark.parametrize(
    ("quantity", "values", "events"),
    [
        (
            "temperature_c",
            (82.0, 84.0, 88.0, 86.0, 88.0, 83.0, 88.0, 79.0),
            [
                BoardEvents.temperature_warning,
                BoardEvents.temperature_critical,
                BoardEvents.temperature_critical,
                BoardEvents.temperature_normal,
            ],
        ),
        (
            "power_w",
            (300.0, 301.0, 290.0, 301.0, 285.0),
            [BoardEvents.power_warning, BoardEvents.power_normal],
        ),
        (
            "throttle_reasons",
            (1, 4, 4, 0x44, *(6 * (1,))),
            [BoardEvents.throttled, BoardEvents.throttled, BoardEvents.throttle_cleared],
        ),
    ],
)
def test_a_gpu_is_told_of_when_its_state_changes(
    quantity: str, values: tuple[float, ...], events: list[object]
) -> None:
    scene = Scene()
    for value in values:
        scene.read(row(quantity, value))
    assert [tell.event for tell in scene.out if isinstance(tell, Tell)] == events


def test_the_revision_rises_only_when_there_is_something_new_to_show() -> None:
    scene = Scene()
    seen = []
    for step in (s.Readings((row("power_w", 1.0),)), s.Readings(), s.Tick(), s.Readings()):
        scene.give(step, 2)
        seen.append(scene.core.revision)
    assert seen == [1, 1, 2, 3]


# ---------------------------------------------------------------- whatever may come

DEVICES = st.integers(0, 2)
VALUES = st.floats(0, 400) | st.integers(0, 255).map(float)
QUANTITIES = st.sampled_from(["temperature_c", "power_w", "throttle_reasons", "recovery_action"])
ROWS = st.one_of(
    st.builds(row, QUANTITIES, VALUES, DEVICES),
    st.builds(row, st.just("host.load_1"), VALUES, st.just(COMPUTER)),
    st.builds(lost, st.just("off"), DEVICES),
)
STIMULI: st.SearchStrategy[s.Stimulus] = st.one_of(
    st.builds(s.Readings, st.lists(ROWS, max_size=5).map(tuple)),
    st.builds(
        s.Reported,
        st.builds(Fault, st.integers(-1, 2), st.sampled_from(FaultKind), st.integers(-1, 200)),
    ),
    st.just(s.Identified("a", "b", "c", 1, "d")),
    st.just(s.Unavailable("no driver")),
    st.just(s.ReadingsWanted()),
    st.builds(s.SetBounds, st.sampled_from([BOUNDS, s.Bounds.of(BoardParameters())])),
    st.just(s.Tick()),
)
STEPS = st.lists(st.tuples(st.floats(0, 10), STIMULI), max_size=40)


@given(steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_a_stimulus_log_replays_to_the_same_instructions(
    steps: list[tuple[float, s.Stimulus]],
) -> None:
    scene = Scene()
    for seconds, stimulus in steps:
        scene.give(stimulus, seconds)
    assert replay(BoardLifecycle(BOUNDS), scene.log) == scene.out


@given(steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_losses_and_returns_alternate_and_so_do_silence_and_its_end(
    steps: list[tuple[float, s.Stimulus]],
) -> None:
    scene = Scene()
    for seconds, stimulus in steps:
        scene.give(stimulus, seconds)
    silences = [out.is_silent for out in scene.out if isinstance(out, s.NotifySilent)]
    assert silences == [number % 2 == 0 for number in range(len(silences))]
    for device in range(3):
        lost_or_back = [
            isinstance(out, s.NotifyBack)
            for out in scene.out
            if out == s.NotifyBack(device)
            or (
                isinstance(out, s.NotifyFault)
                and (out.fault.kind, out.fault.device) == (FaultKind.LOST, device)
            )
        ]
        assert lost_or_back == [number % 2 == 1 for number in range(len(lost_or_back))]
