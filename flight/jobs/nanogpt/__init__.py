"""Train a small character-level language model on board and bring home what it learnt."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from flight.jobs.declaration import JobDeclaration, Output
from icd.fields import F32, F64, U16, U32, FileName, Limits, Text128, Unit


@enum.unique
class Configuration(enum.IntEnum):
    """How large the model is: layers, heads, width, context."""

    TINY = 0  # 2, 2, 32, 32
    CPU = 1  # 4, 4, 128, 64
    BABY = 2  # 6, 6, 384, 256


@enum.unique
class Schedule(enum.IntEnum):
    """How the learning rate goes on after its warm-up."""

    CONSTANT = 0
    COSINE = 1


@dataclass(frozen=True)
class Parameters:
    """What ground may set for one training run."""

    text: Annotated[
        Text128, FileName(), "UTF-8 text to learn; empty: the prose in Python's own documentation"
    ] = ""
    steps: Annotated[U32, "training steps", Limits(1, 1_000_000)] = 500
    configuration: Annotated[Configuration, "size of the model"] = Configuration.CPU
    batch: Annotated[U16, "sequences a step", Limits(1, 512)] = 12
    learning_rate: Annotated[F32, "highest learning rate", Limits(1e-6, 1.0)] = 1e-3
    schedule: Annotated[Schedule, "learning rate after the warm-up"] = Schedule.COSINE
    warm_up: Annotated[U32, "steps in which the learning rate rises", Limits(0, 1_000_000)] = 20
    seed: Annotated[U32, "seed of weights, batches and sample"] = 1337
    evaluation_interval: Annotated[U32, "steps between validations", Limits(1, 1_000_000)] = 100
    sample_length: Annotated[U32, "characters in the sample", Limits(0, 100_000)] = 500
    temperature: Annotated[F32, "how freely the sample is drawn", Limits(0.01, 10.0)] = 0.8
    top_k: Annotated[U16, "draw among this many likeliest characters", Limits(1)] = 200
    commit_interval: Annotated[U32, "steps between commits", Limits(1, 1_000_000)] = 10


@dataclass(frozen=True)
class Metrics:
    """What the job tells of its course."""

    loss: Annotated[F64, "cross-entropy of the last batch", Unit("nat")] = 0.0
    validation_loss: Annotated[F64, "cross-entropy on text held back", Unit("nat")] = 0.0
    tokens_per_s: Annotated[F64, "characters trained on a second", Unit("1/s")] = 0.0
    gradient_norm: Annotated[F64, "Euclidean norm of the gradient before it is clipped"] = 0.0
    learning_rate: Annotated[F64, "learning rate of the last step"] = 0.0


JOB = JobDeclaration(
    number=1,
    name="nanogpt",
    description="Train a character-level GPT on a text and write a sample of what it learnt.",
    parameters=Parameters,
    entry="flight.jobs.nanogpt.training:run",
    outputs=(
        Output("weights.npz", "trained weights and vocabulary, readable with numpy.load"),
        Output("sample.txt", "text written by the trained model, UTF-8"),
        Output("training.json", "loss curve, configuration and what the bits depend on"),
    ),
    metrics=Metrics,
)
