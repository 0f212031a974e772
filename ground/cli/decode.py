"""`ground decode`: archived raw packets as CSV, decoded by the dictionary of their time."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ground.cli.common import sentences, shown, utc
from ground.server import archive_queries
from ground.server.decode import Decoder
from ground.server.dictionaries import DictionaryStore
from icd.options import Whole
from icd.space_packet import PacketError

HEADER = ("received_utc", "cursor", "payload", "time_ns", "apid", "service", "subtype", "count",
          "quality", "component", "name", "field", "raw", "value", "unit", "limit")  # fmt: skip


class Decoders:
    """The decoder that matches what a payload had told when a packet came."""

    def __init__(self, state: Path) -> None:
        self._identities = archive_queries.identities(state / "archive.sqlite")
        self._store = DictionaryStore(state / "dictionaries")
        self._by_hash: dict[str, Decoder] = {}

    def at(self, payload: int, received_ns: int) -> Decoder:
        """One decoder for each wire hash; headers only where none is known."""
        told = [h for t, p, h in self._identities if p == payload and t <= received_ns]
        wire_hash = told[-1] if told else ""
        if wire_hash not in self._by_hash:
            self._by_hash[wire_hash] = Decoder(self._store.find(wire_hash))
        return self._by_hash[wire_hash]


def rows(path: Path, decoders: Decoders, payload: int | None) -> Iterator[tuple[Any, ...]]:
    """One row a field; one row for a packet without decoded fields."""
    for packet in archive_queries.packets(path, payload=payload):
        head = (utc(packet["received_ns"]), packet["sequence"], packet["payload"],
                packet["time_ns"], packet["apid"], packet["service"], packet["subtype"],
                packet["count"], packet["quality"])  # fmt: skip
        try:
            decoder = decoders.at(packet["payload"], packet["received_ns"])
            decoded = decoder.decode(packet["octets"])
        except PacketError:
            yield (*head, "", "", "", packet["octets"].hex(), "", "", "")
            continue
        if decoded.plan is None or not decoded.values:
            yield (*head, "", "", "", packet["octets"].hex(), "", "", "")
            continue
        for row in decoded.rows():
            field = row["name"].partition(".")[2]
            yield (*head, decoded.plan.component, decoded.plan.name, field, shown(row["raw"]),
                   shown(row["value"]), row["unit"], row["limit"])  # fmt: skip


@click.command()
@click.option("--state", required=True, type=click.Path(path_type=Path), help="A server's folder.")
@click.option("--payload-id", type=Whole(), help="Only packets of this payload.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="CSV file (default: stdout).")
def decode(state: Path, payload_id: int | None, output: Path | None) -> None:
    """Export archived packets as CSV; the server may be running."""
    with sentences():
        path = state / "archive.sqlite"
        decoders = Decoders(state)
        file = sys.stdout if output is None else output.open("w", newline="")
        try:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(rows(path, decoders, payload_id))
        finally:
            if output is not None:
                file.close()
