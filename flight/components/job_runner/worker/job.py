"""Runs one job in a process of its own: the job's API over its status page and commit slots.

Called in a process that the launcher forked. Exit status: 0 done, 1 failed, 2 what it left is no
product, 3 cancelled, 4 interrupted because the supervisor is gone, 5 its memory was wrong beyond
correction.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import select
import stat
import sys
import time
import traceback
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flight.commits import slots as commits
from flight.components.job_runner.ports import Control, PagePhase
from flight.components.job_runner.worker.confinement import confine
from flight.components.job_runner.worker.status_page import StatusWriter
from flight.edac import region_file
from flight.edac.region_file import RegionFile
from flight.fault_tolerance.levels import Level, Tally
from flight.jobs.api import Array, InputError, JobCancelled, MemoryLost, check_region
from flight.jobs.declaration import JobDeclaration
from flight.jobs.memory import JobMemory
from flight.workers.lifeline import lease_holds
from icd.board_state import files_of

if TYPE_CHECKING:
    from hal.compute.device import ComputeDevice

DONE, FAILED, UNUSABLE, CANCELLED, INTERRUPTED, MEMORY_LOST = 0, 1, 2, 3, 4, 5
BEAT_PAGE_S = 0.005
LEASE_CHECK_S = 0.1
PAUSE_POLL_MS = 50
DRAFTS = ".drafts"


class LeaseEndedError(Exception):
    """The supervisor is gone; the job resumes from its last commit when there is a new one."""


class ProductError(Exception):
    """What a job left under a declared name is no product; the sentence says why."""


class Order(NamedTuple):
    """One job to run, as the launcher was told; all paths are absolute."""

    job_id: int
    entry: str
    parameters: bytes
    folder: Path
    inputs: Mapping[str, Path] = {}
    resume: tuple[Path, ...] = ()
    declaration: str | None = None
    """"module:NAME" of the job's declaration, when it is not in the registry."""
    cache_dir: Path | None = None
    compute: str = "host"


