"""Protection that follows radiation: how much there is, by forecast and by what is measured, and
at which level adaptive jobs run.

What is to be done is decided in `lifecycle.py`; this file has it done.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

from flight.components.protection import forecast_file
from flight.components.protection import stimuli as s
from flight.components.protection.dictionary import (
    Loaded,
    ProtectionEvents,
    ProtectionHousekeeping,
    ProtectionParameters,
)
from flight.components.protection.error_rate import HOUR
from flight.components.protection.forecast import Forecast, ForecastError, Pass
from flight.components.protection.lifecycle import ProtectionLifecycle
from flight.components.protection.notifications import RadiationNotifications
from flight.components.protection.ports import Errors, Jobs
from flight.fault_tolerance.levels import Level
from flight.framework.component import (
    Component,
    FailureCode,
    Pending,
    Port,
    Refused,
    command,
)
from flight.framework.lifecycle import Stepper
from flight.framework.ports import Section, Storage
from flight.framework.time_units import SECOND
from flight.storage.file_names import FileNames
from flight.storage.script import Script, StorageFailed, perform
from icd.fields import Text128

POLL_NS = 10 * SECOND
AGAIN_NS = SECOND
LOG_LENGTH = 1024


class Protection(Component[ProtectionHousekeeping, ProtectionParameters], ProtectionEvents):
    """Decides at which level adaptive jobs run: by forecast, by measured errors, or by command."""

    def __init__(
        self,
        port: Port,
        storage: Storage,
        jobs: Jobs,
        errors: Errors,
        saved: Section,
        signals: RadiationNotifications,
        files: FileNames,
    ) -> None:
        super().__init__(port)
        self._storage = storage
        self._jobs = jobs
        self._errors = errors
        self._saved = saved
        self._signals = signals
        self._files = files
        self.core = ProtectionLifecycle(self.parameters.policy(), deque(maxlen=LOG_LENGTH))
        self._stepper = Stepper(self, self.core, self._do)
        self._read_at: int | None = None

    # ------------------------------------------------------------ telecommands

    @command(1, timeout_s=30.0)
    def load_forecast(
        self, file: Annotated[Text128, "a forecast in the file store"]
    ) -> Pending[Loaded]:
        """Follow this forecast from now on; completed once it is kept across a restart."""
        self._must_be_restored()
        try:
            path = self._files(file)
        except ValueError as error:
            raise Refused(str(error), FailureCode.ARGUMENT_RANGE) from None
        pending = self.defer()

        def script() -> Script[Forecast]:
            forecast, octets = yield from forecast_file.load(path, file)
            self._must_be_useful(forecast)
            yield from forecast_file.keep(octets)
            return forecast

        def stored(forecast: Forecast) -> None:
            self._stepper.step(s.Load(forecast))
            now = self._tai()
            begin_h, end_h = ((at - now) / HOUR for at in (forecast.begin, forecast.end))
            pending.complete(Loaded(len(forecast.passes), begin_h, end_h))

        self._perform(script(), stored, pending)
        return pending

    @command(2)
    def drop_forecast(self) -> Pending[None]:
        """Follow no forecast; adaptive jobs go by the measured errors only."""
        self._must_be_restored()
        pending = self.defer()

        def dropped(_: None) -> None:
            self._stepper.step(s.Drop())
            pending.complete()

        self._perform(forecast_file.discard(), dropped, pending)
        return pending

    @command(3)
    def set_level(
        self, level: Annotated[Level, "of adaptive jobs, whatever radiation does"]
    ) -> None:
        """Run adaptive jobs at this level until `adaptive` is sent, also across restarts."""
        self._must_be_restored()
        self._stepper.step(s.Command(level))

    @command(4)
    def adaptive(self) -> None:
        """Let the level of adaptive jobs follow radiation again."""
        self._must_be_restored()
        self._stepper.step(s.Command(None))

    # ------------------------------------------------------------ stepping

    def start(self, now: int) -> None:
        """Read what the last executive, or the last instance, kept."""
        self._read_at = now
        self._read(now)

    def run(self, now: int) -> int | None:
        """Look at the counters of errors; decide what time brings."""
        self._read(now)
        if not self.core.is_restored:
            return self._read_at
        self._stepper.step(s.Counted(self._errors.totals()))
        due = self.core.next_due()
        return now + POLL_NS if due is None else min(due, now + POLL_NS)

    def alarm(self, reason: str) -> None:
        """Somebody on board has a reason for more protection; it is heeded for one window."""
        self._stepper.step(s.Alarm(reason))
        self.port.wake()

    def parameters_changed(self) -> None:
        """Decide by the new parameters from now on."""
        self._stepper.step(s.SetPolicy(self.parameters.policy()))
        self.port.wake()

    def housekeeping(self) -> bytes:
        """The fields, packed."""
        self._show()
        return super().housekeeping()

    # ------------------------------------------------------------ the forecast that was kept

    def _read(self, now: int) -> None:
        if self._read_at is None or now < self._read_at:
            return
        self._read_at = None
        perform(self._storage, forecast_file.restore(), self._restored, self._not_read)

    def _restored(self, found: tuple[Forecast | None, str]) -> None:
        self._stepper.step(s.Restore(self._saved.load(), *found))
        self.port.wake()

    def _not_read(self, _: StorageFailed) -> None:
        self._read_at = self.port.clock() + AGAIN_NS
        self.port.wake()

    def _must_be_restored(self) -> None:
        if not self.core.is_restored:
            raise Refused("the forecast is still being read; send it again in a second")

    def _must_be_useful(self, forecast: Forecast) -> None:
        hours = (self._tai() - forecast.end) / HOUR
        if hours >= 0:
            raise ForecastError(
                f"it ended {hours:.1f} h ago by the on-board clock; load a later one, or set "
                "clock_offset_s if that clock is wrong"
            )

    def _perform(self, script: Script[Any], done: Any, pending: Pending[Any]) -> None:
        """Step a script; what is wrong with the forecast or with storage is the answer."""

        def guarded() -> Script[Any]:
            try:
                return (yield from script)
            except ForecastError as error:
                return error

        def ended(result: Any) -> None:
            if not isinstance(result, ForecastError):
                done(result)
                self.port.wake()
                return
            self.hk.refused += 1
            self.forecast_refused(str(result))
            pending.fail(str(result))

        def failed(failure: StorageFailed) -> None:
            is_full = failure.error == "ENOSPC"
            code = FailureCode.NO_SPACE if is_full else FailureCode.STORAGE_FAILED
            pending.fail(f"the forecast could not be stored: {failure.reason}", code)

        perform(self._storage, guarded(), ended, failed)

    # ------------------------------------------------------------ deciding and doing

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.Protect(level):
                self._jobs.protect(level)
            case s.Warn(radiation):
                self._signals.tell(radiation)
            case s.Save(content):
                self._saved.keep(dict(content))

    def _tai(self) -> int:
        return self.port.clock() - self.core.policy.clock_offset

    def _show(self) -> None:
        hk, core, tai = self.hk, self.core, self._tai()
        hk.radiation, hk.level, hk.why = core.radiation, core.level, core.why
        hk.measured, hk.errors_per_h, hk.changes = core.measured, core.rate, core.changes
        seen = core.meter.seen
        hk.board_errors, hk.scrubber_errors = seen.get("board", 0), seen.get("scrubber", 0)
        hk.job_errors = seen.get("jobs", 0)
        hk.forecast = core.state
        hk.forecast_left_s = _seconds(core.forecast.end - tai) if core.forecast else 0
        inside, following = core.passes()
        hk.is_in_pass, hk.is_next_known = inside is not None, following is not None
        hk.next_pass_s, hk.next_flux = _next(following, tai)
        spent = core.spent.values()
        hk.shares = tuple(100.0 * time / max(1, sum(spent)) for time in spent)


def _next(following: Pass | None, tai: int) -> tuple[int, float]:
    return (0, 0.0) if following is None else (_seconds(following.begin - tai), following.flux)


def _seconds(time: int) -> int:
    return max(0, time // SECOND)
