"""Every check in the order of the report; a check that fails itself is a finding too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from flight.doctor import (
    controls,
    driver,
    folders,
    hardware,
    kernel,
    neighbours,
    software,
    time_of_day,
)
from flight.doctor.finding import Finding, Verdict, error
from flight.doctor.machine import Subject

Check = Callable[[Subject], Finding]

CHECKS: tuple[Check, ...] = (
    software.python,
    software.packages,
    software.installed_jobs,
    software.numba_cache,
    driver.driver,
    driver.devices,
    driver.compute,
    driver.emulated_library,
    controls.controls,
    controls.recovery,
    folders.state_folder,
    folders.state_space,
    folders.state_sync,
    folders.run_folder,
    folders.run_path,
    folders.keys,
    kernel.pidfd,
    kernel.landlock,
    kernel.cgroup,
    kernel.proc,
    kernel.open_files,
    time_of_day.date,
    time_of_day.synchronisation,
    time_of_day.boottime,
    hardware.hardware_watchdog,
    hardware.memory,
    hardware.governor,
    neighbours.link,
    neighbours.this_payload,
    neighbours.other_payloads,
)


def examine(subject: Subject, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """Make every check, in order; none raises, none changes anything that lasts."""
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            found = check(subject)
        except Exception as failure:  # a machine can be broken in ways nobody foresaw
            found = error(f"the check failed: {failure!r}", "report this as a bug")
        yield replace(found, check=name)


def can_fly(findings: list[Finding]) -> bool:
    """True when nothing found is an error."""
    return all(finding.verdict is not Verdict.ERROR for finding in findings)