class RealJob:
    """Implements ``flight.jobs.api.Job`` for a job worker."""

    def __init__(
        self, order: Order, declaration: JobDeclaration, page: StatusWriter, lease_fd: int
    ) -> None:
        self.step = 0
        self.tally = Tally()
        self.parameters = declaration.unpack(order.parameters)
        self._order = order
        self._outputs = {output.name for output in declaration.outputs}
        self._metrics = dict.fromkeys((field.name for field in declaration.metric_fields), 0.0)
        self._known = 0
        self._page = page
        self._lease_fd = lease_fd
        self._heartbeat = 0
        self._page_due = 0.0
        self._lease_due = 0.0
        self._slots: commits.CommitSlots | None = None
        self._memory: JobMemory | None = None
        self._region_files: list[RegionFile] = []
        self._commits = 0

    @cached_property
    def compute(self) -> ComputeDevice:
        """The device that the job computes on; opened when it is first asked for."""
        from hal.compute.device import open_device

        board_state = os.environ.get("VANALLEN_BOARD_STATE")
        device = open_device(self._order.compute, Path(board_state) if board_state else None)
        device.mark(self._order.job_id, self.step)
        return device

    @property
    def level(self) -> Level:
        """How results are to be protected now; it may change between two steps."""
        return self._page.level

    def input(self, field: str) -> Path:
        """The staged file of a parameter; raises InputError when there is none."""
        path = self._order.inputs.get(field)
        if path is None:
            raise InputError(f"{field} names no file; set {field}=FILE")
        if not path.is_file():
            raise InputError(f"{field}: there is no file {path.name}")
        return path

    def output(self, name: str) -> Path:
        """Where to write a declared output; it is published when the job ends well."""
        if name not in self._outputs:
            raise ValueError(f"the job declares no output {name!r}; it has {sorted(self._outputs)}")
        drafts = self._order.folder / DRAFTS
        drafts.mkdir(exist_ok=True)
        return drafts / name

    def state(self, **arrays: Array) -> None:
        """Register the arrays; fill them from the newest commit that is whole."""
        if self._slots is not None:
            raise ValueError("a job registers its state once")
        here = [commits.path_of(self._order.folder, slot) for slot in (0, 1)]
        next_slot = 0
        found, passed_over = commits.newest(here, arrays)
        if found is not None:
            # The next commit must not fall on the one that was just read.
            next_slot = 1 - here.index(found.path)
        else:
            found, more = commits.newest(list(self._order.resume), arrays)
            passed_over += more
        for reason in passed_over:
            self._write_log(f"passed over a commit: {reason}")
        if found is not None:
            for name, array in arrays.items():
                array[...] = found.arrays[name]
            self.step = found.step
            self._write_log(f"resumed from step {found.step}")
            self._tell_mended(found)
        self._slots = commits.CommitSlots(self._order.folder, arrays, next_slot=next_slot)
        self._memory = JobMemory(arrays, self.tally)
        self._page.update(step=self.step)
        self._mark(self.step)

    def seal(self) -> None:
        """The registered arrays do not change until `verify`."""
        self._registered().seal()

    def verify(self) -> int:
        """Check the registered arrays since `seal`, set them right; raises MemoryLost."""
        return self._registered().verify()

    def region(self, name: str, array: Array) -> Array:
        """A read-only copy in a region file, sealed: the scrub worker looks after it."""
        check_region(name, array)
        path = self._order.folder / region_file.FOLDER / name
        try:
            made = region_file.create(path, name, array.nbytes)
        except OSError as error:
            raise MemoryError(f"no room for region {name!r}: {error.strerror}") from None
        copy: Array = made.data.view(array.dtype).reshape(array.shape)
        copy[...] = array
        made.seal()
        copy.flags.writeable = False
        self._region_files.append(made)
        return copy

    def beat(self) -> None:
        """Say that the job is alive; blocks while paused, raises JobCancelled."""
        self._heartbeat += 1
        now = time.monotonic()
        if now < self._page_due:
            return
        self._page_due = now + BEAT_PAGE_S
        self._page.update(
            heartbeat=self._heartbeat, level=self._page.level, tally=self.tally.counts()
        )
        if now >= self._lease_due:
            self._lease_due = now + LEASE_CHECK_S
            self._check_lease()
        if self._page.control != Control.RUN:
            self._obey()

    def progress(self, step: int, total: int) -> None:
        """Say how many of ``total`` steps are done."""
        self._mark(step)
        self._page.update(step=step, total=total)

    def metric(self, **values: float) -> None:
        """Set declared metrics, in their declared units."""
        unknown = sorted(set(values) - set(self._metrics))
        if unknown:
            raise ValueError(f"the job declares no metric {unknown[0]!r}")
        self._metrics.update({name: float(value) for name, value in values.items()})
        for index, name in enumerate(self._metrics):
            self._known |= (name in values) << index
        self._page.update(metrics=tuple(self._metrics.values()), known=self._known)

    def commit(self, step: int) -> None:
        """Keep a copy of the registered arrays to resume from: ``step`` steps are done."""
        if self._slots is None:
            raise ValueError("register the job's arrays with state() before the first commit")
        self._registered().check()
        published = self._slots.commit(step)
        self._mark(step)
        self._commits += 1
        self._page.update(
            commit_step=step,
            commit_slot=published.slot,
            commit_count=self._commits,
            commit_bytes=published.size,
            commit_crc=published.seal,
        )

    def log(self, text: str) -> None:
        """A sentence for people; the last one stands in the job's status."""
        self._write_log(text)
        self._page.update(message=text)

    def publish(self) -> None:
        """Make the outputs durable and give them their names; the job ended well.

        Raises ProductError for a link, a folder or a device: nobody would ever copy one.
        """
        drafts, out = self._order.folder / DRAFTS, self._order.folder / "out"
        out.mkdir(exist_ok=True)
        for name in sorted(self._outputs):
            if not os.path.lexists(drafts / name):
                continue
            if not stat.S_ISREG((drafts / name).lstat().st_mode):
                raise ProductError(f"output {name} is no regular file; write one, not a link")
            _fsync(drafts / name)
            (drafts / name).replace(out / name)
        _fsync(out)

    def _mark(self, step: int) -> None:
        """Tell the device, once the job has one, what its next work belongs to."""
        device: ComputeDevice | None = self.__dict__.get("compute")
        if device is not None:
            device.mark(self._order.job_id, step)

    def _registered(self) -> JobMemory:
        if self._memory is None:
            raise ValueError("register the job's arrays with state() before they are sealed")
        return self._memory

    def _tell_mended(self, found: commits.Loaded) -> None:
        examined = found.examined
        if examined is None:
            return
        self.tally.blocks_checked += examined.blocks
        self.tally.blocks_corrected += examined.mended
        if examined.mended:
            self._write_log(
                f"{found.path.name}: {examined.bits} wrong bits in {examined.mended} of "
                f"{examined.blocks} blocks, set right"
            )

    def _obey(self) -> None:
        while (control := self._page.control) == Control.PAUSE:
            self._heartbeat += 1
            self._page.update(phase=PagePhase.PAUSED, heartbeat=self._heartbeat)
            poll = select.poll()
            poll.register(self._lease_fd, 0)
            poll.poll(PAUSE_POLL_MS)
            self._check_lease()
        if control == Control.CANCEL:
            raise JobCancelled
        self._page.update(phase=PagePhase.RUNNING)

    def _check_lease(self) -> None:
        if not lease_holds(self._lease_fd):
            raise LeaseEndedError

    def _write_log(self, text: str) -> None:
        sys.stderr.write(text.rstrip("\n") + "\n")
        sys.stderr.flush()


