"""Sidecars: a plain file stays plain, and what lies beside it sets it right."""

from __future__ import annotations

import hashlib
import io
import random
import zlib

import pytest

from flight.edac import sidecar
from flight.edac.header import UnknownVersion
from flight.edac.sidecar import NoSidecar, Record

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

SIZES = (0, 1, 63, 4096, 100_000, 3_000_000)


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def protected(content: bytes) -> bytes:
    beside = io.BytesIO()
    sidecar.protect(io.BytesIO(content), beside)
    return beside.getvalue()


def mended(content: bytes, beside: bytes) -> tuple[bytes, bool]:
    out = io.BytesIO()
    report = sidecar.mend(io.BytesIO(content), io.BytesIO(beside), out)
    return out.getvalue(), report.is_recoverable


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_protected_and_sound(size: int) -> None:
    content = content_of(size)
    beside = io.BytesIO()
    beats: list[int] = []
    digest = sidecar.protect(io.BytesIO(content), beside, lambda: beats.append(1))
    assert (digest.size, digest.crc32) == (size, zlib.crc32(content))
    assert digest.sha256 == hashlib.sha256(content).digest()
    report = sidecar.examine(io.BytesIO(content), io.BytesIO(beside.getvalue()))
    assert report.is_sound
    assert len(beats) == -(-size // (2 << 20))
    assert len(beside.getvalue()) <= 3_000 + size * (0.19 if size < 2 << 20 else 0.03)


@pytest.mark.parametrize("size", SIZES[1:])
def test_who_has_the_standard_library_only_knows_a_sound_file(size: int) -> None:
    content = content_of(size)
    beside = protected(content)
    record = sidecar.find(beside[:192], beside[-192:])
    assert record.is_of(size, hashlib.sha256(content).digest())
    other = content[:-1] + bytes([content[-1] ^ 1])
    assert not record.is_of(size, hashlib.sha256(other).digest())
    assert not record.is_of(size + 1, hashlib.sha256(content).digest())


@pytest.mark.verifies("VA-EDC-03")
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_burst_of_512_bits_is_corrected_at_any_place(size: int) -> None:
    content, draw = content_of(size), random.Random(1)
    beside = protected(content)
    for _ in range(40):
        at = draw.randrange(size)
        hit = bytearray(content)
        hit[at : at + 64] = bytes(octet ^ draw.randrange(1, 256) for octet in hit[at : at + 64])
        assert mended(bytes(hit), beside) == (content, True)


@pytest.mark.parametrize("at", [0, 100_000, 3_000_000 - 4096])
def test_a_lost_page_of_a_large_file_is_corrected(at: int) -> None:
    content = content_of(3_000_000)
    torn = content[:at] + bytes(4096) + content[at + 4096 :]
    assert mended(torn, protected(content)) == (content, True)


def test_damage_of_the_sidecar_alone_leaves_the_content_and_is_told() -> None:
    content, draw = content_of(100_000), random.Random(2)
    beside = protected(content)
    for _ in range(100):
        hit = bytearray(beside)
        at = draw.randrange(len(hit))
        hit[at] ^= 1 << draw.randrange(8)
        report = sidecar.examine(io.BytesIO(content), io.BytesIO(bytes(hit)))
        assert report.is_recoverable
        assert not report.is_sound


def test_octets_missing_at_the_end_are_corrected_while_they_can_be() -> None:
    content = content_of(300_000)
    beside = protected(content)
    assert mended(content[:-1000], beside) == (content, True)
    assert mended(content + b"more", beside) == (content, True)
    assert not mended(content[:-150_000], beside)[1]


def test_more_damage_than_the_code_corrects_is_said_by_block() -> None:
    content = bytearray(content_of(100_000))
    beside = protected(bytes(content))
    for line in (0, 25, 50):  # of one block: 25 lie side by side
        content[64 * line] ^= 1
    report = sidecar.examine(io.BytesIO(bytes(content)), io.BytesIO(beside))
    assert (report.is_recoverable, report.lost) == (False, [0])


def test_the_sidecar_of_another_file_sets_nothing_right() -> None:
    one, other = content_of(10_000), content_of(10_001)[:10_000]
    assert not mended(one, protected(other))[1]


def test_what_is_no_sidecar_is_refused() -> None:
    for beside in (b"", bytes(500), content_of(1000)):
        with pytest.raises(NoSidecar, match="not a sidecar"):
            sidecar.examine(io.BytesIO(b"x"), io.BytesIO(beside))


def test_a_later_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = protected(b"content")
    record = sidecar.find(beside[:192], beside[-192:])
    monkeypatch.setattr(sidecar, "VERSION", 9)
    later = record.pack()
    monkeypatch.undo()
    with pytest.raises(UnknownVersion, match="sidecar version 9; this software reads 1"):
        Record.parse(later)
