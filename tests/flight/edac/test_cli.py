"""`flight edac`: its words and its exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flight.__main__ import main

pytestmark = [pytest.mark.numerical, pytest.mark.portable]

CONTENT = bytes(range(256)) * 40


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["edac", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "plain").write_bytes(CONTENT)
    path = tmp_path / "image.va"
    assert run("protect", tmp_path / "plain", path, "--label", "image", "--n", 64) == (0, "")
    return path


def flip(path: Path, *places: int) -> None:
    octets = bytearray(path.read_bytes())
    for place in places:
        octets[place] ^= 1
    path.write_bytes(octets)


def test_a_sound_file_is_called_sound(file: Path) -> None:
    assert run("verify", file) == (0, f"{file}: sound\n")
    assert run("repair", file) == (0, f"{file}: sound\n")


def test_a_damaged_file_is_described_and_then_repaired(file: Path) -> None:
    flip(file, 3, 500)
    status, said = run("verify", file)
    assert status == 1
    assert "1 of 6 copies of the header are damaged" in said
    assert "1 blocks had wrong content, corrected" in said
    status, said = run("repair", file)
    assert status == 0
    assert said.endswith("written, sound\n")
    assert run("verify", file)[0] == 0


def test_a_plain_file_is_protected_by_a_sidecar_and_set_right(tmp_path: Path) -> None:
    plain = tmp_path / "weights.npz"
    plain.write_bytes(CONTENT)
    assert run("beside", plain) == (0, "")
    assert run("verify", plain) == (0, f"{plain}: sound\n")
    flip(plain, 500)
    assert run("verify", plain) == (1, f"{plain}: 1 blocks had wrong content, corrected\n")
    new = tmp_path / "new.npz"
    assert run("repair", plain, "--out", new)[0] == 0
    assert run("verify", new)[0] == 0
    assert run("repair", plain)[1].endswith("written, sound\n")
    assert plain.read_bytes() == new.read_bytes() == CONTENT
    flip(plain, 100, 100 + 64 * 3, 100 + 64 * 6)
    status, said = run("repair", plain)
    assert status == 2
    assert "1 blocks of 3 are lost: 1" in said


def test_repair_into_another_file_leaves_the_first(file: Path, tmp_path: Path) -> None:
    flip(file, 500)
    torn = file.read_bytes()
    assert run("repair", file, "--out", tmp_path / "new.va")[0] == 0
    assert file.read_bytes() == torn
    assert run("extract", tmp_path / "new.va", tmp_path / "content")[0] == 0
    assert (tmp_path / "content").read_bytes() == CONTENT


def test_lost_content_has_a_status_of_its_own(file: Path, tmp_path: Path) -> None:
    flip(file, *range(192, 192 + 3 * 64 * 4, 64))
    for command in (("verify", file), ("repair", file), ("extract", file, tmp_path / "content")):
        status, said = run(*command)
        assert status == 2
        assert "lost: 0" in said
    assert not (tmp_path / "content").exists()


def test_another_file_is_no_container(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    status, said = run("verify", tmp_path / "text")
    assert status == 2
    assert "not a container" in said


def test_a_code_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    status, said = run("protect", tmp_path / "text", tmp_path / "out", "--n", 100)
    assert status == 2
    assert "power of two from 64 to 4096" in said
    assert not (tmp_path / "out").exists()


def test_the_command_line_loads_no_compiler_before_it_is_needed() -> None:
    program = "import sys, flight.__main__; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("octets", [240, 247, 250, 252, 255])
def test_a_file_of_a_long_name_is_looked_at_repaired_and_protected(file: Path, octets: int) -> None:
    long = file.rename(file.with_name("n" * octets))
    flip(long, 500)
    assert run("verify", long)[0] == 1
    assert run("repair", long)[0] == 0
    assert run("verify", long) == (0, f"{long}: sound\n")
    assert run("extract", long, file) == (0, "")
    assert file.read_bytes() == CONTENT
    status, said = run("beside", long)
    if octets + len(".edac") <= 255:
        assert (status, said) == (0, "")
        assert run("verify", long) == (0, f"{long}: sound\n")
    else:
        assert status == 2
        assert said.startswith(f"{long}: a sidecar's name would have {octets + 5} octets")


@pytest.mark.verifies("VA-SEC-06")
@pytest.mark.parametrize("command", ["verify", "repair", "beside", "protect", "extract"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, command: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    out = [tmp_path / "out"] * (command in ("protect", "extract"))
    status, said = run(command, pipe, *out)
    assert (status, said) == (2, f"{pipe}: is no regular file, but a folder, pipe or device\n")
    assert not (tmp_path / "out").exists()


def test_a_pipe_in_the_place_of_a_sidecar_is_refused_too(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(CONTENT)
    os.mkfifo(tmp_path / "plain.edac")
    status, said = run("verify", plain)
    assert (status, "is no regular file" in said) == (2, True)
