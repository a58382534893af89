"""The quickstart's training step on a CPU beside transformers' on the same shape, the same windows and the same AdamW.

    make bench ROOM=training        the GPU part is benchmarks/training/gpu.py

Both take a step by turns on one thread and fp32, each with its own loss and clipping: ours inside the fused update, theirs before
it, as their Trainer does. A figure is the median CPU time of a step. Prints a table and, as its last line, one JSON object, also in
`benchmarks/results/training.json`.
"""

import inspect
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import to_hf_config
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.recipes.quickstart import quickstart
from polyglot_lm.training.compute import Compute, loss_sum, prepare
from polyglot_lm.training.optim import take_steps
from polyglot_lm.training.parallel import World

RESULTS = Path(__file__).parents[1] / "results" / "training.json"
SHAPE = {name: parameter.default for name, parameter in inspect.signature(quickstart).parameters.items()}
MODEL = neox(
    vocab_size=SHAPE["vocab_size"],
    context=SHAPE["context"],
    num_layers=SHAPE["layers"],
    width=SHAPE["width"],
    num_heads=SHAPE["heads"],
    rotary_dims=SHAPE["width"] // SHAPE["heads"] // 2,
)
COMPUTE = Compute(precision="fp32", compile=False, recompute="none", loss_chunk_tokens=8192, z_loss=0.0)
ALONE = World(rank=0, size=1, device=torch.device("cpu"))
ROUNDS = 9


def stepper(
    network: torch.nn.Module, loss: Callable[[Tensor], Tensor], update: Callable[[torch.nn.Module, Optimizer], None]
) -> Callable[[Tensor], float]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def step(windows: Tensor) -> float:
        began = time.process_time()
        loss(windows).backward()
        update(network, optimizer)
        return time.process_time() - began

    return step


def our_update(network: torch.nn.Module, optimizer: Optimizer) -> None:
    norm = ALONE.gradient_norm(network.parameters())
    take_steps([optimizer], norm=norm, clip_norm=1.0, leave_out=torch.zeros(()))


def their_update(network: torch.nn.Module, optimizer: Optimizer) -> None:
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def main() -> None:
    torch.set_num_threads(1)
    ours = GPTNeoX(MODEL)
    initialize(ours, torch.Generator().manual_seed(0))
    prepare(ours, COMPUTE, torch.device("cpu"))
    theirs = GPTNeoXForCausalLM(GPTNeoXConfig(**to_hf_config(MODEL, end_id=2, dtype="float32")))
    generator = torch.Generator().manual_seed(1)
    batch = SHAPE["batch_windows"]
    steps = {
        "polyglot": stepper(
            ours, lambda rows: loss_sum(ours, rows[:, :-1], rows[:, 1:], COMPUTE) / rows[:, 1:].numel(), our_update
        ),
        "transformers": stepper(
            theirs, lambda rows: theirs(input_ids=rows[:, :-1], labels=rows[:, :-1], use_cache=False).loss, their_update
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS + 1):
        rows = torch.randint(64, MODEL.vocab_size, (batch, MODEL.context + 1), generator=generator)
        for name, step in steps.items():
            taken = step(rows)
            if number:  # the first one warms up
                seconds[name].append(taken)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:7.3f} CPU s a step  {batch * MODEL.context / median:8.0f} tokens a CPU second")
    figures: dict[str, Any] = {
        "tokens_cpu_s": round(batch * MODEL.context / medians["polyglot"]),
        "tokens_cpu_s_transformers": round(batch * MODEL.context / medians["transformers"]),
        "ratio_transformers_cpu": round(medians["transformers"] / medians["polyglot"], 3),
    }
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
