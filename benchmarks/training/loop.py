"""The real training loop on a GPU, timed and killed: what a user waits for beside the steps themselves.

    python benchmarks/training/loop.py INPUTS SCRATCH speed [SIZE:PRECISION]      INPUTS from benchmarks/training/text.py
    python benchmarks/training/loop.py INPUTS SCRATCH kills [COUNT]

`speed` starts a training with default waiting and saving and reads its own logs: seconds to the first step, tokens/s with and
without a save beside, what a save stalls, the share of waiting for data, losses. `kills` ends a deterministic training by SIGKILL
at random moments, also while it saves, lets it end, and compares all losses and weights with one that nobody touched.
Both write `training-loop-<card>-<job>.json` into --out.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from real import SMALL, Order, written

from polyglot_lm.shards import read_metrics
from polyglot_lm.training.logs import SPEED_FILE

REAL = Path(__file__).with_name("real.py")


def start(order: Order) -> "subprocess.Popen[bytes]":
    path = written(order, Path(f"{order.out}.json"))
    return subprocess.Popen([sys.executable, str(REAL), str(path)], start_new_session=True)


def finish(process: "subprocess.Popen[bytes]") -> None:
    if process.wait() != 0:
        raise SystemExit(f"the training ended with {process.returncode}; its reason stands above")


def speed(order: Order) -> dict[str, Any]:
    """Train once, and tell what the logs say."""
    finish(start(order))
    lines = read_metrics(Path(order.out), SPEED_FILE)
    rates = [line for line in lines if "tokens_s" in line]
    saves = [line for line in lines if "save_seconds" in line]
    saving = {line["step"]: line["saving"] for line in lines if "saving" in line}
    beside, alone = ([line["tokens_s"] for line in rates[1:] if saving[line["step"]] is busy] for busy in (True, False))
    facts = read_metrics(Path(order.out))
    losses = {line["step"]: round(line["loss"], 4) for line in facts if "loss" in line}
    figures = {name: max(line[name] for line in rates[1:]) for name in ("memory_gib", "data_wait")}  # the first one starts up
    return {
        "first_step_s": next(line["first_step_s"] for line in lines if "first_step_s" in line),
        "tokens_s": round(statistics.median(alone)) if alone else None,
        "tokens_s_beside_a_save": round(statistics.median(beside)) if beside else None,
        "save_stall_s": [round(line["save_seconds"], 3) for line in saves],
        "room_s": next((round(line["room_seconds"], 2) for line in lines if "room_seconds" in line), None),
        "data_wait": round(figures["data_wait"], 6),
        "memory_gib": round(figures["memory_gib"], 1),
        "mfu": rates[-1].get("mfu"),
        "mfu_causal": rates[-1].get("mfu_causal"),
        "of_ceiling": rates[-1].get("of_ceiling"),
        "losses": losses,
        "control_bits_per_byte": facts[-1].get("control_bits_per_byte"),
        "speed_lines": lines,
    }


def kills(order: Order, count: int, seed: int) -> dict[str, Any]:
    """Train once untouched and once with kills, each at a random moment after the training moved on."""
    calm, torn = replace(order, out=f"{order.out}-calm"), replace(order, out=f"{order.out}-torn")
    calmly, draw, killed_at = start(calm), random.Random(seed), []
    while len(killed_at) < count:
        process, before = start(torn), progress(torn)
        while process.poll() is None and progress(torn) == before:
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, 6.0))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        saving = any((Path(torn.out) / "checkpoints").glob(".step-*.tmp"))
        killed_at.append({"step": progress(torn), "while_saving": saving})
    finish(start(torn))
    finish(calmly)
    found, expected = contents(Path(torn.out)), contents(Path(calm.out))
    return {
        "kills": killed_at,
        "steps": order.steps,
        "losses_compared": len([line for line in read_metrics(Path(calm.out)) if "loss" in line]),
        "files_compared": sorted(expected),
        "identical": found == expected,
        "different": sorted(name for name in expected if found.get(name) != expected[name]),
        "losses": [round(line["loss"], 4) for line in read_metrics(Path(calm.out)) if "loss" in line][:: max(1, order.steps // 10)],
    }


def progress(order: Order) -> int:
    """Return the last step that was logged."""
    return max((line["step"] for line in read_metrics(Path(order.out))), default=0)


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a training that must not differ: losses, weights, the last checkpoint."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != SPEED_FILE)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs")
    parser.add_argument("scratch", type=Path)
    parser.add_argument("job", choices=("speed", "kills"))
    parser.add_argument("what", nargs="?")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=16)
    parser.add_argument("--checkpoint-seconds", type=float, default=15.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path())
    chosen = parser.parse_args()
    order = Order(
        inputs=chosen.inputs,
        out=str(chosen.scratch / chosen.job),
        size="1.3b",
        precision="bf16",
        steps=chosen.steps,
        batch_windows=chosen.batch,
        micro_batch=chosen.micro_batch,
        checkpoint_seconds=chosen.checkpoint_seconds,
        log_every=4,
        device=chosen.device,
        threads=chosen.threads,
    )
    if chosen.job == "speed":
        size, _, precision = (chosen.what or "1.3b:bf16").partition(":")
        result = speed(replace(order, size=size, precision=precision or "bf16"))
        name = f"{size}-{precision or 'bf16'}"
    else:
        size = "small" if chosen.device != "cpu" else "tiny"
        result = kills(replace(order, size=size, deterministic=True, log_every=1), int(chosen.what or 3), seed=1)
        name = f"kills-{size}"
    cuda = torch.cuda.is_available() and chosen.device != "cpu"
    card = torch.cuda.get_device_name() if cuda else platform.machine()
    short = card.replace("NVIDIA ", "").split()[0].lower()
    about = {
        "card": card,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "command": " ".join(["python", *sys.argv]),
    }
    found = about | {"job": chosen.job, "small_shapes": dict(SMALL) if size in SMALL else None} | result
    (chosen.out / f"training-loop-{short}-{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "speed_lines"}), flush=True)


if __name__ == "__main__":
    main()
