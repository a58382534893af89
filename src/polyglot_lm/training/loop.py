"""Pretraining: read windows in the mixture's order, step, log, checkpoint, and go on where it was cut.

    mixture + token shards ─► sampler ─► windows [n, context + 1] ─► loss ─► gradients ─► optimizers
                                                  └── control text, now and then ─► bits per byte of each language

`metrics.jsonl` has a line every `LOG_EVERY` steps, a line at each look at the control text and one for whatever else happened to a
step. The host never waits for the device but to log. Checkpoints go by the clock, at the end, and where a longer training could go
on. The trained model is written to `model/` in the Hugging Face format, which is all that later steps read.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from polyglot_lm.mixture import Sampler, read_shares, read_tokenizers
from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import MODEL_FOLDER, save_hf
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Counters, Layout, Runtime, Task, UserError, read_json, stage
from polyglot_lm.shards import TokenDataset
from polyglot_lm.training.checkpoint import STATE, Keep, Saver, checkpoints, lack_of_space, load_checkpoint, tensors_of
from polyglot_lm.training.compute import Compute, loss_sum
from polyglot_lm.training.control import Control
from polyglot_lm.training.host import garbage_at_rest, keep_freed_memory, repeatable
from polyglot_lm.training.logs import opened_logs
from polyglot_lm.training.optim import OptimConfig, build_optimizers, rate_factor, set_rate, stable_steps, state_bytes, take_steps
from polyglot_lm.training.parallel import World, joined
from polyglot_lm.training.preempt import Preemption, noticed
from polyglot_lm.training.spikes import NOT_FINITE, REASONS, SpikeGuard
from polyglot_lm.training.start import (
    branch_point,
    copy_weights,
    descended,
    draw_weights,
    gathered,
    inherit_metrics,
    placed_network,
)
from polyglot_lm.training.watch import Watchdog

CHECKPOINTS = "checkpoints"
LOG_EVERY = 10
LOSS_CHUNK_TOKENS = 8192  # logits that exist at once
PATIENCE = 4  # steps in a row without a finite loss


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How long and how: a step reads `batch_windows` windows of the model's context.

    `z_loss` weighs the squared logarithm of the softmax's sum. A spike of the loss is left out (skip), or the training also goes
    back and leaves out what it read there (rewind). Checkpoints stay every `milestone_every` steps.
    """

    steps: int
    batch_windows: int
    precision: Literal["fp32", "bf16", "fp8"]
    control_every: int
    seed: int
    z_loss: float
    on_spike: Literal["skip", "rewind"]
    milestone_every: int | None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_windows", "control_every", "milestone_every"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.precision not in ("fp32", "bf16", "fp8"):
            raise ValueError(f"precision is {self.precision!r}; it must be fp32, bf16 or fp8")
        if not 0 <= self.z_loss < math.inf:
            raise ValueError(f"z_loss is {self.z_loss}; it must be at least 0")
        if self.on_spike not in ("skip", "rewind"):
            raise ValueError(f"on_spike is {self.on_spike!r}; it must be skip or rewind")


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
    initial: Path | None = None,
    continues: Path | None = None,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Train from scratch, from the weights of an exported model (`initial`), on from where a finished training was still at its peak
    rate (`continues`), or from the newest checkpoint in `out`.

    Raises CorruptFileError for a damaged checkpoint or shard, UserError for what does not fit together.
    """
    torch.set_num_threads(runtime.threads)
    keep_freed_memory()
    whole_matrices = optim.optimizer == "muon"
    if whole_matrices and max(runtime.layout.shards or 1, runtime.layout.tensor) > 1:
        raise UserError("optimizer is 'muon', which moves whole matrices; use adamw, or leave shards and tensor at 1")
    with (
        repeatable(wanted=runtime.deterministic),
        joined(runtime.device, runtime.layout, shardable=not whole_matrices) as world,
        Watchdog(world.rank, runtime.stall_seconds) as watchdog,
        noticed() as asked,
    ):
        check_batch(training, runtime.layout, world)
        plan = Plan(mixture=mixture, tokens=tokens, model=model, optim=optim, config=training, initial=initial, continues=continues)
        run = Run.begin(out, plan, world, runtime)
        control = Control.read(corpora, tokenizer, expected=read_tokenizers(mixture))
        tokens_a_step = training.batch_windows * model.context
        total, done = training.steps * tokens_a_step, run.step * tokens_a_step
        about = {"model": asdict(model), "optim": asdict(optim), "training": asdict(training), "processes": world.size}
        with (
            opened_logs(out, until_step=run.step, about=about, runtime=runtime, writes=world.first) as logs,
            runtime.progress.task("training", total=total, unit="tok", done=done) as task,
            garbage_at_rest(),
        ):
            run.to_the_end(control, logs, task, watchdog, asked)
        if (trained := gathered(run.network, world)) is not None:
            save_hf(trained, out / MODEL_FOLDER, end_id=control.end_id)
        return {
            "steps": training.steps,
            "tokens": training.steps * tokens_a_step,
            "parameters": model.num_parameters,
            "train_loss": logs.last("loss"),
            "control_bits_per_byte": logs.last("control_bits_per_byte"),
            "amounts": dict(run.sampler.amounts),
            "unit": run.sampler.shares.unit,
        }


def check_batch(config: TrainingConfig, layout: Layout, world: World) -> None:
    """Raise UserError for a batch that ranks or micro-batches do not divide evenly."""
    if config.batch_windows % world.readers:
        raise UserError(f"batch_windows is {config.batch_windows}; {world.readers} processes must divide it evenly")
    part = config.batch_windows // world.readers
    if part % (layout.micro_batch_windows or part):
        raise UserError(
            f"micro_batch_windows is {layout.micro_batch_windows}, but a process reads {part} windows a step; choose a divisor of {part}"
        )


class Taken(NamedTuple):
    """What came of a step, on the device: the mean loss in nats a token, the gradient's norm before clipping, and the index of the
    reason to leave it out."""

    loss: Tensor
    norm: Tensor
    reason: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is trained, of what, how, and from where."""

    mixture: Path
    tokens: Mapping[str, Path]
    model: ModelConfig
    optim: OptimConfig
    config: TrainingConfig
    initial: Path | None = None
    continues: Path | None = None

    def keep(self, newest: int) -> Keep:
        """Keep where a longer training could go on, and the milestones."""
        stable = stable_steps(self.optim, self.config.steps)
        return Keep(newest=newest, steps=frozenset({stable} - {0, self.config.steps}), every=self.config.milestone_every)


