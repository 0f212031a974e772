"""What every command line does alike: numbers are read strictly, and what this Python cannot run
is refused with a sentence."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from icd import written

OPTIMIZED = (
    "Python runs with -OO (PYTHONOPTIMIZE=2), which drops docstrings, and those are the texts of "
    "commands and events; leave it away"
)


class Whole(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; what is none is refused with a sentence."""
        return super().convert(_read(self, value, param, ctx), param, ctx)

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()


class Real(click.FloatRange):
    """A finite number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; what is none is refused with a sentence."""
        return super().convert(_read(self, value, param, ctx), param, ctx)

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()


def _read(
    kind: Whole | Real, value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return written.whole(value) if isinstance(kind, Whole) else written.real(value)
    except ValueError as error:
        kind.fail(str(error), param, ctx)


def refuse_unfit(*, compiles: bool = True) -> None:
    """End a command that this Python cannot run as it was started; raises ClickException.

    `compiles` is false for one that compiles nothing.
    """
    if sys.flags.optimize > 1:
        raise click.ClickException(OPTIMIZED)
    threads = os.environ.get("NUMBA_NUM_THREADS", "")
    if not (compiles and threads):
        return
    try:
        is_sound = written.whole(threads) > 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise click.ClickException(
            f"NUMBA_NUM_THREADS is {threads!r}; give a whole number from 1, or leave it away"
        )
