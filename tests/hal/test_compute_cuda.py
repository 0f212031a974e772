"""The CUDA device as far as it goes without a GPU: its errors, and its kernels in the simulator."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from hal.compute_cuda import translate
from hal.errors import ComputeError, DeviceLost, OutOfMemory
from hal.kernels.matmul import MATMUL

SIMULATED = """
import numpy as np
from hal.compute import ComputeError, Kernel, open_device
from hal.kernels.matmul import MATMUL
draw = np.random.default_rng(7)
a = draw.random((20, 37), dtype=np.float32)
b = draw.random((37, 19), dtype=np.float32)
with open_device("cuda") as device:
    out = device.allocate((20, 19), np.float32)
    device.launch(MATMUL, device.copy_in(a), device.copy_in(b), out)
    device.synchronise()
    wanted = np.empty((20, 19), np.float32)
    MATMUL.reference(a, b, wanted)
    assert np.abs(device.copy_out(out) - wanted).max() < 1e-5
    target = np.empty((20, 19), np.float32)
    assert device.copy_out(out, target) is target
    device.copy_in(wanted, out)
    assert device.launch(lambda x: x.shape, out) == (20, 19)
    for wrong in (
        lambda: device.copy_in(a, out),
        lambda: device.allocate((-1,), np.float32),
        lambda: device.launch(Kernel("none", print, print), out),
    ):
        try:
            wrong()
        except ComputeError:
            continue
        raise AssertionError("no ComputeError")
device.close()
try:
    device.synchronise()
except ComputeError:
    print("all well")
"""


class CudaAPIError(Exception):
    """Looks like numba.cuda's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"[{code}]")
        self.code = code


def test_the_matmul_kernel_agrees_with_its_reference_in_the_cuda_simulator() -> None:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SIMULATED],
        capture_output=True,
        text=True,
        env=environment,
        timeout=100,
        check=False,
    )
    assert ended.stdout == "all well\n", ended.stderr


def test_the_host_form_of_matmul_agrees_with_its_reference() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.random((5, 7)), draw.random((7, 4))
    wanted, found = np.empty((5, 4)), np.empty((5, 4))
    MATMUL.reference(a, b, wanted)
    MATMUL.host(a, b, found)
    assert np.allclose(found, wanted)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, OutOfMemory), (214, DeviceLost), (700, DeviceLost), (719, DeviceLost), (1, ComputeError)],
)
def test_a_cuda_error_becomes_ours_by_its_code(code: int, kind: type[ComputeError]) -> None:
    assert type(translate(CudaAPIError(code))) is kind


def test_an_error_that_is_not_cudas_is_left_alone() -> None:
    assert translate(ValueError("mine")) is None
