"""Checks of the folders: what must survive a power-off, and what need not."""

from __future__ import annotations

import os
import stat
import statistics
import tempfile
from pathlib import Path

from flight.deployment.launch import KEYS, LONGEST_RUN_PATH
from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject, nearest_folder, why_not_written

MIB = 1 << 20
LEAST_STATE, GOOD_STATE = 256 * MIB, 2048 * MIB
GOOD_RUN = 1024 * MIB
SYNCS = 20
SLOW_S, TOO_SLOW_S = 0.05, 1.0
IN_MEMORY = ("tmpfs", "ramfs")


def state_folder(subject: Subject) -> Finding:
    """STATE is this user's own, can be written, and outlives a power-off."""
    folder = nearest_folder(subject.state)
    if not os.access(folder, os.W_OK | os.X_OK) or not _may_write(subject, folder):
        return error(
            f"{folder} is not writable for this user", f"mkdir -p and chown {subject.state}"
        )
    kind, _ = subject.machine.mount(subject.state)
    if kind in IN_MEMORY:
        return error(
            f"{subject.state} is on {kind}", "give --state on a disk: a power-off empties it"
        )
    if kind == "overlay":
        return warning(
            f"{subject.state} is on overlay", "mount a volume there, or a rebuild loses it"
        )
    if folder == subject.state and folder.stat().st_mode & 0o077:
        return warning(f"others can look into {folder}", f"chmod 700 {folder}")
    return ok(f"{subject.state} ({kind or 'unknown file system'})")


def state_space(subject: Subject) -> Finding:
    """There is room for products, commits and the files that ground sends."""
    free = subject.machine.free_bytes(nearest_folder(subject.state))
    text = f"{free / MIB:,.0f} MiB free for STATE"
    if free < LEAST_STATE:
        return error(text, f"free some: at least {LEAST_STATE // MIB} MiB are needed")
    if free < GOOD_STATE:
        return warning(text, "products and commits of large jobs may not fit; free some")
    return ok(text)


def state_sync(subject: Subject) -> Finding:
    """How long the disk takes to make a small file durable: every telecommand waits for it."""
    try:
        times = _sync_times(subject, nearest_folder(subject.state))
    except OSError as failure:
        return error(f"cannot write in STATE: {why_not_written(failure)}", "see state folder")
    median, worst = statistics.median(times), max(times)
    text = f"fsync of 4 KiB: median {median * 1000:.1f} ms, worst {worst * 1000:.1f} ms"
    if median > TOO_SLOW_S:
        return error(text, "this disk is too slow, or failing; see dmesg and smartctl")
    if median > SLOW_S or worst > TOO_SLOW_S:
        return warning(text, "answers to telecommands will be late; put STATE on a faster disk")
    return ok(text)


def run_folder(subject: Subject) -> Finding:
    """RUN can be written, has room, and does not wear out a disk."""
    folder = nearest_folder(subject.run)
    if not os.access(folder, os.W_OK | os.X_OK) or not _may_write(subject, folder):
        return error(f"{folder} is not writable for this user", "give another --run")
    kind, _ = subject.machine.mount(subject.run)
    free = subject.machine.free_bytes(folder)
    text = f"{subject.run} ({kind or 'unknown file system'}, {free / MIB:,.0f} MiB free)"
    if free < GOOD_RUN:
        return warning(text, "commits of large jobs may not fit; give a larger --run")
    if kind not in IN_MEMORY:
        return warning(text, "commits and status pages wear this disk; give --run on a tmpfs")
    return ok(text)


def run_path(subject: Subject) -> Finding:
    """RUN is short enough for the names of sockets in it."""
    length = len(str(subject.run).encode())
    if length > LONGEST_RUN_PATH:
        return error(
            f"{subject.run} has {length} octets", f"give --run with at most {LONGEST_RUN_PATH}"
        )
    return ok(f"the run directory's path has {length} of {LONGEST_RUN_PATH} octets")


def keys(subject: Subject) -> Finding:
    """The link keys are readable by this user and nobody else."""
    if subject.configuration.link.insecure:
        return warning("the link is insecure: no keys", "leave insecure away in orbit")
    path = subject.state / KEYS
    try:
        about = path.stat()
    except FileNotFoundError:
        return ok(f"{path} will be made at the first start")
    except OSError as failure:
        return error(
            f"{path}: {why_not_written(failure)}", f"chown it to user {subject.machine.uid}"
        )
    if stat.S_IMODE(about.st_mode) & 0o077:
        return error(f"others can read {path}", f"chmod 600 {path}; make new keys if they did")
    if subject.machine.uid not in (0, about.st_uid):
        return error(
            f"{path} belongs to user {about.st_uid}", f"chown {subject.machine.uid} {path}"
        )
    return ok(f"{path} is readable by its owner only")


def _may_write(subject: Subject, folder: Path) -> bool:
    """By mode, for a user other than the one who asks."""
    if subject.machine.uid == os.geteuid():
        return True
    return subject.machine.may_use(folder)


def _sync_times(subject: Subject, folder: Path) -> list[float]:
    found = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for number in range(SYNCS):
            os.pwrite(file.fileno(), bytes(4096), 4096 * number)
            before = subject.machine.stopwatch()
            os.fsync(file.fileno())
            found.append(subject.machine.stopwatch() - before)
    return found
