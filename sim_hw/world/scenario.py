"""A scenario: where the payload flies, what it is, what it does, and what happens to it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_hw.world import settings, shipped
from sim_hw.world.devices import DEVICES, CrossSections, Device, Upset
from sim_hw.world.faults import Scripted
from sim_hw.world.faults import sections as upset_sections
from sim_hw.world.flux_table import HIGHEST_KM, LOWEST_KM
from sim_hw.world.orbit import Orbit, OrbitError, node_of_local_time, sun_synchronous_inclination
from sim_hw.world.power import PowerSettings
from sim_hw.world.radiation import Radiation, Storm
from sim_hw.world.radiator import RadiatorSettings
from sim_hw.world.settings import TABLE, Misfit, choice, lines_of_text, number, tables, text

Array = NDArray[np.float64]

_LONGEST_S = 366 * 86400.0
_MOST_FAULTS_HZ = 200.0
_UPSETS = tuple(upset.value for upset in Upset)


@dataclass(frozen=True)
class OrbitSettings:
    """`[orbit]`: a TLE, an OMM, or a circle or ellipse by its elements."""

    tle: tuple[str, str] | None = lines_of_text(2, default=None)
    omm: str | None = text(None)
    """The whole message, in JSON, XML or CSV."""
    altitude: float = number("km", LOWEST_KM + 50.0, HIGHEST_KM - 100.0, 550.0)
    inclination: float | None = number("deg", 0.0, 180.0, None)
    """Left out: the one that keeps the node's local time."""
    node: float | None = number("deg", 0.0, 360.0, None)
    node_local_time: float | None = number("s", 0.0, 86400.0, None)
    eccentricity: float = number("", 0.0, 0.05, 0.0)
    perigee: float = number("deg", 0.0, 360.0, 0.0)
    anomaly: float = number("deg", 0.0, 360.0, 0.0)

    def __post_init__(self) -> None:
        if self.node is not None and self.node_local_time is not None:
            raise Misfit("node", "both node and node_local_time are given; leave one out")
        whole = "tle" if self.tle is not None else "omm"
        if getattr(self, whole) is not None:
            others = [f.name for f in dataclasses.fields(self) if f.name != whole]
            given = [name for name in others if getattr(self, name) != _DEFAULTS[name]]
            if given:
                called = "a TLE" if whole == "tle" else "an OMM"
                raise Misfit(given[0], f"{called} says everything; leave out {', '.join(given)}")
            try:
                self._published()
            except OrbitError as error:
                raise Misfit(whole, str(error)) from error

    def _published(self) -> Orbit | None:
        """The orbit of a TLE or an OMM, where there is one."""
        if self.tle is not None:
            return Orbit.from_tle(*self.tle)
        return None if self.omm is None else Orbit.from_omm(self.omm)

    def orbit(self, start: dt.datetime) -> Orbit:
        """The orbit, with its elements taken at `start`."""
        published = self._published()
        if published is not None:
            return published
        inclination = self.inclination
        if inclination is None:
            inclination = sun_synchronous_inclination(self.altitude)
        node = self.node or 0.0
        if self.node_local_time is not None:
            node = node_of_local_time(start, self.node_local_time / 3600.0)
        return Orbit.from_elements(
            start,
            self.altitude,
            inclination,
            node,
            eccentricity=self.eccentricity,
            perigee_deg=self.perigee,
            anomaly_deg=self.anomaly,
        )


_DEFAULTS = {one.name: one.default for one in dataclasses.fields(OrbitSettings)}


@dataclass(frozen=True)
class BoardSettings:
    """`[board]`: the payload's own computer."""

    model: str = choice(*DEVICES, default="h100")
    memory: str = choice("ecc", "plain", default="ecc")
    power_limit: float | None = number("W", 10.0, 1000.0, None)
    restart_after: float = number("s", 1.0, 86400.0, 600.0)
    """How long it stays off after it was too hot."""


@dataclass(frozen=True)
class ParticleSettings:
    """`[particles]`: the environment, and what stands before it."""

    solar_activity: float | None = number("", 0.0, 1.0, None)
    """0 at the minimum of the cycle, 1 at its maximum; left out: by the date."""
    shielding: float = number("mm", 1.0, 35.0, 10.0)
    cosmic_rays: float = number("", 0.0, 1.0, 0.1)


