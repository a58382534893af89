"""Pretraining: step, log, look at the control text, checkpoint, and go on where it was cut.

    mixture + token shards ─► reading ─► windows [n, context + 1] ─► step ─► loss, gradient norm
                                              control text, now and then ─► bits per byte of each language ─► controller

`metrics.jsonl` has a line every `LOG_EVERY` steps, a line at each look at the control text and one for whatever else happened to a
step. The host never waits for the device but to log. Checkpoints go by the clock, at the end, and where a longer training could go
on. The trained model is written to `model/` in the Hugging Face format, which is all that later steps read.
"""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import torch

from polyglot_lm.mixture import read_tokenizers
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import MODEL_FOLDER, save_hf
from polyglot_lm.pipeline import Counters, Layout, Runtime, Task, UserError, stage
from polyglot_lm.training.attention import attention_backend
from polyglot_lm.training.checkpoint import checkpoints, number, remove
from polyglot_lm.training.config import Plan, TrainingConfig
from polyglot_lm.training.control import Control
from polyglot_lm.training.host import garbage_at_rest, keep_freed_memory, repeatable
from polyglot_lm.training.logs import Logs, opened_logs
from polyglot_lm.training.metrics import Speedometer, matmul_flops
from polyglot_lm.training.optim import OptimConfig, rate_factor
from polyglot_lm.training.parallel import World, joined
from polyglot_lm.training.preempt import Preemption, noticed
from polyglot_lm.training.run import Run
from polyglot_lm.training.spikes import NOT_FINITE, REASONS, Entry, Ledger
from polyglot_lm.training.start import gathered
from polyglot_lm.training.watch import Watchdog

