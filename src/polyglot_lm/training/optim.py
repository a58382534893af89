"""Optimizers, and the learning rate over time.

Matrices of the blocks, embedding and head decay; biases and norms do not. `muon` moves the blocks' matrices along orthogonalised
momentum (Jordan et al. 2024; torch.optim.Muon) and everything else by AdamW; it learns more a step, which is what the short
training of the quickstart needs. The schedule is warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """`learning_rate` is AdamW's peak; `matrix_learning_rate` Muon's, unused under adamw. `warmup_steps` and `decay_fraction`
    (of all steps, at the end, linearly to zero) shape both alike."""

    optimizer: Literal["adamw", "muon"]
    learning_rate: float
    matrix_learning_rate: float
    warmup_steps: int
    decay_fraction: float
    weight_decay: float
    beta1: float
    beta2: float
    clip_norm: float

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer is {self.optimizer!r}; it must be adamw or muon")
        for name in ("learning_rate", "matrix_learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.decay_fraction <= 1:
            raise ValueError(f"decay_fraction is {self.decay_fraction}; it must lie between 0 and 1")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        if self.warmup_steps < 0 or self.weight_decay < 0:
            raise ValueError(f"warmup_steps {self.warmup_steps} and weight_decay {self.weight_decay} must be at least 0")


def rate_factor(config: OptimConfig, step: int, num_steps: int) -> float:
    """Return the share of the peak learning rate at `step` (from 0): up over the warm-up, one, down to zero at the end."""
    up = (step + 1) / (config.warmup_steps + 1)
    decay_steps = config.decay_fraction * num_steps
    down = (num_steps - step) / decay_steps if decay_steps else 1.0
    return min(1.0, up, down)


def build_optimizers(model: nn.Module, config: OptimConfig) -> list[Optimizer]:
    """Return the optimizers over all parameters; every group remembers its `peak_lr`."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and name.startswith("layers.")]
    tables = [p for name, p in named if p.ndim == 2 and not name.startswith("layers.")]
    vectors = [p for _, p in named if p.ndim < 2]
    groups = [{"params": tables, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizers: list[Optimizer] = []
    if config.optimizer == "muon":
        optimizers.append(
            torch.optim.Muon(matrices, lr=config.matrix_learning_rate, weight_decay=config.weight_decay, momentum=0.95)
        )
    else:
        groups.insert(0, {"params": matrices, "weight_decay": config.weight_decay})
    optimizers.append(torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=1e-8, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
