"""Power modes of a Jetson: which there are, which is on, and how to change it (nvpmodel)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hal.errors import DriverFault, Unsupported, WrongRequest
from hal.jetson import identity as jetson_identity
from hal.jetson.identity import SUPER_MODE
from hal.linux.programs import Runner
from hal.linux.sysfs import Sysfs

_CONFIGURATION = "etc/nvpmodel.conf"
_STATUS = "var/lib/nvpmodel/status"
_MODEL = re.compile(r"\s*<\s*POWER_MODEL\s([^<>]*)>\s*")
_WORD = re.compile(r"([A-Z]+)\s*=\s*(\S+)")
_SAVED = re.compile(r"^pmode:\s*([0-9]+)", re.MULTILINE)
_ANSWER = re.compile(r"NV Power Mode:\s*\S+\s+([0-9]+)\s*$", re.MULTILINE)
_WATTS = re.compile(r"(?:^|[^0-9A-Za-z.])([0-9]+(?:\.[0-9]+)?)W(?![0-9A-Za-z])", re.IGNORECASE)
_MAXN = "MAXN"
_REBOOT = re.compile(r"reboot", re.IGNORECASE)
_ASK_AGAIN_NS = 30_000_000_000


@dataclass(frozen=True)
class Mode:
    """One power mode; `budget_w` is None where neither its name nor the module tells it."""

    number: int
    name: str
    budget_w: float | None


class PowerModes:
    """The modes of one module; `module_w` is the budget of a mode without a limit (MAXN)."""

    def __init__(self, files: Sysfs, run: Runner, module_w: float | None) -> None:
        self._files = files
        self._run = run
        self._module_w = module_w
        self._asked: tuple[int, int] | None = None

    def known(self) -> list[Mode]:
        """Every mode by number. Raises BoardError where no file tells them."""
        found: dict[int, str] = {}
        for line in self._files.lines(_CONFIGURATION):
            named = _named(line)
            if named and found.setdefault(*named) != named[1]:
                raise DriverFault(f"/{_CONFIGURATION} gives mode {named[0]} two names")
        if not found:
            raise DriverFault(f"/{_CONFIGURATION} names no power mode")
        return [self._mode(number, name) for number, name in sorted(found.items())]

    def now(self, time_ns: int) -> Mode:
        """The mode that is on: by what nvpmodel saved, or by asking it. Raises BoardError."""
        saved = _SAVED.search(self._files.text_or("", _STATUS))
        number = int(saved[1]) if saved else self._ask(time_ns)
        for mode in self.known():
            if mode.number == number:
                return mode
        raise DriverFault(f"power mode {number} is on, which /{_CONFIGURATION} does not name")

    def budget_w(self, time_ns: int) -> float:
        """What the mode allows, in W. Raises BoardError, Unsupported where it has no limit."""
        mode = self.now(time_ns)
        if mode.budget_w is None:
            raise Unsupported(f"power mode {mode.name} names no limit")
        return mode.budget_w

    def choose(self, number: float, time_ns: int) -> float:
        """Turn a mode on by its number; the number then on. Raises BoardError."""
        modes = self.known()
        if number not in [mode.number for mode in modes]:
            known = ", ".join(f"{mode.number} ({mode.name})" for mode in modes)
            raise WrongRequest(f"no power mode {number:g}; give {known}")
        told = self._run(["nvpmodel", "-m", str(int(number))])
        self._asked = None
        if "NVPM ERROR" in told:
            raise DriverFault(f"nvpmodel: {told.splitlines()[-1][:120]}")
        after = self.now(time_ns).number
        if after != number:
            cause = "; it needs a reboot" if _REBOOT.search(told) else ""
            raise DriverFault(f"nvpmodel left power mode {after} on{cause}")
        return float(after)

    def limit(self, budget_w: float, time_ns: int) -> float:
        """Turn on the mode of a budget; the budget then in force, in W. Raises BoardError."""
        budgets: dict[float, int] = {}
        # A mode that is called by its budget goes before one that has the module.s.
        for mode in sorted(self.known(), key=lambda mode: mode.name.startswith(_MAXN)):
            if mode.budget_w:
                budgets.setdefault(mode.budget_w, mode.number)
        number = budgets.get(budget_w)
        if number is None:
            known = ", ".join(f"{budget:g}" for budget in sorted(budgets))
            raise WrongRequest(f"no power mode of {budget_w:g} W; give {known} W")
        self.choose(number, time_ns)
        return self.budget_w(time_ns)

    def _ask(self, time_ns: int) -> int:
        """The number nvpmodel answers; it is slow, so it is asked every 30 s at most."""
        if self._asked is None or abs(time_ns - self._asked[0]) >= _ASK_AGAIN_NS:
            told = self._run(["nvpmodel", "-q"])
            answer = _ANSWER.search(told)
            if answer is None:
                raise DriverFault(f"nvpmodel -q answered {told[:60]!r}")
            self._asked = time_ns, int(answer[1])
        return self._asked[1]

    def _mode(self, number: int, name: str) -> Mode:
        return Mode(number, name, self._budget(name))

    def _budget(self, name: str) -> float | None:
        """By the watts in a name; MAXN has the module's own budget, or that of its Super modes."""
        watts = _WATTS.findall(name)
        if len(watts) == 1:
            return float(watts[0])
        if name == SUPER_MODE:
            return jetson_identity.super_budget_w(self._files)
        return self._module_w if name == _MAXN else None


def _named(line: str) -> tuple[int, str] | None:
    """Number and name that a line gives a power mode, in either order; None for another line."""
    model = _MODEL.fullmatch(line.partition("#")[0])
    words = dict(_WORD.findall(model[1])) if model else {}
    number, name = words.get("ID", ""), words.get("NAME", "")
    is_number = number.isascii() and number.isdecimal()
    return (int(number), name) if is_number and name else None
