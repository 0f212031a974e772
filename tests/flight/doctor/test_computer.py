"""The doctor on kernel, clocks, watchdog, memory and processor."""

from __future__ import annotations

import pytest

from flight.doctor import hardware, kernel, time_of_day
from flight.doctor.finding import Verdict
from tests.flight.support.fake_machine import FakeMachine

BOOT_ID = "/proc/sys/kernel/random/boot_id"
GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
WATCHDOG = "/sys/class/watchdog/watchdog0/"


class TestKernel:
    def test_without_pidfd_it_says_which_kernel_has_it(self, machine: FakeMachine) -> None:
        assert machine.asked(kernel.pidfd).verdict is Verdict.OK
        machine.set(has_pidfd=lambda: False)
        assert machine.asked(kernel.pidfd).advice == "use Linux 5.3 or later"

    @pytest.mark.parametrize(
        ("version", "verdict", "says"),
        [
            (0, Verdict.WARNING, "jobs are not confined"),
            (1, Verdict.OK, "connections and signals are not"),
            (4, Verdict.OK, "signals are not"),
            (7, Verdict.OK, "files, connections and signals are confined"),
        ],
    )
    def test_what_landlock_confines_is_said(
        self, machine: FakeMachine, version: int, verdict: Verdict, says: str
    ) -> None:
        machine.set(landlock_version=lambda: version)
        found = machine.asked(kernel.landlock)
        assert found.verdict is verdict
        assert says in found.text

    def test_cgroup_v2_must_count_memory(self, machine: FakeMachine) -> None:
        assert machine.asked(kernel.cgroup).verdict is Verdict.OK
        machine.write("/sys/fs/cgroup/cgroup.controllers", "cpu pids")
        assert machine.asked(kernel.cgroup).advice == "boot with cgroup_enable=memory"
        machine.remove("/sys/fs/cgroup/cgroup.controllers")
        assert "no cgroup v2" in machine.asked(kernel.cgroup).text

    def test_proc_must_show_processes_and_name_the_boot(self, machine: FakeMachine) -> None:
        assert machine.asked(kernel.proc).verdict is Verdict.OK
        where = machine.root / "proc"
        machine.write("/proc/self/mounts", f"proc {where} proc rw,hidepid=2 0 0\n")
        assert "hides" in machine.asked(kernel.proc).text
        machine.write(BOOT_ID, "")
        assert machine.asked(kernel.proc).verdict is Verdict.WARNING
        machine.remove("/proc/self/stat")
        assert machine.asked(kernel.proc).verdict is Verdict.ERROR

    @pytest.mark.parametrize(
        ("limit", "verdict"), [(256, Verdict.WARNING), (1024, Verdict.OK), (-1, Verdict.OK)]
    )
    def test_few_open_files_are_a_warning(
        self, machine: FakeMachine, limit: int, verdict: Verdict
    ) -> None:
        machine.set(open_files=limit)
        assert machine.asked(kernel.open_files).verdict is verdict


class TestTime:
    def test_a_date_before_this_software_is_a_warning(self, machine: FakeMachine) -> None:
        assert machine.asked(time_of_day.date).verdict is Verdict.OK
        machine.set(clocks=lambda: (0.0, 1.0, 1.0))
        assert machine.asked(time_of_day.date).verdict is Verdict.WARNING

    @pytest.mark.parametrize(
        ("state", "verdict"),
        [(True, Verdict.OK), (False, Verdict.WARNING), (None, Verdict.WARNING)],
    )
    def test_a_clock_that_follows_nothing_is_a_warning(
        self, machine: FakeMachine, state: bool | None, verdict: Verdict
    ) -> None:
        machine.set(is_synchronised=lambda: state)
        assert machine.asked(time_of_day.synchronisation).verdict is verdict

    def test_the_clock_that_on_board_time_counts_with_must_run(self, machine: FakeMachine) -> None:
        assert machine.asked(time_of_day.boottime).verdict is Verdict.OK
        source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        machine.write(source, "hpet")
        assert "hpet" in machine.asked(time_of_day.boottime).text
        machine.set(clocks=lambda: (1.9e9, 7200.0, 0.0))
        assert machine.asked(time_of_day.boottime).verdict is Verdict.ERROR


class TestWatchdog:
    def test_one_that_is_not_named_is_left_alone_and_mentioned(self, machine: FakeMachine) -> None:
        assert "has none" in machine.asked(hardware.hardware_watchdog).text
        machine.write("/dev/watchdog0", "")
        found = machine.asked(hardware.hardware_watchdog)
        assert found.verdict is Verdict.OK
        assert "has watchdog0" in found.text

    @pytest.mark.parametrize("device", ["/dev/watchdog", "/dev/watchdog0"])
    def test_a_named_one_must_be_there_ours_and_free(
        self, machine: FakeMachine, device: str
    ) -> None:
        machine.configuration = {"watchdog": {"device": device, "timeout_s": 30}}
        assert "is not there" in machine.asked(hardware.hardware_watchdog).text
        machine.write(device, "", 0o600)
        machine.write(WATCHDOG + "identity", "tegra-wdt")
        machine.write(WATCHDOG + "state", "inactive")
        machine.write(WATCHDOG + "bootstatus", "0")
        found = machine.asked(hardware.hardware_watchdog)
        assert found.text == f"{device} (tegra-wdt) is free; armed for 30 s"
        machine.write(WATCHDOG + "max_timeout", "20")
        assert "counts to 20 s at most" in machine.asked(hardware.hardware_watchdog).text
        machine.write(WATCHDOG + "max_timeout", "0")  # it does not tell
        machine.write(WATCHDOG + "bootstatus", "32")
        assert "caused the last start" in machine.asked(hardware.hardware_watchdog).text
        machine.write(WATCHDOG + "state", "active")
        found = machine.asked(hardware.hardware_watchdog)
        assert found.verdict is Verdict.ERROR
        assert "RuntimeWatchdogSec" in found.advice
        machine.become_somebody_else()
        assert "may not open" in machine.asked(hardware.hardware_watchdog).text


class TestMemoryAndProcessor:
    @pytest.mark.parametrize(
        ("available", "verdict"),
        [(500_000, Verdict.ERROR), (2_000_000, Verdict.WARNING), (9_000_000, Verdict.OK)],
    )
    def test_memory_is_what_is_available(
        self, machine: FakeMachine, available: int, verdict: Verdict
    ) -> None:
        machine.write("/proc/meminfo", f"MemTotal: 9 kB\nMemAvailable: {available} kB\n")
        assert machine.asked(hardware.memory).verdict is verdict

    def test_memory_that_is_not_told_is_a_warning(self, machine: FakeMachine) -> None:
        machine.remove("/proc/meminfo")
        assert machine.asked(hardware.memory).verdict is Verdict.WARNING

    def test_a_governor_that_saves_power_is_a_warning_unless_its_driver_means_otherwise(
        self, machine: FakeMachine
    ) -> None:
        assert machine.asked(hardware.governor).verdict is Verdict.OK
        machine.write(GOVERNOR, "powersave\n")
        assert machine.asked(hardware.governor).verdict is Verdict.WARNING
        machine.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "intel_pstate\n")
        assert machine.asked(hardware.governor).verdict is Verdict.OK
