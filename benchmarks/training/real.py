"""One training by the real loop as a process of its own, which can be timed from its start, killed, or started by torchrun.

    python benchmarks/training/real.py ORDER.json         an `Order`; loop.py and scaling.py write them and read what comes of it

Beside the logs of the loop, `speed.jsonl` gets what only an onlooker sees: the seconds from the start of the process to the end of
the first step, and how much of a step was communication. `stop_after` leaves the loop before anything is saved, for models whose
state no disk here holds.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from polyglot_lm.model.config import ModelConfig, neox, padded_vocab_size, polyglot_ko
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Layout, Recompute, Runtime
from polyglot_lm.tokenizer import Tokenizer
from polyglot_lm.training import loop, run
from polyglot_lm.training.checkpoint import named_parameters
from polyglot_lm.training.config import TrainingConfig
from polyglot_lm.training.optim import OptimConfig
from polyglot_lm.training.parallel import local

SMALL: Mapping[str, Mapping[str, int]] = {  # both are computed by the blocks by hand where there is a GPU
    "tiny": {"context": 128, "num_layers": 2, "width": 64, "num_heads": 1, "rotary_dims": 16},
    "small": {"context": 256, "num_layers": 4, "width": 256, "num_heads": 4, "rotary_dims": 16},
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train, of which inputs (text.py), and how it lies on its ranks."""

    inputs: str
    out: str
    size: str
    precision: Literal["bf16", "fp8"]
    steps: int
    batch_windows: int
    micro_batch: int
    recompute: Recompute = "none"
    shards: int | None = None
    tensor: int = 1
    checkpoint_seconds: float = 1e9
    milestone_every: int | None = None
    log_every: int = 10
    deterministic: bool = False
    device: str = "auto"
    threads: int = 8
    stop_after: int | None = None
    profiled_step: int | None = None


def shape(size: str, vocab_size: int) -> ModelConfig:
    """Return a released shape, or one of the small ones, for a vocabulary."""
    padded = padded_vocab_size(vocab_size)
    return neox(vocab_size=padded, **SMALL[size]) if size in SMALL else replace(polyglot_ko(size), vocab_size=padded)


def arguments(order: Order) -> dict[str, Any]:
    """Return the keyword arguments of `train`."""
    inputs = Path(order.inputs)
    languages = sorted(path.name for path in (inputs / "tokens").iterdir())
    model = shape(order.size, Tokenizer(inputs / "tokenizer").vocab_size)
    rate = 2e-3 if order.size in SMALL else 2e-4 * (1.3e9 / model.num_parameters) ** 0.3
    return {
        "mixture": inputs / "mixture",
        "tokenizer": inputs / "tokenizer",
        "tokens": {code: inputs / "tokens" / code for code in languages},
        "corpora": {code: inputs / "corpora" / code for code in languages},
        "model": model,
        "optim": OptimConfig(
            optimizer="adamw",
            learning_rate=rate,
            matrix_learning_rate=rate,
            schedule="cosine",  # keeps no checkpoint to go on from
            warmup_steps=max(1, order.steps // 4),
            decay_fraction=0.0,
            final_rate=0.1,
            weight_decay=0.1,
            beta1=0.9,
            beta2=0.95,
            clip_norm=1.0,
        ),
        "training": TrainingConfig(
            steps=order.steps,
            batch_windows=order.batch_windows,
            precision=order.precision,
            control_every=order.steps,
            seed=1,
            z_loss=0.0,
            on_spike="skip",
            milestone_every=order.milestone_every,
        ),
    }


def runtime(order: Order) -> Runtime:
    return Runtime(
        threads=order.threads,
        device=order.device,
        layout=Layout(shards=order.shards, tensor=order.tensor, micro_batch_windows=order.micro_batch, recompute=order.recompute),
        checkpoint_seconds=order.checkpoint_seconds,
        keep_checkpoints=1,
        deterministic=order.deterministic,
    )


class EnoughError(Exception):
    """The steps that were asked for are measured."""


def watched(order: Order) -> type[loop.Loop]:
    """Return the loop with an onlooker."""

    class Watched(loop.Loop):
        first = True

        def step(self) -> None:
            number = self.run.step + 1
            if number == order.profiled_step:
                self.logs.speed.write(step=number, **communication(super().step, self.run.world.device))
            else:
                super().step()
            if self.first:
                self.first = False
                settle(self.run.world.device)
                self.logs.speed.write(step=number, first_step_s=round(time.time() - process_started(), 2))

        def make_room(self) -> None:
            if order.stop_after is None:
                super().make_room()

        def log(self) -> bool:
            logged = super().log()
            self.logs.speed.write(step=self.run.step, saving=self.run.saver.busy)
            if order.stop_after is not None and self.run.step >= order.stop_after:
                raise EnoughError
            return logged

    return Watched


def draw_here(network: GPTNeoX, seed: int) -> None:
    """Draw every rank's part of the weights where it lies: the CPU, which draws them whole, needs minutes for a 12.8B."""
    with torch.no_grad():
        for name, parameter in named_parameters(network):
            part, begins = local(parameter), 0
            if isinstance(parameter, DTensor):
                _, offsets = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
                begins = sum(offsets)  # equal where ranks hold the same part
            generator = torch.Generator(part.device).manual_seed(zlib.crc32(f"{seed} {name} {begins}".encode()))
            if part.ndim == 2:
                deep = "dense.weight" in name or "4h_to_h" in name
                part.normal_(0.0, 0.02 / (math.sqrt(2 * network.config.num_layers) if deep else 1), generator=generator)
            else:
                part.fill_(float(name.endswith("weight")))


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def process_started() -> float:
    """Return when this process was started, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # since the machine was
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def communication(step: Any, device: torch.device) -> dict[str, float]:
    """Take a step and return the share of its time in which messages were under way, and in which nothing else was."""
    if device.type != "cuda":
        step()
        return {}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        settle(device)
        step()
        settle(device)
    events = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    spans = [(event.time_range.start, event.time_range.end, "nccl" in event.name.lower()) for event in events]
    whole = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    messages = covered((start, end) for start, end, sent in spans if sent)
    computed = covered((start, end) for start, end, sent in spans if not sent)
    both = covered((start, end) for start, end, _ in spans)
    return {"messages": round(messages / whole, 4), "messages_alone": round((both - computed) / whole, 4)}


def covered(spans: Iterator[tuple[float, float]]) -> float:
    """Return the length of the union of spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def main(order: Order) -> None:
    loop.LOG_EVERY, loop.Loop = order.log_every, watched(order)  # type: ignore[misc]
    if order.stop_after is not None:
        run.lack_of_space, run.draw_weights = lambda *_: None, draw_here
    out = Path(order.out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        loop.train(out, **arguments(order), runtime=runtime(order))
    except EnoughError:
        return


def ranks_of(torchrun: int) -> list[int]:
    """Return the processes of the ranks, each of which leads a session of its own: no signal to torchrun's group reaches them."""
    return [int(rank) for rank in Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()]


def kill_all(torchrun: "subprocess.Popen[bytes]") -> None:
    """End torchrun and its ranks by SIGKILL, torchrun first, that it starts none again."""
    doomed = [torchrun.pid, *ranks_of(torchrun.pid)]
    for process in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    torchrun.wait()


def written(order: Order, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(order)))
    return path


if __name__ == "__main__":
    main(Order(**json.loads(Path(sys.argv[1]).read_text())))
