"""Checks of the clocks that on-board time begins with."""

from __future__ import annotations

from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject

EARLIEST_DATE_S = 1_704_067_200
"""2024-01-01: before this software was written."""
STEADY = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page")


def date(subject: Subject) -> Finding:
    """The date is plausible: the very first start takes on-board time from it."""
    seconds, _, _ = subject.machine.clocks()
    if seconds < EARLIEST_DATE_S:
        return warning(
            "the date is before 2024", "set it (timedatectl, hwclock) before the first start"
        )
    return ok("the date is plausible")


def synchronisation(subject: Subject) -> Finding:
    """The clock follows a time source, where there is one."""
    state = subject.machine.is_synchronised()
    if state is None:
        return warning(
            "the kernel does not tell whether its clock is synchronised", "see timedatectl"
        )
    if not state:
        return warning(
            "the clock is not synchronised",
            "start systemd-timesyncd or chrony; in orbit, ground correlates on-board time instead",
        )
    return ok("the clock is synchronised")


def boottime(subject: Subject) -> Finding:
    """The clock that on-board time counts with runs, through suspension too."""
    _, monotonic, boot = subject.machine.clocks()
    source = subject.machine.text(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    )
    if boot <= 0 or boot + 1 < monotonic:
        return error("CLOCK_BOOTTIME does not count", "use Linux 2.6.39 or later, on a real kernel")
    if source and source not in STEADY:
        return warning(
            f"time comes from {source}, which is slow", "see dmesg for why tsc was refused"
        )
    return ok(f"the computer has been up for {boot / 3600:.1f} h; time comes from {source or 'it'}")
