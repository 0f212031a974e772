"""Numbers on a command line, read as strictly as everywhere: types for options and arguments."""

from __future__ import annotations

from typing import Any

import click

from icd import written


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
