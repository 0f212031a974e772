"""Does what the lifecycle says: asks storage and launcher, reads and marks status pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from flight.components.job_runner import file_scripts as scripts
from flight.components.job_runner import launcher_messages as messages
from flight.components.job_runner import stimuli as s
from flight.components.job_runner.ports import (
    Control,
    JobSettings,
    JobStatus,
    StatusPage,
    StatusPages,
)
from flight.components.job_runner.protection_counts import NAMES
from flight.components.job_runner.records import WITH_PROCESS, JobRecord
from flight.components.job_runner.submission import Inputs, inputs_of
from flight.fault_tolerance.levels import Level
from flight.framework.ports import Refused, Storage, Worker
from flight.jobs.declaration import JobDeclaration
from flight.storage.file_names import FileNames
from flight.storage.script import Script, perform
from icd.codec import FieldError


class OpenPages:
    """Reads pages and passes on what jobs are asked; nothing here raises for a bad page."""

    def __init__(self, pages: StatusPages) -> None:
        self._pages = pages
        self._open: dict[int, StatusPage] = {}
        self._asked: dict[int, Control] = {}
        self._levels: dict[int, Level] = {}

    def read(self, job: int, pid: int) -> JobStatus | None:
        """The status that process `pid` wrote; None while there is none."""
        page = self._open.get(job) or self._pages.open(job)
        if page is None:
            return None
        status = page.read()
        if status is None or status.pid != pid:
            page.close()
            self._open.pop(job, None)
            return None
        self._open[job] = page
        if job in self._asked:
            page.command(self._asked.pop(job))
        if job in self._levels:
            page.protect(self._levels.pop(job))
        return status

    def ask(self, job: int, control: Control) -> None:
        """Ask the job to run, pause or cancel; a page that is not open yet is told later."""
        page = self._open.get(job)
        if page is None:
            self._asked[job] = control
        else:
            page.command(control)

    def protect(self, job: int, level: Level) -> None:
        """Say how the job's results are to be protected; likewise later."""
        page = self._open.get(job)
        if page is None:
            self._levels[job] = level
        else:
            page.protect(level)

    def forget(self, job: int) -> None:
        """Let go of the page of a process that is gone."""
        self._asked.pop(job, None)
        self._levels.pop(job, None)
        if page := self._open.pop(job, None):
            page.close()


