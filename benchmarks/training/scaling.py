"""Scaling over the GPUs of one host, by the real loop under torchrun: predicted first, then measured, then compared.

    python benchmarks/training/scaling.py RESULT.json predict PLAN --gpu h100             before anything is measured
    python benchmarks/training/scaling.py RESULT.json measure INPUTS SCRATCH [RUN ...]    INPUTS from text.py
    python benchmarks/training/scaling.py RESULT.json plot FIGURE.svg

A run is named SIZE:PRECISION:GPUS:LAYOUT:MICRO:ACCUMULATED:RECOMPUTE; LAYOUT is `fsdp`, `copies`, `hsdpN` (N GPUs share a copy)
or `tpN` (N split every matrix, the others share). PLAN is `two` or `eight` (issue 12's runs), or names of runs. A prediction comes
from the card's figures in training/gpus.toml alone, and `measure` takes no run that has none. Prints a table; what is measured
stands in RESULT.json beside its prediction, with card, versions and command.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from real import Order, kill_all, shape, written

from polyglot_lm.pipeline import Recompute, write_json
from polyglot_lm.shards import read_metrics
from polyglot_lm.training.gpus import Gpu, gpu_named
from polyglot_lm.training.logs import SPEED_FILE
from polyglot_lm.training.memory import Placement, Precision
from polyglot_lm.training.planner import Wish, plan_of

REAL = Path(__file__).with_name("real.py")
STEPS, LOG_EVERY = 9, 3  # the first reading warms up, the last step is profiled
VOCAB_SIZE = 30_003
MOST_SECONDS = 240  # of one run
PLANS = {
    "two": (
        "1.3b:bf16:1:fsdp:16:4:none",
        "1.3b:bf16:2:fsdp:16:4:none",
        "1.3b:bf16:2:copies:16:4:none",
        "1.3b:fp8:2:fsdp:16:4:none",
        "3.8b:bf16:1:fsdp:8:4:none",
        "3.8b:bf16:2:fsdp:8:4:none",
        "12.8b:bf16:2:fsdp:4:4:selective",
        "12.8b:fp8:2:fsdp:3:4:selective",
    ),
    "eight": (
        *(f"1.3b:{precision}:{gpus}:fsdp:16:4:none" for precision in ("bf16", "fp8") for gpus in (1, 2, 4, 8)),
        *(f"3.8b:{precision}:1:fsdp:4:16:selective" for precision in ("bf16", "fp8")),
        *(f"3.8b:{precision}:{gpus}:fsdp:8:8:selective" for precision in ("bf16", "fp8") for gpus in (2, 4, 8)),
        *(f"5.8b:{precision}:{gpus}:fsdp:4:8:selective" for precision in ("bf16", "fp8") for gpus in (2, 4, 8)),
        *(f"12.8b:{precision}:{gpus}:fsdp:2:16:selective" for precision in ("bf16", "fp8") for gpus in (4, 8)),
        *(f"1.3b:bf16:{gpus}:fsdp:16:{32 // gpus}:none" for gpus in (1, 2, 4)),  # strong: always 512 windows
        "12.8b:bf16:8:fsdp:5:6:selective",
        "1.3b:bf16:8:copies:16:4:none",
        "3.8b:bf16:8:hsdp4:8:8:selective",
        "5.8b:bf16:8:hsdp4:4:8:selective",
        "12.8b:bf16:8:tp2:4:16:full",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training and how it lies on its GPUs."""

    size: str
    precision: Precision
    gpus: int
    layout: str
    micro_batch: int
    accumulated: int
    recompute: Recompute

    @classmethod
    def named(cls, name: str) -> "Run":
        size, precision, gpus, layout, micro_batch, accumulated, recompute = name.split(":")
        return cls(
            size=size,
            precision=cast(Literal["bf16", "fp8"], precision),
            gpus=int(gpus),
            layout=layout,
            micro_batch=int(micro_batch),
            accumulated=int(accumulated),
            recompute=cast(Recompute, recompute),
        )

    @property
    def tensor(self) -> int:
        return int(self.layout[2:]) if self.layout.startswith("tp") else 1

    @property
    def shards(self) -> int:
        if self.layout.startswith("hsdp"):
            return int(self.layout[4:])
        return 1 if self.layout == "copies" else self.gpus // self.tensor

    @property
    def batch_windows(self) -> int:
        return self.micro_batch * self.accumulated * self.gpus // self.tensor


def predict(run: Run, gpu: Gpu) -> dict[str, float]:
    """Return what the planner expects of a card's figures; tensor parallelism as more, smaller GPUs that also send activations."""
    model = shape(run.size, VOCAB_SIZE)
    placement = Placement(
        shards=run.shards * run.tensor,
        micro_batch=run.micro_batch,
        accumulated=run.accumulated,
        recompute=run.recompute,
        precision=run.precision,
    )
    wish = Wish(
        model=model, gpu=gpu, gpus=run.gpus, batch_windows=run.batch_windows * run.tensor, tokens=1, precision=run.precision
    )
    plan = plan_of(wish, placement)
    seconds = run.batch_windows * run.tensor * model.context / plan.tokens_s / run.tensor
    tokens = run.micro_batch * run.accumulated * model.context
    sums = 4 * model.num_layers * 2 * model.width * tokens  # bytes of two sums forward and two backward, bf16; nothing hides them
    seconds += 2 * (run.tensor - 1) / run.tensor * sums / gpu.link_bytes_s
    rate = run.batch_windows * model.context / seconds / run.gpus
    return {
        "tokens_s_gpu": round(rate),
        "mfu": round(rate * model.flops_per_token / gpu.peak_flops, 4),
        "memory_gib": round(plan.memory_gib, 1),
    }


