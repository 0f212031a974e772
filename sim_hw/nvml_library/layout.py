"""The shared memory between the emulated NVML library and the GPU model, defined once for both.

The C header is generated from these structures; library and model compare `VERSION` and the size
when they meet. Fields written by more than one side say so.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_double, c_int32, c_uint8, c_uint32, c_uint64
from typing import Any

ENVIRONMENT = "VANALLEN_NVML_STATE"
MAGIC = 0x4C4D564E
VERSION = 3
GPUS = 8
EVENTS = 4096
PROCESSES = 64
BANKS = 640
"""Memory banks with spare rows: what the remapper histogram of an 80 GB board adds up to."""

SPARE_ROWS = 8
"""Rows that a bank can replace."""

PAGES = 64
"""Pages that a board without row remapping can retire."""

PCIE_ERRORS = 11
"""Counters behind the fields 173 … 183, in that order."""

SILENCE_S = 10
"""A companion that has not beaten for so long has stopped: every call answers TIMEOUT."""

CALLS = 256
"""Room for the error to inject into each call; the builder checks that it is enough."""


class Event(ctypes.Structure):
    """One entry of the event ring."""

    _fields_ = [
        ("kind", c_uint64),  # an nvmlEventType bit
        ("data", c_uint64),  # the XID for XID events
        ("gpu", c_uint32),
        ("padding", c_uint32),
    ]


class Process(ctypes.Structure):
    """A process that computes on the GPU."""

    _fields_ = [
        ("pid", c_uint32),
        ("utilization_percent", c_uint32),
        ("memory_bytes", c_uint64),
    ]


class EccCounters(ctypes.Structure):
    """Error counts by place; the order of the arrays is `ECC_PLACES`."""

    _fields_ = [
        ("volatile_count", c_uint64 * 8),
        ("aggregate_count", c_uint64 * 8),
    ]


class RetiredPage(ctypes.Structure):
    """A page of memory that is no longer used."""

    _fields_ = [
        ("address", c_uint64),
        ("time_us", c_uint64),
        ("cause", c_uint32),  # 0 repeated single-bit errors, 1 a double-bit error
        ("padding", c_uint32),
    ]


ECC_PLACES = ("l1", "l2", "dram", "register_file", "texture", "shared", "cbu", "sram")
"""Index = NVML's memory location; DRAM and SRAM are what an H100 counts."""


class Gpu(ctypes.Structure):
    """One GPU: identity, limits, what the model says now, what clients ask for."""

    _fields_ = [
        ("name", c_char * 96),
        ("uuid", c_char * 80),
        ("serial", c_char * 32),
        ("part_number", c_char * 32),
        ("vbios_version", c_char * 32),
        ("bus_id", c_char * 32),
        ("pci_domain", c_uint32),
        ("pci_bus", c_uint32),
        ("pci_device", c_uint32),
        ("pci_device_id", c_uint32),
        ("pci_subsystem_id", c_uint32),
        ("core_count", c_uint32),
        ("compute_major", c_uint32),
        ("compute_minor", c_uint32),
        ("architecture", c_uint32),
        ("power_limit_min_mw", c_uint32),
        ("power_limit_max_mw", c_uint32),
        ("power_limit_default_mw", c_uint32),
        ("clock_min_mhz", c_uint32),
        ("clock_max_mhz", c_uint32),
        ("memory_clock_max_mhz", c_uint32),
        ("temperature_max_c", c_int32),
        ("temperature_slowdown_c", c_int32),
        ("temperature_shutdown_c", c_int32),
        ("temperature_memory_max_c", c_int32),
        ("pcie_generation", c_uint32),
        ("pcie_width", c_uint32),
        ("clock_mhz", c_uint32),
        ("memory_clock_mhz", c_uint32),
        ("power_mw", c_uint32),
        ("power_instant_mw", c_uint32),
        ("temperature_c", c_int32),
        ("temperature_memory_c", c_int32),
        ("utilization_percent", c_uint32),
        ("memory_utilization_percent", c_uint32),
        ("performance_state", c_uint32),
        ("pcie_replays", c_uint32),
        ("pcie_tx_kbps", c_uint32),
        ("pcie_rx_kbps", c_uint32),
        ("remapped_correctable", c_uint32),
        ("remapped_uncorrectable", c_uint32),
        ("remap_pending", c_uint32),
        ("remap_failed", c_uint32),
        ("recovery_action", c_uint32),
        ("process_count", c_uint32),
        ("lost", c_uint32),  # written by the model and by `inject`
        ("cure", c_uint32),  # likewise; a `sim_hw.nvml.xid.Cure`
        ("needs_reset", c_uint32),  # likewise
        ("remapped_correctable_inactive", c_uint32),
        ("remapped_uncorrectable_inactive", c_uint32),
        ("retires_pages", c_uint32),  # a board before Ampere: it has no row remapping
        ("retired_count", c_uint32),
        ("retired_pending", c_uint32),
        ("ecc_current", c_uint32),
        ("mig_current", c_uint32),
        ("action", c_uint32),  # a `Cure`, asked for by whoever raises `actions_asked`
        ("actions_asked", c_uint32),
        ("actions_ended", c_uint32),  # written by the model
        ("action_failed", c_uint32),
        ("ecc_pending", c_uint32),  # written by clients through the library
        ("mig_pending", c_uint32),
        ("power_limit_mw", c_uint32),
        ("clock_lock_min_mhz", c_uint32),  # likewise; 0 is unlocked
        ("clock_lock_max_mhz", c_uint32),
        ("clock_reasons", c_uint64),
        ("energy_mj", c_uint64),
        ("memory_bytes", c_uint64),
        ("reserved_bytes", c_uint64),
        ("used_bytes", c_uint64),
        ("time_us", c_uint64),  # Unix time of the last step of the model
        ("corrected", EccCounters),  # written by `inject`; volatile ones zeroed by clients
        ("uncorrected", EccCounters),
        ("sensor_offset_c", c_double),  # written by `inject`: what the world does to this GPU
        ("sink_temperature_c", c_double),
        ("pcie_errors", c_uint32 * PCIE_ERRORS),
        ("bank_used", c_uint8 * BANKS),  # spare rows in use, by bank
        ("retired", RetiredPage * PAGES),
        ("processes", Process * PROCESSES),
    ]


