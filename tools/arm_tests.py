"""Run the tests marked `portable` on emulated aarch64 processors: `make test-arm`.

    python -m tools.arm_tests FOLDER [pytest's arguments, instead of the portable tests]

The kernel starts the programs of an arm64 Debian (tools/arm_root.py) with QEMU, whatever starts
them, in namespaces of their own: nothing stays mounted or runs on, whatever ends the run.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.arm_root import do, give_up, install_tools, locked, make_root

CODE = "vanallen"
PROCESSORS = ("cortex-a76", "max")
"""Next to an Orin's cores; and everything that QEMU knows, SVE with it."""
# With SVE under QEMU, NumPy finds floating-point flags raised after products that are right.
FALSE_ALARMS = [
    f"-Wignore:{what} encountered in matmul:RuntimeWarning"
    for what in ("divide by zero", "overflow", "invalid value")
]
PYTEST = ("python3", "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "-o", "timeout=600")
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": f"/{CODE}",
    "NUMBA_CACHE_DIR": "/var/cache/numba",  # the code is copied anew each time
    "PYTHONUNBUFFERED": "1",  # who waits for minutes sees them pass
}
# How the kernel tells an aarch64 program, and its interpreter: P keeps argv[0], F opens it now, so
# that it is found from within the root.
MAGIC = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00\xb7\x00"
MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
RULE = f":%s:M::{MAGIC}:{MASK}:%s:PF"

RULES = """
set -eu
mount -t proc proc /proc
cd /proc/sys/fs
mount -t binfmt_misc none binfmt_misc
"""
INSIDE = f"""{RULES}
printf %s "$2" > binfmt_misc/register
root=$1
shift 2
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
chroot "$root" "$@"
"""
"""In namespaces of its own: $1 is the root, $2 the rule, the rest what to run."""
FORGET = f"""{RULES}
if [ -e "binfmt_misc/$1" ]; then echo -1 > "binfmt_misc/$1"; fi
"""
"""Likewise; $1 is the rule's name. A new kernel has forgotten it with the last such mount."""
MAY_NOT = (
    "it needs root, leave to mount and a kernel with binfmt_misc: run `sudo make test-arm` on a "
    "machine or a virtual one; a container has to be started with --privileged."
)


def within(root: Path, qemu: str, processor: str, *command: str) -> int:
    """A command's exit status, run in the root on a processor that QEMU emulates."""
    name = f"vanallen-{os.getpid()}"
    apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    there = ("sh", "-c", f'cd /{CODE} && exec "$@"', "sh", *command)
    # Nothing else of this machine's environment: it is about another processor's libraries.
    environment = {**ENVIRONMENT, "QEMU_CPU": processor}
    try:
        started = [*apart, "sh", "-c", INSIDE, "sh", str(root), RULE % (name, qemu), *there]
        return subprocess.run(started, env=environment, check=False).returncode
    finally:
        subprocess.run([*apart, "sh", "-c", FORGET, "sh", name], check=False)


def copy_code(target: Path) -> list[str]:
    """Copy what git knows or would take, with its entry points; returns the portable test files."""
    shutil.rmtree(target, ignore_errors=True)
    listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    found = do("git", "-c", "safe.directory=*", *listing)  # root may ask in another's clone
    paths = [path for path in map(Path, found.split("\0")) if path.is_file()]
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / path)  # as old as it is: kernels are kept for as long
    do(sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "egg_info", cwd=target)
    tests = (path for path in paths if path.parts[0] == "tests" and path.name.startswith("test_"))
    return sorted(str(path) for path in tests if "mark.portable" in path.read_text("utf-8"))


def main() -> int:
    """Set up, then run the tests on each processor; 1 when a test fails on any."""
    began = time.monotonic()
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        give_up(MAY_NOT)
    root = Path(sys.argv[1]).resolve() / "root"
    qemu = install_tools()
    run, text, dev = (Path(f"requirements/{n}.txt").read_text() for n in ("run", "text", "dev"))
    make_root(root, locked(run + text, dev))
    portable = copy_code(root / CODE)
    tests = sys.argv[2:] or ["-m", "portable and not native", *portable]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what has to be undone
    failed = 0
    if within(root, qemu, PROCESSORS[0], "true") != 0:
        give_up(MAY_NOT)
    print(f"set up after {time.monotonic() - began:.0f} s", flush=True)
    for processor in PROCESSORS:
        print(f"{processor}:", flush=True)
        alarms = FALSE_ALARMS if processor == "max" else []
        failed += within(root, qemu, processor, *PYTEST, *alarms, *tests) != 0
    print(f"{len(PROCESSORS) - failed} of {len(PROCESSORS)} processors passed, ", end="")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes, ", end="")
    print(f"{(used.ru_utime + used.ru_stime) / 60:.1f} of a core's time")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
