"""A training as a state: everything that a step changes and a checkpoint holds, and the step itself.

    windows ─► micro-batches ─► loss, gradients (summed over ranks) ─► norm ─► fit to be taken? ─► optimizers

Nothing in a step waits for the device, and nothing in it is random, so a checkpoint holds no generator: the place in the order,
the parameters and the optimizers' state are all that the next step depends on.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Runtime, UserError, read_json
from polyglot_lm.training.checkpoint import STATE, Keep, Saver, checkpoints, lack_of_space, load_checkpoint, tensors_of
from polyglot_lm.training.compute import Compute, loss_sum
from polyglot_lm.training.config import Plan
from polyglot_lm.training.loss import CHUNK_TOKENS
from polyglot_lm.training.optim import build_optimizers, rate_factor, set_rate, state_bytes, take_steps
from polyglot_lm.training.parallel import World
from polyglot_lm.training.reading import Reading
from polyglot_lm.training.spikes import SpikeGuard
from polyglot_lm.training.start import branch_point, copy_weights, descended, draw_weights, inherit_metrics, placed_network

CHECKPOINTS = "checkpoints"


class Taken(NamedTuple):
    """What came of a step, on the device: the mean loss in nats a token, the gradient's norm before clipping, and the index of the
    reason to leave it out."""

    loss: Tensor
    norm: Tensor
    reason: Tensor


@dataclass(kw_only=True, slots=True)
class Run:
    """A training at a step."""

    out: Path
    world: World
    plan: Plan
    compute: Compute
    micro_batch: int
    network: GPTNeoX
    optimizers: list[Optimizer]
    guard: SpikeGuard
    reading: Reading
    saver: Saver
    keep: Keep
    step: int = 0
    lineage: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begin(cls, out: Path, plan: Plan, world: World, runtime: Runtime) -> "Run":
        config, layout = plan.config, runtime.layout
        compute = Compute(
            precision=config.precision,
            compile=world.device.type == "cuda" if layout.compile is None else layout.compile,
            recompute=layout.recompute,
            loss_chunk_tokens=CHUNK_TOKENS,
            z_loss=config.z_loss,
        )
        network = placed_network(plan.model, compute, world)
        run = cls(
            out=out,
            world=world,
            plan=plan,
            compute=compute,
            micro_batch=layout.micro_batch_windows or config.batch_windows // world.readers,
            network=network,
            optimizers=build_optimizers(network, plan.optim),
            guard=SpikeGuard(world.device),
            reading=Reading(plan, world.part),
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
            return
        if plan.continues:
            point = branch_point(plan.continues, plan.config.steps)
            self.lineage = descended(self.restore(point), point)
            if self.world.first:
                inherit_metrics(plan.continues, self.out)
        elif plan.initial:
            copy_weights(self.network, plan.initial)
        else:
            draw_weights(self.network, plan.config.seed)
        self.reading.plan_stages()

    def restore(self, checkpoint: Path) -> dict[str, Any]:
        """Go to the step of a checkpoint; raises UserError when it is of another model or another order of data."""
        if (theirs := read_json(checkpoint / STATE).get("model")) != asdict(self.plan.model):
            raise UserError(f"{checkpoint} is of another model ({theirs}); give its shape, or another folder")
        state = load_checkpoint(checkpoint, self.world, self.network, self.optimizers, self.guard.tensors())
        self.reading.load_state(state)
        self.step = state["step"]
        return state

    def take_step(self, waiting: Callable[[], AbstractContextManager[None]] = nullcontext) -> Taken:
        """Read (within `waiting`), differentiate, judge, update."""
        set_rate(self.optimizers, self.rate_factor)
        with waiting():
            windows = self.reading.next()
        parts = torch.split(self.world.place(windows), self.micro_batch)
        loss = torch.zeros((), device=self.world.device)
        for number, part in enumerate(parts, 1):
            with self.world.accumulating(self.network, last=number == len(parts)):
                share = loss_sum(self.network, part[:, :-1], part[:, 1:], self.compute) / self.plan.tokens_a_step
                share.backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        loss = self.world.sum(loss)
        norm = self.world.gradient_norm(self.network.parameters())
        reason = self.guard.judge(loss, norm)
        take_steps(self.optimizers, norm=norm, clip_norm=self.plan.optim.clip_norm, leave_out=reason)
        self.step += 1
        return Taken(loss, norm, reason)

    @property
    def rate_factor(self) -> float:
        """The share of the peak learning rate in the next step."""
        return rate_factor(self.plan.optim, self.step, self.plan.config.steps)

    @property
    def tokens(self) -> int:
        return self.step * self.plan.tokens_a_step

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint; the optimizers' are there after the first step."""
        return tensors_of(self.network, self.optimizers, self.guard.tensors())

    def save(self) -> None:
        """Begin to save; the training may go on."""
        state = {
            "tokens": self.tokens,
            **self.reading.state(),
            "at_peak_rate": self.step <= self.plan.stable_steps,
            "lineage": self.lineage,
            "model": asdict(self.plan.model),
            "world": {"processes": self.world.size, "shards": self.world.shards, "tensor": self.world.tensor},
        }
        self.saver.begin(self.step, self.tensors, state, self.keep)
