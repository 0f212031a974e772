"""Files up and down, over a link that loses and doubles segments, and over restarts."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ground.client.client import Client, connect
from ground.errors import CommandRefused, TransferFailed
from ground.server.config import ServerConfig
from tests.ground.conftest import RunningServer
from tests.ground.support.fake_payload import FakePayload

CONTENT = random.Random(1).randbytes(100_001)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "up.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost segments are found soon."""
    monkeypatch.setattr("ground.server.file_transfer.SEGMENT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("ground.server.file_transfer.STALL_S", 0.15)


def test_a_file_goes_up_and_comes_down_again(
    client: Client, payload: FakePayload, source: Path, tmp_path: Path
) -> None:
    shown: list[tuple[int, int]] = []
    client.put(source, "inputs/up.bin", lambda done, total: shown.append((done, total)))
    assert payload.files["inputs/up.bin"] == CONTENT
    assert shown[-1] == (len(CONTENT), len(CONTENT))
    client.get("inputs/up.bin", tmp_path / "down.bin")
    assert (tmp_path / "down.bin").read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.glob("down*")) == ["down.bin"]


def test_segments_lost_and_doubled_on_the_way_up_are_made_good(
    client: Client, payload: FakePayload, source: Path
) -> None:
    payload.lose = lambda kind, number: kind == "put" and number in (3, 9, 20)
    payload.double = lambda kind, number: kind == "put" and number % 5 == 0
    client.put(source, "up.bin")
    assert payload.files["up.bin"] == CONTENT


