"""Checks of the kernel: what supervision and confinement are built on."""

from __future__ import annotations

from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject

LEAST_OPEN_FILES = 1024
NETWORK_SINCE, SIGNALS_SINCE = 4, 6
"""Versions of Landlock that confine connections, and signals."""


def pidfd(subject: Subject) -> Finding:
    """The end of a job is an event rather than something to look for."""
    if subject.machine.has_pidfd():
        return ok("processes have descriptors (pidfd)")
    return warning("no pidfd: the end of a job is noticed late", "use Linux 5.3 or later")


def landlock(subject: Subject) -> Finding:
    """Jobs can be confined to their folder."""
    version = subject.machine.landlock_version()
    if version == 0:
        return warning(
            "no Landlock: jobs are not confined",
            "use Linux 5.13 or later, with landlock in the boot parameter lsm=",
        )
    lacks = [
        what
        for since, what in ((NETWORK_SINCE, "connections"), (SIGNALS_SINCE, "signals"))
        if version < since
    ]
    if lacks:
        return ok(f"Landlock {version}: files are confined, {' and '.join(lacks)} are not")
    return ok(f"Landlock {version}: files, connections and signals are confined")


def cgroup(subject: Subject) -> Finding:
    """Cgroup v2 with its memory controller, which the systemd unit limits the payload with."""
    controllers = subject.machine.text("/sys/fs/cgroup/cgroup.controllers")
    if controllers is None:
        return warning(
            "no cgroup v2: MemoryMax= of the unit has no effect",
            "boot with systemd.unified_cgroup_hierarchy=1",
        )
    if "memory" not in controllers.split():
        return warning("cgroup v2 without memory", "boot with cgroup_enable=memory")
    return ok("cgroup v2 with memory")


def proc(subject: Subject) -> Finding:
    """/proc shows processes and this boot's name, which running jobs are recognised by."""
    if subject.machine.text("/proc/self/stat") is None:
        return error("/proc is not there", "mount -t proc proc /proc")
    if not subject.machine.text("/proc/sys/kernel/random/boot_id"):
        return warning(
            "the kernel does not name its boots",
            "after any restart, on-board time goes on from its ceiling; unhide /proc/sys",
        )
    _, options = subject.machine.mount(subject.machine.path("/proc"))
    if options & {"hidepid=1", "hidepid=2", "hidepid=invisible", "hidepid=noaccess"}:
        return warning("/proc hides other users' processes", "run all of a payload as one user")
    return ok("/proc is complete")


def open_files(subject: Subject) -> Finding:
    """Enough descriptors for workers, jobs and stations."""
    limit = subject.machine.open_files
    if 0 <= limit < LEAST_OPEN_FILES:
        return warning(
            f"{limit} open files allowed", f"ulimit -n {LEAST_OPEN_FILES}, or LimitNOFILE="
        )
    return ok(f"{'unlimited' if limit < 0 else limit} open files allowed")
