"""What every subcommand shares: finding the server, and saying what went wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ground.errors import GroundError

if TYPE_CHECKING:
    from ground.client.client import Client

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """Shown as one sentence; exit code 1."""

    def show(self, file: Any = None) -> None:
        del file
        click.echo(f"{click.style('✗', fg='red')} {self.format_message()}", err=True)


def client_options(function: F) -> F:
    """--server and --payload, on the subcommand as well as before it."""
    function = click.option("--server", metavar="DIR", help="State folder of the server.")(function)
    return click.option("--payload", metavar="NAME", help="Which payload.")(function)


@contextlib.contextmanager
def connected(server: str | None, payload: str | None) -> Iterator[Client]:
    """A client for a subcommand; errors of ours become sentences."""
    from ground.client.client import connect

    about = click.get_current_context().find_root().obj or {}
    with (
        sentences(),
        connect(server or about.get("server"), payload or about.get("payload")) as client,
    ):
        yield client


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn errors of ours into one sentence, and Ctrl-C into a quiet end."""
    try:
        yield
    except GroundError as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"{error.strerror or error}: {error.filename or 'this computer'}") from error
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """ARG=VALUE words as a mapping."""
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Failure(f"'{text}' is no argument; write NAME=VALUE, such as size=256")
        if name in given:
            raise Failure(f"{name} is given twice")
        given[name] = value
    return given


def utc(time_ns: int) -> str:
    """A ground time as people read it, to the millisecond."""
    from datetime import datetime, timezone

    when = datetime.fromtimestamp(time_ns / 1e9, timezone.utc)
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def onboard(time_ns: int) -> str:
    """On-board seconds (TAI since 1958)."""
    return f"{time_ns / 1e9:.3f}"


def shown(value: Any) -> str:
    """A value for people."""
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)
