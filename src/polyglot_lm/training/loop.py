"""Pretraining: read windows in the mixture's order, step, log, checkpoint, and go on where it was cut.

    mixture + token shards ─► sampler ─► windows [n, context + 1] ─► loss ─► gradients ─► optimizers
                                                  └── control text, now and then ─► bits per byte of each language

`metrics.jsonl` has a line every `LOG_EVERY` steps and a line at each look at the control text. Checkpoints go by the clock, since
only the last one stays. The trained model is written to `model/` in the Hugging Face format, which is all that later steps read.
"""

import contextlib
import ctypes
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from polyglot_lm.mixture import Sampler, read_shares, read_tokenizers
from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import MODEL_FOLDER, save_hf
from polyglot_lm.model.score import document_bits
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import Counters, Runtime, Task, UserError, stage
from polyglot_lm.shards import Metrics, TokenDataset, read_documents
from polyglot_lm.tokenizer import Tokenizer
from polyglot_lm.training.checkpoint import TrainingState, latest_checkpoint, load_checkpoint, save_checkpoint
from polyglot_lm.training.optim import OptimConfig, build_optimizers, rate_factor, set_rate
from polyglot_lm.training.parallel import World, joined

LOG_EVERY = 10
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How long and how: a step reads `batch_windows` windows of the model's context."""

    steps: int
    batch_windows: int
    precision: Literal["fp32", "bf16"]
    control_every: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch_windows", "control_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision is {self.precision!r}; it must be fp32 or bf16")


