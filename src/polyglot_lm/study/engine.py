"""One network on one device that is trained again and again: the project's own step, captured once.

    windows of the whole training, rates of all steps ─► device ─► [ step ] × n, without a word from the host ─► weights

A step of four windows is hundreds of kernels of microseconds each, and launching them one by one takes longer than they do. So on a
GPU the step (forward, backward, clipping, judging, the optimizer) is captured as a CUDA graph; what differs between steps, windows
and learning rate, is looked up by a counter on the device. It is the step of `training.run`
made of the same parts, and a test holds its losses against those of `training.loop`. On a CPU the same code runs as it is written.

Lanes are independent: several threads may each train on their own, and small steps share the card. Shapes: B windows, T tokens.
"""

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.compute import Compute, loss_sum, prepare
from polyglot_lm.training.loss import CHUNK_TOKENS
from polyglot_lm.training.optim import OptimConfig, build_optimizers, rate_factor, take_steps
from polyglot_lm.training.spikes import SpikeGuard

WARM_UP = 3  # steps before a capture, in which kernels are compiled and the optimizer gets its state
CAPTURING = threading.Lock()  # one backward pass is recorded at a time: autograd has one thread a device


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Losses of all steps, nats a token, and how many steps were left out."""

    losses: npt.NDArray[np.float32]
    spikes: int


class Lane:
    """A network, its optimizer and its step, for trainings of one shape and batch of at most `max_windows`.

    Trainings differ in rate, length, weights and text; whatever else `optim` says is that of all of them.
    """

    def __init__(
        self, model: ModelConfig, optim: OptimConfig, *, batch_windows: int, max_windows: int, device: torch.device
    ) -> None:
        self.model, self.clip_norm, self.batch_windows, self.device = model, optim.clip_norm, batch_windows, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.compute = Compute(
            precision="bf16" if self.stream else "fp32",
            compile=False,
            recompute="none",
            loss_chunk_tokens=CHUNK_TOKENS,
            z_loss=0.0,
        )
        max_steps = -(-max_windows // batch_windows) + 1
        self.windows = torch.zeros(max_steps * batch_windows, model.context + 1, dtype=torch.int32, device=device)
        self.rates, self.losses, self.reasons = (torch.zeros(max_steps, device=device) for _ in range(3))
        self.step_number = torch.zeros((), dtype=torch.int64, device=device)
        with torch.device("meta"):
            self.network = GPTNeoX(model)
        prepare(self.network, self.compute, device)
        self.network.to_empty(device=device)
        self.optimizers = build_optimizers(self.network, optim)
        self.rate = torch.zeros((), device=device)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"], group["capturable"] = self.rate, self.stream is not None
        self.guard = SpikeGuard(device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if self.stream:  # all of this was asked for on another stream
            torch.cuda.synchronize(device)

    def begin(self, weights: Sequence[Tensor], optim: OptimConfig, steps: int) -> None:
        """Forget the last training: take weights [those of the model, in its order], a schedule and no past."""
        with torch.cuda.stream(self.stream), torch.no_grad():
            if self.stream and self.graph is None:
                self.capture()
            for parameter, values in zip(self.network.parameters(), weights, strict=True):
                parameter.copy_(values)
            for state in (each for optimizer in self.optimizers for each in optimizer.state.values()):
                for tensor in state.values():
                    tensor.zero_()
            for tensor in (*self.guard.tensors().values(), self.step_number, self.losses, self.reasons):
                tensor.zero_()
            rates = [optim.learning_rate * rate_factor(optim, step, steps) for step in range(steps)]
            self.rates[:steps].copy_(torch.tensor(rates))
        self.fed = self.taken = 0

    def capture(self) -> None:
        """Record a step; the weights of before are lost."""
        assert self.stream is not None
        with CAPTURING, torch.enable_grad():
            self.network.apply(no_parameters)
            for _ in range(WARM_UP):
                self.take_step()
            self.stream.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                self.take_step()

    def feed(self, windows: npt.NDArray[np.int64]) -> None:
        """Append windows [n, T + 1] to those to be read."""
        end = self.fed + len(windows)
        with torch.cuda.stream(self.stream):
            self.windows[self.fed : end].copy_(torch.from_numpy(windows.astype(np.int32)))
        self.fed = end

    def advance(self) -> None:
        """Take all steps that there are windows for; on a GPU they are only asked for."""
        count = self.fed // self.batch_windows - self.taken
        with torch.cuda.stream(self.stream):
            for _ in range(count):
                if self.graph is not None:
                    self.graph.replay()
                else:
                    self.take_step()
        self.taken += count

    def take_step(self) -> None:
        """Read, differentiate, judge, update: as `training.run`, on one device."""
        number = self.step_number
        rows = number * self.batch_windows + torch.arange(self.batch_windows, device=self.device)
        windows_BT = self.windows.index_select(0, rows).long()
        self.rate.copy_(self.rates.index_select(0, number.view(1))[0])
        tokens = self.batch_windows * self.model.context
        loss = loss_sum(self.network, windows_BT[:, :-1], windows_BT[:, 1:], self.compute) / tokens
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        norm = torch.stack(torch._foreach_norm(gradients)).square().sum().sqrt()
        reason = self.guard.judge(loss.detach(), norm)
        take_steps(self.optimizers, norm=norm, clip_norm=self.clip_norm, leave_out=reason)
        self.losses.index_copy_(0, number.view(1), loss.detach().view(1))
        self.reasons.index_copy_(0, number.view(1), reason.float().view(1))
        number.add_(1)

    def outcome(self) -> Outcome:
        """Wait for the device and return what came of the steps so far."""
        with torch.cuda.stream(self.stream):
            losses, reasons = torch.stack([self.losses, self.reasons])[:, : self.taken].cpu().numpy()
        return Outcome(losses=losses, spikes=int((reasons > 0).sum()))


@torch.no_grad()
def no_parameters(module: torch.nn.Module) -> None:
    """Give memory that was never written some value: a step on what lay there may be no number."""
    for parameter in module.parameters(recurse=False):
        parameter.fill_(0.01)


@functools.lru_cache(maxsize=16)
def drawn_weights(model: ModelConfig, seed: int) -> tuple[Tensor, ...]:
    """Return the initial weights of a seed, those that `training` begins with, on the CPU."""
    with torch.device("meta"):
        network = GPTNeoX(model)
    network.to_empty(device="cpu")
    initialize(network, torch.Generator().manual_seed(seed))
    return tuple(parameter.detach() for parameter in network.parameters())
