"""The GPT itself: how its weights lie in one buffer, the way forward and the way back.

The architecture is nanoGPT's: learnt positions, norm before attention and before the perceptron,
residual stream, causal attention, GELU with the error function, head tied to the token embedding,
no biases. Weights carry the names of nanoGPT's state dict.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from flight.jobs.nanogpt import kernels

Array = np.ndarray[Any, np.dtype[Any]]
Multiply = Callable[[Array, Array, Array], Any]
F = np.float32


@dataclass(frozen=True)
class Shape:
    """The size of a model; `width` is a multiple of `heads`."""

    layers: int
    heads: int
    width: int
    context: int
    vocabulary: int


@dataclass(frozen=True)
class Slot:
    """Where one weight lies in the flat buffer."""

    name: str
    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its number of elements."""
        return math.prod(self.shape)


def layout(shape: Shape) -> tuple[Slot, ...]:
    """Every weight's place: the matrices, which decay, before the vectors, which do not."""
    width = shape.width
    blocks = [f"transformer.h.{layer}" for layer in range(shape.layers)]
    sizes: list[tuple[str, tuple[int, ...]]] = [
        ("transformer.wte.weight", (shape.vocabulary, width)),
        ("transformer.wpe.weight", (shape.context, width)),
    ]
    for block in blocks:
        sizes += [
            (f"{block}.attn.c_attn.weight", (3 * width, width)),
            (f"{block}.attn.c_proj.weight", (width, width)),
            (f"{block}.mlp.c_fc.weight", (4 * width, width)),
            (f"{block}.mlp.c_proj.weight", (width, 4 * width)),
        ]
    for block in blocks:
        sizes += [(f"{block}.ln_1.weight", (width,)), (f"{block}.ln_2.weight", (width,))]
    sizes.append(("transformer.ln_f.weight", (width,)))
    slots = []
    offset = 0
    for name, dimensions in sizes:
        slots.append(Slot(name, offset, dimensions))
        offset += slots[-1].size
    return tuple(slots)


def count(shape: Shape) -> int:
    """The number of weights."""
    return sum(slot.size for slot in layout(shape))


def decayed(shape: Shape) -> int:
    """How many of them, from the first, are elements of matrices."""
    return sum(slot.size for slot in layout(shape) if len(slot.shape) == 2)


def named(buffer: Array, shape: Shape) -> dict[str, Array]:
    """The weights in a flat buffer, by name, as views.

    buffer: `count(shape)` numbers; each view has the shape of its slot.
    """
    return {
        slot.name: buffer[slot.offset : slot.offset + slot.size].reshape(slot.shape)
        for slot in layout(shape)
    }


class Block(NamedTuple):
    """The weights of one layer, or their gradients."""

    norm_1: Array
    attend: Array
    merge: Array
    norm_2: Array
    expand: Array
    contract: Array


class Weights(NamedTuple):
    """All weights, or their gradients, as views of a flat buffer."""

    tokens: Array
    positions: Array
    norm: Array
    blocks: tuple[Block, ...]


def weights_in(buffer: Array, shape: Shape) -> Weights:
    """The views of a flat buffer of `count(shape)` float32."""
    views = named(buffer, shape)
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    return Weights(
        views["transformer.wte.weight"],
        views["transformer.wpe.weight"],
        views["transformer.ln_f.weight"],
        tuple(
            Block(*(views[f"transformer.h.{layer}.{part}.weight"] for part in parts))
            for layer in range(shape.layers)
        ),
    )


