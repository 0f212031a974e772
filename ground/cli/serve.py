"""`ground serve`: the ground server in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import click

from ground.cli.common import sentences
from ground.errors import ConfigurationError
from ground.server.config import PayloadConfig, ServerConfig, parse_payload
from ground.server.server import GroundServer
from icd.options import Whole


@click.command()
@click.option(
    "--state", required=True, type=click.Path(path_type=Path), help="Folder for archive and API."
)
@click.option(
    "--payload",
    "payloads",
    multiple=True,
    metavar="NAME[@ID]=ENDPOINT",
    help="A payload, such as lab=tcp://127.0.0.1:5555; a ready file may stand for the endpoint.",
)
@click.option(
    "--keys",
    "keys",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Keys file of all payloads, or of one.",
)
@click.option("--slot", type=Whole(1, 65535), help="Key slot (default: the lowest).")
@click.option(
    "--dictionary",
    "dictionaries",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Dictionary file of a payload; kept for ever after.",
)
@click.option("--insecure", is_flag=True, help="Send without authentication.")
def serve(
    state: Path,
    payloads: tuple[str, ...],
    keys: tuple[str, ...],
    slot: int | None,
    dictionaries: tuple[Path, ...],
    insecure: bool,
) -> None:
    """Run the ground server."""
    with sentences():
        config = ServerConfig(
            state,
            tuple(_with_keys(parse_payload(text), keys, slot) for text in payloads),
            dictionaries,
            insecure,
        )
        asyncio.run(_serve(config))


def _with_keys(payload: PayloadConfig, keys: tuple[str, ...], slot: int | None) -> PayloadConfig:
    chosen = None
    for text in keys:
        name, equals, path = text.partition("=")
        if not equals:
            chosen = chosen or Path(text)
        elif name == payload.name:
            chosen = Path(path)
    if slot is not None and chosen is None:
        raise ConfigurationError(f"--slot {slot} needs --keys FILE")
    return replace(payload, keys=chosen, key_slot=slot)


async def _serve(config: ServerConfig) -> None:
    server = GroundServer(config)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        server.start()
        for payload in config.payloads:
            click.echo(f"payload {payload.name} ({payload.payload_id}) at {payload.endpoint}")
        click.echo(f"ground server ready: export VANALLEN_GROUND={config.state.absolute()}")
        await ended.wait()
    finally:
        await server.finish()
