"""The status pages of the running jobs, each opened when it is first needed."""

from __future__ import annotations

from flight.job_ports import Control, JobStatus, StatusPage, StatusPages
from flight.protection.levels import Level


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