def initialise(buffer: Array, shape: Shape, seed: int) -> None:
    """nanoGPT's start: normal, deviation 0.02, less where the residual stream adds up; norms 1.

    buffer: `count(shape)` float32, filled.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    for name, view in named(buffer, shape).items():
        if view.ndim == 1:
            view.fill(1)
        else:
            deviation = 0.02 / math.sqrt(2 * shape.layers if "c_proj" in name else 1)
            view[...] = generator.standard_normal(view.shape, dtype=F) * F(deviation)


class _Layer:
    """What the way forward through one layer leaves for the way back."""

    def __init__(self, shape: Shape, sequences: int) -> None:
        rows, width = sequences * shape.context, shape.width
        self.attended_input = _Norm(rows, width)
        self.joined = _empty(rows, 3 * width)
        self.query, self.key, self.value = _heads(self.joined, shape, 3)
        self.attention = _empty(sequences * shape.heads, shape.context, shape.context)
        self.shares = self.attention.reshape(sequences, shape.heads, shape.context, shape.context)
        self.mixed = _empty(rows, width)
        (self.mixed_heads,) = _heads(self.mixed, shape, 1)
        self.perceptron_input = _Norm(rows, width)
        self.hidden = _empty(rows, 4 * width)
        self.active = _empty(rows, 4 * width)


class _Norm:
    """A point of the residual stream and its normalised form."""

    def __init__(self, rows: int, width: int) -> None:
        self.stream = _empty(rows, width)
        self.normed = _empty(rows, width)
        self.mean = _empty(rows)
        self.scale = _empty(rows)

    def forward(self, stream: Array, delta: Array, weight: Array) -> None:
        kernels.add_norm(stream, delta, weight, self.stream, self.normed, self.mean, self.scale)

    def backward(self, flow: Array, weight: Array, d_stream: Array, d_weight: Array) -> None:
        kernels.norm_backward(flow, self.stream, self.mean, self.scale, weight, d_stream, d_weight)


class Shard:
    """A fixed part of each batch with its activations: one thread works on it at a time.

    `alive` is called a few times a layer; what it raises ends the pass. `multiply` fills its third
    argument with the matrix product of the first two, as `np.matmul` does.
    """

    def __init__(
        self,
        shape: Shape,
        sequences: int,
        weights: Weights,
        gradients: Weights | None = None,
        alive: Callable[[], None] = lambda: None,
        multiply: Multiply = np.matmul,
    ) -> None:
        self.shape = shape
        self.sequences = sequences
        self.weights = weights
        self.gradients = gradients
        self.alive = alive
        self.multiply = multiply
        rows, width = sequences * shape.context, shape.width
        self._scale = F(1 / math.sqrt(width // shape.heads))
        self._layers = tuple(_Layer(shape, sequences) for _ in range(shape.layers))
        self._last = _Norm(rows, width)
        self._delta = _empty(rows, width)
        self.logits = _empty(rows, shape.vocabulary)
        self._losses = _empty(rows)
        if gradients is not None:
            self._make_way_back(rows)

    def _make_way_back(self, rows: int) -> None:
        shape, width = self.shape, self.shape.width
        self._d_stream = _empty(rows, width)
        self._d_normed = _empty(rows, width)
        self._d_hidden = _empty(rows, 4 * width)
        self._d_joined = _empty(rows, 3 * width)
        self._d_query, self._d_key, self._d_value = _heads(self._d_joined, shape, 3)
        self._d_mixed = _empty(rows, width)
        (self._d_mixed_heads,) = _heads(self._d_mixed, shape, 1)
        self._d_attention = _empty(self.sequences * shape.heads, shape.context, shape.context)
        self._d_shares = self._d_attention.reshape(self._layers[0].shares.shape)

    def predict(self, tokens: Array) -> None:
        """Fill `logits`, one row a token: scores of the character that follows.

        tokens: sequences * context, int32; logits: as many rows x vocabulary, float32.
        """
        weights = self.weights
        np.take(weights.tokens, tokens, axis=0, out=self._layers[0].attended_input.stream)
        self._delta.reshape(self.sequences, *weights.positions.shape)[...] = weights.positions
        stream = self._layers[0].attended_input.stream
        for layer, block in zip(self._layers, weights.blocks, strict=True):
            self.alive()
            layer.attended_input.forward(stream, self._delta, block.norm_1)
            self.multiply(layer.attended_input.normed, block.attend.T, layer.joined)
            self.multiply(layer.query, layer.key.swapaxes(2, 3), layer.shares)
            kernels.causal_softmax(layer.attention, self._scale)
            self.multiply(layer.shares, layer.value, layer.mixed_heads)
            self.multiply(layer.mixed, block.merge.T, self._delta)
            layer.perceptron_input.forward(layer.attended_input.stream, self._delta, block.norm_2)
            self.multiply(layer.perceptron_input.normed, block.expand.T, layer.hidden)
            kernels.gelu(layer.hidden, layer.active)
            self.multiply(layer.active, block.contract.T, self._delta)
            stream = layer.perceptron_input.stream
        self._last.forward(stream, self._delta, weights.norm)
        self.multiply(self._last.normed, weights.tokens.T, self.logits)

    def loss(self, tokens: Array, targets: Array, share: float) -> float:
        """Sum of the losses of each token in nat; `logits` hold the gradient of `share` of it.

        tokens, targets: sequences * context, int32.
        """
        self.predict(tokens)
        kernels.cross_entropy(self.logits, targets, F(share), self._losses)
        return float(self._losses.sum(dtype=np.float64))

    def backward(self, tokens: Array) -> None:
        """Set the gradients, after `loss` of the same tokens."""
        assert self.gradients is not None, "this shard was made for prediction alone"
        weights, gradients, flow = self.weights, self.gradients, self._d_stream
        self.multiply(self.logits.T, self._last.normed, gradients.tokens)
        self.multiply(self.logits, weights.tokens, self._d_normed)
        flow.fill(0)
        self._last.backward(self._d_normed, weights.norm, flow, gradients.norm)
        for index in reversed(range(self.shape.layers)):
            self.alive()
            layer, block, d_block = (
                self._layers[index],
                weights.blocks[index],
                gradients.blocks[index],
            )
            self._perceptron_backward(layer, block, d_block)
            self._attention_backward(layer, block, d_block)
        flow.reshape(self.sequences, *weights.positions.shape).sum(axis=0, out=gradients.positions)
        kernels.add_rows(tokens, flow, gradients.tokens)

    def _perceptron_backward(self, layer: _Layer, block: Block, d_block: Block) -> None:
        flow = self._d_stream
        self.multiply(flow.T, layer.active, d_block.contract)
        self.multiply(flow, block.contract, self._d_hidden)
        np.multiply(self._d_hidden, layer.hidden, out=self._d_hidden)
        self.multiply(self._d_hidden.T, layer.perceptron_input.normed, d_block.expand)
        self.multiply(self._d_hidden, block.expand, self._d_normed)
        layer.perceptron_input.backward(self._d_normed, block.norm_2, flow, d_block.norm_2)

    def _attention_backward(self, layer: _Layer, block: Block, d_block: Block) -> None:
        flow, d_mixed = self._d_stream, self._d_mixed_heads
        self.multiply(flow.T, layer.mixed, d_block.merge)
        self.multiply(flow, block.merge, self._d_mixed)
        self.multiply(layer.shares.swapaxes(2, 3), d_mixed, self._d_value)
        self.multiply(d_mixed, layer.value.swapaxes(2, 3), self._d_shares)
        kernels.causal_softmax_backward(layer.attention, self._d_attention, self._scale)
        self.multiply(self._d_shares, layer.key, self._d_query)
        self.multiply(self._d_shares.swapaxes(2, 3), layer.query, self._d_key)
        self.multiply(self._d_joined.T, layer.attended_input.normed, d_block.attend)
        self.multiply(self._d_joined, block.attend, self._d_normed)
        layer.attended_input.backward(self._d_normed, block.norm_1, flow, d_block.norm_1)


def _empty(*shape: int) -> Array:
    return np.empty(shape, F)


def _heads(rows: Array, shape: Shape, parts: int) -> tuple[Array, ...]:
    """Views of sequences x heads x context x depth, one for each of `parts` side by side.

    rows: sequences * context x parts * width, float32.
    """
    depth = shape.width // shape.heads
    split = rows.reshape(-1, shape.context, parts, shape.heads, depth)
    return tuple(split[:, :, part].swapaxes(1, 2) for part in range(parts))
