"""Optimizers, and the learning rate over time.

Matrices of the blocks, embedding and head decay; biases and norms do not. `muon` moves the blocks' matrices along orthogonalised
momentum (Jordan et al. 2024; torch.optim.Muon) and everything else by AdamW; it learns more a step, which is what the short
training of the quickstart needs. The rate warms up, then stays and decays linearly at the end (Hu et al. 2024, arXiv 2404.06395),
or falls along a cosine from there on; only the former can be made longer afterwards.

Nothing here waits for a GPU: clipping is a division inside the fused AdamW, which also leaves a step out that was judged bad.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """`learning_rate` is AdamW's peak; `matrix_learning_rate` Muon's, unused under adamw. The schedule shapes both alike and ends
    at `final_rate`, a share of the peak: falling in the last `decay_fraction` of all steps (wsd: warm-up, stable, decay), or along
    a cosine, which has no such fraction."""

    optimizer: Literal["adamw", "muon"]
    learning_rate: float
    matrix_learning_rate: float
    schedule: Literal["wsd", "cosine"]
    warmup_steps: int
    decay_fraction: float
    final_rate: float
    weight_decay: float
    beta1: float
    beta2: float
    clip_norm: float

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer is {self.optimizer!r}; it must be adamw or muon")
        if self.schedule not in ("wsd", "cosine"):
            raise ValueError(f"schedule is {self.schedule!r}; it must be wsd or cosine")
        for name in ("learning_rate", "matrix_learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("decay_fraction", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        if self.warmup_steps < 0 or self.weight_decay < 0:
            raise ValueError(f"warmup_steps {self.warmup_steps} and weight_decay {self.weight_decay} must be at least 0")


def rate_factor(config: OptimConfig, step: int, num_steps: int) -> float:
    """Return the share of the peak learning rate at `step` (from 0): up over the warm-up, one, down to `final_rate` at the end."""
    up = (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "cosine":
        done = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
        left = (1 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2
    else:
        decay_steps = config.decay_fraction * num_steps
        left = (num_steps - step) / decay_steps if decay_steps else 1.0
    return min(1.0, up, config.final_rate + (1 - config.final_rate) * left)


def stable_steps(config: OptimConfig, num_steps: int) -> int:
    """Return after how many steps the rate begins to fall: until then, a longer training does the same."""
    return math.floor(num_steps * (1 - config.decay_fraction)) if config.schedule == "wsd" else 0


def build_optimizers(model: nn.Module, config: OptimConfig) -> list[Optimizer]:
    """Return the optimizers over all parameters; every group remembers its `peak_lr`."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and name.startswith("layers.")]
    tables = [p for name, p in named if p.ndim == 2 and not name.startswith("layers.")]
    vectors = [p for _, p in named if p.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": tables, "weight_decay": config.weight_decay}]
    groups += [{"params": vectors, "weight_decay": 0.0}]
    optimizers: list[Optimizer] = []
    if config.optimizer == "muon":
        optimizers.append(
            torch.optim.Muon(matrices, lr=config.matrix_learning_rate, weight_decay=config.weight_decay, momentum=0.95)
        )
    else:
        groups.insert(0, {"params": matrices, "weight_decay": config.weight_decay})
    groups = [group | {"params": parameters} for group in groups for parameters in alike(group["params"])]
    optimizers.append(torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=1e-8, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def alike(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """Divide parameters by the ranks that share them: one fused update cannot mix these."""
    by_mesh: dict[object, list[Tensor]] = {}
    for parameter in parameters:
        by_mesh.setdefault(getattr(parameter, "device_mesh", None), []).append(parameter)
    return list(by_mesh.values())


def take_steps(optimizers: Sequence[Optimizer], *, norm: Tensor, clip_norm: float, leave_out: Tensor) -> None:
    """Update the parameters by gradients clipped to `clip_norm`, or leave them as they are where `leave_out` is not 0."""
    skipped = leave_out.bool().float()  # the kernels compare with 1, and take it back from the number of steps
    shrink = ((norm + 1e-6) / clip_norm).clamp(min=1.0)
    for optimizer in optimizers:
        if isinstance(optimizer, torch.optim.AdamW):
            optimizer.grad_scale, optimizer.found_inf = shrink, skipped  # type: ignore[attr-defined] # as GradScaler does
            optimizer.step()
        elif not leave_out:  # torch's Muon takes no verdict on the device: the host waits here
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            torch._foreach_div_(gradients, shrink)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def set_rate(optimizers: Sequence[Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor


def state_bytes(optimizers: Sequence[Optimizer]) -> int:
    """Return what parameters and optimizers' states hold together: two moments a parameter, or Muon's one."""
    return sum(
        parameter.numel() * parameter.element_size() * (3 if isinstance(optimizer, torch.optim.AdamW) else 2)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
