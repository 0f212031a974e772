"""Make nanogpt_reference.npz: gradients and a loss curve of the same model in PyTorch.

Run from the root of the repository with the extra [reference] and requirements/text.txt installed:

    python -m tests.flight.jobs.reference.make_nanogpt_reference

It writes next to itself. Made with PyTorch 2.13.0 on an x86-64 processor; never run by the tests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.torch_gpt import TorchGPT

from flight.jobs.nanogpt import text
from flight.jobs.nanogpt.model import Shape, count, initialise, named
from flight.jobs.nanogpt.optimiser import BETA_1, BETA_2, CLIP, DECAY
from tests.flight.jobs.plain_gpt import hamlet

SMALL = Shape(layers=2, heads=2, width=16, context=12, vocabulary=23)
STEPS, BATCH, RATE, SEED = 150, 12, 3e-3, 7


def gradients() -> dict[str, Any]:
    """Random weights far from a fresh model's, a batch, and the float64 loss and gradients."""
    generator = np.random.default_rng(20261123)
    weights = generator.normal(0, 0.3, count(SMALL)).astype(np.float32)
    for view in named(weights, SMALL).values():
        if view.ndim == 1:
            view += 1
    sequences = generator.integers(0, SMALL.vocabulary, (5, SMALL.context + 1), dtype=np.int32)
    model = TorchGPT(**vars(SMALL)).double()
    model.load({name: view.astype(np.float64) for name, view in named(weights, SMALL).items()})
    batch = torch.from_numpy(sequences.astype(np.int64))
    loss = model(batch[:, :-1], batch[:, 1:])
    loss.backward()
    flat = np.zeros(count(SMALL))
    parameters = dict(model.named_parameters())
    for name, view in named(flat, SMALL).items():
        view[...] = parameters[name].grad.numpy()
    return {"weights": weights, "sequences": sequences, "loss": loss.item(), "gradient": flat}


def curve() -> dict[str, Any]:
    """The losses of float32 training on a real text, from stored weights."""
    corpus = text.load(hamlet(), 32)
    shape = Shape(2, 2, 32, 32, len(corpus.vocabulary))
    weights = np.zeros(count(shape), np.float32)
    initialise(weights, shape, SEED)
    model = TorchGPT(**vars(shape))
    model.load({name: view.copy() for name, view in named(weights, shape).items()})
    optimiser = model.optimiser(RATE, DECAY, (BETA_1, BETA_2))
    losses = []
    for step in range(STEPS):
        batch = torch.from_numpy(corpus.sequences(BATCH, 32, SEED, step).astype(np.int64))
        optimiser.zero_grad(set_to_none=True)
        loss = model(batch[:, :-1], batch[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        losses.append(loss.item())
    return {
        "curve_weights": weights,
        "curve_losses": np.array(losses),
        "curve_sha256": np.array(hashlib.sha256(hamlet().read_bytes()).hexdigest()),
        "curve_settings": np.array((BATCH, RATE, SEED)),
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("nanogpt_reference.npz")
    np.savez_compressed(path, **gradients(), **curve())
