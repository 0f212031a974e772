"""What the file store declares: the types of its arguments, its housekeeping and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from icd.fields import U8, U16, U32, U64, FileName, Limits, Text128, Unit

Transaction = Annotated[U32, "number of the transfer, chosen by whoever begins it"]
Path = Annotated[Text128, "path in the file store, such as inputs/text.txt", FileName()]
Offset = Annotated[U64, "position in the file", Unit("B")]


@dataclass(frozen=True)
class Digest:
    """What a file is."""

    size: Annotated[U64, "octets in the file", Unit("B")]
    crc32: Annotated[U32, "CRC-32 of the whole file"]


@dataclass(frozen=True)
class Free:
    """What room there is."""

    free: Annotated[U64, "octets free for files", Unit("B")]


@dataclass
class FileStoreHousekeeping:
    open_puts: Annotated[U8, "files on their way up"] = 0
    open_gets: Annotated[U8, "files on their way down"] = 0
    files_received: Annotated[U32, "files checked and put in place since the last start"] = 0
    segments_received: Annotated[U32, "segments made durable"] = 0
    segments_repeated: Annotated[U32, "segments that were there already"] = 0
    octets_received: Annotated[U64, "octets made durable", Unit("B")] = 0
    segments_sent: Annotated[U32, "segments handed to the downlink"] = 0
    octets_sent: Annotated[U64, "octets handed to the downlink", Unit("B")] = 0
    refused: Annotated[U32, "telecommands refused or failed"] = 0
    mismatches: Annotated[U32, "files whose checksum was not the one announced"] = 0
    expired: Annotated[U32, "transfers let go because they were idle"] = 0
    storage_failures: Annotated[U32, "requests that storage did not carry out"] = 0


@dataclass(frozen=True)
class FileStoreParameters:
    idle_s: Annotated[U32, "a transfer is let go when idle for", Unit("s"), Limits(10, 604800)] = (
        3600
    )
    save_every: Annotated[U16, "segments between two records of progress", Limits(1, 4096)] = 64
    read_ahead: Annotated[U8, "reads of 24 KiB under way for each file", Limits(1, 8)] = 3
