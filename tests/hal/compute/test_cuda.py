"""The CUDA device as far as it goes without a GPU: its errors, and its kernels in the simulator."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from hal.compute.cuda import translate
from hal.compute.device import open_device
from hal.errors import ComputeError, DeviceLost, OutOfMemory
from hal.kernels.copy import COPY
from hal.kernels.matmul import MATMUL

pytestmark = pytest.mark.portable

NEEDED = "needs numba-cuda: pip install '.[cuda13]', or '.[cuda12]'"
SIMULATED = """
import numpy as np
from hal.compute.device import ComputeError, Kernel, open_device
from hal.kernels.copy import COPY
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
    copied = device.allocate(300, np.float32)
    line = np.arange(300, dtype=np.float32)
    device.launch(COPY, device.copy_in(line), copied)
    assert (device.copy_out(copied) == line).all()
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


@pytest.mark.native("a simulator of CUDA in Python shows nothing of a processor, and takes minutes")
@pytest.mark.slow
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


class BrokenCuda:
    """numba.cuda with one GPU, whose every call fails with one error once it is open."""

    gpus = ("gpu",)

    def __init__(self) -> None:
        self.error: Exception | None = None

    def is_available(self) -> bool:
        return True

    def _fail(self, *_arguments: object) -> None:
        if self.error is not None:
            raise self.error

    select_device = to_device = synchronize = close = copy_to_host = _fail
    shape, dtype = (3,), np.dtype(np.uint8)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> BrokenCuda:
    double = BrokenCuda()
    monkeypatch.setitem(sys.modules, "numba.cuda", double)
    return double


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CudaAPIError(700), DeviceLost),
        (CudaAPIError(2), OutOfMemory),
        (CudaAPIError(999), ComputeError),
        (MemoryError("host"), OutOfMemory),
    ],
)
def test_no_cuda_error_of_any_call_rises_as_itself(
    broken: BrokenCuda, error: Exception, kind: type[ComputeError]
) -> None:
    device = open_device("cuda")
    broken.error = error
    for call in (
        lambda: device.allocate(3, np.uint8),
        lambda: device.copy_in(np.zeros(3)),
        lambda: device.copy_out(broken),
        lambda: device.launch(broken.synchronize),
        device.synchronise,
    ):
        with pytest.raises(ComputeError) as found:
            call()
        assert type(found.value) is kind
    device.close()
    device.close()


@pytest.mark.usefixtures("broken")
def test_a_launched_functions_own_error_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        open_device("cuda").launch(lambda: 1 // 0)


@pytest.mark.usefixtures("broken")
def test_a_gpu_number_the_machine_lacks_is_refused() -> None:
    with pytest.raises(ComputeError, match="this machine has 1"):
        open_device("cuda", device=1)


def test_a_machine_without_cuda_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BrokenCuda, "is_available", lambda _self: False)
    monkeypatch.setitem(sys.modules, "numba.cuda", BrokenCuda())
    with pytest.raises(ComputeError, match="nvidia-smi"):
        open_device("cuda")
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    with pytest.raises(ComputeError, match=re.escape(NEEDED)):
        open_device("cuda")


def test_a_cuda_target_without_its_compiler_says_what_to_install() -> None:
    class NvvmSupportError(ImportError):
        """Looks like numba.cuda's."""

    assert NEEDED in str(translate(NvvmSupportError("libNVVM cannot be found")))


def test_an_error_that_is_not_cudas_is_left_alone() -> None:
    assert translate(ValueError("mine")) is None


def test_the_copy_kernel_agrees_with_its_reference() -> None:
    line = np.arange(300, dtype=np.float32)
    plain, fast = np.zeros_like(line), np.zeros_like(line)
    COPY.reference(line, plain)
    COPY.host(line, fast)
    assert (plain == line).all()
    assert (fast == line).all()
