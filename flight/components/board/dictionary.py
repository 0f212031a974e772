"""What ground sees of the board monitor: housekeeping, parameters, events and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from flight.components.board.places import Place
from flight.framework.component import Port, Severity, event, report
from hal.boards import Thresholds
from hal.reading import Validity
from icd.fields import (
    F32,
    F64,
    U8,
    U16,
    U32,
    U64,
    Count,
    Limits,
    Text16,
    Text32,
    Text64,
    Text128,
    Unit,
    Wire,
)


@dataclass(frozen=True)
class PowerLimit:
    """What the board says its limit now is."""

    limit: Annotated[F32, "power limit read back", Unit("W")]


@dataclass(frozen=True)
class Readings:
    """How many readings there are."""

    rows: Annotated[U16, "reports named reading that follow"]


@dataclass
class BoardHousekeeping:
    device: Annotated[U8, "the GPU these fields are of: a lost one, else the hottest"] = 0
    devices: Annotated[U8, "GPUs on the board"] = 0
    power_w: Annotated[F32, "power drawn", Unit("W")] = 0.0
    power_limit_w: Annotated[F32, "power limit in force", Unit("W")] = 0.0
    temperature_c: Annotated[F32, "GPU temperature", Unit("°C"), Limits(-40, 95)] = 0.0
    memory_temperature_c: Annotated[F32, "memory temperature", Unit("°C"), Limits(-40, 95)] = 0.0
    sm_clock_mhz: Annotated[F32, "clock of the processors", Unit("MHz")] = 0.0
    utilisation_percent: Annotated[F32, "time with a kernel running", Unit("%")] = 0.0
    memory_used_mib: Annotated[F32, "device memory in use", Unit("MiB")] = 0.0
    memory_total_mib: Annotated[F32, "device memory", Unit("MiB")] = 0.0
    energy_j: Annotated[F64, "energy used since the driver started", Unit("J")] = 0.0
    throttle_reasons: Annotated[U64, "why the clock is held down: NVML's bits"] = 0
    ecc_corrected: Annotated[U64, "corrected memory errors since the driver started"] = 0
    ecc_uncorrected: Annotated[
        U64, "uncorrected memory errors since the driver started", Limits(0, 0)
    ] = 0
    remapped_rows: Annotated[U32, "memory rows replaced by spare ones"] = 0
    pcie_replays: Annotated[U32, "bus packets sent again"] = 0
    processes: Annotated[U16, "processes computing on it"] = 0
    host_cpu_percent: Annotated[F32, "use of the computer's processors", Unit("%")] = 0.0
    host_load: Annotated[F32, "processes that wanted to run, over a minute"] = 0.0
    host_memory_used_mib: Annotated[F32, "memory of the computer in use", Unit("MiB")] = 0.0
    host_memory_total_mib: Annotated[F32, "memory of the computer", Unit("MiB")] = 0.0
    host_disk_free_mib: Annotated[F32, "room for products and commits", Unit("MiB")] = 0.0
    host_temperature_c: Annotated[
        F32, "hottest place of the computer", Unit("°C"), Limits(-40, 95)
    ] = 0.0
    validity: Annotated[
        tuple[int, ...],
        Wire("B"),
        Count(21),
        "of each field from power_w to host_temperature_c: 0 valid, 1 stale, 2 unsupported, "
        "3 error, 4 out of range, 5 lost",
    ] = (1,) * 21
    readings_age_ms: Annotated[U32, "since the last readings came", Unit("ms")] = 0
    messages: Annotated[U32, "messages of readings taken"] = 0
    malformed: Annotated[U32, "messages or rows refused"] = 0
    stale_answers: Annotated[U32, "answers to nothing that was asked, or too late"] = 0
    faults: Annotated[U32, "faults reported by the driver"] = 0
    faults_lost: Annotated[U32, "faults that the board server could not keep, since boot"] = 0
    last_xid: Annotated[U32, "code of the last XID; 0 before the first"] = 0


@dataclass(frozen=True)
class BoardParameters:
    stale_s: Annotated[F32, "age at which readings are stale", Unit("s"), Limits(0.5, 3600)] = 2.0
    warning_c: Annotated[
        F32,
        "GPU temperature that warns; at first as the board's row says",
        Unit("°C"),
        Limits(0, 120),
    ] = 83.0
    hysteresis_c: Annotated[F32, "how far below it is well again", Unit("°C"), Limits(0, 30)] = 3.0
    calm_s: Annotated[F32, "without throttling until it is over", Unit("s"), Limits(0, 600)] = 5.0
    critical_c: Annotated[F32, "GPU temperature that is critical", Unit("°C"), Limits(0, 130)] = (
        87.0
    )
    warning_w: Annotated[
        F32, "power of a GPU, or of a Jetson, that warns; 0: none does", Unit("W"), Limits(0, 4000)
    ] = 0.0

    @classmethod
    def of(cls, thresholds: Thresholds) -> BoardParameters:
        """Those that a payload on such a board starts with."""
        return cls(
            warning_c=thresholds.warning_c,
            critical_c=thresholds.critical_c,
            warning_w=thresholds.warning_w or 0.0,
        )


class BoardEvents:
    """The events and reports of `BoardMonitor`."""

    port: Port

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
    def throttled(self, device: Place, reasons: U64, labels: Text64) -> None:
        """{device} is slowed down: {labels} ({reasons:#x})."""

    @event(5, Severity.INFO)
    def throttle_cleared(self, device: Place) -> None:
        """{device} runs at full speed again."""

    @event(6, Severity.HIGH)
    def device_lost(self, device: Place, reason: Text64) -> None:
        """{device} is lost: {reason}."""

    @event(7, Severity.INFO)
    def device_back(self, device: Place) -> None:
        """{device} answers again."""

    @event(8, Severity.LOW)
    def xid_minor(self, device: Place, code: U32, text: Text64) -> None:
        """{device}: XID {code}, for the record: {text}."""

    @event(9, Severity.MEDIUM)
    def xid(self, device: Place, code: U32, text: Text64) -> None:
        """{device}: XID {code}, a job was hit: {text}."""

    @event(10, Severity.HIGH)
    def xid_fatal(self, device: Place, code: U32, text: Text64) -> None:
        """{device}: XID {code}, it needs a reset or more: {text}."""

    @event(11, Severity.MEDIUM)
    def fault(self, device: Place, code: U32, text: Text64) -> None:
        """{device}: {text} (driver event {code:#x})."""

    @event(12, Severity.MEDIUM)
    def temperature_warning(self, device: Place, temperature: Annotated[F32, Unit("°C")]) -> None:
        """{device} is at {temperature:.1f} °C, above its warning limit."""

    @event(15, Severity.HIGH)
    def temperature_critical(self, device: Place, temperature: Annotated[F32, Unit("°C")]) -> None:
        """{device} is at {temperature:.1f} °C, above its critical limit."""

    @event(16, Severity.LOW)
    def power_warning(self, device: Place, power: Annotated[F32, Unit("W")]) -> None:
        """{device} draws {power:.0f} W, more than its warning limit."""

    @event(17, Severity.INFO)
    def power_normal(self, device: Place, power: Annotated[F32, Unit("W")]) -> None:
        """{device} draws {power:.0f} W again."""

    @event(13, Severity.INFO)
    def temperature_normal(self, device: Place, temperature: Annotated[F32, Unit("°C")]) -> None:
        """{device} is back at {temperature:.1f} °C."""

    @event(14, Severity.MEDIUM)
    def board_unavailable(self, reason: Text128) -> None:
        """The board cannot be opened: {reason}."""

    @event(18, Severity.INFO)
    def gpu_identified(self, device: Place, name: Text64, uuid: Text64, bus_id: Text32) -> None:
        """{device} is {name}, {uuid}, at {bus_id}."""

    @event(19, Severity.HIGH)
    def faults_missed(self, count: U32) -> None:
        """{count} faults are lost: more came than the board server keeps."""

    @event(20, Severity.MEDIUM)
    def device_mute(self, device: Place, reason: Text64) -> None:
        """{device} answers nothing that can be believed: {reason}."""

    @event(21, Severity.INFO)
    def device_answers(self, device: Place) -> None:
        """{device} gives values again."""

    @event(22, Severity.MEDIUM)
    def standing_still(self, device: Place, seconds: Annotated[F32, Unit("s")]) -> None:
        """{device} computes, but its readings have not moved at all for {seconds:.0f} s."""

    @event(23, Severity.INFO)
    def moving_again(self, device: Place) -> None:
        """{device}: readings move again."""

    @event(24, Severity.LOW)
    def counters_back(self, device: Place, names: Text128) -> None:
        """{device}: counters went back, rates begin anew: {names}."""

    @report(1)
    def reading(  # type: ignore[empty-body]
        self,
        device: Place,
        name: Text32,
        value: Annotated[F64, "0 where nothing was ever measured: see validity"],
        validity: Validity,
        unit: Text16,
    ) -> bool:
        """One reading of one GPU, or of the computer."""
