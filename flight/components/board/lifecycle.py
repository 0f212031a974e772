"""Decides what is told of the board: what changed, once, and when it is over.

state of a GPU   told on entry          left when
lost             device_lost            no reading is LOST any more: device_back
hot              temperature_warning    below the limit less the hysteresis: temperature_normal
critical         temperature_critical   below that limit less the hysteresis
greedy           power_warning          at 95 % of the limit or less: power_normal
throttled        throttled              without a reason for `calm_ns`: throttle_cleared
mute             device_mute            a reading is VALID: device_answers
still            standing_still         power, energy, heat or use change: moving_again

state of the board
stale            readings_stale         readings come: readings_back
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from itertools import chain

from flight.components.board import stimuli as s
from flight.components.board.dictionary import BoardEvents
from flight.components.board.gpu import Gpu, keep
from flight.components.board.notifications import DevicePicture
from flight.components.board.places import COMPUTER, UNKNOWN
from flight.components.board.readings import (
    THROTTLING,
    Fault,
    Row,
    throttle_labels,
    xid_severity,
)
from flight.framework.lifecycle import Lifecycle
from flight.framework.time_units import SECOND
from hal.device import FaultKind
from icd.dictionary import Severity

STILL = 60 * SECOND
"""A GPU that computes, and whose noisy readings are the same to the last bit for so long, is
measured by nobody."""
WELL_BELOW = 0.95
"""Share of its limit at which power is normal again."""
XID_EVENTS = {
    Severity.LOW: BoardEvents.xid_minor,
    Severity.MEDIUM: BoardEvents.xid,
    Severity.HIGH: BoardEvents.xid_fatal,
}


class BoardLifecycle(Lifecycle[s.Stimulus, s.Instruction]):
    """The readings of one board, and what was told of them; `step` is the only way in."""

    def __init__(
        self,
        bounds: s.Bounds,
        log: MutableSequence[tuple[int, s.Stimulus]] | None = None,
    ) -> None:
        super().__init__(log)
        self.bounds = bounds
        self.gpus: dict[int, Gpu] = {}
        self.computer: dict[str, Row] = {}
        """The readings of the computer itself, by name."""
        self.received: int | None = None
        """When readings came last; None: none have come."""
        self.is_stale = True
        self.revision = 0
        """Rises when a reading changes, or how far readings can be believed."""
        self._are_readings_wanted = False
        self._identities: dict[int, tuple[str, ...]] = {}
        """Name, UUID and bus id of each GPU, as they were told."""

    # ------------------------------------------------------------ what it knows

    def next_due(self) -> int | None:
        """When readings that stay away are stale, in on-board ns."""
        if self.is_stale or self.received is None:
            return None
        return self.received + self.bounds.stale_ns

    def worst(self) -> Gpu:
        """The GPU that is worst off; one without readings when there is none."""
        return max(self.gpus.values(), key=lambda gpu: gpu.badness, default=Gpu(0))

    def rows(self) -> list[Row]:
        """Every reading as it came last: first those of the GPUs, then the computer's."""
        of_gpus = (gpu.rows.values() for _, gpu in sorted(self.gpus.items()))
        return [*chain.from_iterable(of_gpus), *self.computer.values()]

    def picture(self) -> list[DevicePicture]:
        """Every device as the newest readings show it."""
        received = -1 if self.received is None else self.received
        return [gpu.picture(received, self.is_stale) for _, gpu in sorted(self.gpus.items())]

    # ------------------------------------------------------------ taking stimuli

    def _take(self, stimulus: s.Stimulus) -> None:
        match stimulus:
            case s.Readings():
                self._take_readings(stimulus.rows)
            case s.Reported():
                self._take_fault(stimulus.fault)
            case s.Identified():
                self._identify(stimulus)
            case s.Unavailable():
                self._tell(BoardEvents.board_unavailable, stimulus.reason)
            case s.ReadingsWanted():
                self._are_readings_wanted = True
            case s.SetBounds():
                self.bounds = stimulus.bounds
            case s.Tick():
                self._tick()

    def _identify(self, told: s.Identified) -> None:
        """Say what the board is, and of each GPU which one it is, where that is new."""
        first = told.gpus[0][0] if told.gpus else ""
        board = (told.board, told.driver, told.version, len(told.gpus), first)
        self._tell(BoardEvents.board_identified, *board)
        for number, identity in enumerate(told.gpus):
            if any(identity[1:]) and identity != self._identities.get(number):
                self._identities[number] = identity
                name, uuid, bus_id = identity
                self._tell(BoardEvents.gpu_identified, number, name, uuid, bus_id)

    def _tick(self) -> None:
        due = self.next_due()
        if due is None or self.received is None or self._now < due:
            return
        self.is_stale = True
        self.revision += 1
        self._tell(BoardEvents.readings_stale, (self._now - self.received) / SECOND)
        self._out.append(s.NotifySilent(True))

    def _take_fault(self, fault: Fault) -> None:
        device, code, text = fault.device, max(0, fault.code), fault.text
        if fault.kind is FaultKind.LOST and device != UNKNOWN:
            self._lose(self._gpu(device), fault)
            return  # it is passed on as it is told: once
        if fault.kind is FaultKind.XID:
            self._tell(XID_EVENTS[xid_severity(code)], device, code, text)
        elif fault.kind is not FaultKind.ECC_CORRECTED:  # those are counted by the driver
            self._tell(BoardEvents.fault, device, code, text)
        self._out.append(s.NotifyFault(fault))

    def _take_readings(self, rows: Sequence[Row]) -> None:
        for row in rows:
            keep(self.computer if row.device == COMPUTER else self._gpu(row.device).rows, row)
        if rows or self.is_stale:
            self.revision += 1
        if self.is_stale and self.received is not None:
            self._tell(BoardEvents.readings_back)
            self._out.append(s.NotifySilent(False))
        self.is_stale, self.received = False, self._now
        if self._are_readings_wanted:
            self._are_readings_wanted = False
            self._out.append(s.AnswerReaders())
        for gpu in self.gpus.values():
            self._look_at(gpu, is_new=bool(rows))

    def _gpu(self, device: int) -> Gpu:
        return self.gpus.get(device) or self.gpus.setdefault(device, Gpu(device))

    # ------------------------------------------------------------ one GPU

    def _lose(self, gpu: Gpu, fault: Fault) -> None:
        if gpu.is_lost:
            return
        gpu.is_lost = True
        self._tell(BoardEvents.device_lost, gpu.device, fault.text)
        self._out.append(s.NotifyFault(fault))

    def _look_at(self, gpu: Gpu, *, is_new: bool) -> None:
        """Readings have come: tell what they changed, where they did."""
        reason = gpu.why_lost()
        if reason is not None:
            self._lose(gpu, Fault(gpu.device, FaultKind.LOST, 0, reason, self._now))
            return
        if gpu.is_lost:
            gpu.is_lost = False
            self._tell(BoardEvents.device_back, gpu.device)
            self._out.append(s.NotifyBack(gpu.device))
        if is_new:
            gpu.look(self._now)
            if fallen := gpu.fallen():
                self._tell(BoardEvents.counters_back, gpu.device, ", ".join(fallen))
        if gpu.is_mute or gpu.mute_reason is not None or gpu.mute_since is not None:
            self._look_if_mute(gpu)
        if gpu.is_still or gpu.is_busy:
            self._look_if_still(gpu)
        else:
            gpu.moved = self._now  # it has no need to move
        temperature, power = gpu.value("temperature_c"), gpu.value("power_w")
        reasons = gpu.value("throttle_reasons")
        if temperature is not None:
            self._look_at_temperature(gpu, temperature)
        if power is not None:
            self._look_at_power(gpu, power)
        if reasons is not None:
            self._look_at_throttle(gpu, int(reasons))

    def _look_if_mute(self, gpu: Gpu) -> None:
        """Tell when all its readings have failed for a while, and when they are back."""
        why = gpu.mute_reason
        if why is None:
            gpu.mute_since = None
            if gpu.is_mute:
                gpu.is_mute = False
                self._tell(BoardEvents.device_answers, gpu.device)
            return
        if gpu.mute_since is None:
            gpu.mute_since = self._now
        if not gpu.is_mute and self._now - gpu.mute_since >= self.bounds.stale_ns:
            gpu.is_mute = True
            self._tell(BoardEvents.device_mute, gpu.device, why)

    def _look_if_still(self, gpu: Gpu) -> None:
        """Tell when nothing about a GPU that computes moves: who measures it may be dead."""
        if gpu.moved == self._now or not gpu.is_busy:
            if gpu.is_still:
                gpu.is_still = False
                self._tell(BoardEvents.moving_again, gpu.device)
        elif not gpu.is_still and self._now - gpu.moved >= STILL:
            gpu.is_still = True
            still_s = (self._now - gpu.moved) / SECOND
            self._tell(BoardEvents.standing_still, gpu.device, still_s)

    def _look_at_temperature(self, gpu: Gpu, temperature: float) -> None:
        """Tell when it warns and when it is well again. °C in."""
        bounds = self.bounds
        if not gpu.is_hot and temperature > bounds.warning_c:
            gpu.is_hot = True
            self._tell(BoardEvents.temperature_warning, gpu.device, temperature)
        elif gpu.is_hot and temperature < bounds.warning_c - bounds.hysteresis_c:
            gpu.is_hot = False
            self._tell(BoardEvents.temperature_normal, gpu.device, temperature)
        if not gpu.is_critical and temperature > bounds.critical_c:
            gpu.is_critical = True
            self._tell(BoardEvents.temperature_critical, gpu.device, temperature)
        elif temperature < bounds.critical_c - bounds.hysteresis_c:
            gpu.is_critical = False

    def _look_at_power(self, gpu: Gpu, power: float) -> None:
        """Tell when it warns and when it is normal again. W in."""
        limit = self.bounds.warning_w
        if not gpu.is_greedy and 0.0 < limit < power:
            gpu.is_greedy = True
            self._tell(BoardEvents.power_warning, gpu.device, power)
        elif gpu.is_greedy and power <= limit * WELL_BELOW:
            gpu.is_greedy = False
            self._tell(BoardEvents.power_normal, gpu.device, power)

    def _look_at_throttle(self, gpu: Gpu, reasons: int) -> None:
        """Tell of each new reason, and when there has been none for a while. NVML's bits in."""
        throttle = reasons & THROTTLING
        if throttle:
            gpu.throttled_ns = self._now
            if throttle & ~gpu.throttle:
                gpu.throttle |= throttle
                self._tell(BoardEvents.throttled, gpu.device, reasons, throttle_labels(throttle))
        elif gpu.throttle and self._now - gpu.throttled_ns >= self.bounds.calm_ns:
            gpu.throttle = 0
            self._tell(BoardEvents.throttle_cleared, gpu.device)