@dataclass(kw_only=True, slots=True)
class Run:
    """A training under way."""

    out: Path
    world: World
    plan: Plan
    compute: Compute
    micro_batch: int
    checkpoint_seconds: float
    network: GPTNeoX
    optimizers: list[Optimizer]
    guard: SpikeGuard
    sampler: Sampler
    saver: Saver
    keep: Keep
    step: int = 0
    lineage: list[dict[str, Any]] = field(default_factory=list)
    pending: list[Tensor] = field(default_factory=list)  # of the steps not yet told of
    num_bad: int = 0
    note: str = ""

    @classmethod
    def begin(cls, out: Path, plan: Plan, world: World, runtime: Runtime) -> "Run":
        config, layout = plan.config, runtime.layout
        shares, held, seed = read_shares(plan.mixture)
        datasets = {name: TokenDataset(folder) for name, folder in plan.tokens.items()}
        compute = Compute(
            precision=config.precision,
            compile=world.device.type == "cuda" if layout.compile is None else layout.compile,
            recompute=layout.recompute,
            loss_chunk_tokens=LOSS_CHUNK_TOKENS,
            z_loss=config.z_loss,
        )
        network = placed_network(plan.model, compute, world)
        run = cls(
            out=out,
            world=world,
            plan=plan,
            compute=compute,
            micro_batch=layout.micro_batch_windows or config.batch_windows // world.readers,
            checkpoint_seconds=runtime.checkpoint_seconds,
            network=network,
            optimizers=build_optimizers(network, plan.optim),
            guard=SpikeGuard(world.device),
            sampler=Sampler(datasets, shares, held, plan.model.context, seed),
            saver=Saver(folder=out / CHECKPOINTS, world=world),
            keep=plan.keep(runtime.keep_checkpoints),
        )
        run.find_beginning()
        return run

    def find_beginning(self) -> None:
        """Fill the network, and all that belongs to it, from wherever this training begins."""
        own, plan = checkpoints(self.saver.folder), self.plan
        copies = self.keep.most(plan.config.steps)
        self.world.agree(lack_of_space(self.out, state_bytes(self.optimizers), copies) if self.world.first else None)
        if own:
            self.lineage = self.restore(own[-1])["lineage"]
        elif plan.continues:
            point = branch_point(plan.continues, plan.config.steps)
            self.lineage = descended(self.restore(point), point)
            if self.world.first:
                inherit_metrics(plan.continues, self.out)
        elif plan.initial:
            copy_weights(self.network, plan.initial)
        else:
            draw_weights(self.network, plan.config.seed)

    def restore(self, checkpoint: Path) -> dict[str, Any]:
        """Go to the step of a checkpoint; raises UserError when it is of another model."""
        if (theirs := read_json(checkpoint / STATE).get("model")) != asdict(self.plan.model):
            raise UserError(f"{checkpoint} is of another model ({theirs}); give its shape, or another folder")
        state = load_checkpoint(checkpoint, self.world, self.network, self.optimizers, self.guard.tensors())
        self.sampler.load_state(state["sampler"])
        self.step = state["step"]
        return state

    def to_the_end(self, control: Control, task: Task, watchdog: Watchdog, asked: Preemption) -> None:
        config, saved = self.plan.config, time.monotonic()
        try:
            while self.step < config.steps:
                watchdog.now(f"computing step {self.step + 1}")
                self.pending.append(torch.stack([value.float() for value in self.take_step()]))
                last = self.step == config.steps
                if self.step % LOG_EVERY == 0 or last:
                    self.log()
                task.advance(self.tokens_a_step, self.note)
                if self.step % config.control_every == 0 or last:
                    watchdog.now(f"looking at the control text after step {self.step}")
                    self.look(control)
                late = self.world.first and time.monotonic() - saved > self.checkpoint_seconds
                wished, stop = self.world.highest(late, asked.received or 0)
                if last or wished or stop or self.keep.milestone(self.step):
                    watchdog.now(f"saving step {self.step}")
                    self.save()
                    saved = time.monotonic()
                if stop and not last:
                    raise UserError(f"asked to stop; step {self.step} of {config.steps} is saved, run again to go on")
        finally:
            self.saver.finish()
        if self.world.first:
            replace(self.keep, newest=1).prune(self.saver.folder)

    @property
    def tokens_a_step(self) -> int:
        return self.plan.config.batch_windows * self.sampler.context

    def take_step(self) -> Taken:
        """Read, differentiate, judge, update."""
        set_rate(self.optimizers, rate_factor(self.plan.optim, self.step, self.plan.config.steps))
        windows = self.world.place(self.sampler.next_windows(self.plan.config.batch_windows))
        loss = torch.zeros((), device=self.world.device)
        parts = windows.split(self.micro_batch)
        for number, part in enumerate(parts, 1):
            with self.world.accumulating(self.network, last=number == len(parts)):
                share = loss_sum(self.network, part[:, :-1], part[:, 1:], self.compute) / self.tokens_a_step
                share.backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        loss = self.world.sum(loss)
        norm = self.world.gradient_norm(self.network.parameters())
        reason = self.guard.judge(loss, norm)
        take_steps(self.optimizers, norm=norm, clip_norm=self.plan.optim.clip_norm, leave_out=reason)
        self.step += 1
        return Taken(loss, norm, reason)

    def settle(self) -> list[float]:
        """Wait for the device, write which steps were left out and why, and return loss, norm and reason of the last."""
        if not self.pending:
            return []
        values: list[list[float]] = torch.stack(self.pending).tolist()
        self.pending.clear()
        for step, (loss, norm, reason) in enumerate(values, self.step + 1 - len(values)):
            if reason:
                self.logs.write(step=step, skipped=REASONS[int(reason)], loss=finite(loss), gradient_norm=finite(norm))
            self.num_bad = self.num_bad + 1 if reason == NOT_FINITE else 0
            if self.num_bad == PATIENCE:
                raise UserError(f"the loss is {loss} at step {step}; lower the learning rate and run again")
        return values[-1]

    def log(self) -> None:
        loss, norm, reason = self.settle()
        self.note = f"loss {loss:.3f}"
        if reason != NOT_FINITE:
            self.logs.write(
                step=self.step,
                tokens=self.step * self.tokens_a_step,
                loss=loss,
                gradient_norm=norm,
                rate_factor=rate_factor(self.plan.optim, self.step - 1, self.plan.config.steps),
            )

    def look(self, control: Control) -> None:
        """Measure bits per byte of each language on the control text."""
        self.settle()
        bits_per_byte, loss = control.measure(self.network, self.compute, self.world)
        self.logs.write(step=self.step, control_bits_per_byte=bits_per_byte, control_loss=loss)

    def save(self) -> None:
        self.settle()
        tensors = tensors_of(self.network, self.optimizers, self.guard.tensors())
        state = {
            "tokens": self.step * self.tokens_a_step,
            "sampler": self.sampler.state(),
            "at_peak_rate": self.step <= stable_steps(self.plan.optim, self.plan.config.steps),
            "lineage": self.lineage,
            "model": asdict(self.plan.model),
            "world": {"processes": self.world.size, "shards": self.world.shards, "tensor": self.world.tensor},
        }
        self.saver.begin(self.step, tensors, state, self.keep)


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
