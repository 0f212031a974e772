"""Who a process is: its id may be given again, its id with the time at which it started may not."""

from __future__ import annotations


def process_start_time(pid: int, *, zombie: bool = False) -> int | None:
    """Start time of a live process in kernel ticks since boot; None when it is gone.

    One that ended and is not yet reaped counts as gone, unless ``zombie``. The time is that of the
    main thread: the kernel has it in /proc/PID/stat too, but there an emulator of processors (QEMU)
    shows a process something else about itself than it shows the others, and who a process is must
    read the same from inside and from outside.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") and not zombie else int(fields[19])