@stage(version=2, resumable=True, distributed=True)
def train(
    out: Path,
    *,
    mixture: Path,
    tokens: Mapping[str, Path],
    tokenizer: Path,
    corpora: Mapping[str, Path],
    model: ModelConfig,
    optim: OptimConfig,
    training: TrainingConfig,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Train from scratch, or from the newest checkpoint in `out`; raises CorruptFileError for a damaged one or a damaged shard."""
    torch.set_num_threads(runtime.threads)
    keep_freed_memory()
    with joined(runtime.device) as world:
        if training.batch_windows % world.size:
            raise UserError(f"batch_windows is {training.batch_windows}; {world.size} processes must divide it evenly")
        run = Run.begin(out, mixture, tokens, model, optim, training, world)
        control = Control.read(corpora, tokenizer, expected=read_tokenizers(mixture))
        tokens_a_step = training.batch_windows * model.context
        total, done = training.steps * tokens_a_step, run.step * tokens_a_step
        with runtime.progress.task("training", total=total, unit="tok", done=done) as task:
            run.to_the_end(control, task, runtime.checkpoint_seconds)
        if world.first:
            save_hf(run.network, out / MODEL_FOLDER, end_id=control.end_id)
        return {
            "steps": training.steps,
            "tokens": training.steps * tokens_a_step,
            "parameters": model.num_parameters,
            "train_loss": run.metrics.last("loss"),
            "control_bits_per_byte": run.metrics.last("control_bits_per_byte"),
            "amounts": dict(run.sampler.amounts),
            "unit": run.sampler.shares.unit,
        }


def keep_freed_memory() -> None:
    """Let glibc keep large blocks for the next step instead of giving them back and having them zeroed again, 800 MB a second.

    Measured on the quickstart beside another busy program: 1,570 tokens/s against 820 to 1,140. Other C libraries stay as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@dataclass(kw_only=True, slots=True)
class Run:
    """A training under way."""

    out: Path
    world: World
    config: TrainingConfig
    optim: OptimConfig
    network: GPTNeoX
    optimizers: list[Optimizer]
    sampler: Sampler
    metrics: Metrics
    step: int

    @classmethod
    def begin(
        cls,
        out: Path,
        mixture: Path,
        tokens: Mapping[str, Path],
        model: ModelConfig,
        optim: OptimConfig,
        config: TrainingConfig,
        world: World,
    ) -> "Run":
        shares, held, seed = read_shares(mixture)
        datasets = {name: TokenDataset(folder) for name, folder in tokens.items()}
        sampler = Sampler(datasets, shares, held, model.context, seed)
        network = GPTNeoX(model)
        initialize(network, torch.Generator().manual_seed(config.seed))
        network.to(world.device)
        optimizers = build_optimizers(network, optim)
        step = 0
        if checkpoint := latest_checkpoint(out / "checkpoints"):
            state = load_checkpoint(checkpoint, network, optimizers)
            sampler.load_state(state.sampler)
            step = state.step
        return cls(
            out=out,
            world=world,
            config=config,
            optim=optim,
            network=network,
            optimizers=optimizers,
            sampler=sampler,
            metrics=Metrics(out, until_step=step, writes=world.first),
            step=step,
        )

    def to_the_end(self, control: "Control", task: Task, checkpoint_seconds: float) -> None:
        saved = time.monotonic()
        while self.step < self.config.steps:
            loss, norm = self.take_step()
            last = self.step == self.config.steps
            if self.step % LOG_EVERY == 0 or last:
                self.log(loss, norm)
            if self.step % self.config.control_every == 0 or last:
                bits = control.bits_per_byte(self.network) if self.world.first else {}
                self.metrics.write(step=self.step, control_bits_per_byte=bits)
            task.advance(self.config.batch_windows * self.sampler.context, f"loss {float(loss):.3f}")
            if last or self.world.agreed(wish=time.monotonic() - saved > checkpoint_seconds):
                self.save()
                saved = time.monotonic()

    def take_step(self) -> tuple[Tensor, Tensor]:
        """Read, differentiate, update; return the mean loss in nats a token and the gradient's norm before clipping."""
        set_rate(self.optimizers, rate_factor(self.optim, self.step, self.config.steps))
        windows = torch.from_numpy(self.sampler.next_windows(self.config.batch_windows))
        num_tokens = windows.shape[0] * (windows.shape[1] - 1)
        part = self.world.part(windows)
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits_BTV = self.network(part[:, :-1])
        loss = F.cross_entropy(logits_BTV.flatten(0, 1).float(), part[:, 1:].flatten(), reduction="sum") / num_tokens
        loss.backward()  # type: ignore[no-untyped-call]
        self.world.sum_gradients(self.network)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.optim.clip_norm, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return self.world.sum(loss.detach()), norm

    def log(self, loss: Tensor, norm: Tensor) -> None:
        if not torch.isfinite(loss):
            raise UserError(f"the loss is {float(loss)} at step {self.step}; lower the learning rate and run again")
        self.metrics.write(
            step=self.step,
            tokens=self.step * self.config.batch_windows * self.sampler.context,
            loss=float(loss),
            gradient_norm=float(norm),
            rate_factor=rate_factor(self.optim, self.step - 1, self.config.steps),
        )

    def save(self) -> None:
        if self.world.first:
            state = TrainingState(step=self.step, sampler=self.sampler.state())
            save_checkpoint(self.out / "checkpoints", self.network, self.optimizers, state)
        self.world.wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """Held-out text that may be looked at while training, encoded, by language."""

    documents: Mapping[str, list[list[int]]]
    num_bytes: Mapping[str, int]
    end_id: int

    @classmethod
    def read(cls, corpora: Mapping[str, Path], tokenizer: Path, expected: set[str]) -> "Control":
        """Encode the control text; raises UserError when the shards were written with another tokenizer."""
        loaded = Tokenizer(tokenizer)
        if expected != {loaded.hash}:
            raise UserError(f"the token shards were not encoded with {tokenizer}; encode them with it, or name theirs")
        texts = {
            language: [row["text"] for row in read_documents(folder, ("text",), "control")] for language, folder in corpora.items()
        }
        return cls(
            documents={name: loaded.encode_batch(found, parse_special=True) for name, found in texts.items()},
            num_bytes={name: sum(len(text.encode()) for text in found) for name, found in texts.items()},
            end_id=loaded.end_id,
        )

    def bits_per_byte(self, network: GPTNeoX) -> dict[str, float]:
        return {
            name: math.fsum(document_bits(network, found, self.end_id)) / self.num_bytes[name]
            for name, found in self.documents.items()
        }