@dataclass(frozen=True)
class StormSettings:
    """`[[storm]]`: a solar particle event."""

    start: float = number("s", 0.0, _LONGEST_S)
    scale: str = choice("S1", "S2", "S3", "S4", "S5")
    rise: float = number("s", 60.0, 86400.0, 3 * 3600.0, "events rise in 1 to 6 h")
    decay: float = number("s", 600.0, 10 * 86400.0, 18 * 3600.0, "e-folding of 12 to 24 h")

    def storm(self) -> Storm:
        """The event as the radiation model has it."""
        return Storm(int(self.scale[1:]), self.start, self.rise, self.decay)


@dataclass(frozen=True)
class LoadSettings:
    """`[[load]]`: how busy the payload is from a time on, until the next entry."""

    start: float = number("s", 0.0, _LONGEST_S)
    level: float = number("", 0.0, 1.0)
    on: float | None = number("s", 1.0, 86400.0, None)
    off: float | None = number("s", 1.0, 86400.0, None)
    """With `on` and `off`, it works and pauses in turn."""
    when: str = choice("always", "sunlit", "outside SAA", default="always")

    def __post_init__(self) -> None:
        if (self.on is None) != (self.off is None):
            raise Misfit("on", "on and off go together; write both or none")


@dataclass(frozen=True)
class FaultSettings:
    """`[[fault]]`: something that happens at a given time."""

    at: float = number("s", 0.0, _LONGEST_S)
    event: str = choice(*_UPSETS)
    xid: float | None = number("", 1, 999, None)
    """The outcome that reports this code; left out: the most frequent one."""


@dataclass(frozen=True)
class FlipSettings:
    """`[flips]`: whether bits flip for real, and in which memory."""

    door: str = choice("closed", "memory", "job", default="closed")
    """"memory": anywhere in the device's memory. "job": always in memory of the job that runs."""


def _section() -> Any:
    return number("cm2", 0.0, 1e-3, None)