LOG_EVERY = 10
PATIENCE = 4  # steps in a row that may be left out
MAX_REWINDS = 3  # to the same checkpoint


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
    controller: Equaliser | None = None,
    initial: Path | None = None,
    continues: Path | None = None,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Train from the newest checkpoint in `out`, or from scratch.

    `initial` is an exported model whose weights begin the training; `continues` a finished training, to go on from where its rate
    was still at the peak. Raises CorruptFileError for a damaged checkpoint or shard, UserError for what does not fit together.
    """
    torch.set_num_threads(runtime.threads)
    keep_freed_memory()
    plan = Plan(
        mixture=mixture,
        tokens=tokens,
        model=model,
        optim=optim,
        config=training,
        controller=controller,
        initial=initial,
        continues=continues,
    )
    with (
        repeatable(wanted=runtime.deterministic),
        joined(runtime.device, runtime.layout, shardable=may_shard(optim, runtime.layout)) as world,
        Watchdog(world.rank, runtime.stall_seconds) as watchdog,
        noticed() as asked,
    ):
        check_layout(plan, runtime.layout, world)
        control = Control.read(corpora, tokenizer, expected=read_tokenizers(mixture))
        if world.first:
            runtime.progress.say(f"attention: {attention_backend(model, world.device)}")
        run = Run.begin(out, plan, world, runtime)
        about = {"model": asdict(model), "optim": asdict(optim), "training": asdict(training), "processes": world.size}
        with (
            closing(run.reading),
            closing(run.saver),
            opened_logs(out, until_step=run.step, about=about, runtime=runtime, writes=world.first) as logs,
        ):
            total = training.steps * plan.tokens_a_step
            with runtime.progress.task("training", total=total, unit="tok", done=run.tokens) as task, garbage_at_rest():
                Loop(run, control, logs, task, watchdog, asked).to_the_end(runtime.checkpoint_seconds)
            watchdog.now("writing the model")
            if (trained := gathered(run.network, world)) is not None:
                save_hf(trained, out / MODEL_FOLDER, end_id=control.end_id)
            return counted(run, logs)


def counted(run: Run, logs: Logs) -> Counters:
    return {
        "steps": run.step,
        "tokens": run.tokens,
        "parameters": run.plan.model.num_parameters,
        "train_loss": logs.last("loss"),
        "control_bits_per_byte": logs.last("control_bits_per_byte"),
        "amounts": run.reading.amounts(),
        "unit": run.reading.sampler.unit,
    }


def may_shard(optim: OptimConfig, layout: Layout) -> bool:
    """Say whether the optimizer can move parts of a matrix; raises UserError when it is asked to and cannot."""
    if optim.optimizer == "muon" and max(layout.shards or 1, layout.tensor) > 1:
        raise UserError("optimizer is 'muon', which moves whole matrices; use adamw, or leave shards and tensor at 1")
    return optim.optimizer != "muon"


def check_layout(plan: Plan, layout: Layout, world: World) -> None:
    """Raise UserError for heads or a batch that ranks or micro-batches do not divide evenly."""
    config, model = plan.config, plan.model
    if model.num_heads % world.tensor or model.mlp_width % world.tensor:
        raise UserError(
            f"tensor is {world.tensor}; it must divide the {model.num_heads} heads and the MLP's {model.mlp_width} columns"
        )
    if config.batch_windows % world.readers:
        raise UserError(f"batch_windows is {config.batch_windows}; {world.readers} processes must divide it evenly")
    part = config.batch_windows // world.readers
    if part % (layout.micro_batch_windows or part):
        raise UserError(
            f"micro_batch_windows is {layout.micro_batch_windows}, but a process reads {part} a step; choose a divisor of that"
        )


class Loop:
    """Steps, and what happens between them."""

    def __init__(self, run: Run, control: Control, logs: Logs, task: Task, watchdog: Watchdog, asked: Preemption) -> None:
        self.run, self.control, self.logs, self.task, self.watchdog, self.asked = run, control, logs, task, watchdog, asked
        device = run.world.device
        ceiling = matmul_flops(device) if device.type == "cuda" else None
        self.speed = Speedometer(run.plan.model, ranks=run.world.size, device=device, ceiling_flops=ceiling)
        self.ledger = Ledger()
        self.rewinds: Counter[Path] = Counter()
        self.note = ""

    def to_the_end(self, checkpoint_seconds: float) -> None:
        run, config, saved = self.run, self.run.plan.config, time.monotonic()
        while run.step < config.steps:
            self.step()
            if not run.saver.copies:
                self.make_room()
            last = run.step == config.steps
            if (run.step % LOG_EVERY == 0 or last) and not self.log():
                continue
            if run.step % config.control_every == 0 or last:
                self.look()
            late = run.world.first and not run.saver.busy and time.monotonic() - saved > checkpoint_seconds
            wished, stop = run.world.highest(late, self.asked.received or 0)
            if last or stop or run.keep.milestone(run.step) or (wished and not self.astray()):
                self.save()
                saved = time.monotonic()
            if stop and not last:
                run.saver.finish()
                raise UserError(f"asked to stop by a signal; step {run.step} of {config.steps} is saved, run again to go on")
        run.saver.finish()
        if run.world.first:
            replace(run.keep, newest=1).prune(run.saver.folder)

    def step(self) -> None:
        run, tokens = self.run, self.run.plan.tokens_a_step
        self.watchdog.now(f"computing step {run.step + 1}")
        begins = run.reading.index
        taken = run.take_step(self.speed.waiting)
        self.ledger.enter(run.step, begins, taken)
        self.speed.advance(tokens=tokens, english_bytes=tokens * run.reading.english_bytes_per_token)
        self.task.advance(tokens, self.note)

    def make_room(self) -> None:
        """Get the memory for saves, as part of the start."""
        self.settle()
        with self.speed.aside():
            since = time.perf_counter()
            self.run.saver.make_room(self.run.tensors)
            self.logs.speed.write(step=self.run.step, room_seconds=time.perf_counter() - since)

    def settle(self) -> None:
        """Wait for the device, and write which steps were left out and why."""
        for entry in self.ledger.settle():
            if entry.reason:
                self.logs.write(step=entry.step, skipped=REASONS[entry.reason], loss=entry.loss, gradient_norm=entry.norm)

    def astray(self) -> bool:
        """Say whether the last step was left out: then nothing new is worth a checkpoint that an older one makes way for."""
        self.settle()
        return bool(self.ledger.row)

    def log(self) -> bool:
        """Write how the last step went, and how fast; return False when the training went back instead."""
        self.settle()
        run, last, row = self.run, self.ledger.last, self.ledger.row
        if len(row) >= PATIENCE and run.plan.config.on_spike == "rewind":
            self.rewind(row[0])
            return False
        if len(row) >= PATIENCE and last.reason == NOT_FINITE:
            raise UserError(f"the loss is no number since step {row[0].step}; lower the learning rate and run again")
        if last.reason != NOT_FINITE:
            rate = rate_factor(run.plan.optim, run.step - 1, run.plan.config.steps)
            self.logs.write(step=run.step, tokens=run.tokens, loss=last.loss, gradient_norm=last.norm, rate_factor=rate)
            self.note = f"loss {last.loss:.3f}"
        self.logs.measured(run.step, self.speed.read())
        return True

    def look(self) -> None:
        """Measure bits per byte of each language on the control text; a controller may then change the shares."""
        run = self.run
        self.watchdog.now(f"looking at the control text after step {run.step}")
        self.settle()
        with self.speed.aside():
            bits_per_byte, loss = self.control.measure(run.network, run.compute, run.world)
            content = run.reading.content()
            self.logs.write(step=run.step, control_bits_per_byte=bits_per_byte, control_loss=loss, english_bytes=content)
            if run.step < run.plan.config.steps and (steered := run.reading.steer(bits_per_byte)) is not None:
                shares, decision = steered
                self.logs.write(step=run.step, unit=shares.unit, shares=dict(shares.values), decision=decision)

    def save(self) -> None:
        self.watchdog.now(f"saving step {self.run.step}")
        self.settle()
        with self.speed.aside():
            since = time.perf_counter()
            self.run.save()
            self.logs.speed.write(step=self.run.step, save_seconds=time.perf_counter() - since)

    def rewind(self, first: Entry) -> None:
        """Go back to before a row of steps that were left out, and leave out what they and their like read."""
        run = self.run
        run.saver.finish()
        found = checkpoints(run.saver.folder)
        earlier = [each for each in found if number(each) < first.step]
        if not earlier or self.rewinds[earlier[-1]] == MAX_REWINDS:
            raise UserError(f"the loss spikes from step {first.step} on, whatever is read; lower the learning rate and run again")
        self.rewinds[earlier[-1]] += 1
        came_to, ends = run.step, run.reading.index
        run.restore(earlier[-1])
        run.world.wait()
        if run.world.first:
            for later in found[len(earlier) :]:
                remove(later)
        run.reading.skip(first.begins, ends)
        self.ledger = Ledger()
        self.logs.write(step=came_to, rewound_to=run.step, skipped_windows=[first.begins, ends])
