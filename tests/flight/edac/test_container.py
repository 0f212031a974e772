"""Containers: every way to damage one is made good or said."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.edac import container, header
from flight.edac.code import Code
from flight.edac.container import DataLost, NotAContainer, Report, UnknownVersion, Writer
from flight.edac.hash import chain
from flight.edac.header import END_OCTETS, RECORD_OCTETS, Header

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

SIZES = [0, 1, 7, 63, 64, 65, 4095, 4096, 4097, 70_000, 262_144, 300_001]
LARGE = 600_000
QUICK = settings(max_examples=40, deadline=None)


def draw(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def examined(packed: bytes) -> Report:
    reader = container.Reader(io.BytesIO(packed))
    for _ in reader.segments():
        pass
    return reader.report


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.va"
    container.write(path, draw(LARGE), label="weights")
    return path


def damage(path: Path, at: int, octets: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        stream.write(octets)


class TestRoundTrips:
    @pytest.mark.parametrize("size", SIZES)
    def test_content_of_any_size_comes_back(self, size: int) -> None:
        content = draw(size, size)
        packed = container.pack(content, "any", Code(64))
        assert container.unpack(packed) == content
        report = examined(packed)
        assert report.is_sound
        assert (report.label, report.length) == ("any", size)

    @QUICK
    @given(
        st.integers(0, 400_000),
        st.sampled_from([64, 512, 4096]),
        st.integers(1, 64),
        st.integers(0, 2**32),
        st.lists(st.integers(0, 100_000), max_size=6),
    )
    def test_content_in_any_pieces_comes_back(
        self, size: int, n: int, depth: int, seed: int, cuts: list[int]
    ) -> None:
        content, stream = draw(size, seed), io.BytesIO()
        writer = Writer(stream, "", Code(n), depth)
        at = 0
        for cut in [*cuts, size]:
            writer.write(content[at : at + cut])
            at += cut
        writer.finish()
        assert container.unpack(stream.getvalue()) == content
        assert examined(stream.getvalue()).is_sound

    def test_arrays_of_any_type_are_content(self) -> None:
        weights = np.arange(10, dtype=np.float32).reshape(2, 5)
        found = np.frombuffer(container.unpack(container.pack(weights)), np.float32)
        assert (found.reshape(2, 5) == weights).all()

    def test_the_redundancy_is_small(self) -> None:
        content = bytes(2 << 20)
        assert len(container.pack(content)) / len(content) < 1.023


class TestDamage:
    @QUICK
    @given(st.sampled_from(SIZES), st.integers(1, 512), st.floats(0, 1), st.integers(0, 2**32))
    def test_a_burst_of_512_bits_anywhere_is_made_good(
        self, size: int, bits: int, place: float, seed: int
    ) -> None:
        content = draw(size, seed)
        packed = container.pack(content)
        first = int(place * (8 * len(packed) - bits))
        pattern = (seed % (1 << bits)) | 1 | 1 << bits - 1
        value = int.from_bytes(packed, "little") ^ pattern << first
        torn = value.to_bytes(len(packed), "little")
        assert container.unpack(torn) == content
        report = examined(torn)
        assert report.is_recoverable
        assert not report.is_sound

    @QUICK
    @given(
        st.sampled_from([262_144, LARGE, (2 << 20) + 5]),
        st.floats(0, 1),
        st.booleans(),
        st.integers(0, 2**32),
    )
    def test_a_lost_page_of_a_large_file_is_made_good_at_any_alignment(
        self, size: int, place: float, is_late: bool, seed: int
    ) -> None:
        content = draw(size)
        torn = bytearray(container.pack(content))
        at = int(place * (len(torn) - 4096)) if not is_late else len(torn) - 4096 - seed % 60_000
        torn[at : at + 4096] = draw(4096, seed)
        assert container.unpack(bytes(torn)) == content

    @QUICK
    @given(st.integers(0, 2**32), st.integers(1, 3000))
    def test_no_damage_gives_wrong_content(self, seed: int, hits: int) -> None:
        content = draw(30_000)
        torn = bytearray(container.pack(content, code=Code(64)))
        random = np.random.default_rng(seed)
        for at in random.integers(0, len(torn), hits):
            torn[at] ^= 1 << int(random.integers(8))
        try:
            assert container.unpack(bytes(torn)) == content
        except container.ContainerError as said:
            assert str(said)  # noqa: PT017

    def test_any_five_copies_of_the_header_may_be_lost(self) -> None:
        packed = container.pack(b"content")
        places = [0, 64, 128, len(packed) - 192, len(packed) - 128, len(packed) - 64]
        for kept in places:
            torn = bytearray(packed)
            for at in set(places) - {kept}:
                torn[at : at + RECORD_OCTETS] = bytes(RECORD_OCTETS)
            assert container.unpack(bytes(torn)) == b"content"
            assert examined(bytes(torn)).header_copies == 5

    def test_flips_in_every_copy_of_the_header_are_outvoted(self) -> None:
        packed = bytearray(container.pack(b"content"))
        for copy in range(3):
            for end in (0, len(packed) - END_OCTETS):
                packed[end + copy * RECORD_OCTETS + 17 + copy] ^= 0x10
        assert container.unpack(bytes(packed)) == b"content"
        assert examined(bytes(packed)).header_copies == 6

    def test_a_header_lost_in_every_copy_is_said(self) -> None:
        packed = bytearray(container.pack(b"content"))
        packed[:END_OCTETS] = packed[-END_OCTETS:] = bytes(END_OCTETS)
        with pytest.raises(NotAContainer, match="not a container"):
            container.unpack(bytes(packed))

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 5000])
    def test_what_never_was_a_container_is_said(self, content: bytes) -> None:
        with pytest.raises(NotAContainer):
            container.unpack(content)

    def test_every_truncation_is_made_good_or_said(self) -> None:
        content = draw(20_000)
        packed = container.pack(content, code=Code(64))
        for size in [*range(64, len(packed), 509), len(packed) - 1]:
            report = examined(packed[:size])
            assert report.missing == len(packed) - size
            assert f"{report.missing} octets are missing at the end" in report.sentences()
            if report.is_recoverable:
                assert container.unpack(packed[:size]) == content
            else:
                with pytest.raises(DataLost):
                    container.unpack(packed[:size])
        assert container.unpack(packed[:-200]) == content

    def test_octets_behind_the_end_are_said_and_dropped(self) -> None:
        packed = container.pack(b"content") + b"more"
        assert container.unpack(packed) == b"content"
        assert examined(packed).surplus == 4
        assert examined(packed).header_copies == 0

    def test_a_torn_write_of_two_versions_is_said(self) -> None:
        segment = 64 * 4096 + 8 * 4096 + 1024
        old, new = (container.pack(draw(2 * 262_144, seed), code=Code(64)) for seed in (1, 2))
        torn = new[: END_OCTETS + segment] + old[END_OCTETS + segment : -END_OCTETS] + new[-192:]
        assert len(torn) == len(new)
        report = examined(torn)
        assert report.is_mixed
        assert not report.lost
        with pytest.raises(DataLost, match="not written together"):
            container.unpack(torn)

    def test_blocks_beyond_correction_are_named(self) -> None:
        torn = bytearray(container.pack(draw(LARGE), code=Code(64)))
        for at in range(END_OCTETS, END_OCTETS + 12 * 64, 64):
            torn[at] ^= 1
            torn[at + 4096] ^= 1
        with pytest.raises(DataLost, match=r"12 blocks of 192 are lost: 0, 1, .* 7 and 4 more"):
            container.unpack(bytes(torn))

    def test_a_later_version_is_not_guessed_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(header, "VERSION", 2)
        packed = container.pack(b"content")
        monkeypatch.undo()
        with pytest.raises(UnknownVersion, match="version 2; this software reads 1"):
            container.unpack(packed)


class TestHeaders:
    def test_the_record_is_what_the_module_says(self) -> None:
        record = Header(Code(512), 64, 1234, 5678, "weights").record()
        assert record[:16] == b"VA-EDAC\n\x01\x00\x09\x40\x00\x00\x00\x00"
        assert record[16:32] == (1234).to_bytes(8, "little") + (5678).to_bytes(8, "little")
        assert record[32:56] == b"weights" + bytes(17)

    @pytest.mark.parametrize("bit", range(0, 8 * RECORD_OCTETS, 5))
    def test_no_flipped_bit_passes(self, bit: int) -> None:
        record = bytearray(Header(Code(512), 64, 1234, 5678, "weights").record())
        record[bit // 8] ^= 1 << bit % 8
        assert Header.parse(bytes(record)) is None

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"label": "ä" * 13}, "give up to 24 octets"),
            ({"label": "a\0b"}, "give up to 24 octets"),
            ({"depth": 0}, "give 1 to 64"),
            ({"depth": 65}, "give 1 to 64"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change: dict[str, object], said: str) -> None:
        fields = {"code": Code(), "depth": 1, "length": 0, "root": 0, "label": ""}
        with pytest.raises(ValueError, match=said):
            Header(**{**fields, **change})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("at", "octets"), [(0, b"VA-EDAC!"), (10, b"\x05"), (10, b"\x0d"), (11, b"\x00")]
    )
    def test_a_record_of_another_kind_is_none_of_ours(self, at: int, octets: bytes) -> None:
        body = bytearray(Header(Code(), 64, 0, 0, "").record()[:56])
        body[at : at + len(octets)] = octets
        words = [int.from_bytes(body[place : place + 8], "little") for place in range(0, 56, 8)]
        sealed = bytes(body) + chain(words).to_bytes(8, "little")
        assert Header.parse(sealed) is None


class TestFiles:
    def test_a_sound_file_is_left_as_it_is(self, file: Path) -> None:
        before = file.stat()
        assert container.repair(file).is_sound
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert container.read(file).tobytes() == draw(LARGE)

    def test_repair_gives_the_file_back_bit_by_bit(self, file: Path, tmp_path: Path) -> None:
        sound = file.read_bytes()
        damage(file, 5, b"flip")
        damage(file, 100_000, draw(2000))
        damage(file, -70, b"end")
        report = container.repair(file, tmp_path / "out.va")
        assert (tmp_path / "out.va").read_bytes() == sound != file.read_bytes()
        assert report.header_copies == 2
        assert report.corrected > 0
        container.repair(file)
        assert file.read_bytes() == sound
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.va", "weights.va"]

    def test_nothing_is_written_when_content_is_lost(self, file: Path, tmp_path: Path) -> None:
        damage(file, 10_000, draw(20_000))
        torn = file.read_bytes()
        with pytest.raises(DataLost, match="lost"):
            container.repair(file)
        assert file.read_bytes() == torn
        assert list(tmp_path.iterdir()) == [file]

    def test_content_lost_between_two_readings_is_not_written(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        damage(file, 10_000, draw(20_000))
        monkeypatch.setattr(container, "verify", lambda _: Report("", 0, 1, 0, 0))
        with pytest.raises(DataLost):
            container.repair(file, tmp_path / "out.va")
        assert list(tmp_path.iterdir()) == [file]

    def test_a_write_that_fails_leaves_the_old_file(self, file: Path, tmp_path: Path) -> None:
        def pieces() -> object:
            yield b"new"
            raise OSError("the disk is full")

        before = file.read_bytes()
        with pytest.raises(OSError, match="full"):
            container.write(file, pieces())
        assert file.read_bytes() == before
        assert list(tmp_path.iterdir()) == [file]

    def test_pieces_are_written_one_after_another(self, tmp_path: Path) -> None:
        path = tmp_path / "pieces.va"
        container.write(path, iter([b"one ", b"", b"two"]))
        assert container.read(path).tobytes() == b"one two"


def test_every_finding_has_its_sentence() -> None:
    report = Report("", 0, 1, 2, 0, 9, 3, 4, 5, [6], False)
    assert [re.sub(r"\D+", " ", text).split() for text in report.sentences()] == [
        ["1", "6"],
        ["2"],
        ["3"],
        ["4"],
        ["1", "9", "6"],
    ]
    assert Report("", 0, 0, 0, 0).sentences() == ["sound"]
