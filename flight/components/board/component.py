"""The board monitor: readings and faults of the board as telemetry, and its power limit.

What is to be told is decided in `lifecycle`; this file checks what the board server says and has
it told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from flight.components.board import stimuli as s
from flight.components.board.controls import Answered, BoardControls, ControlAnswer, busy
from flight.components.board.dictionary import (
    BoardEvents,
    BoardHousekeeping,
    BoardParameters,
    PowerLimit,
    Readings,
)
from flight.components.board.fault_marks import FaultMarks
from flight.components.board.lifecycle import BoardLifecycle
from flight.components.board.notifications import BoardNotifications, DevicePicture
from flight.components.board.places import MOST_DEVICES, Device
from flight.components.board.readings import (
    MOST_ROWS,
    Fault,
    Row,
    decode_fault,
    decode_row,
    decode_text,
    show,
    validity_of,
)
from flight.framework.component import Component, FailureCode, Pending, Port, Refused, command
from flight.framework.lifecycle import Stepper
from flight.framework.ports import Section, Worker, WorkerMessage
from flight.framework.time_units import SECOND
from hal.device import FaultKind
from icd.fields import F32, Limits, Unit

MOST_PENDING = 8
LOG_LENGTH = 256
"""Stimuli kept for replay: a message of readings may hold a thousand rows."""
RETRY_NS = SECOND // 10
"""A fault that nobody took is passed on again so soon."""
UNCHANGED = s.Readings()


class BoardMonitor(Component[BoardHousekeeping, BoardParameters], BoardEvents):
    """Watches the GPUs: keeps their readings with validity, tells what changes, sets the limit."""

    def __init__(
        self,
        port: Port,
        board: Worker,
        signals: BoardNotifications | None = None,
        parameters: BoardParameters | None = None,
        saved: Section | None = None,
    ) -> None:
        """`saved` keeps over restarts of the executive which faults were heard."""
        super().__init__(port)
        self.parameters = parameters or self.parameters
        self._board = board
        self._signals = signals or BoardNotifications()
        self.log: deque[tuple[int, s.Stimulus]] = deque(maxlen=LOG_LENGTH)
        self.core = BoardLifecycle(s.Bounds.of(self.parameters), self.log)
        self._stepper: Stepper[s.Stimulus, s.Instruction] = Stepper(self, self.core, self._do)
        self._saved = saved
        self._marks = FaultMarks({} if saved is None else saved.load())
        self._kept = (self._marks.origin, self._marks.heard)
        self._untaken: deque[Fault] = deque()
        """Faults that are to be passed on again."""
        self._sender: tuple[int, int] = (-1, -1)
        """The board server that sent readings last, and the number of its message."""
        self._rows: Sequence[Any] = ()
        """Those of the last message, as they came."""
        self._shown = -1
        """The revision of the readings that `hk` is made of."""
        self._controls = BoardControls(board)
        self._readers: list[Pending[Any]] = []
        board.on_message(self._take)

    @command(1, critical=True)
    def set_power_limit(
        self,
        device: Device,
        watts: Annotated[F32, "the new limit", Unit("W"), Limits(1, 2000)],
    ) -> Pending[PowerLimit]:
        """Cap the power of one GPU, if the configuration allows the payload to control it."""
        gpus = self.core.gpus
        if gpus and device not in gpus:
            known = ", ".join(map(str, sorted(gpus)))
            raise Refused(f"no GPU {device}; there is {known}", FailureCode.NOT_FOUND)
        pending = self.defer()

        def answered(answer: ControlAnswer) -> None:
            if answer.ok and answer.value is not None:
                pending.complete(PowerLimit(answer.value))
            else:
                text = answer.text or "the board did not do it, and did not say why"
                pending.fail(text, answer.code)

        if not self.control("power_limit_w", device, watts, answered):
            raise busy()
        return pending

    @command(2)
    def read_now(self) -> Pending[None]:
        """Read every sensor once; completed when the readings have come."""
        if len(self._readers) >= MOST_PENDING:
            raise Refused("readings were asked for already; wait for their answer")
        pending = self.defer()
        if not self._board.send("read", {}):
            raise busy()
        self._readers.append(pending)
        self._stepper.step(s.ReadingsWanted())
        return pending

    @command(3)
    def list_readings(self) -> Pending[Readings]:
        """Report every reading to the station that asks: reports named reading."""
        pending = self.defer()
        rows = self.rows()
        if self.port.telemetry.bulk_room(pending.source) < len(rows):
            raise Refused("the downlink has no room for the rows; send it again")
        for row in rows:
            value = 0.0 if row.value is None else row.value
            validity = validity_of(row, self.core.is_stale)
            self.reading(  # type: ignore[call-arg]
                row.device, row.quantity, value, validity, row.unit, station=pending.source
            )
        pending.complete(Readings(len(rows)))
        return pending

    def run(self, now: int) -> int | None:
        """Notice readings that stay away. On-board ns in, next due time out."""
        self._pass_on()
        due = self.core.next_due()
        if due is not None and now >= due:
            self._stepper.step(s.Tick())
            due = None
        if self._untaken:
            due = min(due or now + RETRY_NS, now + RETRY_NS)
        return due

    def control(
        self,
        action: str,
        device: int,
        value: float,
        answered: Answered,
        processes: Sequence[tuple[int, int]] = (),
    ) -> bool:
        """Ask the board for one of `hal.device.CONTROLS`; False when it takes nothing now."""
        return self._controls.ask(action, device, value, answered, processes)

    def rows(self) -> list[Row]:
        """Every reading as it came last: first those of the GPUs, then the computer's."""
        return self.core.rows()

    def picture(self) -> list[DevicePicture]:
        """Every device as the newest readings show it."""
        return self.core.picture()

    def parameters_changed(self) -> None:
        """The next step looks at the age of the readings with the new limit."""
        self._stepper.step(s.SetBounds(s.Bounds.of(self.parameters)))
        self.port.wake()

    def housekeeping(self) -> bytes:
        """The fields of the worst GPU, packed."""
        self.refresh()
        return super().housekeeping()

    def refresh(self) -> None:
        """Bring `hk` up to date; only done when somebody looks."""
        hk, core = self.hk, self.core
        hk.devices = len(core.gpus)
        if core.received is None:
            return
        hk.readings_age_ms = (self.port.clock() - core.received) // 1_000_000
        if self._shown == core.revision:
            return
        self._shown = core.revision
        worst = core.worst()
        hk.device = worst.device
        show(hk, {**worst.rows, **core.computer}, is_stale=core.is_stale)

    # ------------------------------------------------------------ what the board server says

    def _take(self, message: WorkerMessage) -> None:
        """One message of the board server: checked, because it is not our process."""
        take = {
            "readings": self._take_readings,
            "identity": self._take_identity,
            "faults": self._take_faults,
            "done": self._take_done,
            "unavailable": self._take_unavailable,
        }.get(message.kind)
        if take is None:
            self.hk.malformed += 1
            return
        take(message.body)

    def _take_readings(self, body: Mapping[str, Any]) -> None:
        server, sequence, rows = body.get("server"), body.get("sequence"), body.get("rows")
        is_list = isinstance(rows, list | tuple) and len(rows) <= MOST_ROWS
        if type(server) is not int or type(sequence) is not int or rows is None or not is_list:
            self.hk.malformed += 1
            return
        if server == self._sender[0] and sequence <= self._sender[1]:
            self.hk.malformed += 1  # what is older than what is known changes nothing
            return
        self._sender = server, sequence
        readings = UNCHANGED if rows == self._rows else self._decoded(rows)
        self.hk.messages += 1
        self._stepper.step(readings)
        self.port.wake()

    def _decoded(self, rows: Sequence[Any]) -> s.Readings:
        """Readings that are not octet for octet those of the last message, checked."""
        decoded = [decode_row(plain) for plain in rows]
        malformed = decoded.count(None)
        self.hk.malformed += malformed
        self._rows = () if malformed else rows  # the same message again counts again
        return s.Readings(tuple(row for row in decoded if row is not None))

    def _take_identity(self, body: Mapping[str, Any]) -> None:
        devices = body.get("devices")
        if not isinstance(devices, list | tuple) or len(devices) > MOST_DEVICES:
            self.hk.malformed += 1
            return
        rows = [device for device in devices if isinstance(device, Mapping)]
        gpus = tuple(
            tuple(decode_text(row, key) for key in ("name", "uuid", "bus_id")) for row in rows
        )
        board, driver = decode_text(body, "board"), decode_text(body, "driver")
        version = decode_text(body, "driver_version")
        self._stepper.step(s.Identified(board, driver, version, gpus))

    def _take_unavailable(self, body: Mapping[str, Any]) -> None:
        self._stepper.step(s.Unavailable(decode_text(body, "text")))

    def _take_faults(self, body: Mapping[str, Any]) -> None:
        """Faults by number: each is told once, whoever sends it again."""
        server, first, rows = body.get("server"), body.get("first"), body.get("faults")
        is_list = isinstance(rows, list | tuple)
        if type(server) is not int or type(first) is not int or rows is None or not is_list:
            self.hk.malformed += 1
            return
        is_known = server == self._marks.origin
        self._marks.meet(server)
        for number, plain in enumerate(rows[:MOST_ROWS], first):
            missed = self._marks.begin(number)
            if missed is None:
                continue
            if missed and (is_known or number > first):
                self.hk.faults_lost += missed
                self.faults_missed(missed)
            is_known = True
            self._take_fault(decode_fault(plain, server, number), number)
        self._keep_marks()

    def _take_fault(self, found: Fault | None, number: int) -> None:
        instructions: Sequence[object] = ()
        if found is None:
            self.hk.malformed += 1
        else:
            self.hk.faults += 1
            if found.kind is FaultKind.XID:
                self.hk.last_xid = max(0, found.code)
            instructions = self._stepper.step(s.Reported(found))
        if not any(isinstance(told, s.NotifyFault) for told in instructions):
            self._marks.end(self._marks.origin or 0, number)  # it concerns nobody

    def _pass_on(self) -> None:
        """Tell others of faults, in order; what they do not take waits."""
        while self._untaken:
            fault = self._untaken[0]
            taken = partial(self.port.post_answer, partial(self._taken, fault))
            if not self._signals.fault(fault, taken):
                self.port.wake()
                return
            self._untaken.popleft()

    def _taken(self, fault: Fault) -> None:
        self._marks.end(fault.origin, fault.sequence)
        self._keep_marks()

    def _keep_marks(self) -> None:
        """What was heard is acknowledged once a successor would know of it as well."""
        heard = (self._marks.origin, self._marks.heard)
        if heard == self._kept:
            return
        self._kept = heard

        def acknowledge() -> None:
            self._board.send("heard", {"server": heard[0], "upto": heard[1]})

        if self._saved is None:
            acknowledge()
        else:
            self._saved.keep(self._marks.content(), acknowledge)

    def _take_done(self, body: Mapping[str, Any]) -> None:
        if not self._controls.take(body):
            self.hk.stale_answers += 1

    # ------------------------------------------------------------ doing

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.NotifyFault():
                self._untaken.append(instruction.fault)
                self._pass_on()
            case s.NotifyBack():
                self._signals.back(instruction.device)
            case s.NotifySilent():
                self._signals.silent(instruction.is_silent)
            case s.AnswerReaders():
                self._answer_readers()

    def _answer_readers(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.complete()
