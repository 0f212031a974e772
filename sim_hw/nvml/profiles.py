"""The emulated boards that have NVML: what each can do, how its heat goes, what it says it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim_hw.model.constants import constant
from sim_hw.model.gpu import H100, GpuProfile
from sim_hw.model.thermal import ThermalProfile

_SXM_DATA = "NVIDIA H100 SXM5 data sheet"
_MOCK = "NVIDIA's mock-NVML H100 profile, which is of the SXM5 board"
_H200_DATA = "NVIDIA H200 data sheet"
_A100_DATA = "NVIDIA A100 80 GB data sheet"
_MODULE = "commonly reported for this module; not checked on a board"
_SCALED = "estimate: the H100 PCIe's, scaled by power"


@dataclass(frozen=True)
class H100Sxm(GpuProfile):
    """An H100 SXM5 80 GB."""

    idle_power_w: float = constant(75.0, "W", f"70-95 W: {_MODULE}")
    max_power_w: float = constant(700.0, "W", _SXM_DATA)
    min_power_limit_w: float = constant(200.0, "W", _MOCK)
    max_clock_mhz: float = constant(1980.0, "MHz", _MOCK)
    memory_clock_mhz: float = constant(2619.0, "MHz", _MODULE)
    throttle_c: float = constant(83.0, "°C", f"maximum operating temperature: {_MOCK}")
    slowdown_c: float = constant(87.0, "°C", f"slow-down threshold: {_MOCK}")
    shutdown_c: float = constant(92.0, "°C", f"shutdown threshold: {_MOCK}")


@dataclass(frozen=True)
class SxmThermal(ThermalProfile):
    """A module of 700 W on a cold plate and a 2.4 m² radiator."""

    die_capacity_j_k: float = constant(400.0, "J/K", "estimate: gives a rise of about 18 s")
    die_to_plate_k_w: float = constant(0.045, "K/W", "estimate: die to cold plate of 700 W class")
    plate_capacity_j_k: float = constant(
        30_000.0, "J/K", "derived: cold plate and loop 12 kJ/K, radiator panel 7.5 kJ/K for each m2"
    )
    plate_to_radiator_k_w: float = constant(0.012, "K/W", "estimate: loop or heat pipe")
    radiator_area_m2: float = constant(2.4, "m2", "derived: 1 kW at 50 °C needs about 2.5 m2")


@dataclass(frozen=True)
class H200(H100Sxm):
    """An H200 141 GB: the H100's module with more and faster memory."""

    max_power_w: float = constant(700.0, "W", _H200_DATA)
    memory_clock_mhz: float = constant(3201.0, "MHz", _MODULE)
    memory_bytes: float = constant(143_771 * 2.0**20, "B", f"143,771 MiB: {_MODULE}")


@dataclass(frozen=True)
class A100(GpuProfile):
    """An A100 SXM4 80 GB."""

    idle_power_w: float = constant(57.0, "W", f"50-65 W: {_MODULE}")
    max_power_w: float = constant(400.0, "W", _A100_DATA)
    min_power_limit_w: float = constant(100.0, "W", _MODULE)
    power_average_s: float = constant(0.1, "s", "estimate: as the H100's")
    min_clock_mhz: float = constant(210.0, "MHz", _MODULE)
    max_clock_mhz: float = constant(1410.0, "MHz", _A100_DATA)
    memory_clock_mhz: float = constant(1593.0, "MHz", _MODULE)
    throttle_c: float = constant(85.0, "°C", f"maximum operating temperature: {_MODULE}")
    slowdown_c: float = constant(89.0, "°C", f"slow-down threshold: {_MODULE}")
    shutdown_c: float = constant(92.0, "°C", f"shutdown threshold: {_MODULE}")
    memory_bytes: float = constant(81_920 * 2.0**20, "B", f"81,920 MiB: {_MODULE}")
    reserved_bytes: float = constant(614 * 2.0**20, "B", _MODULE)


@dataclass(frozen=True)
class A100Thermal(ThermalProfile):
    """A module of 400 W on a cold plate and a 1.4 m² radiator."""

    die_capacity_j_k: float = constant(300.0, "J/K", "estimate: gives a rise of about 20 s")
    die_to_plate_k_w: float = constant(0.07, "K/W", "estimate: die to cold plate of 400 W class")
    plate_capacity_j_k: float = constant(19_000.0, "J/K", _SCALED)
    radiator_area_m2: float = constant(1.4, "m2", _SCALED)


@dataclass(frozen=True)
class Identity:
    """What a board says of itself; numbers recalled, the defaults are an H100 PCIe's."""

    name: str = "NVIDIA H100 PCIe"
    part_number: str = "900-21010-0000-000"
    vbios_version: str = "96.00.74.00.01"
    pci_device_id: int = 0x233110DE
    pci_subsystem_id: int = 0x162610DE
    core_count: int = 114 * 128
    architecture: int = 9
    """NVML's number: 7 Ampere, 9 Hopper."""
    compute_capability: tuple[int, int] = (9, 0)
    pcie_generation: int = 5


@dataclass(frozen=True)
class NvmlBoard:
    """One row: a board that can be emulated."""

    profile: GpuProfile = H100
    heat: ThermalProfile = field(default_factory=ThermalProfile)
    identity: Identity = field(default_factory=Identity)


BOARDS: dict[str, NvmlBoard] = {
    "h100": NvmlBoard(),
    "h100-sxm": NvmlBoard(
        H100Sxm(),
        SxmThermal(),
        Identity(
            name="NVIDIA H100 80GB HBM3",
            part_number="692-2G520-0200-000",
            pci_device_id=0x233010DE,
            pci_subsystem_id=0x16C110DE,
            core_count=132 * 128,
        ),
    ),
    "h200": NvmlBoard(
        H200(),
        SxmThermal(),
        Identity(
            name="NVIDIA H200",
            part_number="692-2G520-0280-000",
            vbios_version="96.00.A8.00.01",
            pci_device_id=0x233510DE,
            pci_subsystem_id=0x18BE10DE,
            core_count=132 * 128,
        ),
    ),
    "a100": NvmlBoard(
        A100(),
        A100Thermal(),
        Identity(
            name="NVIDIA A100-SXM4-80GB",
            part_number="692-2G506-0210-000",
            vbios_version="92.00.36.00.01",
            pci_device_id=0x20B210DE,
            pci_subsystem_id=0x147F10DE,
            core_count=108 * 64,
            architecture=7,
            compute_capability=(8, 0),
            pcie_generation=4,
        ),
    ),
}
