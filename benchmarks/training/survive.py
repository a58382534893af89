"""A training that goes on with another number of ranks, and one that loses a rank: the losses must be those of an untouched one.

    python benchmarks/training/survive.py INPUTS SCRATCH reshard SIZE 8,4,8      INPUTS from text.py
    python benchmarks/training/survive.py INPUTS SCRATCH kill SIZE 8

`reshard` kills the ranks once a checkpoint is whole and starts another number of them, which share the state anew (FSDP2 over all).
`kill` ends one rank by SIGKILL and leaves the rest to torchrun, which starts all again. Each writes
`training-survive-<job>-<size>.json` into --out: ranks, steps, and the largest difference of any loss from the untouched training.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from real import Order, kill_all, ranks_of, written

from polyglot_lm.pipeline import read_json
from polyglot_lm.shards import read_metrics
from polyglot_lm.training.checkpoint import NAME, STATE, checkpoints, number

REAL = Path(__file__).with_name("real.py")
EVERY = 6  # steps between checkpoints that stay
MOST_SECONDS = 540
OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # else restarted ranks read the addresses of dead ones: pytorch#135712


def start(order: Order, ranks: int, *, restarts: int = 0) -> "subprocess.Popen[bytes]":
    path = written(order, Path(f"{order.out}.json"))
    options = ["--standalone", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}", "--monitor-interval=0.5"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, str(REAL), str(path)]
    return subprocess.Popen(command, env=os.environ | OWN_STORE)


def to_the_end(process: "subprocess.Popen[bytes]") -> None:
    code = process.wait(MOST_SECONDS)
    if code != 0:
        raise SystemExit(f"torchrun ended with {code}; the reason stands above")


def until(order: Order, step: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the checkpoint of a step to be whole."""
    whole, began = Path(order.out) / "checkpoints" / NAME.format(step) / STATE, time.monotonic()
    while not whole.exists():
        if process.poll() is not None or time.monotonic() - began > MOST_SECONDS:
            raise SystemExit(f"no checkpoint of step {step} came; the reason stands above")
        time.sleep(0.05)


def reshard(order: Order, sizes: list[int]) -> None:
    """Train each third by another number of ranks."""
    for turn, ranks in enumerate(sizes[:-1], 1):
        process = start(order, ranks)
        until(order, turn * EVERY, process)
        kill_all(process)
    to_the_end(start(order, sizes[-1]))


def kill(order: Order, ranks: int) -> None:
    """Train, and end the last rank once the first checkpoint is whole."""
    process = start(order, ranks, restarts=1)
    until(order, EVERY, process)
    os.kill(ranks_of(process.pid)[-1], signal.SIGKILL)
    to_the_end(process)


def losses(order: Order) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_metrics(Path(order.out)) if "loss" in line}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs")
    parser.add_argument("scratch", type=Path)
    parser.add_argument("job", choices=("reshard", "kill"))
    parser.add_argument("size")
    parser.add_argument("ranks")
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path())
    chosen = parser.parse_args()
    sizes = [int(each) for each in chosen.ranks.split(",")]
    steps = EVERY * max(3, len(sizes))
    untouched = Order(
        inputs=chosen.inputs,
        out=str(chosen.scratch / "untouched"),
        size=chosen.size,
        precision="bf16",
        steps=steps,
        batch_windows=chosen.micro_batch * max(sizes),
        micro_batch=chosen.micro_batch,
        recompute="none" if chosen.size == "1.3b" else "selective",
        milestone_every=EVERY,
        log_every=1,
        device=chosen.device,
        threads=1 if chosen.device == "cpu" else 4,
    )
    touched = replace(untouched, out=str(chosen.scratch / chosen.job))
    if chosen.job == "reshard":
        reshard(touched, sizes)
    else:
        kill(touched, sizes[0])
    to_the_end(start(untouched, sizes[0]))
    found, expected = losses(touched), losses(untouched)
    saved = checkpoints(Path(touched.out) / "checkpoints")
    cuda = torch.cuda.is_available() and chosen.device != "cpu"
    result: dict[str, Any] = {
        "card": torch.cuda.get_device_name() if cuda else platform.machine(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "command": " ".join(["python", *sys.argv]),
        "ranks": sizes,
        "steps": steps,
        "same_steps": sorted(found) == sorted(expected),
        "largest_difference": max(abs(found[step] / expected[step] - 1) for step in expected),
        "losses": [round(value, 5) for value in expected.values()],
        "losses_of_the_touched": [round(found[step], 5) for step in expected],
        "ranks_that_saved": {number(each): read_json(each / STATE)["world"]["processes"] for each in saved},
    }
    (chosen.out / f"training-survive-{chosen.job}-{chosen.size}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
