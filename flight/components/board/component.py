"""The board monitor: readings and faults of the board as telemetry, and its power limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any

from flight.components.board.controls import Answered, BoardControls, ControlAnswer, busy
from flight.components.board.dictionary import (
    BoardHousekeeping,
    BoardParameters,
    Device,
    PowerLimit,
    Readings,
)
from flight.components.board.lifecycle import Bounds, Gpu, Telling, keep
from flight.components.board.notifications import BoardNotifications, DevicePicture
from flight.components.board.readings import (
    COMPUTER,
    MOST_DEVICES,
    MOST_ROWS,
    Fault,
    Row,
    decode_fault,
    decode_row,
    decode_text,
    show,
    validity_of,
    xid_severity,
)
from flight.framework.component import (
    Component,
    FailureCode,
    Pending,
    Port,
    Refused,
    Severity,
    command,
    event,
    report,
)
from flight.framework.ports import Worker, WorkerMessage
from flight.framework.time_units import SECOND
from hal.device import FaultKind
from hal.reading import Validity
from icd.fields import (
    F32,
    F64,
    U8,
    U32,
    U64,
    Limits,
    Text16,
    Text32,
    Text64,
    Text128,
    Unit,
)

MOST_PENDING = 8


class BoardMonitor(Component[BoardHousekeeping, BoardParameters]):
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
        self._gpus: dict[int, Gpu] = {}
        self._computer: dict[str, Row] = {}
        self._received_ns: int | None = None
        self._stamp = -1
        self._pid = 0
        self._is_stale = True
        self._rows: Sequence[Any] = ()
        self._is_shown = False
        """Whether `hk` is made of the present readings."""
        self._controls = BoardControls(board)
        self._readers: list[Pending[Any]] = []
        self._bounds = Bounds.of(self.parameters)
        board.on_message(self._take)

    @command(1, critical=True)
    def set_power_limit(
        self,
        device: Device,
        watts: Annotated[F32, "the new limit", Unit("W"), Limits(1, 2000)],
    ) -> Pending[PowerLimit]:
        """Cap the power of one GPU, if the configuration allows the payload to control it."""
        if self._gpus and device not in self._gpus:
            known = ", ".join(map(str, sorted(self._gpus)))
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
            validity = validity_of(row, self._is_stale)
            self.reading(  # type: ignore[call-arg]
                row.device, row.quantity, value, validity, row.unit, station=pending.source
            )
        pending.complete(Readings(len(rows)))
        return pending

    @event(1, Severity.INFO)
    def board_identified(
        self, board: Text32, driver: Text32, version: Text32, devices: U8, first: Text64
    ) -> None:
        """Board {board}: {devices} GPU(s), the first {first}; driver {driver} {version}."""

    @event(2, Severity.MEDIUM)
    def readings_stale(self, age: Annotated[F32, Unit("s")]) -> None:
        """No readings of the board for {age:.1f} s: all are stale."""

    @event(3, Severity.INFO)
    def readings_back(self) -> None:
        """Readings of the board come again."""

    @event(4, Severity.LOW)
    def throttled(self, device: Device, reasons: U64, labels: Text64) -> None:
        """GPU {device} is slowed down: {labels} ({reasons:#x})."""

    @event(5, Severity.INFO)
    def throttle_cleared(self, device: Device) -> None:
        """GPU {device} runs at full speed again."""

    @event(6, Severity.HIGH)
    def device_lost(self, device: Device, reason: Text64) -> None:
        """GPU {device} is lost: {reason}."""

    @event(7, Severity.INFO)
    def device_back(self, device: Device) -> None:
        """GPU {device} answers again."""

    @event(8, Severity.LOW)
    def xid_minor(self, device: Device, code: U32, text: Text64) -> None:
        """GPU {device}: XID {code}, for the record: {text}."""

    @event(9, Severity.MEDIUM)
    def xid(self, device: Device, code: U32, text: Text64) -> None:
        """GPU {device}: XID {code}, a job was hit: {text}."""

    @event(10, Severity.HIGH)
    def xid_fatal(self, device: Device, code: U32, text: Text64) -> None:
        """GPU {device}: XID {code}, it needs a reset or more: {text}."""

    @event(11, Severity.MEDIUM)
    def fault(self, device: Device, code: U32, text: Text64) -> None:
        """GPU {device}: {text} (driver event {code:#x})."""

    @event(12, Severity.MEDIUM)
    def temperature_warning(self, device: Device, temperature: Annotated[F32, Unit("°C")]) -> None:
        """GPU {device} is at {temperature:.1f} °C, above its warning limit."""

    @event(15, Severity.HIGH)
    def temperature_critical(self, device: Device, temperature: Annotated[F32, Unit("°C")]) -> None:
        """GPU {device} is at {temperature:.1f} °C, above its critical limit."""

    @event(16, Severity.LOW)
    def power_warning(self, device: Device, power: Annotated[F32, Unit("W")]) -> None:
        """GPU {device} draws {power:.0f} W, more than its warning limit."""

    @event(17, Severity.INFO)
    def power_normal(self, device: Device, power: Annotated[F32, Unit("W")]) -> None:
        """GPU {device} draws {power:.0f} W again."""

    @event(13, Severity.INFO)
    def temperature_normal(self, device: Device, temperature: Annotated[F32, Unit("°C")]) -> None:
        """GPU {device} is back at {temperature:.1f} °C."""

    @event(14, Severity.MEDIUM)
    def board_unavailable(self, reason: Text128) -> None:
        """The board cannot be opened: {reason}."""

    @report(1)
    def reading(  # type: ignore[empty-body]
        self,
        device: Annotated[U8, "number of the GPU, from 0; 254: the computer itself"],
        name: Text32,
        value: Annotated[F64, "0 where nothing was ever measured: see validity"],
        validity: Validity,
        unit: Text16,
    ) -> bool:
        """One reading of one GPU, or of the computer."""

    def run(self, now: int) -> int | None:
        """Notice readings that stay away. On-board ns in, next due time out."""
        if self._is_stale or self._received_ns is None:
            return None
        due = self._received_ns + int(self.parameters.stale_s * SECOND)
        if now < due:
            return due
        self._is_stale, self._is_shown = True, False
        self.readings_stale((now - self._received_ns) / SECOND)
        self._signals.silent(True)
        return None

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
        of_gpus = (gpu.rows.values() for _, gpu in sorted(self._gpus.items()))
        return [*chain.from_iterable(of_gpus), *self._computer.values()]

    def picture(self) -> list[DevicePicture]:
        """Every device as the newest readings show it."""
        received = -1 if self._received_ns is None else self._received_ns
        return [gpu.picture(received, self._is_stale) for _, gpu in sorted(self._gpus.items())]

    def parameters_changed(self) -> None:
        """The next step looks at the age of the readings with the new limit."""
        self._bounds = Bounds.of(self.parameters)
        self.port.wake()

    def housekeeping(self) -> bytes:
        """The fields of the worst GPU, packed."""
        self.refresh()
        return super().housekeeping()

    def refresh(self) -> None:
        """Bring `hk` up to date; only done when somebody looks."""
        hk, received = self.hk, self._received_ns
        hk.devices = len(self._gpus)
        if received is None:
            return
        hk.readings_age_ms = (self.port.clock() - received) // 1_000_000
        if self._is_shown:
            return
        self._is_shown = True
        worst = max(self._gpus.values(), key=lambda gpu: gpu.badness, default=Gpu(0))
        hk.device = worst.device
        show(hk, {**worst.rows, **self._computer}, is_stale=self._is_stale)

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
        now = self.port.clock()
        self._stamp = stamp
        if rows != self._rows:
            self._take_rows(rows)
        self.hk.messages += 1
        self._fresh(now)
        for gpu in self._gpus.values():
            self._tell(gpu.look(now, self._bounds))
        self.port.wake()

    def _take_rows(self, rows: Sequence[Any]) -> None:
        """Check and keep readings that are not octet for octet those of the last message."""
        self._rows = rows
        self._is_shown = False
        for plain in rows:
            row = decode_row(plain)
            if row is None:
                self.hk.malformed += 1
                self._rows = ()  # the same message again counts again
                continue
            if row.device == COMPUTER:
                keep(self._computer, row)
                continue
            gpu = self._gpus.get(row.device) or self._gpu(row.device)
            gpu.take(row)

    def _fresh(self, now: int) -> None:
        self._is_shown = self._is_shown and not self._is_stale
        if self._is_stale and self._received_ns is not None:
            self.readings_back()
            self._signals.silent(False)
        self._is_stale, self._received_ns = False, now
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.complete()

    def _take_identity(self, body: Mapping[str, Any]) -> None:
        devices = body.get("devices")
        if not isinstance(devices, list | tuple) or len(devices) > MOST_DEVICES:
            self.hk.malformed += 1
            return
        first = devices[0] if devices else {}
        name = decode_text(first, "name") if isinstance(first, Mapping) else ""
        board, driver = decode_text(body, "board"), decode_text(body, "driver")
        version = decode_text(body, "driver_version")
        self.board_identified(board, driver, version, len(devices), name)

    def _take_unavailable(self, body: Mapping[str, Any]) -> None:
        self.board_unavailable(decode_text(body, "text"))

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
            alike[found] += 1
            self._tell_fault(replace(found, sequence=alike[found] - 1))

    def _tell_fault(self, found: Fault) -> None:
        device, code, text = max(0, found.device), max(0, found.code), found.text
        if found.kind is FaultKind.XID:
            self.hk.last_xid = code
            tell = {Severity.LOW: self.xid_minor, Severity.HIGH: self.xid_fatal}
            tell.get(xid_severity(code), self.xid)(device, code, text)
        elif found.kind is FaultKind.LOST:
            self._tell(self._gpu(device).lose(text))
            return  # it is passed on as it is told: once
        elif found.kind is not FaultKind.ECC_CORRECTED:  # those are counted by the driver
            self.fault(device, code, text)
        self._signals.fault(found)

    def _take_done(self, body: Mapping[str, Any]) -> None:
        if not self._controls.take(body):
            self.hk.stale_answers += 1

    def _gpu(self, device: int) -> Gpu:
        return self._gpus.setdefault(device, Gpu(device))

    def _tell(self, tellings: Iterable[Telling]) -> None:
        for name, arguments in tellings:
            getattr(self, name)(*arguments)
            if name == "device_lost":
                lost = Fault(arguments[0], FaultKind.LOST, 0, arguments[1], self.port.clock())
                self._signals.fault(lost)
            elif name == "device_back":
                self._signals.back(arguments[0])
