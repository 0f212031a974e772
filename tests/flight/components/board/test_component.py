"""Readings with validity, faults by severity, and a power limit that must be allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.components.board.component import BoardMonitor
from flight.components.board.dictionary import BoardParameters
from flight.components.board.lifecycle import BoardLifecycle
from flight.components.board.notifications import BoardNotifications, Condition, DevicePicture
from flight.components.board.readings import FIELDS, Fault, xid_severity
from flight.components.board.simulated import COMPUTER, IDLE, SimulatedBoard
from flight.components.board.stimuli import AnswerReaders, Bounds
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND
from hal import boards
from hal.device import FaultKind
from hal.reading import Validity
from icd.codec import FieldError
from icd.dictionary import Severity
from icd.failures import FailureCode
from tests.flight.support.component_harness import Bench


class Scene:
    """A board monitor, and a board that does as it is told."""

    def __init__(self, **options: Any) -> None:
        self.bench = Bench("board", 4)
        self.board = SimulatedBoard(lambda: self.bench.now, **options)
        self.board.through(self.bench.post)
        self.bench.plug(BoardMonitor(self.bench.port, self.board))

    def live(self, seconds: float = 0.5) -> None:
        for _ in range(round(seconds * 2)):
            self.bench.now += SECOND // 2
            self.board.run(self.bench.now)
            self.bench.step()

    @property
    def hk(self) -> Any:
        self.bench.component.housekeeping()
        return self.bench.component.hk

    def validity(self, field: str) -> int:
        index = [wanted.field for wanted in FIELDS].index(field)
        return int(self.hk.validity[index])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_before_the_first_reading_every_field_is_stale(scene: Scene) -> None:
    assert set(scene.hk.validity) == {Validity.STALE}
    assert scene.hk.devices == 0


def test_readings_become_housekeeping_in_its_units(scene: Scene) -> None:
    scene.board.set("temperature_c", 61.5)
    scene.board.set("memory_used_bytes", 2.0**30)
    scene.board.set("remapped_rows_corrected", 2)
    scene.board.set("remapped_rows_uncorrected", 1)
    scene.live()
    hk = scene.hk
    assert (hk.device, hk.devices, hk.messages, hk.malformed) == (0, 1, 1, 0)
    assert (hk.temperature_c, hk.power_w, hk.memory_used_mib, hk.remapped_rows) == (
        61.5,
        52.0,
        1024.0,
        3,
    )
    assert set(hk.validity) == {Validity.VALID}
    assert scene.bench.events() == [
        ("board_identified", "simulated-h100", "simulated", "1", 1, "NVIDIA H100 PCIe")
    ]


@pytest.mark.verifies("VA-TLM-02", "VA-BRD-01")
def test_a_reading_without_a_value_keeps_the_last_one_and_says_why(scene: Scene) -> None:
    scene.board.set("power_w", 300.0)
    scene.live()
    scene.board.validity[0, "power_w"] = (Validity.ERROR, "driver fault")
    scene.live()
    assert scene.hk.power_w == 300.0
    assert scene.validity("power_w") == Validity.ERROR
    assert scene.validity("temperature_c") == Validity.VALID


def test_a_board_that_has_no_such_sensor_says_unsupported(scene: Scene) -> None:
    del scene.board.values[0]["temperature_memory_c"]
    scene.live()
    assert scene.validity("memory_temperature_c") == Validity.UNSUPPORTED


@pytest.mark.verifies("VA-BRD-02")
def test_readings_that_stay_away_become_stale_once_and_are_told_when_back(scene: Scene) -> None:
    scene.live(2)
    scene.board.is_hung = True
    scene.live(10)
    assert scene.validity("power_w") == Validity.STALE
    assert scene.hk.readings_age_ms == 10_000
    assert scene.bench.events("readings_stale") == [(2.0,)]
    scene.board.replaced()
    scene.live()
    assert len(scene.bench.events("readings_back")) == 1
    assert scene.validity("power_w") == Validity.VALID


def test_the_age_of_readings_is_looked_at_when_it_matters_and_not_before(scene: Scene) -> None:
    assert scene.bench.step() is None
    scene.live()
    assert scene.bench.step() == scene.bench.now + 2 * SECOND


def test_a_lost_gpu_is_told_once_with_its_reason_and_when_it_is_back(scene: Scene) -> None:
    scene.live()
    scene.board.lost[0] = "GPU is off the bus"
    scene.live(3)
    assert scene.bench.events("device_lost") == [(0, "GPU is off the bus")]
    assert scene.bench.severity("device_lost") is Severity.HIGH
    assert set(scene.hk.validity[:15]) == {Validity.LOST}
    assert set(scene.hk.validity[15:]) == {Validity.VALID}  # the computer's own
    scene.board.lost.clear()
    scene.live()
    assert scene.bench.events("device_back") == [(0,)]


def test_a_new_staleness_limit_is_looked_at_at_once(scene: Scene) -> None:
    scene.live()
    scene.bench.component.set_parameters([(0, 10.0)])
    assert scene.bench.is_woken
    assert scene.bench.step() == scene.bench.now + 10 * SECOND


def test_of_several_gpus_housekeeping_shows_a_lost_one_else_the_hottest() -> None:
    scene = Scene(devices=3)
    scene.board.set("temperature_c", 70.0, device=1)
    scene.live()
    assert (scene.hk.device, scene.hk.devices, scene.hk.temperature_c) == (1, 3, 70.0)
    scene.board.lost[2] = "gone"
    scene.live()
    assert scene.hk.device == 2


def test_throttling_is_told_in_words_and_cleared_after_a_calm(scene: Scene) -> None:
    scene.board.set("throttle_reasons", 0x4)
    scene.live(3)
    assert scene.bench.events("throttled") == [(0, 4, "power cap")]
    scene.board.set("throttle_reasons", 0x44)
    scene.live(1)
    assert scene.bench.events("throttled")[1:] == [(0, 0x44, "power cap, hardware thermal")]
    scene.board.set("throttle_reasons", 0x1)
    scene.live(4.5)
    assert scene.bench.events("throttle_cleared") == []
    scene.live(1)
    assert scene.bench.events("throttle_cleared") == [(0,)]


def test_an_idle_gpu_is_not_throttled(scene: Scene) -> None:
    scene.board.set("throttle_reasons", 0x1 | 0x2)
    scene.live(2)
    assert scene.bench.events("throttled") == []


@pytest.mark.verifies("VA-BRD-05")
def test_a_temperature_at_its_limit_warns_once_until_it_is_well_below(scene: Scene) -> None:
    for temperature in (82.0, 84.0, 82.0, 84.0, 79.0, 84.0):
        scene.board.set("temperature_c", temperature)
        scene.live()
    names = [name for name, *_ in scene.bench.events() if name.startswith("temperature")]
    assert names == ["temperature_warning", "temperature_normal", "temperature_warning"]


@pytest.mark.verifies("VA-BRD-11")
def test_each_board_warns_where_its_row_says() -> None:
    scene = Scene()
    limits = boards.row("emulated-orin").thresholds
    monitor = BoardMonitor(scene.bench.port, scene.board, parameters=BoardParameters.of(limits))
    scene.bench.plug(monitor)
    for temperature in (94.0, 96.0, 100.0, 98.0, 100.0, 94.0, 90.0):
        scene.board.set("temperature_c", temperature)
        scene.live()
    for watts in (65.0, 67.0, 64.0, 67.0, 60.0):
        scene.board.set("power_w", watts)
        scene.live()
    told = [name for name, *_ in scene.bench.events() if name != "board_identified"]
    assert told == [
        "temperature_warning",
        "temperature_critical",
        "temperature_normal",
        "power_warning",
        "power_normal",
    ]
    assert scene.bench.severity("temperature_critical") is Severity.HIGH


def test_power_warns_nowhere_on_a_board_whose_row_names_none(scene: Scene) -> None:
    limits = boards.row("nvml").thresholds
    scene.bench.component.set_parameters([(5, BoardParameters.of(limits).warning_w)])
    scene.board.set("power_w", 2000.0)
    scene.live()
    assert scene.bench.events("power_warning") == []


@pytest.mark.parametrize(
    ("code", "event", "severity"),
    [
        (63, "xid_minor", Severity.LOW),
        (31, "xid", Severity.MEDIUM),
        (79, "xid_fatal", Severity.HIGH),
        (4711, "xid", Severity.MEDIUM),
    ],
)
def test_an_xid_is_an_event_of_its_severity(
    scene: Scene, code: int, event: str, severity: Severity
) -> None:
    scene.board.fault(FaultKind.XID, code, "what it means")
    scene.bench.step()
    assert scene.bench.events(event) == [(0, code, "what it means")]
    assert scene.bench.severity(event) is severity is xid_severity(code)
    assert (scene.hk.faults, scene.hk.last_xid) == (1, code)


def test_other_faults_are_told_by_what_they_are(scene: Scene) -> None:
    scene.board.fault(FaultKind.ECC_UNCORRECTED, 2, "uncorrected ECC errors")
    scene.board.fault(FaultKind.ECC_CORRECTED, 1, "corrected ECC errors")
    scene.board.fault(FaultKind.LOST, 0, "no longer there")
    scene.bench.step()
    assert scene.bench.events() == [
        ("fault", 0, 2, "uncorrected ECC errors"),
        ("device_lost", 0, "no longer there"),
    ]
    assert scene.hk.faults == 3


def test_the_power_limit_is_set_where_that_is_allowed_and_read_back() -> None:
    scene = Scene(allow_control=frozenset({"power_limit_w"}))
    scene.live()
    asker = scene.bench.do("set_power_limit", 0, 250.0)
    assert not asker.is_answered
    scene.live()
    assert asker.result.limit == 250.0
    scene.live()
    assert scene.hk.power_limit_w == 250.0


@pytest.mark.verifies("VA-BRD-04")
def test_a_read_only_board_refuses_and_says_what_to_allow(scene: Scene) -> None:
    scene.live()
    asker = scene.bench.do("set_power_limit", 0, 250.0)
    scene.live()
    assert asker.code is FailureCode.REFUSED
    assert asker.reason == "the board is read-only; allow power_limit_w by name"


def test_setting_the_power_limit_must_be_armed() -> None:
    plan = BoardMonitor.declaration.commands[1]
    assert (plan.entry.name, plan.entry.is_critical) == ("set_power_limit", True)


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(scene: Scene) -> None:
    scene.live()
    asker = scene.bench.do("set_power_limit", 3, 250.0)
    assert asker.code is FailureCode.NOT_FOUND
    assert asker.reason == "no GPU 3; there is 0"


def test_a_limit_out_of_range_is_refused_with_range_and_unit(scene: Scene) -> None:
    with pytest.raises(FieldError, match="give 1 … 2000 W"):
        scene.bench.do("set_power_limit", 0, 0.0)


def test_a_board_server_that_is_gone_is_said_to_be(scene: Scene) -> None:
    scene.board.is_gone = True
    assert scene.bench.do("read_now").code is FailureCode.WORKER_UNAVAILABLE
    assert scene.bench.do("set_power_limit", 0, 250.0).code is FailureCode.WORKER_UNAVAILABLE


def test_an_answer_to_nothing_that_was_asked_is_counted(scene: Scene) -> None:
    scene.board.say("done", {"id": 5, "ok": True, "value": 1.0, "text": ""})
    scene.board.say("done", {"id": "5"})
    scene.bench.step()
    assert scene.hk.stale_answers == 2


def test_requests_that_are_never_answered_do_not_pile_up(scene: Scene) -> None:
    scene.board.is_hung = True
    askers = [scene.bench.do("set_power_limit", 0, 250.0) for _ in range(9)]
    assert askers[0].code is FailureCode.TOO_MANY_PENDING
    assert not askers[8].is_answered
    readers = [scene.bench.do("read_now") for _ in range(9)]
    assert "wait for their answer" in readers[8].reason


def test_reading_now_is_completed_by_the_readings(scene: Scene) -> None:
    scene.live()
    asker = scene.bench.do("read_now")
    scene.board.run(scene.bench.now + 1)
    assert not asker.is_answered
    scene.bench.step()
    assert asker.is_done


def test_every_reading_is_listed_to_the_station_that_asks(scene: Scene) -> None:
    scene.board.validity[0, "power_w"] = (Validity.UNSUPPORTED, "")
    scene.live()
    asker = scene.bench.do("list_readings", source=3)
    rows = scene.bench.reports("reading", 3)
    assert asker.result.rows == len(rows) == len(IDLE) + len(COMPUTER)
    assert (0, "power_w", 0.0, Validity.UNSUPPORTED, "W") in rows
    assert (0, "temperature_c", 34.0, Validity.VALID, "°C") in rows
    scene.bench.room = 3
    assert "send it again" in scene.bench.do("list_readings").reason


@pytest.mark.verifies("VA-BRD-12")
def test_readings_of_the_computer_are_listed_beside_those_of_its_gpus(scene: Scene) -> None:
    rows = [
        ["host.cpu_percent", 12.5, 0, "", "%"],
        ["host.load_1", None, 3, "the kernel does not tell", "1"],
        ["edac.mc0_corrected", None, 2, "no EDAC driver", "errors"],
    ]
    scene.live()
    scene.board.say("readings", {"server": 1, "sequence": 99, "rows": rows})
    scene.bench.step()
    assert (scene.hk.devices, scene.hk.malformed) == (1, 0)
    assert scene.bench.do("list_readings", source=3).result.rows == len(IDLE) + len(COMPUTER) + 1
    listed = scene.bench.reports("reading", 3)
    assert (254, "host.cpu_percent", 12.5, Validity.VALID, "%") in listed
    assert listed[-1] == (254, "edac.mc0_corrected", 0.0, Validity.UNSUPPORTED, "errors")
    assert (scene.hk.host_cpu_percent, scene.validity("host_cpu_percent")) == (12.5, 0)
    assert (scene.hk.host_load, scene.validity("host_load")) == (pytest.approx(0.2), 3)
    assert scene.hk.host_disk_free_mib == 900 * 1024


BAD_ROWS: list[Any] = [
    None,
    [],
    ["gpu0.power_w", 1.0, 0, "", "W", "more"],
    ["power_w", 1.0, 0, "", "W"],
    [7, 1.0, 0, "", "W"],
    ["gpu99.power_w", 1.0, 0, "", "W"],
    ["host0.load_1", 1.0, 0, "", "1"],
    ["host.", 1.0, 0, "", "1"],
    ["gpu0.power_w", "1", 0, "", "W"],
    ["gpu0.power_w", True, 0, "", "W"],
    ["gpu0.power_w", math.nan, 0, "", "W"],
    ["gpu0.power_w", math.inf, 0, "", "W"],
    ["gpu0.power_w", 10**40, 0, "", "W"],
    ["gpu0.power_w", None, 0, "", "W"],
    ["gpu0.power_w", 1.0, 9, "", "W"],
    ["gpu0.power_w", 1.0, True, "", "W"],
    ["gpu0.power_w", 1.0, 0, None, "W"],
]


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_row_that_is_none_is_counted_and_the_others_are_taken(scene: Scene, row: Any) -> None:
    good = ["gpu0.temperature_c", 50.0, 0, "", "°C"]
    scene.board.say("readings", {"server": 1, "sequence": 1, "rows": [row, good]})
    scene.bench.step()
    assert scene.hk.malformed == 1
    assert scene.hk.temperature_c == 50.0


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("readings", {}),
        ("readings", {"server": 1, "rows": []}),
        ("readings", {"server": 1, "sequence": "now", "rows": []}),
        ("readings", {"server": 1.5, "sequence": 1, "rows": []}),
        ("readings", {"server": 1, "sequence": 1, "rows": 7}),
        ("readings", {"server": 1, "sequence": 1, "rows": [None] * 2000}),
        ("identity", {}),
        ("identity", {"devices": [None] * 100}),
        ("faults", {}),
        ("faults", {"faults": [[0, 0, 0, 79, ""]]}),
        ("faults", {"server": 1, "first": "x", "faults": [[0, 0, 0, 79, ""]]}),
        ("faults", {"server": 1, "first": 1, "faults": 7}),
        ("faults", {"server": 1, "first": 1, "faults": [[0, 0, 99, 0, ""]]}),
        ("faults", {"server": 1, "first": 1, "faults": [[0, "x", 0, 0, ""]]}),
        ("gossip", {}),
    ],
)
def test_a_message_that_makes_no_sense_is_counted(
    scene: Scene, kind: str, body: dict[str, Any]
) -> None:
    scene.board.say(kind, body)
    scene.bench.step()
    assert scene.hk.malformed == 1
    assert scene.bench.told == []


def test_readings_older_than_those_known_are_refused(scene: Scene) -> None:
    scene.live(2)
    scene.board.say("readings", {"server": 1, "sequence": 4, "rows": scene.board.rows()})
    scene.bench.step()
    assert scene.hk.malformed == 1
    scene.board.say("readings", {"server": 2, "sequence": 0, "rows": scene.board.rows()})
    scene.bench.step()
    assert scene.hk.malformed == 1  # another board server counts anew


@pytest.mark.verifies("VA-BRD-01")
def test_bits_stay_bits(scene: Scene) -> None:
    scene.board.set("throttle_reasons", 0x8000000000000004)
    scene.live()
    assert scene.hk.throttle_reasons == 0x8000000000000004


def test_a_board_that_cannot_be_opened_is_told(scene: Scene) -> None:
    scene.board.say("unavailable", {"text": "no driver"})
    scene.bench.step()
    assert scene.bench.events("board_unavailable") == [("no driver",)]


def test_messages_for_which_the_queue_has_no_room_are_lost_and_the_next_ones_taken(
    scene: Scene,
) -> None:
    scene.bench.is_queue_full = True
    scene.live(4)
    assert scene.hk.messages == 0
    scene.bench.is_queue_full = False
    scene.live()
    assert scene.hk.messages == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
kinds = st.sampled_from(["readings", "identity", "faults", "done", "unavailable", "x"])
keys = st.sampled_from(["time", "rows", "devices", "faults", "lost", "id", "ok", "value", "text"])


@pytest.mark.verifies("VA-SEC-05")
@given(kinds, st.dictionaries(keys, anything))
def test_nothing_a_board_server_says_does_worse_than_be_counted(
    kind: str, body: dict[str, Any]
) -> None:
    scene = Scene()
    scene.board.say(kind, body)
    scene.live()
    assert scene.hk.messages <= 2


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.taken: list[Callable[[], None]] = []
        self.is_full = False

    def fault(self, fault: Fault, taken: Callable[[], None]) -> bool:
        if self.is_full:
            return False
        self.heard.append((fault.kind, fault.code, fault.origin, fault.sequence))
        self.taken.append(taken)
        return True

    def back(self, device: int) -> None:
        self.heard.append(("back", device))

    def silent(self, is_silent: bool) -> None:
        self.heard.append(("silent", is_silent))


@pytest.fixture
def heard() -> tuple[Scene, Listener]:
    scene, signals, listener = Scene(), BoardNotifications(), Listener()
    signals.listen(listener)
    scene.bench.plug(BoardMonitor(scene.bench.port, scene.board, signals))
    scene.live()
    return scene, listener


def test_listeners_hear_of_each_fault_with_what_tells_it_from_another(
    heard: tuple[Scene, Listener],
) -> None:
    scene, listener = heard
    row = [77, 0, int(FaultKind.XID), 46, "hung"]
    scene.board.report(row, row, [None, *row[1:]], row[:3])
    scene.live()
    xid = FaultKind.XID
    assert listener.heard == [(xid, 46, 1, 1), (xid, 46, 1, 2), (xid, 46, 1, 3)]


class Kept:
    """What the monitor keeps, durable when a test says so."""

    def __init__(self) -> None:
        self.content: dict[str, object] = {}
        self.waiting: list[Callable[[], None]] = []

    def load(self) -> dict[str, object]:
        return dict(self.content)

    def keep(self, content: dict[str, object], done: Callable[[], None] | None = None) -> None:
        self.content = content
        self.waiting.append(done or (lambda: None))

    def write(self) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done()


class Watched(Scene):
    """A board monitor with a listener and something to keep its marks in."""

    def __init__(self) -> None:
        super().__init__()
        self.kept, self.listener, self.signals = Kept(), Listener(), BoardNotifications()
        self.signals.listen(self.listener)
        self.plug()

    def plug(self) -> None:
        """Begin with a new monitor, as a new executive does, and greet the board server."""
        self.bench.work.clear()
        self.bench.plug(BoardMonitor(self.bench.port, self.board, self.signals, saved=self.kept))
        self.board.send("hello", {})

    def take(self) -> None:
        """Whoever acts on faults has taken those that it was told."""
        for taken in self.listener.taken:
            taken()
        self.listener.taken.clear()
        self.bench.step()

    @property
    def unacknowledged(self) -> list[int]:
        return [number for number, _ in self.board.kept]


@pytest.mark.verifies("VA-BRD-14")
def test_a_fault_is_acknowledged_once_it_was_taken_and_that_is_kept() -> None:
    scene = Watched()
    scene.board.fault(FaultKind.XID, 46)
    scene.live()
    assert scene.unacknowledged == [1]  # told, and not yet acted upon
    scene.take()
    assert scene.kept.content == {"server": 1, "heard": 1}
    scene.live()
    assert scene.unacknowledged == [1]  # not yet durable
    scene.kept.write()
    scene.live()
    assert scene.unacknowledged == []


@pytest.mark.verifies("VA-BRD-14")
def test_a_fault_told_to_an_executive_that_dies_is_told_to_the_next_one_and_once() -> None:
    scene = Watched()
    scene.live()
    scene.board.fault(FaultKind.XID, 79)  # it waits in the queue of one that dies
    scene.plug()
    scene.live()
    assert scene.bench.events("xid_fatal") == [(0, 79, "")]
    scene.take()
    scene.kept.write()
    scene.plug()
    scene.live(10)
    assert len(scene.bench.events("xid_fatal")) == 1
    assert [code for _, code, *_ in scene.listener.heard] == [79]


@pytest.mark.verifies("VA-BRD-14")
def test_a_fault_that_nobody_takes_now_is_passed_on_again_and_in_order() -> None:
    scene = Watched()
    scene.live()
    scene.listener.is_full = True
    scene.board.fault(FaultKind.XID, 46)
    scene.board.fault(FaultKind.XID, 63)
    scene.live(2)
    assert scene.listener.heard == []
    assert scene.bench.component.run(scene.bench.now) == scene.bench.now + SECOND // 10
    scene.listener.is_full = False
    scene.bench.step(0.1)
    assert [code for _, code, *_ in scene.listener.heard] == [46, 63]
    assert len(scene.bench.events("xid_fatal")) == 1


@pytest.mark.verifies("VA-BRD-14")
def test_what_concerns_nobody_or_is_malformed_is_acknowledged_as_well() -> None:
    scene = Watched()
    scene.live()
    scene.board.lost[0] = "gone"
    scene.live()
    scene.board.fault(FaultKind.LOST, 0, "gone")  # known already
    scene.board.report(["no fault"])
    scene.live()
    scene.take()
    scene.kept.write()
    scene.live()
    assert scene.unacknowledged == []


@pytest.mark.verifies("VA-BRD-14")
def test_faults_that_the_board_server_let_go_are_counted_by_the_gap() -> None:
    scene = Watched()
    scene.live()
    row = [0, 0, 0, 13, ""]
    scene.board.say("faults", {"server": 1, "first": 1, "faults": [row]})
    scene.board.say("faults", {"server": 1, "first": 5, "faults": [row]})
    scene.board.say("faults", {"server": 1, "first": 5, "faults": [row]})
    scene.bench.step()
    assert (scene.hk.faults, scene.hk.faults_lost) == (2, 3)
    assert scene.bench.events("faults_missed") == [(3,)]
    scene.board.say("faults", {"server": 2, "first": 1, "faults": [row]})
    scene.bench.step()
    assert (scene.hk.faults, scene.hk.faults_lost) == (3, 3)


def test_listeners_hear_once_of_a_loss_and_of_its_end(heard: tuple[Scene, Listener]) -> None:
    scene, listener = heard
    scene.board.lost[0] = "off the bus"
    scene.board.fault(FaultKind.LOST, 0, "off the bus")
    scene.live(2)
    scene.board.lost.clear()
    scene.live()
    assert [first for first, *_ in listener.heard] == [FaultKind.LOST, "back"]


def test_listeners_hear_of_silence_and_of_its_end(heard: tuple[Scene, Listener]) -> None:
    scene, listener = heard
    scene.board.is_hung = True
    scene.live(5)
    scene.board.replaced()
    scene.live()
    assert listener.heard == [("silent", True), ("silent", False)]


def test_the_picture_of_a_device_tells_whether_its_readings_can_be_believed(scene: Scene) -> None:
    monitor = scene.bench.component
    assert monitor.picture() == []
    scene.live()
    scene.board.set("recovery_action", 1)
    scene.live()
    (picture,) = monitor.picture()
    assert picture == DevicePicture(0, scene.bench.now, Condition.WELL, 1, None, 0)
    scene.board.lost[0] = "off the bus"
    scene.live()
    assert monitor.picture()[0].condition is Condition.LOST
    scene.board.lost.clear()
    scene.live()
    scene.board.is_hung = True
    scene.live(5)
    assert monitor.picture()[0].condition is Condition.UNWELL


def test_the_stimulus_log_of_the_component_replays_to_the_events_that_it_sent() -> None:
    scene = Scene(devices=2)
    scene.live()
    scene.board.fault(FaultKind.XID, 79, "fell off the bus")
    scene.board.lost[1] = "off the bus"
    scene.live()
    scene.bench.do("read_now")
    scene.bench.component.set_parameters([(0, 5.0)])
    scene.board.lost.clear()
    scene.live()
    scene.board.is_hung = True
    scene.live(6)
    monitor = scene.bench.component
    again = replay(BoardLifecycle(Bounds.of(BoardParameters())), monitor.log)
    told = [(tell.name, *tell.values) for tell in again if isinstance(tell, Tell)]
    assert told == scene.bench.events()
    assert [name for name, *_ in told] == [
        "board_identified",
        "xid_fatal",
        "device_lost",
        "device_back",
        "readings_stale",
    ]
    assert again.count(AnswerReaders()) == 1
