"""Pretraining steps on one GPU beside what a user would pick today, on real text, with a loss that falls.

    python benchmarks/training/gpu.py TOKENS.npy JOB [JOB ...]       TOKENS.npy from benchmarks/training/text.py

A job is `check`, `profile:SIZE:PRECISION:1`, `ours:SIZE:PRECISION[:key=value…]` or `peer:NAME[:batch:steps]`. Each prints a line;
`ours` with the peers of the run is written to `training-<card>-<size>-<precision>.json` in --out. MFU is house.md's: `mfu` counts
attention in full, `mfu_causal` its half, over 989.5 TFLOP/s; `of_ceiling` is over an 8192³ bf16 product of the same run.
"""

import argparse
import json
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from checks import check
from peers import peer
from steps import CUDA, forget, matmul_ceiling, our_trainee, windows

from polyglot_lm.model.config import ModelConfig, padded_vocab_size, polyglot_ko
from polyglot_lm.training.attention import attention_backend
from polyglot_lm.training.compute import Compute

PEAK = 989.5e12


def rates(result: dict[str, Any], model: ModelConfig, ceiling: float) -> dict[str, Any]:
    flops = result["tokens_s"] * model.flops_per_token
    causal = result["tokens_s"] * (model.flops_per_token - 6 * model.num_layers * model.width * model.context)
    return {"mfu": round(flops / PEAK, 4), "mfu_causal": round(causal / PEAK, 4), "of_ceiling": round(flops / ceiling, 4)}


def ours(path: Path, text: str, ceiling: float) -> dict[str, Any]:
    """Run `SIZE:PRECISION:key=value…`; keys: mb, batch, steps, recompute, vocab, chunk, hand, compile, seed."""
    size, precision, *pairs = text.split(":")
    chosen = {
        "mb": 16,
        "batch": 64,
        "steps": 8,
        "recompute": "none",
        "vocab": 30_003,
        "chunk": 8192,
        "hand": 1,
        "compile": 1,
        "seed": 0,
        **dict(pair.split("=") for pair in pairs),
    }
    number = {key: int(value) for key, value in chosen.items() if key != "recompute"}
    model = replace(polyglot_ko(size), vocab_size=padded_vocab_size(number["vocab"]))
    compute = Compute(
        precision=precision,
        compile=bool(number["compile"]),
        recompute=chosen["recompute"],
        loss_chunk_tokens=number["chunk"],
        z_loss=0.0,
    )
    forget()
    trainee = our_trainee(model, compute, number["mb"], number["seed"], by_hand=bool(number["hand"]))
    result = trainee.train(windows(path, number["seed"]), number["batch"], number["steps"])
    return {"job": text, "size": size, "precision": precision, **result, **rates(result, model, ceiling)}


def profile(path: Path, text: str) -> dict[str, Any]:
    """Print the kernels of a micro-batch of `SIZE:PRECISION:hand`, and their milliseconds."""
    size, precision, hand = text.split(":")
    forget()
    compute = Compute(precision=precision, compile=True, recompute="none", loss_chunk_tokens=8192, z_loss=0.0)
    trainee = our_trainee(polyglot_ko(size), compute, 16, 0, by_hand=hand == "1")
    rows = windows(path, 0)[:48]
    for number in range(2):
        trainee.step(rows[:32], number, 10)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        trainee.step(rows[:32], 3, 10)
        torch.cuda.synchronize()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in events) / 1e3
    print(f"profile {text}: {total:.1f} ms of kernels for a step of 2 micro-batches of 16")
    for event in events[:32]:
        print(f"  {event.self_device_time_total / 1e3:8.2f} ms  {event.count:5d} ×  {event.key[:110]}")
    return {"profile": text, "ms": total}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tokens", type=Path)
    parser.add_argument("jobs", nargs="+")
    parser.add_argument("--out", type=Path, default=Path())
    chosen = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    ceiling = matmul_ceiling()
    card = torch.cuda.get_device_name().replace("NVIDIA ", "").split()[0].lower()
    about = {
        "card": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "python": platform.python_version()},
        "command": " ".join(["python", *sys.argv]),
        "ceiling_tflops": round(ceiling / 1e12),
        "attention": {size: attention_backend(polyglot_ko(size), CUDA) for size in ("1.3b", "5.8b")},
    }
    print(json.dumps(about), flush=True)
    results: list[dict[str, Any]] = []
    for job in chosen.jobs:
        began = time.time()
        kind, _, rest = job.partition(":")
        if kind == "check":
            result = check(chosen.tokens)
        elif kind == "peer":
            result = peer(chosen.tokens, rest)
        elif kind == "profile":
            result = profile(chosen.tokens, rest)
        else:
            result = ours(chosen.tokens, rest, ceiling)
        results.append(result)
        print(json.dumps(result), f"({time.time() - began:.0f} s)", flush=True)
    write_results(chosen.out, card, about, results)


def write_results(out: Path, card: str, about: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Write one file for each size and precision, the peers of this run in each."""
    peers = {result["peer"]: result["tokens_s"] for result in results if "peer" in result}
    for size, precision in {(result["size"], result["precision"]) for result in results if "size" in result}:
        runs = [result for result in results if (result.get("size"), result.get("precision")) == (size, precision)]
        (out / f"training-{card}-{size}-{precision}.json").write_text(
            json.dumps(about | runs[0] | {"runs": runs, "peers": peers}, indent=1)
        )


if __name__ == "__main__":
    main()
