"""Commands of the world: run a scenario, draw it, print its truth, tell what to expect.

What they need is imported when they run: a board that is played needs none of it.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icd import extras, written
from icd.options import Real, Whole
from sim_hw.world import shipped

if TYPE_CHECKING:
    from sim_hw.world.coupling import Meter
    from sim_hw.world.scenario import Scenario

Wait = Callable[[float], bool]

_LOG = click.Path(path_type=Path)


def _speed(_context: click.Context, _option: click.Parameter, given: str) -> float:
    """`real`, `max`, or how many simulated seconds to a second."""
    with contextlib.suppress(ValueError):
        speed = {"real": 1.0, "max": math.inf}.get(given) or written.real(given)
        if speed > 0.0:
            return speed
    raise click.BadParameter(f'"{given}" is no speed; write real, max, or a number such as 100')


def add(
    group: click.Group,
    clock: Callable[[], float],
    until_told: Callable[[], AbstractContextManager[Wait]],
) -> None:
    """Add the commands to a group; `until_told` gives a wait that ends early when told to end."""

    @group.command()
    @click.argument("scenario")
    @click.option(
        "--speed", callback=_speed, default="max", show_default=True, help="real, max, or a number."
    )
    @click.option("--out", type=_LOG, default="build/world", show_default=True, help="Folder.")
    def run(scenario: str, speed: float, out: Path) -> None:
        """Run SCENARIO (a file, or the name of a shipped one) and write its truth log."""
        with said(), until_told() as wait:
            from sim_hw.world import run as running
            from sim_hw.world import scenario as scenarios

            what = scenarios.load(scenario)
            outcome = running.run(what, out, speed=speed, clock=clock, wait=wait)
        click.echo(json.dumps(outcome.summary, ensure_ascii=False, indent=1))
        click.echo(outcome.log)

    for command in (plot, truth, expect, forecast, list_scenarios):
        group.add_command(command)


def load(source: str, model: str, seed: int | None) -> Scenario:
    """A scenario for a board of this model; what is wrong with it is said as a command does."""
    with said():
        from sim_hw.world import coupling

        return coupling.load(source, model, seed)


@contextlib.contextmanager
def beside(
    meter: Meter, what: Scenario, folder: Path, model: str, now_ns: int
) -> Iterator[Callable[[int], float]]:
    """The tick of a world that keeps step with the board of a folder."""
    from sim_hw.world import coupling

    board = coupling.ADAPTERS[model](folder)
    world = coupling.Coupling(what, folder, meter, board, now_ns)
    try:
        yield world.tick
    finally:
        world.close()


@contextlib.contextmanager
def said() -> Iterator[None]:
    """What is wrong with the input, as a sentence of the command."""
    from sim_hw.world.plot import PlotError
    from sim_hw.world.records import TruthLogError
    from sim_hw.world.settings import SettingsError

    try:
        yield
    except ImportError as error:
        sentence = extras.explained(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error
    except (SettingsError, TruthLogError, PlotError, OSError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.argument("log", type=_LOG)
@click.option("--png", type=_LOG, help="File to draw into; by default beside the log.")
@click.option("--orbit", "number", type=Whole(), help="Only this revolution, counted from 1.")
def plot(log: Path, png: Path | None, number: int | None) -> None:
    """Draw a truth LOG: power, temperatures, flux and faults over time."""
    from sim_hw.world import plot as plotting
    from sim_hw.world import records as logs

    with said():
        records = logs.read(_log_of(log))
        span = None if number is None else plotting.orbit(records, number)
        path = png or _log_of(log).with_suffix(".png")
        plotting.draw(records, path, span)
    click.echo(path)


@click.command()
@click.argument("log", type=_LOG)
@click.option("--type", "kinds", multiple=True, help="Only records of this type (repeatable).")
def truth(log: Path, kinds: tuple[str, ...]) -> None:
    """Print a truth LOG, a line a record."""
    from sim_hw.world import records as logs

    with said():
        records = logs.read(_log_of(log))
    for record in records:
        if not kinds or record["type"] in kinds:
            click.echo(_line(record))


@click.command()
@click.argument("scenario")
def expect(scenario: str) -> None:
    """Print how often each fault is to be expected in SCENARIO, without acceleration or storms."""
    with said():
        from sim_hw.model.constants import provenance
        from sim_hw.world import scenario as scenarios
        from sim_hw.world.world import World

        what = scenarios.load(scenario)
        world = World(what)
    mean = world.radiation.mean_trapped * (1.0 + what.particles.cosmic_rays)
    click.echo(f"{what.name}: {mean:.3g} p/(cm2 s) above {world.radiation.energy_mev:.0f} MeV")
    sources = provenance(world.device.cross_sections) | provenance(world.device.failures)
    for upset, rate in world.faults.rates_a_day(mean, 1.0).items():
        value, unit, source = sources[upset.value]
        real = rate / (what.ageing if unit == "1/h" else what.acceleration)
        rates = f"{real:10.3g} a day {365.25 * real:10.3g} a year"
        source = what.cross_sections.source if upset.value in what.cross_sections.given else source
        click.echo(f"{upset.value:20}{rates}  {value:9.3g} {unit:4} {source}")


@click.command()
@click.argument("scenario", required=False)
@click.option("--tle", nargs=2, metavar="LINE1 LINE2", help="In place of a scenario's orbit.")
@click.option("--omm", type=_LOG, metavar="FILE", help="The same as CCSDS OMM: JSON, XML or CSV.")
@click.option("--from", "begin", metavar="UTC", help="By default the scenario's start.")
@click.option("--hours", type=Real(), default=48.0, show_default=True, help="How far ahead.")
@click.option("--out", type=_LOG, default="forecast.json", show_default=True, help="File.")
def forecast(
    scenario: str | None,
    tle: tuple[str, str] | None,
    omm: Path | None,
    begin: str | None,
    hours: float,
    out: Path,
) -> None:
    """Write the passes of SCENARIO's orbit through the South Atlantic Anomaly, for upload."""
    if [scenario, tle, omm].count(None) != 2:
        raise click.UsageError("give a SCENARIO, or --tle with its two lines, or --omm with a file")
    with said():
        from sim_hw.world import forecast as forecasting
        from sim_hw.world import scenario as scenarios
        from sim_hw.world.orbit import Orbit, OrbitError

        try:
            since = None if begin is None else forecasting.instant(begin)
            if tle is not None:
                made = forecasting.of_orbit(Orbit.from_tle(*tle), since, hours)
            elif omm is not None:
                orbit = Orbit.from_omm(omm.read_bytes())
                made = forecasting.of_orbit(orbit, since, hours)
            else:
                made = forecasting.of_scenario(scenarios.load(scenario or ""), since, hours)
        except (forecasting.ForecastError, OrbitError) as error:
            raise click.ClickException(str(error)) from error
        forecasting.write(made, out)
    click.echo(f"{out}: {len(made['passes'])} passes from {made['begin']} to {made['end']}")


@click.command("scenarios")
def list_scenarios() -> None:
    """List the shipped scenarios."""
    for name in shipped.names():
        click.echo(f"{name:20} {shipped.description(name)}")


def _log_of(path: Path) -> Path:
    return path / "truth.jsonl" if path.is_dir() else path


def _line(record: dict[str, object]) -> str:
    kind = str(record["type"])
    elapsed = record.get("t")
    time = f"{elapsed:12.3f} s" if isinstance(elapsed, (int, float)) else " " * 14
    rest = {name: value for name, value in record.items() if name not in ("type", "t")}
    if kind == "event":
        return f"{time}  {kind:8}  {rest['event']}"
    words = " ".join(f"{name}={_word(value)}" for name, value in rest.items() if value != [])
    return f"{time}  {kind:8}  {words}"


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
