"""The constants of a Jetson AGX Orin 64GB, and how its power is spread over its rails."""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.model.constants import constant
from sim_hw.model.gpu import GpuProfile
from sim_hw.model.thermal import ThermalProfile

_RECALLED = "commonly reported for AGX Orin; not checked on a board"
_GUIDE = "Jetson Linux developer guide, Orin series power and thermal pages"


@dataclass(frozen=True)
class OrinProfile(GpuProfile):
    """The whole module seen as one device: its power is the module's, its clock the GPU's."""

    idle_power_w: float = constant(8.0, "W", f"7-9 W for the module: {_RECALLED}")
    max_power_w: float = constant(60.0, "W", f"module budget at MAXN: {_RECALLED}")
    min_power_limit_w: float = constant(15.0, "W", f"smallest power mode: {_GUIDE}")
    power_average_s: float = constant(0.1, "s", "INA3221 monitors are read at about 10 Hz")
    min_clock_mhz: float = constant(306.0, "MHz", _RECALLED)
    max_clock_mhz: float = constant(1300.5, "MHz", f"MAXN: {_GUIDE}")
    memory_clock_mhz: float = constant(3199.0, "MHz", "EMC rate in tegrastats' documentation")
    clock_step_mhz: float = constant(76.8, "MHz", _RECALLED)
    governor_period_s: float = constant(0.05, "s", "estimate: a step each 20-50 ms")
    throttle_c: float = constant(99.0, "°C", f"software throttling: {_RECALLED}")
    slowdown_c: float = constant(103.0, "°C", f"hardware throttling: {_RECALLED}")
    shutdown_c: float = constant(104.5, "°C", f"shutdown, 104.5-105 °C: {_RECALLED}")
    memory_max_c: float = constant(95.0, "°C", f"LPDDR5 case, 85-95 °C: {_RECALLED}")
    memory_above_c: float = constant(0.0, "K", "chosen: no sensor; kept at the die's")
    memory_above_loaded_k: float = constant(0.0, "K", "chosen, with memory_above_c")
    memory_bytes: float = constant(
        56_000_000 * 1024.0,
        "B",
        "derived: 64 GiB less 1/8 for inline ECC, less about 2.6 GiB of carve-outs (estimate)",
    )
    reserved_bytes: float = constant(2.2 * 2.0**30, "B", "estimate: a headless JetPack system")
    sink_c: float = constant(-5.0, "°C", "chosen: full load settles just below the throttle point")


@dataclass(frozen=True)
class OrinThermal(ThermalProfile):
    """A module on a cold plate and a 0.15 m² radiator."""

    die_capacity_j_k: float = constant(60.0, "J/K", "estimate: gives a rise of about 20 s")
    die_to_plate_k_w: float = constant(0.35, "K/W", "estimate: die to thermal transfer plate")
    plate_capacity_j_k: float = constant(
        3_100.0, "J/K", "derived: plate 2 kJ/K, radiator panel 7.5 kJ/K for each m2"
    )
    plate_to_radiator_k_w: float = constant(0.25, "K/W", "estimate: strap or heat pipe")
    radiator_area_m2: float = constant(
        0.15, "m2", "derived: 60 W at 50 °C with emissivity 0.85 and Earth in view"
    )
    sensor_lag_s: float = constant(0.5, "s", "estimate: BPMP thermal sensor")


@dataclass(frozen=True)
class RailProfile:
    """How the rails share the module's power, and what the INA3221 resolves."""

    gpu_idle_w: float = constant(2.0, "W", "estimate: VDD_GPU_SOC of an idle module")
    cpu_idle_w: float = constant(1.2, "W", "estimate: VDD_CPU_CV of an idle module")
    gpu_share: float = constant(0.62, "1", "estimate: of the power above idle, when the GPU works")
    cpu_share: float = constant(0.10, "1", "estimate: feeding the GPU keeps the CPU at work")
    memory_share: float = constant(0.45, "1", "estimate: VDDQ of what VIN_SYS_5V0 carries")
    input_v: float = constant(19.0, "V", "the developer kit's input")
    system_v: float = constant(5.0, "V", "by the rail's name")
    memory_v: float = constant(1.8, "V", "by the rail's name")
    volt_step_v: float = constant(0.008, "V", "INA3221 data sheet: 8 mV")
    ampere_step_a: float = constant(0.008, "A", "INA3221 data sheet: 40 µV on a 5 mΩ shunt")
    warning_a: float = constant(4.0, "A", "estimate: over-current warning of an input rail")
    critical_a: float = constant(5.0, "A", "estimate: over-current limit of an input rail")


ORIN = OrinProfile()
THERMAL = OrinThermal()
RAILS = RailProfile()


@dataclass(frozen=True)
class Mode:
    """One power mode; 0 W stands for no limit below the module's."""

    number: int
    name: str
    gpu_hz: int
    emc_hz: int
    budget_w: float
    tpc_mask: int


MODES = (  # Jetson Linux developer guide, AGX Orin 64GB; masks recalled
    Mode(0, "MAXN", 1_300_500_000, 3_199_000_000, 0.0, 0),
    Mode(1, "MODE_15W", 420_750_000, 2_133_000_000, 15.0, 252),
    Mode(2, "MODE_30W", 624_750_000, 3_199_000_000, 30.0, 240),
    Mode(3, "MODE_50W", 828_750_000, 3_199_000_000, 50.0, 0),
)

FREQUENCIES_HZ = (
    *range(306_000_000, 1_224_000_001, 102_000_000),
    1_300_500_000,
)
"""What the GPU can be asked to run at: steps of 102 MHz, and its highest [commonly reported]."""


@dataclass(frozen=True)
class RailPower:
    """Power of each measured rail in W."""

    gpu_soc: float
    cpu_cv: float
    system: float
    memory: float


def spread(profile: RailProfile, idle_w: float, total_w: float) -> RailPower:
    """Spread the module's power over its rails; the memory's is inside the system's."""
    above = max(0.0, total_w - idle_w)
    below = min(1.0, total_w / idle_w)
    gpu = profile.gpu_idle_w * below + profile.gpu_share * above
    cpu = profile.cpu_idle_w * below + profile.cpu_share * above
    system = max(0.0, total_w - gpu - cpu)
    return RailPower(gpu, cpu, system, profile.memory_share * system)


def sensed(profile: RailProfile, power_w: float, volts: float) -> tuple[int, int]:
    """What an INA3221 says of a rail: mV and mA, each in whole steps."""
    amperes = power_w / volts
    milli_v = round(volts / profile.volt_step_v) * profile.volt_step_v * 1e3
    milli_a = round(amperes / profile.ampere_step_a) * profile.ampere_step_a * 1e3
    return round(milli_v), round(milli_a)
