"""How fast a GPU's memory is checked and encoded, beside CUDA C++ that only reads it.

Ratios are medians over rounds in which all take turns, timed by events on the device. The C++ is
`xor_reduce.cu`, compiled by NVRTC, on the grid that is fastest here. Goal: check 0.85 of it.
Needs a GPU, and the extra [cuda13] or [cuda12].
"""

from __future__ import annotations

import ctypes
import importlib.util
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icd import extras

ROUNDS = 30
N = 512
CHECKS = 11
BLOCK = 64 * N
THREADS = 256
SOURCE = Path(__file__).with_name("xor_reduce.cu")
Work = Callable[[], object]


@pytest.fixture(scope="module")
def compiler() -> None:
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip(extras.missing("numba_cuda", "a CUDA compiler"))


@pytest.fixture(scope="module")
def cuda(compiler: None) -> Any:  # noqa: ARG001
    from numba import cuda

    if not cuda.is_available():
        pytest.skip("no GPU, or no driver for it")
    return cuda


def succeeded(answer: tuple[Any, ...]) -> Any:
    """What a call of NVRTC or the driver gave. Raises RuntimeError where it failed."""
    if int(answer[0]):
        raise RuntimeError(str(answer[0]))
    return answer[1] if len(answer) > 1 else None


def compiled(capability: tuple[int, int]) -> bytes:
    """The C++ kernel for a GPU of this compute capability; needs no GPU."""
    from cuda.bindings import nvrtc

    program = succeeded(nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), b"xor_reduce.cu", 0, [], []))
    options = [b"--gpu-architecture=sm_%d%d" % capability]
    succeeded(nvrtc.nvrtcCompileProgram(program, len(options), options))
    cubin = bytes(succeeded(nvrtc.nvrtcGetCUBINSize(program)))
    succeeded(nvrtc.nvrtcGetCUBIN(program, cubin))
    return cubin


def xor_in_cpp(cuda: Any, data: Any, result: Any, blocks_per_sm: int) -> Work:
    """A launch of the C++ kernel over `data`."""
    from cuda.bindings import driver

    device = cuda.get_current_device()
    module = succeeded(driver.cuModuleLoadData(compiled(device.compute_capability)))
    function = succeeded(driver.cuModuleGetFunction(module, b"xor_reduce"))
    grid = device.MULTIPROCESSOR_COUNT * blocks_per_sm
    places = [array.__cuda_array_interface__["data"][0] for array in (data, result)]
    values = places[0], data.size // 2, places[1]
    kinds = ctypes.c_void_p, ctypes.c_ulonglong, ctypes.c_void_p
    return lambda: succeeded(
        driver.cuLaunchKernel(function, grid, 1, 1, THREADS, 1, 1, 0, 0, (values, kinds), 0)
    )


def race(cuda: Any, works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Milliseconds that each work took in each round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start, end = cuda.event(), cuda.event()
            start.record()
            work()
            end.record()
            end.synchronize()
            taken[name].append(cuda.event_elapsed_time(start, end))
    return taken


def filled(cuda: Any, words: int) -> Any:
    """So many words on the device, no two neighbours alike."""

    @cuda.jit
    def fill(array):  # type: ignore[no-untyped-def]  # pragma: no cover
        for at in range(cuda.grid(1), array.size, cuda.gridsize(1)):
            array[at] = np.uint64(at) * np.uint64(0x9E3779B97F4A7C15)

    array = cuda.device_array(words, np.uint64)
    fill[1024, THREADS](array)
    return array


@pytest.mark.parametrize("gib", [1, 16])
def test_the_memory_of_a_gpu_is_checked_about_as_fast_as_it_is_read(
    benchmark: Any, goal: Any, cuda: Any, gib: int
) -> None:
    size = gib << 30
    if cuda.current_context().get_memory_info()[0] < 1.1 * size:
        pytest.skip(f"less than {1.1 * gib:.1f} GiB are free on this GPU")
    from flight.edac import cuda as device

    flat, blocks = filled(cuda, size // 8), size // BLOCK
    data = flat.reshape(blocks, N, 8)
    checks = cuda.device_array((blocks, CHECKS, 8), np.uint64)
    hashes, complements = (cuda.device_array(blocks, np.uint64) for _ in range(2))
    is_bad = cuda.device_array(blocks, np.uint8)
    result = cuda.to_device(np.zeros(1, np.uint64))
    works: dict[str, Work] = {
        f"C++ {count}": xor_in_cpp(cuda, flat, result, count) for count in (4, 8, 16, 32)
    }
    works["encode and hash"] = lambda: device.encode(data, checks, hashes, complements)
    works["check"] = lambda: device.check(data, checks, is_bad)
    race(cuda, works, 3)
    taken = benchmark.pedantic(race, args=(cuda, works, ROUNDS), rounds=1)
    assert not is_bad.copy_to_host().any()
    grids = [times for name, times in taken.items() if name.startswith("C++")]
    best = min(grids, key=statistics.median)
    figures = {
        name: {
            "GB/s": round(size / 1e6 / statistics.median(times), 1),
            "of C++": round(statistics.median(a / b for a, b in zip(best, times, strict=True)), 3),
        }
        for name, times in taken.items()
    }
    benchmark.extra_info.update(figures)
    print(f"\n{gib} GiB: {figures}")
    goal(f"check of CUDA C++, {gib} GiB", figures["check"]["of C++"], at_least=0.85)


def test_one_flip_in_the_memory_of_a_gpu_marks_its_block_and_no_other(cuda: Any) -> None:
    from flight.edac import cuda as device

    blocks = 1001
    words = filled(cuda, blocks * N * 8).copy_to_host().reshape(blocks, N, 8)
    checks = cuda.device_array((blocks, CHECKS, 8), np.uint64)
    hashes, complements = (cuda.device_array(blocks, np.uint64) for _ in range(2))
    is_bad = cuda.device_array(blocks, np.uint8)
    device.encode(cuda.to_device(words), checks, hashes, complements)
    words[417, 3, 5] ^= np.uint64(1 << 40)
    device.check(cuda.to_device(words), checks, is_bad)
    assert np.flatnonzero(is_bad.copy_to_host()).tolist() == [417]


@pytest.mark.heavy("cuda-compile")
@pytest.mark.usefixtures("compiler")
def test_the_cpp_to_compare_with_compiles_without_a_gpu() -> None:
    assert compiled((9, 0)).startswith(b"\x7fELF")