class State(ctypes.Structure):
    """The whole file."""

    _fields_ = [
        ("magic", c_uint32),
        ("version", c_uint32),
        ("size", c_uint32),
        ("gpu_count", c_uint32),
        ("hang", c_uint32),  # a futex: while it is not 0, every call waits on it
        ("event_head", c_uint32),  # a futex: events ever posted
        ("events_lost", c_uint32),  # events that a set did not take in time; counted by the library
        ("driver_loaded", c_uint32),
        ("driver_version", c_char * 80),
        ("library_version", c_char * 80),
        ("cuda_version", c_int32),
        ("padding", c_uint32),
        ("beat_ns", c_uint64),  # CLOCK_MONOTONIC when the companion last turned; 0: it never does
        ("errors", c_uint32 * CALLS),  # the nvmlReturn_t to answer with; 0 is none
        ("events", Event * EVENTS),
        ("gpus", Gpu * GPUS),
    ]


STRUCTURES = (Event, Process, EccCounters, RetiredPage, Gpu, State)
SIZE = ctypes.sizeof(State)
_C_CONSTANTS = (
    *("MAGIC", "VERSION", "GPUS", "EVENTS", "PROCESSES", "CALLS"),
    *("BANKS", "SPARE_ROWS", "PAGES", "PCIE_ERRORS", "SILENCE_S"),
)
_C_TYPES = {
    c_uint8: "uint8_t",
    c_uint32: "uint32_t",
    c_int32: "int32_t",
    c_uint64: "uint64_t",
    c_double: "double",
    c_char: "char",
}


def header() -> str:
    """The C header of this layout, with a compile-time check of every offset."""
    lines = ["#include <stddef.h>", "#include <stdint.h>"]
    for constant in _C_CONSTANTS:
        lines.append(f"#define STATE_{constant} {globals()[constant]}u")
    for structure in STRUCTURES:
        lines += _declaration(structure)
    return "\n".join(lines) + "\n"


def _declaration(structure: type[ctypes.Structure]) -> list[str]:
    name = structure.__name__
    lines, checks = ["typedef struct {"], []
    for field, kind, *_ in structure._fields_:
        lines.append(f"    {_member(kind, field)};")
        offset = getattr(structure, field).offset
        checks.append(f'_Static_assert(offsetof({name}, {field}) == {offset}, "{name}.{field}");')
    size = f'_Static_assert(sizeof({name}) == {ctypes.sizeof(structure)}, "{name}");'
    return [*lines, f"}} {name};", *checks, size]


def _member(kind: Any, field: str) -> str:
    if issubclass(kind, ctypes.Array):
        return f"{_member(kind._type_, field)}[{kind._length_}]"
    return f"{_C_TYPES.get(kind, kind.__name__)} {field}"