def order(run: Run, inputs: str, out: Path, device: str) -> Order:
    return Order(
        inputs=inputs,
        out=str(out),
        size=run.size,
        precision=run.precision,
        steps=STEPS + LOG_EVERY,
        stop_after=STEPS,
        profiled_step=STEPS - 1,
        batch_windows=run.batch_windows,
        micro_batch=run.micro_batch,
        recompute=run.recompute,
        shards=run.shards,
        tensor=run.tensor,
        log_every=LOG_EVERY,
        device=device,
        threads=1 if device == "cpu" else 4,
    )


def measure(run: Run, name: str, inputs: str, scratch: Path, device: str) -> dict[str, Any]:
    """Train a few steps under torchrun and return what the logs say; what went wrong, where it did."""
    out = scratch / name.replace(":", "-")
    path = written(order(run, inputs, out, device), out.with_suffix(".order.json"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={run.gpus}", str(REAL), str(path)]
    began = time.time()
    with out.with_suffix(".log").open("w+") as log:
        ranks = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            code = ranks.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
            kill_all(ranks)
        log.seek(0)
        if code != 0:
            said = [line.strip() for line in log if "Error" in line]
            return {"failed": f"over {MOST_SECONDS} s" if code is None else (said or ["no reason given"])[0][-400:]}
    lines = read_metrics(out, SPEED_FILE)
    rates = [line for line in lines if "tokens_s" in line]
    losses = [round(line["loss"], 4) for line in read_metrics(out) if "loss" in line]
    steady = rates[1:-1] or rates
    return {
        "tokens_s_gpu": round(statistics.median(line["tokens_s"] for line in steady) / run.gpus),
        **{field: steady[-1][field] for field in ("mfu", "mfu_causal", "of_ceiling") if field in steady[-1]},
        "memory_gib": round(max(line["memory_gib"] for line in rates), 1),
        "data_wait": round(max(line["data_wait"] for line in steady), 6),
        "first_step_s": next(line["first_step_s"] for line in lines if "first_step_s" in line),
        **{field: line[field] for line in lines for field in ("messages", "messages_alone") if field in line},
        "losses": losses,
        "seconds": round(time.time() - began, 1),
    }


def show(result: dict[str, Any]) -> None:
    titles = ("tok/s/GPU", "predicted", "MFU", "GiB", "predicted", "messages", "alone", "wait")
    print(f"{'run':<36}" + "".join(f"{title:>10}" for title in titles))
    for name, run in result["measured"].items():
        expected = result["predicted"][name]
        if "failed" in run:
            print(f"{name:<36}  {run['failed'][:100]}")
            continue
        speeds = f"{run['tokens_s_gpu']:>10,}{expected['tokens_s_gpu']:>10,}{run.get('mfu', 0):>10.1%}"
        memory = f"{run['memory_gib']:>10.1f}{expected['memory_gib']:>10.1f}"
        shares = "".join(f"{run.get(field, 0):>10.2%}" for field in ("messages", "messages_alone", "data_wait"))
        print(f"{name:<36}{speeds}{memory}{shares}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("verb", choices=("predict", "measure", "plot"))
    parser.add_argument("what", nargs="+")
    parser.add_argument("--gpu", default="h100")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    result = json.loads(chosen.result.read_text()) if chosen.result.exists() else {"predicted": {}, "measured": {}}
    if chosen.verb == "predict":
        names = [name for word in chosen.what for name in PLANS.get(word, (word,))]
        fresh = [name for name in names if name not in result["measured"]]
        result["predicted"] |= {name: predict(Run.named(name), gpu_named(chosen.gpu)) for name in fresh}
        result |= {"predicted_for": chosen.gpu, "predicted_at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}
        write_json(chosen.result, result)
        print(json.dumps(result["predicted"], indent=1))
    elif chosen.verb == "measure":
        inputs, scratch, *names = chosen.what
        measure_all(chosen.result, result, inputs, Path(scratch), names or list(result["predicted"]), chosen.device)
        show(result)
    else:
        from plot_scaling import draw

        draw(result, Path(chosen.what[0]))


def measure_all(path: Path, result: dict[str, Any], inputs: str, scratch: Path, names: Sequence[str], device: str) -> None:
    import torch

    result |= {
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "command": " ".join(["python", *sys.argv]),
    }
    for name in names:
        if name not in result["predicted"]:
            raise SystemExit(f"{name} was not predicted; do that first")
        result["measured"][name] = measure(Run.named(name), name, inputs, scratch, device)
        print(name, json.dumps(result["measured"][name]), flush=True)
        write_json(path, result)


if __name__ == "__main__":
    main()
