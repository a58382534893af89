"""Blocks by hand under FSDP2 next to the same blocks whole: every gradient, after two micro-batches.

    torchrun --nproc-per-node N benchmarks/training/sharded.py OUT.json [--device cpu]

Ranks that are more than there are GPUs share the first one and send by gloo, so that one card shows what two would compute; on a
CPU (`TRITON_INTERPRET=1`) the kernels are interpreted. Sharded blocks get bf16 parameters and give bf16 gradients, which are summed
in fp32: they may differ from whole ones by that rounding, 2⁻⁹, and by nothing else.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh

from polyglot_lm.model.config import ModelConfig, neox, polyglot_ko
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training import compute as computing
from polyglot_lm.training.compute import Compute, loss_sum, prepare
from polyglot_lm.training.parallel import spread, whole

WINDOWS, MICRO_BATCH = 4, 1  # of all ranks, and computed at once


def gradients(network: GPTNeoX, windows: Tensor, compute: Compute) -> tuple[float, dict[str, Tensor]]:
    """Return the summed loss of the windows and all gradients, whole."""
    total = torch.zeros((), device=windows.device)
    for part in windows.split(MICRO_BATCH):
        loss = loss_sum(network, part[:, :-1], part[:, 1:], compute) / windows[:, 1:].numel()
        loss.backward()
        total += loss.detach()
    return total.item(), {name: whole(p.grad).float() for name, p in network.named_parameters()}


def compared(model: ModelConfig, compute: Compute, mesh: Any, device: torch.device) -> dict[str, Any]:
    """Return the largest relative error of any gradient, and the losses."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    generator = torch.Generator().manual_seed(1)
    windows = torch.randint(model.vocab_size, (WINDOWS, model.context + 1), generator=generator).to(device)
    networks = []
    for _ in range(2):
        network = GPTNeoX(model)
        initialize(network, torch.Generator().manual_seed(0))
        prepare(network.to(device), compute, device)
        networks.append(network)
    spread(networks[1], mesh, low_precision=True)
    loss, expected = gradients(networks[0], windows, compute)
    part, found = gradients(networks[1], windows.chunk(size)[rank], compute)
    together = torch.tensor(part)
    distributed.all_reduce(together)
    errors = {name: error(found[name] / size, value) for name, value in expected.items()}
    worst = max(errors, key=lambda name: errors[name])
    return {"loss": loss, "loss_sharded": together.item() / size, "worst": worst, "error": errors[worst]}


def error(found: Tensor, expected: Tensor) -> float:
    return round(((found - expected).norm() / expected.norm()).item(), 6)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args()
    size, device = int(os.environ["WORLD_SIZE"]), torch.device(chosen.device)
    if device.type == "cuda":
        crowded = size > torch.cuda.device_count()
        device = torch.device("cuda", 0 if crowded else int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        model, backend = replace(polyglot_ko("1.3b"), num_layers=2), "gloo" if crowded else "cpu:gloo,cuda:nccl"
        cases = [(precision, again) for precision in ("bf16", "fp8") for again in ("none", "selective", "full")]
    else:
        computing.fits_blocks_by_hand = lambda *_: True
        model = neox(vocab_size=256, context=128, num_layers=2, width=64, num_heads=1, rotary_dims=16)
        backend, cases = "gloo", [("bf16", "none"), ("bf16", "selective"), ("bf16", "full")]
    distributed.init_process_group(backend)
    mesh = init_device_mesh(device.type, (size,), mesh_dim_names=("shard",))
    found = {}
    for precision, again in cases:
        compute = Compute(precision=precision, compile=False, recompute=again, loss_chunk_tokens=1024, z_loss=0.0)
        found[f"{precision} {again}"] = compared(model, compute, mesh, device)
    if distributed.get_rank() == 0:
        card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
        about = {"card": card, "ranks": size, "backend": backend, "torch": torch.__version__}
        chosen.out.write_text(json.dumps(about | {"cases": found}, indent=1) + "\n")
        print(json.dumps(about | found), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
