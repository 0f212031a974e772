"""What is told of the board, decided alone: states of a GPU, staleness, whatever may come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.components.board import stimuli as s
from flight.components.board.dictionary import BoardEvents, BoardParameters
from flight.components.board.lifecycle import BoardLifecycle
from flight.components.board.places import COMPUTER, UNKNOWN
from flight.components.board.readings import Fault, Row
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
    gpus = (("NVIDIA H100", "GPU-a", "0:1:0"), ("NVIDIA H100", "GPU-b", "0:2:0"))
    told = Tell(BoardEvents.board_identified, ("h100", "nvml", "550", 2, "NVIDIA H100"))
    assert scene.give(s.Identified("h100", "nvml", "550", gpus)) == [
        told,
        Tell(BoardEvents.gpu_identified, (0, *gpus[0])),
        Tell(BoardEvents.gpu_identified, (1, *gpus[1])),
    ]
    assert scene.give(s.Identified("h100", "nvml", "550", gpus)) == [told]
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
        (
            xid(79, UNKNOWN),
            [Tell(BoardEvents.xid_fatal, (UNKNOWN, 79, "so")), s.NotifyFault(xid(79, UNKNOWN))],
        ),
        (
            fault := Fault(UNKNOWN, FaultKind.LOST, 0, "gone"),
            [Tell(BoardEvents.fault, (UNKNOWN, 0, "gone")), s.NotifyFault(fault)],
        ),
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


@pytest.mark.verifies("VA-BRD-16")
def test_counters_that_go_back_are_told_once_together() -> None:
    scene = Scene()
    before = (row("energy_j", 900.0), row("pcie_replays", 7), row("ecc_corrected_volatile", 3))
    after = (row("energy_j", 2.0), row("pcie_replays", 7), row("ecc_corrected_volatile", 0))
    scene.read(*before)
    assert scene.read(*after) == [
        Tell(BoardEvents.counters_back, (0, "energy_j, ecc_corrected_volatile"))
    ]
    assert scene.read(*after) == []
    assert scene.read(row("energy_j", 3.0)) == []


@pytest.mark.verifies("VA-BRD-16")
def test_a_counter_that_fails_meanwhile_is_compared_with_what_was_believed_last() -> None:
    scene = Scene()
    scene.read(row("pcie_replays", 7))
    assert scene.read(row("pcie_replays", None, Validity.ERROR), row("power_w", 1.0)) == []
    assert len(scene.read(row("pcie_replays", 6))) == 1


def busy(power_w: float, **others: float) -> list[Row]:
    shown = {"energy_j": 10.0, "temperature_c": 50.0, "utilization_percent": 99.0, **others}
    return [
        row("power_w", power_w),
        row("processes", 1),
        *(row(name, value) for name, value in shown.items()),
    ]


@pytest.mark.verifies("VA-BRD-17")
def test_readings_of_a_busy_gpu_that_do_not_move_at_all_are_told() -> None:
    scene = Scene()
    for _ in range(60):
        assert scene.read(*busy(300.0)) == []
    assert scene.read(*busy(300.0)) == [Tell(BoardEvents.standing_still, (0, 60.0))]
    for _ in range(100):
        assert scene.read() == []  # the same message again
    assert scene.read(*busy(300.0, energy_j=10.001)) == [Tell(BoardEvents.moving_again, (0,))]


@pytest.mark.verifies("VA-BRD-17")
@pytest.mark.parametrize("moving", ["energy_j", "temperature_c", "utilization_percent"])
def test_one_quantity_that_moves_is_enough(moving: str) -> None:
    scene = Scene()
    for n in range(200):
        assert scene.read(*busy(300.0, **{moving: 50.0 + n % 2 if n else 50.0})) in (
            [],
            [Tell(BoardEvents.counters_back, (0, "energy_j"))],
        )


@pytest.mark.verifies("VA-BRD-17")
def test_a_gpu_with_nothing_to_do_may_stand_still() -> None:
    scene = Scene()
    for _ in range(200):
        assert scene.read(*busy(52.0, processes=0)) == []


@pytest.mark.verifies("VA-BRD-17")
def test_a_gpu_all_of_whose_readings_fail_is_told_once_and_when_it_answers() -> None:
    scene = Scene()
    failed = Row(0, "power_w", None, Validity.ERROR, "Timeout (NVML 10)", "W")
    missing = Row(0, "fan", None, Validity.UNSUPPORTED, "no fan", "%")
    scene.read(row("power_w", 50.0), missing)
    assert scene.read(failed, missing) == []
    assert scene.read(failed, seconds=1.9) == []
    assert scene.read(failed, seconds=0.1) == [
        Tell(BoardEvents.device_mute, (0, "Timeout (NVML 10)"))
    ]
    assert scene.read(failed, seconds=100) == []
    assert scene.read(row("power_w", 50.0)) == [Tell(BoardEvents.device_answers, (0,))]


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
        st.builds(
            Fault, DEVICES | st.just(UNKNOWN), st.sampled_from(FaultKind), st.integers(-1, 200)
        ),
    ),
    st.just(s.Identified("a", "b", "c", (("d", "e", "f"),))),
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
