"""What particles do to a device: how often (cross-sections), and to what (its memory)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sim_hw.model.constants import constant
from sim_hw.model.gpu import GpuProfile
from sim_hw.model.thermal import ThermalProfile
from sim_hw.nvml.profiles import BOARDS
from sim_hw.orin.constants import ORIN, THERMAL

_DRAM = "2e-19 cm2 a bit; published values are 1e-19 to 1e-18, not measured on this part"
_DRAM_MULTIPLE = "5 % of the corrected ones; published shares are 1 to 25 %"
_SRAM = "2e-16 cm2 a bit of FinFET memory; published values are 1e-16 to 5e-16"
_SRAM_PARITY = "0.5 % of the corrected ones: estimate"
_FIELD = "derived from failure rates of a 16,384-GPU training run on ground"
_ESTIMATE = "estimate"


@enum.unique
class Upset(enum.Enum):
    """What one particle, or age, can do."""

    DRAM_CORRECTABLE = "dram_correctable"
    DRAM_UNCORRECTABLE = "dram_uncorrectable"
    SRAM_CORRECTABLE = "sram_correctable"
    SRAM_UNCORRECTABLE = "sram_uncorrectable"
    LOGIC = "logic"
    GPU_INTERRUPT = "gpu_interrupt"
    HOST_INTERRUPT = "host_interrupt"
    LATCH_UP = "latch_up"
    GPU_FAILURE = "gpu_failure"
    PROCESSOR_FAILURE = "processor_failure"
    MEMORY_FAILURE = "memory_failure"


@dataclass(frozen=True)
class CrossSections:
    """How large a target each upset offers, in cm² a device; the defaults are an H100 80 GB."""

    dram_correctable: float = constant(1.4e-7, "cm2", f"80 GB of HBM: {_DRAM}")
    dram_uncorrectable: float = constant(6.9e-9, "cm2", _DRAM_MULTIPLE)
    sram_correctable: float = constant(2e-7, "cm2", f"117 MB: {_SRAM}")
    sram_uncorrectable: float = constant(1e-9, "cm2", _SRAM_PARITY)
    logic: float = constant(
        1e-8, "cm2", "estimate, at full load; 5e-11 (a small SoC) to 1e-8 (a TPU in a beam)"
    )
    gpu_interrupt: float = constant(3e-9, "cm2", _FIELD)
    host_interrupt: float = constant(
        5e-10, "cm2", "derived: 1.6e-10 (a small SoC) to 2.8e-10 (a host in a beam)"
    )
    latch_up: float = constant(0.0, "cm2", "none by default; a scenario may set 1e-11")


@dataclass(frozen=True)
class HardFailures:
    """What fails without any particle, in 1/h; derived from the same field data."""

    gpu_failure: float = constant(7e-6, "1/h", _FIELD)
    processor_failure: float = constant(8e-7, "1/h", _FIELD)
    memory_failure: float = constant(3.4e-6, "1/h", _FIELD)


@dataclass(frozen=True)
class Device:
    """A board in the world: how it computes, how it sheds heat, and what upsets it."""

    name: str
    gpu: GpuProfile
    heat: ThermalProfile
    cross_sections: CrossSections
    failures: HardFailures
    has_xid: bool
    """Whether its driver reports XIDs (NVML) or the Linux kernel's EDAC counters (Jetson)."""


@dataclass(frozen=True)
class OrinCrossSections(CrossSections):
    """A Jetson AGX Orin 64 GB, the whole module."""

    dram_correctable: float = constant(1.1e-7, "cm2", f"64 GB of LPDDR5: {_DRAM}")
    dram_uncorrectable: float = constant(5.5e-9, "cm2", _DRAM_MULTIPLE)
    sram_correctable: float = constant(2e-8, "cm2", f"12 MB: {_SRAM}")
    sram_uncorrectable: float = constant(1e-10, "cm2", _SRAM_PARITY)
    logic: float = constant(2e-9, "cm2", "estimate, at full load; from the H100's by size")
    gpu_interrupt: float = constant(0.0, "cm2", "counted with the module's, below")
    host_interrupt: float = constant(
        3e-9, "cm2", "estimate; on a 14 nm class board 90 % went through storage (arXiv 2503.03722)"
    )
    latch_up: float = constant(1e-11, "cm2", _ESTIMATE)


@dataclass(frozen=True)
class H200CrossSections(CrossSections):
    """An H200: the H100's GPU with 141 GB."""

    dram_correctable: float = constant(2.5e-7, "cm2", f"141 GB of HBM: {_DRAM}")
    dram_uncorrectable: float = constant(1.2e-8, "cm2", _DRAM_MULTIPLE)


@dataclass(frozen=True)
class A100CrossSections(CrossSections):
    """An A100 80 GB."""

    sram_correctable: float = constant(1.4e-7, "cm2", f"88 MB, taken for FinFET too: {_SRAM}")
    sram_uncorrectable: float = constant(7e-10, "cm2", _SRAM_PARITY)


_SECTIONS = {"h200": H200CrossSections(), "a100": A100CrossSections()}

DEVICES: dict[str, Device] = {
    **{
        name: Device(
            name,
            board.profile,
            board.heat,
            _SECTIONS.get(name, CrossSections()),
            HardFailures(),
            has_xid=True,
        )
        for name, board in BOARDS.items()
    },
    "orin": Device("orin", ORIN, THERMAL, OrinCrossSections(), HardFailures(), has_xid=False),
}
