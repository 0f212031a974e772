"""The emulated library against NVIDIA's own nvml.h: names, parameters, layouts and numbers.

The header comes with PyPI's nvidia-nvml-dev, which only tests use.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from sim_hw.nvml import inject, xid
from sim_hw.nvml_library import build

pytestmark = pytest.mark.verifies("VA-SIM-01")

SOURCES = Path(build.__file__).parent

LAYOUTS = {
    "PciInfo": "nvmlPciInfo_t busIdLegacy domain bus device pciDeviceId pciSubSystemId busId",
    "PciInfoExt": "nvmlPciInfoExt_v1_t version domain bus device pciDeviceId pciSubSystemId "
    "baseClass subClass busId",
    "Memory": "nvmlMemory_t total free used",
    "MemoryV2": "nvmlMemory_v2_t version total reserved free used",
    "Temperature": "nvmlTemperature_v1_t version sensorType temperature",
    "MarginTemperature": "nvmlMarginTemperature_v1_t version marginTemperature",
    "Utilization": "nvmlUtilization_t gpu memory",
    "ProcessV1": "nvmlProcessInfo_v1_t pid usedGpuMemory",
    "ProcessV2": "nvmlProcessInfo_t pid usedGpuMemory gpuInstanceId computeInstanceId",
    "ProcessSample": "nvmlProcessUtilizationSample_t pid timeStamp smUtil memUtil encUtil decUtil",
    "ProcessUse": "nvmlProcessUtilizationInfo_v1_t timeStamp pid smUtil memUtil encUtil decUtil "
    "jpgUtil ofaUtil",
    "ProcessesUse": "nvmlProcessesUtilizationInfo_v1_t version processSamplesCount "
    "lastSeenTimeStamp procUtilArray",
    "SramStatus": "nvmlEccSramErrorStatus_v1_t version aggregateUncParity aggregateUncSecDed "
    "aggregateCor volatileUncParity volatileUncSecDed volatileCor aggregateUncBucketL2 "
    "aggregateUncBucketSm aggregateUncBucketPcie aggregateUncBucketMcu aggregateUncBucketOther "
    "bThresholdExceeded",
    "SramUniqueEntry": "nvmlEccSramUniqueUncorrectedErrorEntry_v1_t unit location sublocation "
    "extlocation address isParity count",
    "SramUnique": "nvmlEccSramUniqueUncorrectedErrorCounts_v1_t version entryCount entries",
    "RemappedRows": "nvmlRemappedRowsInfo_v2_t corrActiveRemaps corrInactiveRemaps uncActiveRemaps "
    "uncInactiveRemaps bPending bFailureOccurred",
    "RemapperHistogram": "nvmlRowRemapperHistogramValues_t max high partial low none",
    "RepairStatus": "nvmlRepairStatus_v1_t version bChannelRepairPending bTpcRepairPending",
    "FieldValue": "nvmlFieldValue_t fieldId scopeId timestamp latencyUsec valueType nvmlReturn "
    "value",
    "EventData": "nvmlEventData_t device eventType eventData gpuInstanceId computeInstanceId",
}
"""Our structure -> theirs, and their members in the order of ours.