def test_segments_lost_and_doubled_on_the_way_down_are_made_good(
    client: Client, payload: FakePayload, tmp_path: Path
) -> None:
    payload.files["x"] = CONTENT
    payload.lose = lambda kind, number: kind == "get" and number in (1, 5, 6, 33)
    payload.double = lambda kind, number: kind == "get" and number % 4 == 0
    client.get("x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_an_empty_file_goes_up_and_comes_down(
    client: Client, payload: FakePayload, tmp_path: Path
) -> None:
    (tmp_path / "none").write_bytes(b"")
    client.put(tmp_path / "none", "none")
    assert payload.files == {"none": b""}
    client.get("none", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_an_altered_download_is_never_given_its_name(
    client: Client, payload: FakePayload, tmp_path: Path
) -> None:
    payload.files["x"] = CONTENT

    def altered(tc: object, values: tuple[int, str, int]) -> None:
        payload.gets[values[0]] = CONTENT[:-1] + b"!"
        payload.complete(tc, len(CONTENT), zlib.crc32(CONTENT))  # type: ignore[arg-type]
        payload._send_range(values[0], 0, len(CONTENT))

    payload.handlers["files.get_begin"] = altered  # type: ignore[assignment]
    with pytest.raises(TransferFailed, match="thrown away, get it again"):
        client.get("x", tmp_path / "x")
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.verifies("VA-SEC-06")
def test_a_pipe_is_refused_at_once(client: Client, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TransferFailed, match=r"cannot read .*pipe.*: is no regular file, but a"):
        client.put(tmp_path / "pipe", "x")
    with pytest.raises(TransferFailed, match=r"cannot read .*: is no regular file"):
        client.put(tmp_path, "x")


def test_a_name_that_is_no_text_is_refused_before_it_is_sent(
    client: Client, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.write_bytes(b"1")
    with pytest.raises(CommandRefused, match=r"caf\\udce9' is not UTF-8"):
        client.put(odd, "x")
    with pytest.raises(CommandRefused, match="more than 64 bits"):
        client.send("ping", {"number": 2**70})


@pytest.mark.verifies("VA-SEC-06")
def test_a_file_whose_name_is_as_long_as_can_be_goes_up_and_comes_down(
    client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for octets in (240, 252, 255):
        long = folder / ("n" * octets)
        long.write_bytes(CONTENT)
        client.put(long, "long")
        long.unlink()
        client.get("long", long)
        assert long.read_bytes() == CONTENT
        assert list(folder.glob("*")) == [long]
        long.unlink()
    with pytest.raises(TransferFailed, match=r"File name too long"):
        client.put(tmp_path / ("n" * 256), "long")


def test_a_payload_that_refuses_is_quoted(client: Client, tmp_path: Path, source: Path) -> None:
    with pytest.raises(TransferFailed, match="no file nothing"):
        client.get("nothing", tmp_path / "x")
    with pytest.raises(TransferFailed, match=r"cannot read .* on this computer: No such file"):
        client.put(tmp_path / "nothing", "x")
    with pytest.raises(TransferFailed, match="make it first"):
        client.get("x", tmp_path / "no" / "folder" / "x")
    with pytest.raises((TransferFailed, CommandRefused), match="give at most 128"):
        client.put(source, "a" * 129)


def test_a_put_goes_on_where_an_earlier_one_broke_off(
    client: Client, payload: FakePayload, source: Path
) -> None:
    crc32 = zlib.crc32(CONTENT)
    transaction = zlib.crc32(f"1:up.bin:{len(CONTENT)}:{crc32}".encode())
    payload.puts[transaction] = {
        "path": "up.bin",
        "size": len(CONTENT),
        "crc32": crc32,
        "data": bytearray(CONTENT[:90_000]),
    }
    client.put(source, "up.bin")
    offsets = [values[1] for name, values in payload.taken if name == "files.put_segment"]
    assert min(offsets) == 90_000
    assert payload.files["up.bin"] == CONTENT


def test_a_put_survives_a_payload_that_forgets_it(
    client: Client, payload: FakePayload, source: Path
) -> None:
    def forget(tc: object, values: tuple[int, int, bytes]) -> None:
        if values[1] == 30_720 and "files.put_segment" in payload.handlers:
            del payload.handlers["files.put_segment"]
            payload.puts.clear()
        payload.files_put_segment(tc, values)  # type: ignore[arg-type]

    payload.handlers["files.put_segment"] = forget  # type: ignore[assignment]
    client.put(source, "up.bin")
    assert payload.files["up.bin"] == CONTENT
    begun = [name for name, _ in payload.taken if name == "files.put_begin"]
    assert len(begun) == 2


def test_a_get_goes_on_after_the_server_was_restarted(
    configure: Callable[..., ServerConfig], payload: FakePayload, state: Path, tmp_path: Path
) -> None:
    large = CONTENT * 4
    payload.files["x"] = large
    payload.lose = lambda kind, number: kind == "get" and number > 90
    first = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        number = client._run(_begin_get(client, tmp_path))
        while number["done"] < 90 * 3072:
            number = client._run(_transfer(number))
    first.close()
    assert not (tmp_path / "x").exists()
    payload.lose = lambda _kind, _number: False
    payload.taken.clear()
    second = RunningServer(configure(payload))
    with connect(state) as client:
        client.dictionary(wait_s=5.0)
        client.get("x", tmp_path / "x")
    second.close()
    assert (tmp_path / "x").read_bytes() == large
    offset = next(values[2] for name, values in payload.taken if name == "files.get_begin")
    assert offset >= 128 * 1024


def _begin_get(client: Client, folder: Path):  # type: ignore[no-untyped-def]
    from ground.client import calls

    args = {"payload": client.payload, "remote": "x", "local": str(folder / "x")}
    return calls.simple("get", args)


def _transfer(state: dict[str, int]):  # type: ignore[no-untyped-def]
    from ground.client import calls

    args = {"id": state["id"], "revision": state["revision"], "wait_s": 1.0}
    return calls.simple("transfer", args, 1.0)


def test_the_file_store_is_listed(client: Client, payload: FakePayload) -> None:
    payload.files |= {"inputs/a": b"1", "inputs/b": b"22", "products/c": b"333"}
    listed = client.files("inputs/")
    assert [(row["path"], row["size"]) for row in listed] == [("inputs/a", 1), ("inputs/b", 2)]