class Effects:
    """Carries out instructions; what comes of them is told as stimuli."""

    def __init__(
        self,
        storage: Storage,
        launcher: Worker,
        pages: StatusPages,
        declarations: Mapping[int, JobDeclaration],
        files: FileNames,
        settings: JobSettings,
        records: Mapping[int, JobRecord],
        tell: Callable[[s.Stimulus], object],
    ) -> None:
        self._storage = storage
        self._launcher = launcher
        self._pages = OpenPages(pages)
        self._declarations = declarations
        self._files = files
        self._settings = settings
        self._records = records
        self._tell = tell
        self.kept = 0
        self.not_kept = 0

    # ------------------------------------------------------------ pages

    def look(self, record: JobRecord) -> JobStatus | None:
        """The page of a job's process."""
        return self._pages.read(record.id, record.pid) if record.pid else None

    def look_at_all(self, records: Iterable[JobRecord]) -> dict[int, JobStatus]:
        """The pages of those jobs that should have a process."""
        found = ((r.id, self.look(r)) for r in records if r.phase in WITH_PROCESS)
        return {job: status for job, status in found if status is not None}

    def with_page(self, exited: s.Exited) -> s.Exited:
        """The end of a process with the last state of its page."""
        status = self._pages.read(exited.job, exited.pid)
        self._pages.forget(exited.job)
        return replace(exited, status=status)

    # ------------------------------------------------------------ instructions

    def do(self, instruction: s.Instruction) -> None:
        """Carry out one instruction about files, processes or pages."""
        match instruction:
            case s.Prepare():
                self._prepare(instruction.job)
            case s.Launch():
                self._launch(instruction)
            case s.SetControl():
                self._pages.ask(instruction.job, instruction.control)
            case s.SetLevel():
                self._pages.protect(instruction.job, instruction.level)
            case s.Kill():
                about = {"job_id": instruction.job, "id": instruction.order}
                self._launcher.send("kill", {**about, "signal": instruction.signal})
            case s.AskLauncher():
                self._launcher.send("hello", {"id": instruction.number})
            case s.Acknowledge():
                about = {"job_id": instruction.job, "id": instruction.order}
                self._launcher.send("acknowledge", about)
            case s.KeepCommit():
                self._keep(instruction)
            case s.Publish():
                self._publish(instruction.job)
            case s.Clear():
                self._clear(instruction.job)
            case s.Remove():
                self._do(scripts.forget(instruction.job))

    def _prepare(self, job: int) -> None:
        self._pages.forget(job)
        record = self._records[job]
        try:
            inputs = self._inputs(record)
        except (LookupError, FieldError, Refused) as error:
            self._tell(s.NotPrepared(job, f"this payload's software cannot run it: {error}", True))
            return
        self._report(scripts.prepare(record, inputs))

    def _inputs(self, record: JobRecord) -> Inputs:
        declaration = self._declarations.get(record.kind)
        if declaration is None:
            raise LookupError(f"no job kind {record.kind}")
        return inputs_of(declaration, record.arguments, self._files)

    def _launch(self, launch: s.Launch) -> None:
        record = self._records[launch.job]
        resume = scripts.commit_path(record.id, launch.resume) if launch.resume else None
        body = messages.launch_body(
            launch.order,
            record,
            self._declarations[record.kind],
            self._inputs(record),
            resume,
            launch.level,
            self._settings,
        )
        if not self._launcher.send("launch", body):
            self._tell(
                s.NotLaunched(record.id, "the launcher does not answer", False, launch.order)
            )

    def _keep(self, keep: s.KeepCommit) -> None:
        def told(answer: s.CommitKept | s.CommitNotKept) -> None:
            is_kept = isinstance(answer, s.CommitKept)
            self.kept, self.not_kept = self.kept + is_kept, self.not_kept + (not is_kept)
            self._tell(answer)

        self._do(scripts.keep_commit(keep.job, keep.source, keep.commit), told)

    def _publish(self, job: int) -> None:
        record = self._records[job]
        declaration = self._declarations.get(record.kind)
        if declaration is None:
            reason = f"this payload's software has no job kind {record.kind}"
            self._tell(s.NotPublished(job, reason, True))
            return
        outputs = [output.name for output in declaration.outputs]
        about = self._manifest(record, declaration)
        self._report(scripts.publish(job, outputs, about))

    def _manifest(self, record: JobRecord, declaration: JobDeclaration) -> dict[str, Any]:
        names = [metric.name for metric in declaration.metric_fields]
        known = [v if v is not None and math.isfinite(v) else None for v in record.metrics]
        return {
            "kind": record.kind,
            "name": declaration.name,
            "parameters": messages.plain_parameters(declaration, record.arguments),
            "inputs": {name: vars(digest) for name, digest in record.inputs.items()},
            "steps": record.step,
            "attempts": record.attempt,
            "metrics": dict(zip(names, known, strict=False)),
            "protection": {
                "asked": record.protection.name,
                "found": dict(zip(NAMES, record.tally, strict=True)),
            },
        }

    def _clear(self, job: int) -> None:
        self._pages.forget(job)
        self._do(scripts.clear(job))

    def _report(self, script: Script[Any]) -> None:
        self._do(script, self._tell)

    def _do(self, script: Script[Any], done: Callable[[Any], object] = lambda _: None) -> None:
        # These scripts answer with a stimulus when storage fails. A folder that could not be
        # removed costs room only: its number is never used again.
        perform(self._storage, script, done, lambda _: None)
