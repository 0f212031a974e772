"""`ground jobs`: list, submit, watch and control the jobs of a payload."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from ground.cli.common import Failure, client_options, connected, pairs, shown
from ground.cli.completion import complete_job, complete_job_argument
from ground.cli.send import Ticker, conclude
from icd.options import Whole

if TYPE_CHECKING:
    from ground.client.client import Client

BAR = 30


def line(row: dict[str, Any]) -> str:
    """One job: id, kind, phase, a bar, metrics, reason."""
    step, total = int(row.get("step", 0)), int(row.get("total", 0))
    share = step / total if total else 0.0
    filled = round(share * BAR)
    bar = "█" * filled + "·" * (BAR - filled)
    progress = f"{bar} {step}/{total}" if total else f"{bar} {step}"
    found = _protected(row)
    metrics = " ".join(f"{name}={shown(value)}" for name, value in row["metrics"].items())
    phase = str(row.get("phase", "?")).lower()
    parts = [f"job {row['job']:<4} {row['name']:<10} {phase:<11} {progress}", found, metrics]
    return "  ".join(part for part in [*parts, str(row.get("reason", ""))] if part)


def _protected(row: dict[str, Any]) -> str:
    """How its results are protected, and what that found, in words."""
    if "protection" not in row:
        return ""
    asked, level = str(row["protection"]).lower(), str(row.get("level", "")).lower()
    words = [asked if level in ("", asked) else f"{asked}: {level}"]
    for name in ("wrong", "blocks_corrected", "lost"):
        if row.get(name):
            words.append(f"{row[name]} {name.replace('_', ' ')}")
    return ", ".join(words)


@click.group(invoke_without_command=True)
@client_options
@click.pass_context
def jobs(context: click.Context, server: str | None, payload: str | None) -> None:
    """List jobs; with a subcommand, submit, watch or control them."""
    about = context.find_root().obj
    if about is not None:
        about["server"] = server or about.get("server")
        about["payload"] = payload or about.get("payload")
    if context.invoked_subcommand is None:
        with connected(server, payload) as client:
            rows = client.jobs(refresh=True)
            for row in rows:
                click.echo(line(row))
            if not rows:
                click.echo("no jobs; submit one: ground jobs submit NAME ARG=VALUE…")


@jobs.command()
@click.argument("name", shell_complete=complete_job)
@click.argument("arguments", nargs=-1, metavar="[ARG=VALUE]…", shell_complete=complete_job_argument)
@click.option("--priority", type=Whole(), help="A higher number goes first.")
@click.option("--wall", "wall_s", type=Whole(), metavar="S", help="Longest run.")
@click.option("--memory", "memory_mb", type=Whole(), metavar="MIB", help="Most memory.")
@click.option(
    "--protection",
    metavar="LEVEL",
    help="How results are protected: none, abft, dmr, tmr, adaptive (default).",
)
@click.option("--watch", "is_watched", is_flag=True, help="Watch it to its end.")
@client_options
def submit(
    name: str,
    arguments: tuple[str, ...],
    priority: int | None,
    wall_s: int | None,
    memory_mb: int | None,
    protection: str | None,
    is_watched: bool,
    server: str | None,
    payload: str | None,
) -> None:
    """Submit a job, such as: ground jobs submit matmul size=512"""
    given = pairs(arguments)
    with connected(server, payload) as client:
        result = client.submit(
            name,
            given,
            priority=priority,
            wall_s=wall_s,
            memory_mb=memory_mb,
            protection=protection,
            check=False,
        )
        Ticker()(result)
        conclude(result)
        if is_watched:
            _watch(client, int(result.result["job"]))


@jobs.command()
@click.argument("job", type=Whole())
@client_options
def watch(job: int, server: str | None, payload: str | None) -> None:
    """Watch a job to its end; exit code 0 only when it is done."""
    with connected(server, payload) as client:
        _watch(client, job)


def _watch(client: Client, job: int) -> None:
    moves = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    after, last = 0, ""
    rows = client.jobs(refresh=True)
    while True:
        row = next((row for row in rows if row["job"] == job), None)
        if row is None:
            raise Failure(f"the payload knows no job {job}; see: ground jobs")
        after = max([after, *(row["cursor"] for row in rows)])
        if (text := line(row)) != last:
            last = text
            click.echo(f"\r\x1b[K{text[:width]}" if moves else text, nl=not moves)
            sys.stdout.flush()
        if row["ended"]:
            if moves:
                click.echo(f"\r\x1b[K{text}")
            if str(row["phase"]).lower() != "done":
                raise click.exceptions.Exit(1)
            return
        rows = client.jobs(after=after, wait_s=5.0)


@jobs.command()
@click.argument("job", type=Whole())
@click.argument("level", metavar="LEVEL")
@client_options
def protect(job: int, level: str, server: str | None, payload: str | None) -> None:
    """Change how a job's results are protected: none, abft, dmr, tmr or adaptive."""
    _order("set_protection", {"job": job, "protection": level}, server, payload)


def _order(name: str, values: dict[str, Any], server: str | None, payload: str | None) -> None:
    """Send a telecommand of the component which runs jobs."""
    from ground.server.jobs import component_of

    with connected(server, payload) as client:
        component = component_of(client.dictionary(wait_s=5.0))
        known = [command.name for command in component.commands]
        if name not in known:
            raise Failure(f"'{component.name}' has no command {name}; it has {known}")
        command = f"{component.name}.{name}"
        conclude(client.send(command, values, check=False, on_stage=Ticker()))


def _control(name: str, help_text: str) -> None:
    """One subcommand that names a telecommand of the component which runs jobs."""

    @jobs.command(name, help=help_text)
    @click.argument("job", type=Whole())
    @client_options
    def control(job: int, server: str | None, payload: str | None) -> None:
        _order(name, {"job": job}, server, payload)


_control("pause", "Pause a job at its next safe point.")
_control("resume", "Let a paused job go on.")
_control("cancel", "Cancel a job, politely and then firmly.")
