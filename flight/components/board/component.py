"""The board monitor: readings and faults of the board as telemetry, and its power limit.

What is to be told is decided in `lifecycle`; this file checks what the board server says and has
it told.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from flight.components.board import stimuli as s
from flight.components.board.controls import Answered, BoardControls, ControlAnswer, busy
from flight.components.board.dictionary import (
    BoardEvents,
    BoardHousekeeping,
    BoardParameters,
    Device,
    PowerLimit,
    Readings,
)
from flight.components.board.lifecycle import BoardLifecycle
from flight.components.board.notifications import BoardNotifications, DevicePicture
from flight.components.board.readings import (
    MOST_DEVICES,
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
from flight.framework.ports import Worker, WorkerMessage
from hal.device import FaultKind
from icd.fields import F32, Limits, Unit

MOST_PENDING = 8
LOG_LENGTH = 256
"""Stimuli kept for replay: a message of readings may hold a thousand rows."""
UNCHANGED = s.Readings()


class BoardMonitor(Component[BoardHousekeeping, BoardParameters], BoardEvents):
    """Watches the GPUs: keeps their readings with validity, tells what changes, sets the limit."""

    def __init__(
        self,
        port: Port,
        board: Worker,
        signals: BoardNotifications | None = None,
        parameters: BoardParameters | None = None,
    ) -> None:
        super().__init__(port)
        self.parameters = parameters or self.parameters
        self._board = board
        self._signals = signals or BoardNotifications()
        self.log: deque[tuple[int, s.Stimulus]] = deque(maxlen=LOG_LENGTH)
        self.core = BoardLifecycle(s.Bounds.of(self.parameters), self.log)
        self._stepper: Stepper[s.Stimulus, s.Instruction] = Stepper(self, self.core, self._do)
        self._stamp = -1
        self._pid = 0
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
        due = self.core.next_due()
        if due is not None and now >= due:
            self._stepper.step(s.Tick())
            return None
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
        stamp, rows = body.get("time"), body.get("rows")
        if self._board.pid != self._pid:
            self._pid, self._stamp = self._board.pid, -1
        is_list = isinstance(rows, list | tuple) and len(rows) <= MOST_ROWS
        if not isinstance(stamp, int) or stamp < self._stamp or rows is None or not is_list:
            self.hk.malformed += 1
            return
        self._stamp = stamp
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
        first = devices[0] if devices else {}
        name = decode_text(first, "name") if isinstance(first, Mapping) else ""
        board, driver = decode_text(body, "board"), decode_text(body, "driver")
        version = decode_text(body, "driver_version")
        self._stepper.step(s.Identified(board, driver, version, len(devices), name))

    def _take_unavailable(self, body: Mapping[str, Any]) -> None:
        self._stepper.step(s.Unavailable(decode_text(body, "text")))

    def _take_faults(self, body: Mapping[str, Any]) -> None:
        rows = body.get("faults")
        if not isinstance(rows, list | tuple):
            self.hk.malformed += 1
            return
        lost = body.get("lost")
        self.hk.faults_lost = lost if isinstance(lost, int) else self.hk.faults_lost
        alike: Counter[Fault] = Counter()
        for plain in rows[:MOST_ROWS]:
            found = decode_fault(plain)
            if found is None:
                self.hk.malformed += 1
                continue
            self.hk.faults += 1
            if found.kind is FaultKind.XID:
                self.hk.last_xid = max(0, found.code)
            alike[found] += 1
            self._stepper.step(s.Reported(replace(found, sequence=alike[found] - 1)))

    def _take_done(self, body: Mapping[str, Any]) -> None:
        if not self._controls.take(body):
            self.hk.stale_answers += 1

    # ------------------------------------------------------------ doing

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.NotifyFault():
                self._signals.fault(instruction.fault)
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
