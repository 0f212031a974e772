"""The model of the nanogpt job once more, in PyTorch, to measure and to check against."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """Causal self-attention, no biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Any) -> Any:
        rows, length, width = x.shape
        query, key, value = (
            part.view(rows, length, self.heads, -1).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).contiguous().view(rows, length, width))


class Perceptron(nn.Module):
    """Four times as wide inside, GELU with the error function."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Any) -> Any:
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Block(nn.Module):
    """One layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.mlp = Perceptron(width)

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TorchGPT(nn.Module):
    """A GPT whose state dict has the names of the job's weights."""

    def __init__(self, layers: int, heads: int, width: int, context: int, vocabulary: int) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": nn.ModuleList(Block(width, heads) for _ in range(layers)),
                "ln_f": nn.LayerNorm(width, bias=False),
            }
        )

    def forward(self, tokens: Any, targets: Any) -> Any:
        """Mean cross-entropy in nat."""
        parts = self.transformer
        x = parts["wte"](tokens) + parts["wpe"](torch.arange(tokens.shape[1]))
        for block in parts["h"]:
            x = block(x)
        logits = functional.linear(parts["ln_f"](x), parts["wte"].weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def load(self, weights: dict[str, Any]) -> None:
        """Take over weights by name, in this model's own precision."""
        self.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def optimiser(self, rate: float, decay: float, betas: tuple[float, float]) -> Any:
        """AdamW with decay on matrices alone, fused."""
        matrices = [p for p in self.parameters() if p.dim() == 2]
        vectors = [p for p in self.parameters() if p.dim() == 1]
        groups = [
            {"params": matrices, "weight_decay": decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=1e-8, fused=True)