The header no longer describes what the old nvmlDeviceGetPciInfo_v2 fills in.
"""

NUMBERS = {
    "OK": "NVML_SUCCESS",
    "UNINITIALIZED": "NVML_ERROR_UNINITIALIZED",
    "INVALID_ARGUMENT": "NVML_ERROR_INVALID_ARGUMENT",
    "NOT_SUPPORTED": "NVML_ERROR_NOT_SUPPORTED",
    "NOT_FOUND": "NVML_ERROR_NOT_FOUND",
    "INSUFFICIENT_SIZE": "NVML_ERROR_INSUFFICIENT_SIZE",
    "DRIVER_NOT_LOADED": "NVML_ERROR_DRIVER_NOT_LOADED",
    "TIMEOUT": "NVML_ERROR_TIMEOUT",
    "GPU_IS_LOST": "NVML_ERROR_GPU_IS_LOST",
    "LIB_RM_VERSION_MISMATCH": "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
    "OUT_OF_MEMORY": "NVML_ERROR_MEMORY",
    "ARGUMENT_VERSION_MISMATCH": "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
    "CORRECTED": "NVML_MEMORY_ERROR_TYPE_CORRECTED",
    "UNCORRECTED": "NVML_MEMORY_ERROR_TYPE_UNCORRECTED",
    "VOLATILE": "NVML_VOLATILE_ECC",
    "AGGREGATE": "NVML_AGGREGATE_ECC",
    "DRAM": "NVML_MEMORY_LOCATION_DRAM",
    "SRAM": "NVML_MEMORY_LOCATION_SRAM",
    "EVENT_SINGLE_BIT": "nvmlEventTypeSingleBitEccError",
    "EVENT_DOUBLE_BIT": "nvmlEventTypeDoubleBitEccError",
    "EVENT_PERFORMANCE_STATE": "nvmlEventTypePState",
    "EVENT_XID": "nvmlEventTypeXidCriticalError",
    "EVENT_CLOCK": "nvmlEventTypeClock",
    "EVENT_POWER_SOURCE": "nvmlEventTypePowerSourceChange",
    "EVENT_MIG": "nvmlEventMigConfigChange",
    "EVENT_SINGLE_BIT_STORM": "nvmlEventTypeSingleBitEccErrorStorm",
    "EVENT_DRAM_RETIREMENT": "nvmlEventTypeDramRetirementEvent",
    "EVENT_DRAM_RETIREMENT_FAILURE": "nvmlEventTypeDramRetirementFailure",
    "EVENT_POISON": "nvmlEventTypeNonFatalPoisonError",
    "EVENT_FATAL_POISON": "nvmlEventTypeFatalPoisonError",
    "EVENT_UNAVAILABLE": "nvmlEventTypeGpuUnavailableError",
    "EVENT_RECOVERY": "nvmlEventTypeGpuRecoveryAction",
    "FIELD_ECC_CURRENT": "NVML_FI_DEV_ECC_CURRENT",
    "FIELD_ECC_PENDING": "NVML_FI_DEV_ECC_PENDING",
    "FIELD_CORRECTED_VOLATILE": "NVML_FI_DEV_ECC_SBE_VOL_TOTAL",
    "FIELD_UNCORRECTED_VOLATILE": "NVML_FI_DEV_ECC_DBE_VOL_TOTAL",
    "FIELD_CORRECTED_AGGREGATE": "NVML_FI_DEV_ECC_SBE_AGG_TOTAL",
    "FIELD_UNCORRECTED_AGGREGATE": "NVML_FI_DEV_ECC_DBE_AGG_TOTAL",
    "FIELD_RETIRED_CORRECTED": "NVML_FI_DEV_RETIRED_SBE",
    "FIELD_RETIRED_UNCORRECTED": "NVML_FI_DEV_RETIRED_DBE",
    "FIELD_RETIRED_PENDING": "NVML_FI_DEV_RETIRED_PENDING",
    "FIELD_MEMORY_TEMPERATURE": "NVML_FI_DEV_MEMORY_TEMP",
    "FIELD_ENERGY": "NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "FIELD_PCIE_REPLAYS": "NVML_FI_DEV_PCIE_REPLAY_COUNTER",
    "FIELD_REMAPPED_CORRECTED": "NVML_FI_DEV_REMAPPED_COR",
    "FIELD_REMAPPED_UNCORRECTED": "NVML_FI_DEV_REMAPPED_UNC",
    "FIELD_REMAP_PENDING": "NVML_FI_DEV_REMAPPED_PENDING",
    "FIELD_REMAP_FAILED": "NVML_FI_DEV_REMAPPED_FAILURE",
    "FIELD_PCIE_FIRST": "NVML_FI_DEV_PCIE_COUNT_CORRECTABLE_ERRORS",
    "FIELD_PCIE_LAST": "NVML_FI_DEV_PCIE_COUNT_LANE_ERROR",
    "FIELD_POWER_AVERAGE": "NVML_FI_DEV_POWER_AVERAGE",
    "FIELD_POWER_INSTANT": "NVML_FI_DEV_POWER_INSTANT",
    "FIELD_POWER_MIN": "NVML_FI_DEV_POWER_MIN_LIMIT",
    "FIELD_POWER_MAX": "NVML_FI_DEV_POWER_MAX_LIMIT",
    "FIELD_POWER_DEFAULT": "NVML_FI_DEV_POWER_DEFAULT_LIMIT",
    "FIELD_POWER_CURRENT": "NVML_FI_DEV_POWER_CURRENT_LIMIT",
    "FIELD_ENERGY_SCOPED": "NVML_FI_DEV_ENERGY",
    "FIELD_POWER_REQUESTED": "NVML_FI_DEV_POWER_REQUESTED_LIMIT",
    "FIELD_MARGIN_SHUTDOWN": "NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT",
    "FIELD_MARGIN_SLOWDOWN": "NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT",
    "FIELD_MARGIN_MEMORY": "NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT",
    "FIELD_MARGIN_MAX": "NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT",
    "FIELD_RECOVERY": "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION",
    "FIELD_REMAPPED_CORRECTED_INACTIVE": "NVML_FI_DEV_REMAPPED_ROWS_COR_INACTIVE",
    "FIELD_REMAPPED_UNCORRECTED_INACTIVE": "NVML_FI_DEV_REMAPPED_ROWS_UNC_INACTIVE",
    "VALUE_UNSIGNED": "NVML_VALUE_TYPE_UNSIGNED_INT",
    "VALUE_UNSIGNED_LARGE": "NVML_VALUE_TYPE_UNSIGNED_LONG_LONG",
    "VALUE_SIGNED": "NVML_VALUE_TYPE_SIGNED_INT",
    "VERSION_MEMORY_V2": "nvmlMemory_v2",
    "VERSION_TEMPERATURE": "nvmlTemperature_v1",
    "VERSION_MARGIN": "nvmlMarginTemperature_v1",
    "VERSION_SRAM_STATUS": "nvmlEccSramErrorStatus_v1",
    "VERSION_SRAM_UNIQUE": "nvmlEccSramUniqueUncorrectedErrorCounts_v1",
    "VERSION_PROCESSES_UTILIZATION": "nvmlProcessesUtilizationInfo_v1",
    "VERSION_PCI_EXT": "nvmlPciInfoExt_v1",
    "VERSION_REPAIR": "nvmlRepairStatus_v1",
}
"""Our name in abi.h -> theirs."""

IN_PYTHON = {
    inject.EVENT_SINGLE_BIT: "nvmlEventTypeSingleBitEccError",
    inject.EVENT_DOUBLE_BIT: "nvmlEventTypeDoubleBitEccError",
    inject.EVENT_XID: "nvmlEventTypeXidCriticalError",
    inject.EVENT_MIG: "nvmlEventMigConfigChange",
    inject.EVENT_RECOVERY: "nvmlEventTypeGpuRecoveryAction",
    xid.EFFECTS[92].event: "nvmlEventTypeSingleBitEccErrorStorm",
    xid.EFFECTS[63].event: "nvmlEventTypeDramRetirementEvent",
    xid.EFFECTS[64].event: "nvmlEventTypeDramRetirementFailure",
    xid.EFFECTS[94].event: "nvmlEventTypeNonFatalPoisonError",
    xid.EFFECTS[95].event: "nvmlEventTypeFatalPoisonError",
    xid.EFFECTS[79].event: "nvmlEventTypeGpuUnavailableError",
}


@cache
def header() -> Path:
    """NVIDIA's header, from the wheel that is a development dependency."""
    try:
        files = importlib.metadata.files("nvidia-nvml-dev") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("nvidia-nvml-dev is not installed; pip install -e .[dev]")
    (found,) = (file for file in files if file.name == "nvml.h")
    return Path(str(found.locate()))


