"""Beats while a worker imports and compiles, and what is warmed ahead."""

from __future__ import annotations

import os
import select
import threading
import types
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from flight import __main__ as command
from flight.framework.channel import Channel, pair
from flight.jobs import warming
from flight.workers.lifeline import Lifeline
from flight.workers.warm import beats_meanwhile


@pytest.fixture
def ends() -> Iterator[tuple[Lifeline, Channel]]:
    """A worker's lifeline, and the executive's end of its channel."""
    mine, theirs = pair()
    lease = os.pipe()
    channel, other = Channel(mine), Channel(theirs)
    yield Lifeline(other, lease[0], beat_s=0.01), channel
    for end in (channel, other):
        end.close()
    for fd in lease:
        os.close(fd)


@pytest.mark.verifies("VA-SUP-10")
def test_a_worker_that_is_in_one_long_call_beats_and_says_what_it_does(
    ends: tuple[Lifeline, Channel],
) -> None:
    lifeline, channel = ends
    threads = threading.active_count()
    with beats_meanwhile(lifeline, "compiles"):
        for _ in range(2):  # a wait in one call, as that of a compiler
            select.select([channel.fileno()], [], [], 30)
            (beat,) = channel.receive()
            assert (beat.kind, beat.body) == ("beat", {"doing": "compiles"})
    assert threading.active_count() == threads, "or a fork would copy a lock that nobody opens"


@pytest.mark.verifies("VA-SUP-10")
def test_warming_shows_each_module_and_goes_on_after_one_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(name: str) -> types.ModuleType:
        if name == "vendor":
            raise SystemExit(3)
        return types.ModuleType(name)

    monkeypatch.setattr(warming, "entry_modules", lambda: ["vendor", "other"])
    monkeypatch.setattr(warming.importlib, "import_module", load)
    said: list[str] = []
    times = iter(range(100))
    assert warming.warm(said.append, lambda: float(next(times))) == ["vendor"]
    assert said[-4:] == [
        "[3/4] vendor …",
        "[3/4] vendor  cannot be imported: SystemExit: 3",
        "[4/4] other …",
        "[4/4] other  1.0 s",
    ]


@pytest.mark.verifies("VA-SUP-10")
def test_flight_warm_names_what_failed_and_where_kernels_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("OPENBLAS_NUM_THREADS", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    failed: list[str] = []
    monkeypatch.setattr(warming, "warm", lambda say: say("[1/1] x …") or failed)
    told = CliRunner().invoke(command.main, ["warm"])
    assert (told.exit_code, told.output.splitlines()[0]) == (0, "[1/1] x …")
    assert f"kernels are kept in {tmp_path}/vanallen/numba" in told.output
    failed.append("vendor")
    told = CliRunner().invoke(command.main, ["warm"])
    assert (told.exit_code, "cannot be imported: vendor" in told.output) == (1, True)


@pytest.mark.verifies("VA-SUP-10")
def test_the_first_flight_says_that_it_compiles_and_later_ones_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command._warm_first()
    assert "`flight warm`" in capsys.readouterr().err
    ran: list[list[str]] = []
    monkeypatch.setattr(command.subprocess, "run", lambda argv, **_: ran.append(argv[1:]))
    monkeypatch.setattr(command.sys.stderr, "isatty", lambda: True)
    command._warm_first()
    assert ran == [["-m", "flight", "warm"]]
    kept = command.Path(str(tmp_path)) / "vanallen" / "numba" / "x"
    kept.mkdir(parents=True)
    (kept / "kernel.nbi").write_text("")
    capsys.readouterr()
    command._warm_first()
    assert (len(ran), capsys.readouterr().err) == (1, "")
