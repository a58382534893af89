"""A training state that is whole or absent, and names itself when damaged.

    <folder>/step-00000400/model.safetensors       parameters, our names
                           optimizer.safetensors   `<optimizer>/<parameter number>/<field>`
                           state.json              step, sampler, checksums; written last

A checkpoint is written under a temporary name and renamed; only then are older ones deleted. Nothing in it depends on time
or place, so a run cut anywhere and resumed leaves the same bytes.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import CorruptFileError, read_json, write_json, xxh3_128_file
from polyglot_lm.pipeline.files import sync_file, sync_folder

STATE = "state.json"
MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingState:
    """What is not a tensor: steps taken, and the sampler's place."""

    step: int
    sampler: Mapping[str, Any]


def save_checkpoint(folder: Path, model: GPTNeoX, optimizers: Sequence[Optimizer], state: TrainingState) -> None:
    """Write the checkpoint of a step and delete those before it."""
    final = folder / f"step-{state.step:08d}"
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}, temporary / MODEL)
    save_file(optimizer_tensors(optimizers), temporary / OPTIMIZER)
    for name in (MODEL, OPTIMIZER):
        sync_file(temporary / name)
    checksums = {name: xxh3_128_file(temporary / name) for name in (MODEL, OPTIMIZER)}
    write_json(
        temporary / STATE,
        {"step": state.step, "sampler": state.sampler, "xxh3_128": checksums},
    )
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    sync_folder(folder)
    for other in folder.glob("*step-*"):
        if other != final:
            shutil.rmtree(other)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint below `folder`, None when there is none."""
    states = sorted(folder.glob(f"step-????????/{STATE}"))
    return states[-1].parent if states else None


def load_checkpoint(checkpoint: Path, model: GPTNeoX, optimizers: Sequence[Optimizer]) -> TrainingState:
    """Fill model and optimizers; raises CorruptFileError naming the file whose checksum is wrong."""
    read = verified_state(checkpoint)
    saved = load_file(checkpoint / MODEL)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # a tied head is there once
            parameter.copy_(saved[name])
    tensors = load_file(checkpoint / OPTIMIZER)
    for number, optimizer in enumerate(optimizers):
        description = optimizer.state_dict()
        description["state"] = nested(tensors, f"{number}/")
        optimizer.load_state_dict(description)
    return TrainingState(step=read["step"], sampler=read["sampler"])


def verified_state(checkpoint: Path) -> dict[str, Any]:
    read = read_json(checkpoint / STATE)
    for name, expected in read["xxh3_128"].items():
        found = xxh3_128_file(checkpoint / name) if (checkpoint / name).exists() else "missing"
        if found != expected:
            raise CorruptFileError(checkpoint / name, f"checksum {found}, expected {expected}")
    return read


def optimizer_tensors(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    return {
        f"{number}/{parameter}/{field}": tensor.contiguous()
        for number, optimizer in enumerate(optimizers)
        for parameter, fields in optimizer.state_dict()["state"].items()
        for field, tensor in fields.items()
    }


def nested(tensors: Mapping[str, Tensor], prefix: str) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            parameter, field = name.removeprefix(prefix).split("/")
            state.setdefault(int(parameter), {})[field] = tensor
    return state
