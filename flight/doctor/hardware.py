"""Checks of the computer: watchdog, memory and processor."""

from __future__ import annotations

from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject

GIB = 1 << 20  # in the KiB of /proc/meminfo
LEAST_MEMORY, GOOD_MEMORY = 1 * GIB, 4 * GIB


def hardware_watchdog(subject: Subject) -> Finding:
    """The named device is there, ours and free; or there is one that could be named."""
    machine, chosen = subject.machine, subject.configuration.watchdog
    if not chosen.device:
        return _unnamed(subject)
    device = machine.path(chosen.device)
    if not device.exists():
        return error(
            f"{chosen.device} is not there",
            "load its driver (modprobe; softdog for trials), or leave [watchdog] device empty",
        )
    if not machine.may_use(device):
        return error(f"this user may not open {chosen.device}", "install deploy/70-vanallen.rules")
    # /dev/watchdog is another name for the first one.
    name = device.name if device.name[-1].isdigit() else "watchdog0"
    about = f"/sys/class/watchdog/{name}/"
    if machine.text(about + "state") == "active":
        return error(
            f"{chosen.device} counts already: somebody holds it, or left it armed",
            "look for RuntimeWatchdogSec= of systemd, the service watchdog, or another payload",
        )
    longest = machine.text(about + "max_timeout") or ""
    if longest.isdigit() and 0 < int(longest) < chosen.timeout_s:
        return warning(
            f"{chosen.device} counts to {longest} s at most",
            f"set [watchdog] timeout_s to that or less, not {chosen.timeout_s}",
        )
    if machine.text(about + "bootstatus") not in (None, "0"):
        return warning(
            f"{chosen.device} caused the last start of this computer",
            "see the journal of the boot before (journalctl -b -1)",
        )
    identity = machine.text(about + "identity") or "a watchdog"
    return ok(f"{chosen.device} ({identity}) is free; armed for {chosen.timeout_s} s")


def _unnamed(subject: Subject) -> Finding:
    found = [path.name for path in subject.machine.found("/dev/watchdog[0-9]*")]
    if found:
        return ok(f"no hardware watchdog is named; this computer has {', '.join(found)}")
    return ok("no hardware watchdog is named, and this computer has none")


def memory(subject: Subject) -> Finding:
    """There is memory for the payload and a job."""
    rows = (line.split() for line in (subject.machine.text("/proc/meminfo") or "").splitlines())
    sizes = {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
    available = sizes.get("MemAvailable")
    if available is None:
        return warning("the kernel does not tell its free memory", "mount /proc")
    text = f"{available / GIB:.1f} GiB of {sizes.get('MemTotal', 0) / GIB:.1f} GiB are available"
    if available < LEAST_MEMORY:
        return error(text, "end other programs: the payload needs 1 GiB without a job")
    if available < GOOD_MEMORY:
        return warning(text, "large jobs will not fit; lower their memory_mb, or free some")
    return ok(text)


def governor(subject: Subject) -> Finding:
    """The processor may run at its full clock."""
    files = subject.machine.found("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    found = sorted({file.read_text(encoding="utf-8").strip() for file in files})
    if not found:
        return ok("the processor's clock is not ours to choose")
    if "powersave" in found and not _scales_itself(subject):
        return warning(
            f"governor {', '.join(found)}",
            "cpupower frequency-set -g schedutil (Jetson: nvpmodel, jetson_clocks)",
        )
    return ok(f"governor {', '.join(found)}")


def _scales_itself(subject: Subject) -> bool:
    """Some drivers call their ordinary governor powersave."""
    driver = subject.machine.text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver") or ""
    return driver in ("intel_pstate", "amd-pstate-epp")
