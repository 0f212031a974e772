"""The boot slots of a Jetson: which runs, which boots next, whether each can (nvbootctrl)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hal.errors import BoardError, DriverFault, Unsupported, WrongRequest
from hal.linux.programs import Runner

_LETTERS = "AB"
_ASK_AGAIN_NS = 60_000_000_000
_CURRENT = re.compile(r"^Current \w+ slot:\s*([AB])", re.MULTILINE)
_ACTIVE = re.compile(r"^Active \w+ slot:\s*([AB])", re.MULTILINE)
_VERSION = re.compile(r"^Current version:\s*(\S+)", re.MULTILINE)
_SLOT = re.compile(r"^slot:\s*(\d+),\s*(.+?)\s*$", re.MULTILINE)
_STATUS = re.compile(r"status:\s*(\w+)")
_RETRIES = re.compile(r"retry_count:\s*(\d+)")
_SUCCESSFUL = re.compile(r"boot_successful:\s*(\d+)")


@dataclass(frozen=True)
class Slot:
    """One slot; `status` is the loader's word. None stands for what this release does not tell."""

    number: int
    status: str
    retries_left: int | None = None
    is_successful: bool | None = None

    @property
    def letter(self) -> str:
        return _LETTERS[self.number] if self.number < len(_LETTERS) else "?"

    @property
    def is_bootable(self) -> bool:
        """Whether the loader would try it."""
        return self.status == "normal" if self.status else self.retries_left != 0


@dataclass(frozen=True)
class SlotTable:
    """What the loader knows: the slot that runs, the one that boots next, and all slots."""

    current: int
    active: int
    slots: tuple[Slot, ...]
    version: str = ""

    @property
    def other(self) -> int | None:
        """The slot that does not run, if it can be booted."""
        found = [slot.number for slot in self.slots if slot.number != self.current]
        bootable = [number for number in found if self.slots[number].is_bootable]
        return bootable[0] if bootable else None


class KnownSlots:
    """The slot table as it was when last asked for, which is once a minute: the tool is slow."""

    def __init__(self, ask: Callable[[], SlotTable]) -> None:
        self._ask = ask
        self._asked_ns: int | None = None
        self._found: SlotTable | BoardError | None = None

    def table(self, time_ns: int) -> SlotTable:
        """What is known at that time. Raises BoardError, also again what was raised before."""
        if self._asked_ns is None or abs(time_ns - self._asked_ns) >= _ASK_AGAIN_NS:
            self._asked_ns = time_ns
            try:
                self._found = self._ask()
            except BoardError as error:
                self._found = error
        if isinstance(self._found, SlotTable):
            return self._found
        raise self._found or DriverFault("nvbootctrl was not asked")

    def forget(self) -> None:
        """Ask anew at the next time: something was done, or the computer was started."""
        self._asked_ns = None


class BootSlots:
    """The boot slots of this computer; read-only unless `allow_control`."""

    def __init__(self, run: Runner, *, allow_control: bool = False, rootfs: bool = False) -> None:
        self._run = run
        self._allowed = allow_control
        self._target = ["-t", "rootfs"] if rootfs else []

    def table(self) -> SlotTable:
        """What the loader knows now. Raises BoardError; Unsupported without redundancy."""
        told = self._ask("dump-slots-info")
        current, active = _CURRENT.search(told), _ACTIVE.search(told)
        slots = tuple(_slot(int(number), rest) for number, rest in _SLOT.findall(told))
        if current is None or not slots:
            if "not enabled" in told.lower() or "not supported" in told.lower():
                raise Unsupported(f"nvbootctrl: {told.splitlines()[0][:120]}")
            raise DriverFault(f"nvbootctrl answered {told[:80]!r}")
        running = _LETTERS.index(current[1])
        version = _VERSION.search(told)
        return SlotTable(
            running,
            running if active is None else _LETTERS.index(active[1]),
            slots,
            version[1] if version else "",
        )

    def activate(self, number: int) -> SlotTable:
        """Let a slot boot next; the table read back. Raises BoardError."""
        self._need_leave()
        before = self.table()
        known = {slot.number: slot for slot in before.slots}
        if number not in known:
            raise WrongRequest(f"no slot {number}; give one of {', '.join(map(str, known))}")
        if not known[number].is_bootable:
            status = known[number].status or "out of retries"
            raise WrongRequest(f"slot {number} cannot be booted ({status}); write it anew first")
        self._ask("set-active-boot-slot", str(number))
        after = self.table()
        if after.active != number:
            raise DriverFault(f"nvbootctrl left slot {after.active} active")
        return after

    def confirm(self) -> None:
        """Say that the running slot booted well, so that its retries count anew.

        Raises BoardError; newer loaders see that themselves and may not know the word.
        """
        self._need_leave()
        self._ask("mark-boot-successful")

    def _need_leave(self) -> None:
        if not self._allowed:
            raise WrongRequest("the boot slots are read-only; allow other_slot by name")

    def _ask(self, *words: str) -> str:
        return self._run(["nvbootctrl", *self._target, *words])


def _slot(number: int, rest: str) -> Slot:
    status, retries = _STATUS.search(rest), _RETRIES.search(rest)
    successful = _SUCCESSFUL.search(rest)
    return Slot(
        number,
        status[1] if status else "",
        int(retries[1]) if retries else None,
        successful[1] == "1" if successful else None,
    )
