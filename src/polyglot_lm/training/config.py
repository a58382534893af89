"""What is trained, of what, how and for how long: decisions, none of which has a default."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.model.config import ModelConfig
from polyglot_lm.training.checkpoint import Keep
from polyglot_lm.training.optim import OptimConfig, stable_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How long and how: a step reads `batch_windows` windows of the model's context.

    `z_loss` weighs the squared logarithm of the softmax's sum. A step whose loss or gradient spikes is left out (skip); or, where
    several in a row do, the training also goes back and leaves out what it read there (rewind). Checkpoints stay every
    `milestone_every` steps.
    """

    steps: int
    batch_windows: int
    precision: Literal["fp32", "bf16", "fp8"]
    control_every: int
    seed: int
    z_loss: float
    on_spike: Literal["skip", "rewind"]
    milestone_every: int | None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_windows", "control_every", "milestone_every"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.precision not in ("fp32", "bf16", "fp8"):
            raise ValueError(f"precision is {self.precision!r}; it must be fp32, bf16 or fp8")
        if not 0 <= self.z_loss < math.inf:
            raise ValueError(f"z_loss is {self.z_loss}; it must be at least 0")
        if self.on_spike not in ("skip", "rewind"):
            raise ValueError(f"on_spike is {self.on_spike!r}; it must be skip or rewind")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All decisions of a training together, and the folders it reads."""

    mixture: Path
    tokens: Mapping[str, Path]
    model: ModelConfig
    optim: OptimConfig
    config: TrainingConfig
    controller: Equaliser | None = None
    initial: Path | None = None
    continues: Path | None = None

    @property
    def tokens_a_step(self) -> int:
        return self.config.batch_windows * self.model.context

    @property
    def stable_steps(self) -> int:
        return stable_steps(self.optim, self.config.steps)

    def keep(self, newest: int) -> Keep:
        """Keep where a longer training could go on, and the milestones."""
        return Keep(newest=newest, steps=frozenset({self.stable_steps} - {0, self.config.steps}), every=self.config.milestone_every)