@dataclass(frozen=True)
class CrossSectionSettings:
    """`[cross_sections]`: in place of the board's own."""

    dram_correctable: float | None = _section()
    dram_uncorrectable: float | None = _section()
    sram_correctable: float | None = _section()
    sram_uncorrectable: float | None = _section()
    logic: float | None = _section()
    gpu_interrupt: float | None = _section()
    host_interrupt: float | None = _section()
    latch_up: float | None = _section()
    source: str = text("")
    """Where these come from; goes into the truth log."""

    def __post_init__(self) -> None:
        if self.given and not self.source:
            raise Misfit("source", 'cross-sections need their source; add source = "…"')

    @property
    def given(self) -> dict[str, float]:
        """The ones that the scenario sets."""
        names = [one.name for one in dataclasses.fields(CrossSections)]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class Scenario:
    """Everything a run starts from; the same scenario gives the same world, octet for octet."""

    name: str = text()
    start: str = text()
    description: str = text("")
    duration: float = number("s", 1.0, _LONGEST_S, 86400.0)
    step: float = number("s", 0.1, 60.0, 1.0)
    log_period: float = number("s", 1.0, 3600.0, 30.0)
    seed: float = number("", 0, 2**53, 1)
    acceleration: float = number("", 1.0, 1e8, 1.0)
    """How many times more often particles do harm than they would; it is in every log."""
    ageing: float = number("", 0.0, 1e9, 1.0)
    """The same for what fails without particles."""
    orbit: OrbitSettings = field(default_factory=OrbitSettings, metadata=TABLE)
    power: PowerSettings = field(default_factory=PowerSettings, metadata=TABLE)
    radiator: RadiatorSettings = field(default_factory=RadiatorSettings, metadata=TABLE)
    board: BoardSettings = field(default_factory=BoardSettings, metadata=TABLE)
    particles: ParticleSettings = field(default_factory=ParticleSettings, metadata=TABLE)
    flips: FlipSettings = field(default_factory=FlipSettings, metadata=TABLE)
    cross_sections: CrossSectionSettings = field(
        default_factory=CrossSectionSettings, metadata=TABLE
    )
    storm: tuple[StormSettings, ...] = tables(StormSettings)
    load: tuple[LoadSettings, ...] = tables(LoadSettings)
    fault: tuple[FaultSettings, ...] = tables(FaultSettings)

    def __post_init__(self) -> None:
        if self.seed != int(self.seed):
            raise Misfit("seed", f"seed = {self.seed:g} is not whole; write a whole number")
        if [one.start for one in self.load] != sorted(one.start for one in self.load):
            raise Misfit("load", "the [[load]] tables are not in order of start; sort them")
        if self.log_period < self.step:
            raise Misfit("log_period", "log_period is shorter than step; write at least the step")
        self._check_power_limit()
        self._check_orbit()
        self._check_acceleration()

    def _check_power_limit(self) -> None:
        limit, device = self.board.power_limit, self.device
        if limit is not None and not (
            device.gpu.min_power_limit_w <= limit <= device.gpu.max_power_w
        ):
            raise Misfit(
                "board",
                f"[board] power_limit of {limit:g} W is not one of the {device.name}; write one "
                f"from {device.gpu.min_power_limit_w:g} to {device.gpu.max_power_w:g} W",
            )

    def _check_orbit(self) -> None:
        """That it can be followed to the end, at altitudes that the flux table knows."""
        seconds = np.concatenate(
            [np.arange(0.0, 86400.0, 60.0), np.linspace(0, self.duration, 500)]
        )
        try:
            altitude = self.flown.track(self.start_utc, seconds).altitude_km
        except OrbitError as error:
            raise Misfit("orbit", str(error)) from error
        low, high = float(altitude.min()), float(altitude.max())
        if low < LOWEST_KM or high > HIGHEST_KM:
            raise Misfit(
                "orbit",
                f"the orbit runs from {low:.0f} to {high:.0f} km; choose one from "
                f"{LOWEST_KM:.0f} to {HIGHEST_KM:.0f} km, where the particles are known",
            )

    def _check_acceleration(self) -> None:
        """Refuse an acceleration at which more faults would come than a run can hold."""
        sections = sum(upset_sections(self.device.cross_sections).values())
        most = _MOST_FAULTS_HZ / (sections * self.radiation.bound)
        if self.acceleration > max(1.0, most):
            raise Misfit(
                "acceleration",
                f"acceleration = {self.acceleration:g} would draw more than {_MOST_FAULTS_HZ:g} "
                f"faults a second; write at most {most:.2g}",
            )

    @property
    def start_utc(self) -> dt.datetime:
        """When it begins."""
        try:
            start = dt.datetime.fromisoformat(self.start.replace("Z", "+00:00"))
        except ValueError:
            start = None
        if start is None or start.tzinfo is None:
            raise Misfit(
                "start",
                f'start = "{self.start}" is no date with a zone; write "2026-03-20T00:00:00Z"',
            )
        return start.astimezone(dt.timezone.utc)

    @property
    def device(self) -> Device:
        """The board, with the scenario's cross-sections."""
        device = DEVICES[self.board.model]
        sections = dataclasses.replace(device.cross_sections, **self.cross_sections.given)
        return dataclasses.replace(device, cross_sections=sections)

    @property
    def power_limit_w(self) -> float:
        """The limit that the GPU is set to."""
        return self.board.power_limit or self.device.gpu.max_power_w

    @functools.cached_property
    def flown(self) -> Orbit:
        """The orbit."""
        return self.orbit.orbit(self.start_utc)

    @functools.cached_property
    def radiation(self) -> Radiation:
        """The particle environment."""
        return Radiation(
            self.flown,
            self.start_utc,
            activity=self.particles.solar_activity,
            shielding_mm=self.particles.shielding,
            cosmic_share=self.particles.cosmic_rays,
            storms=tuple(one.storm() for one in self.storm),
        )

    def script(self) -> tuple[Scripted, ...]:
        """What happens at given times."""
        return tuple(
            Scripted(one.at, Upset(one.event), None if one.xid is None else int(one.xid))
            for one in self.fault
        )

    def load_at(
        self, seconds: Array, sunlit: NDArray[np.bool_], outside_saa: NDArray[np.bool_]
    ) -> Array:
        """How busy the payload would be: 0 to 1."""
        level = np.zeros(seconds.shape)
        conditions = {"sunlit": sunlit, "outside SAA": outside_saa}
        for one in self.load:
            since = seconds - one.start
            works = np.ones(seconds.shape, dtype=np.bool_)
            if one.on is not None and one.off is not None:
                works = np.mod(since, one.on + one.off) < one.on
            works &= conditions.get(one.when, works)
            level = np.where(since >= 0.0, one.level * works, level)
        return level

    def digest(self) -> str:
        """SHA-256 over all settings, spelt out."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def load(source: str | Path) -> Scenario:
    """Read a scenario: a file, or the name of one that comes with the emulator."""
    path = Path(source)
    if not path.suffix and not path.exists():
        path = shipped.FOLDER / f"{source}.toml"
        if not path.is_file():
            names = ", ".join(shipped.names())
            raise settings.SettingsError(f'"{source}" is no scenario; known are {names}')
    return settings.load(Scenario, path)
