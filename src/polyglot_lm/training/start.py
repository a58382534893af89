"""How a training begins: at random, from an exported model, where it was cut, or where a finished one was still at its peak rate.

The network is described without memory, divided, and only then given it: a rank never holds more than its part, and the weights
depend on the seed alone, however many ranks share them. They are drawn one tensor at a time on the CPU.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import load_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import UserError, read_json, xxh3_128_file
from polyglot_lm.shards import METRICS_FILE
from polyglot_lm.training.checkpoint import STATE, checkpoints, named_parameters, number
from polyglot_lm.training.compute import Compute, prepare
from polyglot_lm.training.parallel import World, fill, whole


def placed_network(config: ModelConfig, compute: Compute, world: World) -> GPTNeoX:
    """Return a network whose parameters lie where they belong and hold nothing yet."""
    with torch.device("meta"):
        network = GPTNeoX(config)
    world.split(network)
    prepare(network, compute, world.device, by_hand=world.tensor == 1)
    world.shard(network, low_precision=compute.precision != "fp32")
    network.to_empty(device=world.device)
    if config.tied_head:  # memory was given to each name
        network.embed_out.weight = network.embed_in.weight
    return network


def draw_weights(network: GPTNeoX, seed: int) -> None:
    """Initialise as one rank alone would."""
    initialize(Drawn(network), torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


class Drawn:
    """Shows a network's parameters whole, one after another, and takes what was written into each to where it belongs."""

    def __init__(self, network: GPTNeoX) -> None:
        self.network, self.config = network, network.config

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in named_parameters(self.network):
            values = torch.empty(parameter.shape)
            yield name, values
            fill(parameter, values)


def copy_weights(network: GPTNeoX, exported: Path) -> None:
    """Start from a model in the Hugging Face format; raises UserError when its shape is another."""
    given = load_hf(exported)
    if given.config != network.config:
        other = [name for name, value in asdict(given.config).items() if value != getattr(network.config, name)]
        raise UserError(f"the model in {exported} differs from this training's in {', '.join(other)}; give both one shape")
    weights = given.state_dict()
    for name, parameter in named_parameters(network):
        fill(parameter, weights[name])


def branch_point(finished: Path, steps: int) -> Path:
    """Return the last checkpoint of a training from before its rate fell; raises UserError when there is none."""
    found = [each for each in checkpoints(finished / "checkpoints") if read_json(each / STATE)["at_peak_rate"]]
    if not found:
        raise UserError(f"{finished} kept no checkpoint at the peak rate; only a training with the schedule wsd can be continued")
    if number(found[-1]) >= steps:
        raise UserError(f"steps is {steps}, but {finished} goes on from step {number(found[-1])}; give more steps")
    return found[-1]


def descended(state: dict[str, Any], checkpoint: Path) -> list[dict[str, Any]]:
    """Return the lineage of a training that goes on from another's checkpoint."""
    return [*state["lineage"], {"step": state["step"], STATE: xxh3_128_file(checkpoint / STATE)}]


def inherit_metrics(finished: Path, out: Path) -> None:
    shutil.copyfile(finished / METRICS_FILE, out / METRICS_FILE)


def gathered(network: GPTNeoX, world: World) -> GPTNeoX | None:
    """Put the network together in the first rank's memory; every rank must call, the others get None."""
    weights: dict[str, Tensor] = {}
    for name, parameter in named_parameters(network):
        tensor = whole(parameter.detach())
        if world.first:
            weights[name] = tensor.cpu()
    if not world.first:
        return None
    with torch.device("meta"):
        alone = GPTNeoX(network.config)
    if network.config.tied_head:
        weights["embed_out.weight"] = weights["embed_in.weight"]
    alone.load_state_dict(weights, assign=True)
    return alone
