"""One training step of a small GPT: loss, gradient and new weights, by the code of the job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.campaign.bench import Bench
from flight.campaign.device import StruckDevice
from flight.campaign.kernels.common import CommonSettings
from flight.campaign.kernels.subject import ArrayKernel, Arrays, generator, largest
from flight.campaign.patterns import Array
from flight.campaign.settings import choice, share, whole
from flight.jobs import blas
from flight.jobs.nanogpt import Configuration, kernels, model, optimiser, trainer
from flight.jobs.nanogpt.model import Shape
from flight.jobs.nanogpt.trainer import Trainer
from flight.jobs.nanogpt.training import SHARDS, SIZES
from hal.compute.device import open_device

CHARACTERS = 65
RATE = 1e-3
BETWEEN = 4
"""Training steps from one input to the next."""
_NAMES = tuple(each.name.lower() for each in Configuration)


@dataclass(frozen=True)
class NanogptStepSettings(CommonSettings):
    """`[kernel.nanogpt-step]`."""

    configuration: str = choice(_NAMES, "tiny")
    batch: int = whole(2, 64, 2)
    timed_configuration: str = choice(_NAMES, "cpu")
    timed_batch: int = whole(2, 64, 12)
    tolerance: float = share(0.0, 1.0, 0.01)
    """Of the loss, of the largest gradient and moment, of the largest change of a weight."""


class NanogptStep(ArrayKernel):
    """Input number i stands at step 4 (i + 1) of a training on made-up text of 65 characters.

    The state theta | m | v lies on the compute device, the batch in the host's memory. One thread.
    """

    def __init__(self, settings: NanogptStepSettings, seed: int) -> None:
        blas.limit_to_one_thread()
        self.settings = settings
        self.tolerance = settings.tolerance
        self._seed = seed
        self._device = open_device("host")

    def step_of(self, number: int) -> int:
        return BETWEEN * (number + 1)

    def make(self, number: int) -> dict[str, Array]:
        s = self.settings
        return self._trained(s.configuration, s.batch, self.step_of(number))

    def timed_input(self) -> dict[str, Array]:
        s = self.settings
        return self._trained(s.timed_configuration, s.timed_batch, 1)

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        step, sequences = int(inputs["step"]), inputs["sequences"]
        shape, shards = _shape(Configuration(int(inputs["configuration"])))
        bench.rest(sequences=sequences)
        if sequences.min() < -CHARACTERS or sequences.max() >= CHARACTERS:
            raise IndexError("an index reaches outside the table of characters")
        device = StruckDevice(self._device, bench)
        state = device.copy_in(inputs["state"])
        device.name(state=state)
        with (
            Trainer(
                shape, len(sequences), state, shards, 1, bench.guard, bench.multiply
            ) as training,
            _struck_kernels(bench),
        ):
            result = device.launch(training.step, step, sequences, RATE, lambda: None)
            gradient = training.gradients[0].copy()
        outputs = {
            "loss": np.array([result.loss]),
            "gradient": gradient,
            "state": device.copy_out(state),
        }
        bench.rest(gradient=gradient)
        return outputs

    def scales(self, inputs: Arrays, reference: Arrays) -> dict[str, Any]:
        # weights count by how far this step moves them, not by their size
        before, after = np.split(inputs["state"], 3), np.split(reference["state"], 3)
        parts = [largest(after[0] - before[0]), largest(after[1]), largest(after[2])]
        sizes = np.repeat(parts, len(after[0]))
        return {
            "loss": largest(reference["loss"]),
            "gradient": largest(reference["gradient"]),
            "state": sizes,
        }

    def _trained(self, configuration: str, batch: int, steps: int) -> dict[str, Array]:
        chosen = Configuration[configuration.upper()]
        shape, shards = _shape(chosen)
        state = np.zeros(3 * model.count(shape), np.float32)
        model.initialise(state[: len(state) // 3], shape, self._seed)
        with Trainer(shape, batch, state, shards, 1) as training:
            for step in range(steps):
                sequences = self._sequences(batch, shape.context, step)
                training.step(step, sequences, RATE, lambda: None)
        return {
            "step": np.array(steps),
            "configuration": np.array(int(chosen)),
            "sequences": self._sequences(batch, shape.context, steps),
            "state": state,
        }

    def _sequences(self, batch: int, context: int, step: int) -> Array:
        """Characters, some much more frequent than others, as in a text."""
        draws = generator(self._seed, step).random((batch, context + 1))
        sequences: Array = (CHARACTERS * draws**3).astype(np.int32)
        return sequences


def _shape(configuration: Configuration) -> tuple[Shape, int]:
    layers, heads, width, context = SIZES[configuration]
    return Shape(layers, heads, width, context, CHARACTERS), SHARDS[configuration]


# Arguments that each kernel writes, and about how many operations an element of them costs.
_WRITES: dict[str, tuple[int, tuple[int, ...]]] = {
    "add_norm": (8, (3, 4)),
    "norm_backward": (12, (5, 6)),
    "gelu": (40, (0, 1)),
    "causal_softmax": (20, (0,)),
    "causal_softmax_backward": (5, (1,)),
    "cross_entropy": (22, (0, 3)),
    "add_rows": (1, (2,)),
    "sum_shards": (4, (0,)),
    "adamw": (14, (0, 2, 3)),
}
_RANGES = {"sum_shards": (1, 2), "adamw": (4, 5)}
"""Kernels that write elements from one argument to another only."""


class _StruckKernels:
    """The kernels of a step that are no products, their results struck on the bench."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __getattr__(self, name: str) -> Any:
        function = getattr(kernels, name)
        operations, positions = _WRITES[name]

        def struck(*arguments: Any) -> Any:
            value = function(*arguments)
            written = {f"{name}[{at}]": arguments[at] for at in positions}
            if name in _RANGES:
                low, high = (int(arguments[at]) for at in _RANGES[name])
                written = {n: _flat(array)[low:high] for n, array in written.items()}
            self._bench.results(operations, **written)
            return value

        return struck


def _flat(array: Array) -> Array:
    return array[0] if array.ndim == 2 else array


@contextmanager
def _struck_kernels(bench: Bench) -> Iterator[None]:
    """Let the job's modules call struck kernels; one step at a time in a process."""
    struck, modules = _StruckKernels(bench), (model, optimiser, trainer)
    for module in modules:
        setattr(module, "kernels", struck)  # noqa: B010 - the type is that of a module
    try:
        yield
    finally:
        for module in modules:
            setattr(module, "kernels", kernels)  # noqa: B010
