"""The scrubber: keeps memory at rest right, and says how all memory of the payload fares.

A worker walks the sealed regions; what follows from what it finds is decided in `lifecycle.py`;
this file has it done. The executive's own program memory is checked here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

from flight.components.scrubber import stimuli as s
from flight.components.scrubber import worker_messages as messages
from flight.components.scrubber.dictionary import (
    COUNTERS,
    FilePath,
    Listed,
    Rate,
    RegionName,
    Registered,
    Scrubbed,
    ScrubberEvents,
    ScrubberHousekeeping,
    ScrubberParameters,
    ScrubberSettings,
)
from flight.components.scrubber.lifecycle import ScrubberLifecycle
from flight.components.scrubber.memory_map import MemoryMap
from flight.components.scrubber.ports import Board, Jobs, Payload
from flight.components.scrubber.program_check import ProgramCheck
from flight.components.scrubber.regions import (
    TEST_REGION,
    Found,
    Kind,
    Row,
    State,
    Unusable,
    Verdict,
    is_name,
)
from flight.components.scrubber.saved_settings import SavedSettings
from flight.components.scrubber.scrub_worker import Body, Handlers, ScrubWorker
from flight.framework.component import Component, FailureCode, Pending, Port, Refused, command
from flight.framework.lifecycle import Stepper
from flight.framework.ports import Section, Worker
from flight.framework.program_memory import Program
from flight.storage import file_names
from icd.fields import U16, U32, Limits, Text64, Unit

MIB = 1 << 20
LOG_LENGTH = 1024
MOST_REGISTERED = 64

R = TypeVar("R")


class Scrubber(Component[ScrubberHousekeeping, ScrubberParameters], ScrubberEvents):
    """Walks sealed memory at a bounded rate, and acts on what it finds wrong."""

    def __init__(
        self,
        port: Port,
        worker: Worker,
        jobs: Jobs,
        board: Board,
        payload: Payload,
        saved: Section,
        program: Program,
        settings: ScrubberSettings,
    ) -> None:
        super().__init__(port)
        self._jobs = jobs
        self._payload = payload
        self._saved = saved
        self._program = ProgramCheck(program, port, payload.restart_executive)
        self._settings = settings
        self.core = ScrubberLifecycle(self.parameters.policy(), deque(maxlen=LOG_LENGTH))
        self._stepper = Stepper(self, self.core, self._do, COUNTERS)
        self._worker = ScrubWorker(worker, self._handlers())
        self._memory = MemoryMap(jobs, board)
        self._chosen = SavedSettings.read({}, settings)
        self.struck = 0
        """Wrong blocks found that nobody injected."""

    # ------------------------------------------------------------ telecommands

    @command(1)
    def enable(self) -> Pending[None]:
        """Walk regions again, also after a restart."""
        return self._switch(is_enabled=True)

    @command(2)
    def disable(self) -> Pending[None]:
        """Walk no region, until enable; owners go on checking their own."""
        return self._switch(is_enabled=False)

    @command(3, timeout_s=300.0)
    def scrub_now(
        self, region: Annotated[Text64, "name of the region; empty: all, one after another"]
    ) -> Pending[Scrubbed]:
        """Walk a region ahead of its turn; completed when its last block was looked at."""
        if region:
            self._insist_on(region, State.WALKED)
        elif not self.hk.regions:
            raise Refused("there is no sealed region; see list_regions", FailureCode.NOT_FOUND)
        if not self._chosen.is_enabled:
            raise Refused("scrubbing is disabled; send enable first")

        def done(answer: messages.Answer) -> Scrubbed:
            return Scrubbed(answer.value / 1000)

        return self._ask("scrub", {"region": region}, done)

    @command(4)
    def set_rate(self, rate: Rate) -> Pending[None]:
        """Choose how fast regions are walked, also across restarts."""
        self._chosen.rate = rate
        self._send_settings()
        return self._kept()

    @command(5, timeout_s=300.0)
    def register(self, file: FilePath, name: RegionName) -> Pending[Registered]:
        """Load a file into protected memory; the file is its golden copy from then on."""
        file_names.check(file)
        if not is_name(name) or name == TEST_REGION or name.startswith("job-"):
            text = "letters, digits and _ . - (at most 48; not 'test', not 'job-…')"
            raise Refused(f"no name for a region: {name!r}; write {text}")
        if len(self._chosen.registered) >= MOST_REGISTERED and name not in self._chosen.registered:
            raise Refused(f"{MOST_REGISTERED} files are registered; retire one first")

        def done(answer: messages.Answer) -> Registered:
            self._chosen.registered[name] = file
            self._keep()
            self.region_registered(name, file, answer.value)
            return Registered(answer.value)

        return self._ask("register", {"region": name, "golden": file_names.file_path(file)}, done)

    @command(6)
    def retire(self, region: RegionName) -> Pending[None]:
        """Walk a region no more and give its memory back; the golden copy stays."""
        self._insist_on(region)

        def done(_: messages.Answer) -> None:
            self._forget(region)
            self.region_retired(region, 0)

        return self._ask("retire", {"region": region}, done)

    @command(7)
    def list_regions(self) -> Pending[Listed]:
        """Report every region, also those that owners check and what nobody checks."""
        rows = self._memory.regions()
        return self._report(rows, self.region)

    @command(8)
    def list_memory_errors(self) -> Pending[Listed]:
        """Report what every part of the payload counted: GPU, computer, scrubber, jobs."""
        return self._report(self._memory.memory_errors(self.hk), self.memory_errors)

    @command(9)
    def make_test_region(
        self, size: Annotated[U32, "octets", Unit("B"), Limits(4096, 1 << 26)]
    ) -> Pending[Registered]:
        """Make the region named test, the only one that takes injected errors."""
        return self._ask("test", {"octets": size}, lambda answer: Registered(answer.value))

    @command(10)
    def inject_error(
        self,
        region: RegionName,
        block: Annotated[U32, "number of the block, from 0"],
        first_bit: Annotated[U32, "first bit to flip, counted from the block's beginning"],
        bits: Annotated[U16, "bits to flip, one after another", Limits(1, 4096)],
        distance: Annotated[U16, "from one of them to the next", Unit("bit"), Limits(1)],
    ) -> Pending[None]:
        """Flip bits in the test region; any other region refuses."""
        if region != TEST_REGION:
            text = f"errors go into the region named {TEST_REGION} only; send make_test_region"
            raise Refused(text)
        self._insist_on(region, State.WALKED)
        body = {"block": block, "first_bit": first_bit, "bits": bits, "distance": distance}
        return self._ask("inject", body, lambda _: None)

    @command(11)
    def recompute_program(self) -> None:
        """Take the executive's code and tables as they are now for right."""
        self._program.recompute()

    # ------------------------------------------------------------ stepping

    def start(self, now: int) -> None:  # noqa: ARG002
        """Take up what was saved; the worker is told once it is there."""
        self._chosen = SavedSettings.read(dict(self._saved.load()), self._settings)
        self._stepper.step(s.Restore(self._chosen.restarts))
        if self._chosen.restarted:
            self.program_restarted(self._chosen.restarted)
        self._keep()
        self._worker.greet()

    def run(self, now: int) -> int | None:
        """Compare some program memory, and see what time brings. On-board ns in, next due out."""
        for name in self._program.run(now):
            self._stepper.step(s.ProgramChanged(name))
        self._stepper.step(s.Tick())
        due = self.core.next_due()
        return self._program.due if due is None else min(due, self._program.due)

    def parameters_changed(self) -> None:
        """Decide by the new parameters from now on."""
        self._stepper.step(s.SetPolicy(self.parameters.policy()))

    def housekeeping(self) -> bytes:
        """The fields, packed."""
        self._memory.show(self.hk, self.port.clock())
        hk, program = self.hk, self._program.program
        hk.is_enabled, hk.rate = self._chosen.is_enabled, self._chosen.rate
        hk.factor = self.core.factor
        hk.program_items, hk.program_passes = program.items, program.passes
        hk.program_restarts = len(self.core.restarts)
        return super().housekeeping()

    def radiation(self, level: int) -> None:
        """How much radiation there is now: 0 quiet, 1 raised, 2 storm."""
        self._stepper.step(s.Radiation(level))

    def check_all(self, reason: str) -> None:
        """Something happened to memory: walk everything at once."""
        self.checked_all(reason)
        self._worker.send("scrub", {"region": ""})

    # ------------------------------------------------------------ the worker

    def _handlers(self) -> Handlers:
        return Handlers(
            ready=self._tell_everything,
            regions=self._take_regions,
            found=self._take_found,
            unusable=self._take_unusable,
            status=self._take_status,
            done=self._take_done,
            refused=self._take_nonsense,
        )

    def _tell_everything(self) -> None:
        """The worker is a new process: it is told how to walk, and what was registered."""
        self._send_settings()
        for name in self._chosen.registered:
            body = {"region": name, **self._chosen.golden_of(name)}
            self._worker.ask("register", body, partial(self._loaded_again, name))

    def _loaded_again(self, name: str, answer: messages.Answer) -> None:
        if not answer.ok:
            self.not_registered(name, answer.text)

    def _take_regions(self, rows: Sequence[Row]) -> None:
        self._memory.take_regions(rows, self.port.clock())
        self._stepper.step(s.Table(tuple(rows)))

    def _take_found(self, blocks: Sequence[Found]) -> None:
        for found in blocks:
            if found.verdict is Verdict.CORRECTED:
                self.hk.corrected += 1
            elif found.verdict is Verdict.RECHECKED:
                self.hk.checks_corrected += 1
            self.struck += found.kind is not Kind.TEST
            self._stepper.step(s.Wrong(found))
        self.port.wake()

    def _take_unusable(self, regions: Sequence[Unusable]) -> None:
        for what in regions:
            self._stepper.step(s.Broken(what))

    def _take_status(self, status: messages.Status) -> None:
        self._memory.status = status
        processes: list[list[str | int]] = []
        processes += [[name, pid] for name, pid in self._payload.processes() if pid]
        processes += [[f"job-{row.job}", row.pid] for row in self._jobs.owner_checked()]
        self._worker.show_processes(processes)

    def _take_done(self, answer: messages.Answer) -> None:
        self._stepper.step(s.Done(answer.number, answer.ok, answer.text))

    def _take_nonsense(self, kind: str, reason: str) -> None:
        self.hk.refused += 1
        self.message_refused(kind[:64], reason[:160])

    def _send_settings(self) -> None:
        self._worker.send(
            "settings",
            {
                "is_enabled": self._chosen.is_enabled,
                "rate": self._chosen.rate * MIB,
                "period_s": self._settings.period_s,
                "factor": self.core.factor,
            },
        )

    # ------------------------------------------------------------ deciding and doing

    def _do(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.RollBack(job, reason):
                self._jobs.roll_back(job, reason)
            case s.Ask(number, kind, body):
                golden = self._chosen.golden_of(str(body.get("region")))
                self._worker.send(kind, {"id": number, **body, **golden})
            case s.SetFactor(factor):
                self._send_settings()
                self._tell_rate(factor)
            case s.RestartExecutive(reason):
                self._program.end_soon(reason)
                ended = partial(self.port.post_answer, self._program.end_now)
                self._saved.keep(self._chosen.content(self.core.restarts, reason), ended)
            case s.Forget(region):
                self._forget(region)

    def _switch(self, *, is_enabled: bool) -> Pending[None]:
        self._chosen.is_enabled = is_enabled
        self._send_settings()
        self._tell_rate(self.core.factor)
        return self._kept()

    def _tell_rate(self, factor: float) -> None:
        self.rate_changed(
            self._chosen.rate, factor, "enabled" if self._chosen.is_enabled else "disabled"
        )

    def _forget(self, region: str) -> None:
        """A retired region is not loaded again after a restart."""
        if self._chosen.registered.pop(region, None) is not None:
            self._keep()

    def _keep(self) -> None:
        self._saved.keep(self._chosen.content(self.core.restarts), None)

    def _kept(self) -> Pending[None]:
        """Completed once the disk has what was chosen."""
        pending: Pending[None] = self.defer()

        def done() -> None:
            pending.complete()

        on_disk = partial(self.port.post_answer, done)
        self._saved.keep(self._chosen.content(self.core.restarts), on_disk)
        return pending

    def _insist_on(self, region: str, state: State | None = None) -> None:
        row = self._memory.rows.get(region)
        if row is None:
            known = ", ".join(self._memory.rows) or "none"
            raise Refused(f"no region {region!r}; there is {known}"[:160], FailureCode.NOT_FOUND)
        if state is not None and row.state is not state:
            raise Refused(f"region {region} is {row.state.name.lower()}; wait until it is sealed")

    def _ask(self, kind: str, body: Body, done: Callable[[messages.Answer], R]) -> Pending[R]:
        """Ask the worker on behalf of ground; `done` makes the result of a good answer."""
        pending: Pending[R] = self.defer()

        def answered(answer: messages.Answer) -> None:
            if answer.ok:
                pending.complete(done(answer))
            else:
                pending.fail(answer.text or "the scrub worker did not say why")

        if not self._worker.ask(kind, body, answered):
            text = "the scrub worker takes no request now; send it again"
            raise Refused(text, FailureCode.WORKER_UNAVAILABLE)
        return pending

    def _report(self, rows: Any, send: Any) -> Pending[Listed]:
        pending = self.defer()
        station = pending.source
        if self.port.telemetry.bulk_room(station) < len(rows):
            raise Refused("the downlink has no room for the rows; send it again")
        for row in rows:
            send(*row, station=station)
        pending.complete(Listed(len(rows)))
        return pending
