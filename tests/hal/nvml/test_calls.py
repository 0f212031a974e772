"""Calls of NVML: every kind of trouble comes out as one of our errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from hal import boards, errors
from hal.nvml import calls
from hal.nvml.sensors import SENSORS
from tests.sim_hw.support.emulated import SteppedBoard

pytestmark = pytest.mark.portable


def raising(error: Exception) -> Any:
    def call(*_arguments: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, errors.DriverMissing),
        (2, errors.WrongRequest),
        (3, errors.Unsupported),
        (4, errors.NotPermitted),
        (9, errors.DriverMissing),
        (10, errors.TimedOut),
        (13, errors.Unsupported),
        (15, errors.BoardLost),
        (16, errors.BoardLost),
        (999, errors.DriverFault),
        (4711, errors.DriverFault),
    ],
)
def test_an_nvml_error_becomes_ours_and_names_the_call(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[errors.BoardError]
) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", raising(pynvml.NVMLError(code)))
    with pytest.raises(errors.BoardError, match=rf"nvmlDeviceGetName: .* \(NVML {code}\)") as found:
        calls.ask("nvmlDeviceGetName", None)
    assert type(found.value) is kind
    assert found.value.call == "nvmlDeviceGetName"


def test_what_upsets_the_binding_itself_is_a_driver_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", raising(garbage))
    with pytest.raises(errors.DriverFault, match="UnicodeDecodeError"):
        calls.ask("nvmlDeviceGetName", None)


def test_a_call_that_the_binding_does_not_know_is_unsupported() -> None:
    with pytest.raises(errors.Unsupported, match="no nvmlDeviceGetOrbit; upgrade it"):
        calls.ask("nvmlDeviceGetOrbit")


@pytest.mark.parametrize(
    ("kind", "member"), [(0, "dVal"), (1, "uiVal"), (2, "ulVal"), (3, "ullVal"), (5, "siVal")]
)
def test_a_field_is_read_by_its_value_type(
    monkeypatch: pytest.MonkeyPatch, kind: int, member: str
) -> None:
    field = SimpleNamespace(nvmlReturn=0, valueType=kind, value=SimpleNamespace(**{member: 7}))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetFieldValues", lambda *_: [field])
    assert calls.field(None, 82) == 7.0


def test_a_field_of_an_unknown_value_type_is_a_driver_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = SimpleNamespace(nvmlReturn=0, valueType=77, value=None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetFieldValues", lambda *_: [field])
    with pytest.raises(errors.DriverFault, match="value type 77"):
        calls.field(None, 82)


def test_a_library_too_old_for_signed_temperatures_is_asked_the_old_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperatureV", raising(old))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", lambda *_: 0xFFFFFFF6)
    (sensor,) = [s for s in SENSORS if s.quantities[0].name == "temperature_c"]
    assert sensor.measure(None) == (-10.0,)


def test_a_driver_that_cannot_even_count_its_gpus_is_closed_again(stepped: SteppedBoard) -> None:
    stepped.world.fail("nvmlDeviceGetCount_v2", 999)
    with pytest.raises(errors.DriverFault):
        boards.open_board("emulated-h100")
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()
    stepped.world.fail("nvmlDeviceGetCount_v2", 0)
    boards.open_board("emulated-h100").close()


def test_a_driver_that_does_not_start_is_an_error_of_ours(stepped: SteppedBoard) -> None:
    stepped.world.fail("nvmlInitWithFlags", pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    with pytest.raises(errors.DriverMissing, match="version mismatch"):
        boards.open_board("emulated-h100")
