"""`flight doctor`: can this machine fly a payload, and what is to be done where it cannot?"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from flight.deployment.configuration import Configuration, ConfigurationError, from_toml

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}
LIKE_A_RUN_DIR = "vanallen-12345678"
"""As long as the name that `flight run` makes when none is given."""


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration (TOML).")
@click.option("--state", type=click.Path(path_type=Path), help="As for `flight run`.")
@click.option("--run", "run_dir", type=click.Path(path_type=Path), help="As for `flight run`.")
@click.option("--board", help="Board to fly on; `flight board list` names them.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def doctor(
    config: Path | None,
    state: Path | None,
    run_dir: Path | None,
    board: str | None,
    as_json: bool,
) -> None:
    """Check this machine, changing nothing: one line a check, and what to do.

    The exit status is 1 when something would keep the payload from flying.
    """
    from flight.deployment.launch import default_state_dir
    from flight.doctor.examination import can_fly, examine
    from flight.doctor.machine import Machine, Subject

    try:
        configuration = from_toml(config) if config else Configuration()
    except ConfigurationError as failure:
        raise click.ClickException(str(failure)) from None
    if board:
        configuration = replace(configuration, board=replace(configuration.board, name=board))
    state, run_dir = (
        state or default_state_dir(),
        run_dir or Path(tempfile.gettempdir()) / LIKE_A_RUN_DIR,
    )
    subject = Subject(Machine(), configuration, state.absolute(), run_dir.absolute())
    findings = []
    for finding in examine(subject):
        findings.append(finding)
        if not as_json:
            verdict = click.style(f"{finding.verdict.value:8}", COLOURS[finding.verdict.value])
            todo = f" → {finding.advice}" if finding.advice else ""
            click.echo(f"{verdict} {finding.check:18} {finding.text}{todo}")
    if as_json:
        rows = [
            {"check": f.check, "verdict": f.verdict.value, "text": f.text, "advice": f.advice}
            for f in findings
        ]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    sys.exit(0 if can_fly(findings) else 1)