@cache
def declared() -> dict[str, list[str]]:
    """Every function that the header declares, with its parameters."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", header().read_text(), flags=re.DOTALL)
    found = re.findall(r"DECLDIR\s+(?:char\s*\*\s*)?(nvml\w+)\s*\(([^)]*)\)\s*;", text)
    return {name: _parameters(words) for name, words in found}


def _parameters(words: str) -> list[str]:
    return [] if words.strip() in ("", "void") else [word.strip() for word in words.split(",")]


def defined() -> dict[str, list[str]]:
    """Every function that the emulation writes by hand, with its parameters."""
    text = "".join((SOURCES / name).read_text() for name in build.SOURCES)
    device = "nvmlDevice_t device"
    found = {
        name: _parameters(words)
        for name, words in re.findall(r"^CALL\((nvml\w+),\s*([^)]*)\)", text, re.MULTILINE)
    }
    for name in re.findall(r"^GETTER\((\w+)", text, re.MULTILINE):
        found[name] = [device, "type *value"]
    for name in re.findall(r"^GETTER2\((\w+)", text, re.MULTILINE):
        found[name] = [device, "type *value", "type *other"]
    for name in re.findall(r"^TEXT\((\w+)", text, re.MULTILINE):
        found[name] = [device, "char *text", "unsigned length"]
    for name in re.findall(r"^NO_PROCESSES\((\w+)", text, re.MULTILINE):
        found[name] = [device, "unsigned *count", "void *list"]
    return found


def compiler_says(tmp_path: Path, lines: list[str]) -> str:
    """What the C compiler has against these lines, after both headers."""
    program = tmp_path / "check.c"
    heading = ["#include <stddef.h>", f'#include "{header()}"', '#include "abi.h"']
    program.write_text("\n".join([*heading, *lines, ""]))
    command = [*build.compiler(), "-std=gnu11", "-fsyntax-only", f"-I{SOURCES}", str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def same(ours: str, theirs: str, what: str) -> str:
    return f'_Static_assert(({ours}) == ({theirs}), "{what}");'


def _members(structure: str) -> list[str]:
    text = re.sub(r"union \{.*?\} value;", "unsigned value;", (SOURCES / "abi.h").read_text(),
                  flags=re.DOTALL)  # fmt: skip
    (body,) = re.findall(rf"typedef struct \{{([^}}]*)\}} {structure};", text)
    return re.findall(r"(\w+)(?:\[\d+\])?(?=[,;])", body)


@pytest.mark.verifies("VA-SIM-06")
def test_every_function_of_the_header_is_exported() -> None:
    library = ctypes.CDLL(str(build.library()))
    assert len(declared()) > 430
    assert [name for name in declared() if not hasattr(library, name)] == []


def test_the_list_of_functions_is_the_headers() -> None:
    listed = (SOURCES / build.FUNCTIONS).read_text().split()
    assert listed == sorted(declared())


def test_functions_that_answer_take_the_parameters_of_the_header() -> None:
    ours = defined()
    assert sorted(ours) == sorted(build.calls())
    for name, parameters in ours.items():
        theirs = declared()[name]
        pointers = ["*" in word or "EventSet" in word for word in parameters]
        assert pointers == ["*" in word or "EventSet_t" in word for word in theirs], name


@pytest.mark.verifies("VA-SIM-06")
def test_every_structure_is_laid_out_as_in_the_header(tmp_path: Path) -> None:
    lines = []
    for ours, words in LAYOUTS.items():
        theirs, *members = words.split()
        lines.append(same(f"sizeof({ours})", f"sizeof({theirs})", theirs))
        for mine, member in zip(_members(ours), members, strict=True):
            offsets = (f"offsetof({ours}, {mine})", f"offsetof({theirs}, {member})")
            lines.append(same(*offsets, f"{theirs}.{member}"))
    assert len(lines) > 100
    assert compiler_says(tmp_path, lines) == ""


@pytest.mark.verifies("VA-SIM-06")
def test_every_number_is_the_headers(tmp_path: Path) -> None:
    text = (SOURCES / "abi.h").read_text()
    enums = "".join(re.findall(r"^enum \{(.*?)\};", text, re.DOTALL | re.MULTILINE))
    assert set(re.findall(r"(\w+) =", enums)) == set(NUMBERS)
    lines = [same(ours, theirs, ours) for ours, theirs in NUMBERS.items()]
    lines += [same(str(number), theirs, theirs) for number, theirs in IN_PYTHON.items()]
    lines += [
        same(str(action.value), f"NVML_GPU_RECOVERY_ACTION_{action.name}", action.name)
        for action in xid.Recommended
    ]
    assert compiler_says(tmp_path, lines) == ""


def test_a_number_that_differed_would_be_found(tmp_path: Path) -> None:
    assert "OK" in compiler_says(tmp_path, [same("OK", "NVML_ERROR_TIMEOUT", "OK")])


def test_every_error_of_the_header_has_a_text() -> None:
    library = ctypes.CDLL(str(build.library()))
    library.nvmlErrorString.restype = ctypes.c_char_p
    codes = [int(n) for n in re.findall(r"NVML_ERROR_\w+\s*=\s*(\d+)", header().read_text())]
    assert len(codes) > 30
    texts = {library.nvmlErrorString(code) for code in codes}
    assert len(texts) == len(codes)