def run(order: Order, page: StatusWriter, lease_fd: int) -> int:
    """Run the job to its end; whatever it raises ends in its status, never in a traceback only."""
    try:
        hold_lease(lease_fd)
        declaration = find_declaration(order)
        job = RealJob(order, declaration, page, lease_fd)
        entry = load(order.entry)
        page.update(is_unconfined=not _confine(order), phase=PagePhase.RUNNING)
        try:
            entry(job)
        finally:  # what protection found counts also when it could not be made right
            page.update(tally=job.tally.counts())
        page.update(phase=PagePhase.FINISHING)
        job.publish()
    except JobCancelled:
        page.update(phase=PagePhase.CANCELLED, message="cancelled")
        return CANCELLED
    except LeaseEndedError:
        return INTERRUPTED
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        message = f"{type(error).__name__}: {error}"
        page.update(phase=PagePhase.FAILED, message=message)
        if isinstance(error, ProductError):
            return UNUSABLE
        return MEMORY_LOST if isinstance(error, MemoryLost) else FAILED
    page.update(phase=PagePhase.DONE)
    return DONE


def find_declaration(order: Order) -> JobDeclaration:
    """The declaration of the ordered job; raises LookupError when nobody declares its entry."""
    if order.declaration is not None:
        found = load(order.declaration)
        if not isinstance(found, JobDeclaration):
            raise LookupError(f"{order.declaration} is no JobDeclaration")
        return found
    from flight.jobs.registry import jobs

    for declaration in jobs().values():
        if declaration.entry == order.entry:
            return declaration
    raise LookupError(f"no installed job has the entry {order.entry!r}")


def load(name: str) -> Any:
    """The object that "module:name" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def hold_lease(lease_fd: int) -> None:
    """Let the kernel end this process when the supervisor dies, even in an endless loop.

    The pipe is opened anew, because the owner of SIGIO belongs to an open file, and the inherited
    one is shared by every worker. SIGIO's default is to end the process; no thread is needed.
    """
    own = os.open(f"/proc/self/fd/{lease_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    if not lease_holds(lease_fd):
        raise LeaseEndedError


def _confine(order: Order) -> bool:
    write = [order.folder]
    if order.cache_dir is not None:
        write.append(order.cache_dir)  # compiled kernels: the one thing jobs share
    if board_state := os.environ.get("VANALLEN_BOARD_STATE"):
        write += files_of(Path(board_state))
    os.environ["TMPDIR"] = str(order.folder)
    return confine([*order.inputs.values(), *order.resume], write)


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
