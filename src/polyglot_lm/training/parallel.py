"""The only file that knows there may be several ranks, and what each of them holds.

    rank = (replica · shards + shard) · tensor + slice            one mesh of replica × shard × tensor

`shards` ranks share one copy of the model and its optimizer (FSDP2: each holds a part of every matrix, and gathers a block while it
computes it); `replicas` such copies stand side by side (with both above one: HSDP); `tensor` ranks split every matrix of the blocks
and work on the same windows, attention by heads. Windows are divided among replica × shard. Losses are sums divided by the tokens
of the whole step, so gradients are summed, never averaged, and any layout makes the same step. Copies alone (shards = tensor = 1)
need no FSDP: their gradients are added in one message. One rank needs no process group; more are started by torchrun (gloo on CPU,
NCCL on GPUs).
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from polyglot_lm.model.transformer import Attention, GPTNeoX
from polyglot_lm.pipeline import Layout, UserError

REPLICA, SHARD, TENSOR = MESH = ("replica", "shard", "tensor")
DATA = "data"  # replica × shard: ranks that read different windows
JOIN_SECONDS = 600
SPLIT = {
    "attention.query_key_value": ColwiseParallel(),  # its rows are interleaved by head, so a part of them is a part of the heads
    "attention.dense": RowwiseParallel(),
    "mlp.dense_h_to_4h": ColwiseParallel(),
    "mlp.dense_4h_to_h": RowwiseParallel(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """This rank among `size`, the device it computes on, and what it shares with whom."""

    rank: int
    size: int
    device: torch.device
    shards: int = 1
    tensor: int = 1
    mesh: DeviceMesh | None = None
    saving: distributed.ProcessGroup | None = None  # gloo, for checkpoints written beside the training

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def readers(self) -> int:
        """How many ranks read different windows."""
        return self.size // self.tensor

    @property
    def part(self) -> tuple[int, int]:
        """Which part of a step's windows this rank reads, of how many."""
        return self.rank // self.tensor, self.readers

    def split(self, network: GPTNeoX) -> None:
        """Give every rank its slice of the blocks' matrices; the embedding, the head and the norms stay whole."""
        if self.mesh is None or self.tensor == 1:
            return
        for block in network.layers:
            parallelize_module(block, self.mesh[TENSOR], SPLIT, src_data_rank=None)
            attention = cast(Attention, block.get_submodule("attention"))
            attention.num_heads //= self.tensor

    def shard(self, network: GPTNeoX, *, low_precision: bool) -> None:
        """Spread parameters, gradients and optimizer state over the shards: block by block, and what is outside of them."""
        if self.mesh is None or self.shards == 1:
            return
        copies = self.size // (self.shards * self.tensor)
        spread(network, self.mesh[REPLICA, SHARD] if copies > 1 else self.mesh[SHARD], low_precision=low_precision)

    @contextmanager
    def looking(self, network: nn.Module) -> Iterator[None]:
        """Compute without gradients; without a backward pass, what is outside of the blocks would stay gathered."""
        with torch.no_grad():
            yield
        if isinstance(network, FSDPModule):
            network.reshard()

    @contextmanager
    def accumulating(self, network: nn.Module, *, last: bool) -> Iterator[None]:
        """Add copies' gradients up after the last micro-batch of a step only."""
        if isinstance(network, FSDPModule):
            network.set_requires_all_reduce(last)
        yield
        if last and self.mesh is not None and self.shards == 1:
            self.sum_gradients(network.parameters())

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients of all copies, in one message."""
        gradients = [local(parameter.grad) for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat, group=self.group(DATA))
        totals = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, totals, strict=True):
            gradient.copy_(total.view_as(gradient))

    def gradient_norm(self, parameters: Iterable[Tensor]) -> Tensor:
        """Return the Euclidean norm of all gradients, each element counted once wherever it lies; no rank waits for its device."""
        by_place: dict[tuple[str, ...], list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                by_place.setdefault(divided_over(parameter.grad), []).append(local(parameter.grad))
        total = torch.zeros((), device=self.device)
        for names, gradients in by_place.items():
            squares = torch.stack(torch._foreach_norm(gradients)).square().sum()
            for name in names:
                distributed.all_reduce(squares, group=self.group(name))
            total += squares
        return total.sqrt()

    def place(self, windows: npt.NDArray[np.int64]) -> Tensor:
        """Return windows on this rank's device, without waiting for it."""
        here = torch.from_numpy(windows)
        return here.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else here

    def sum(self, value: Tensor) -> Tensor:
        """Add a value of every reader, in place."""
        if self.mesh is not None:
            distributed.all_reduce(value, group=self.group(DATA))
        return value

    def highest(self, *wishes: int) -> list[int]:
        """Return the highest wish of any rank, each: clocks and signals differ, and all must save at the same step."""
        flags = torch.tensor(wishes)  # on the CPU: gloo, and no wait for a GPU
        if self.size > 1:
            distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
        return [int(flag) for flag in flags]

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier(group=self.saving)

    def agree(self, error: str | None) -> None:
        """Raise UserError on every rank when any has one, so that none waits for it."""
        found: list[str | None] = [error]
        if self.size > 1:
            found *= self.size
            distributed.all_gather_object(found, error, group=self.saving)
        if first := next((each for each in found if each is not None), None):
            raise UserError(first)

    def group(self, name: str) -> distributed.ProcessGroup:
        assert self.mesh is not None
        return self.mesh.get_group(name) if name in MESH else self.mesh[REPLICA, SHARD]._flatten(DATA).get_group()


def spread(network: GPTNeoX, mesh: DeviceMesh, *, low_precision: bool) -> None:
    """Shard a network over a mesh of one dimension, or of two: copies, and the shards of each (FSDP2, HSDP)."""
    precision = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if low_precision else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,  # the rotary tables stay fp32
    )
    for module in (*network.layers, network):
        fully_shard(module, mesh=mesh, mp_policy=precision)
    for part in network.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that lies here, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from all ranks, every one of which must call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_over(tensor: Tensor) -> tuple[str, ...]:
    """Name the dimensions of the mesh over which a tensor is divided."""
    if not isinstance(tensor, DTensor):
        return ()
    names = tensor.device_mesh.mesh_dim_names or ()
    return tuple(name for name, placement in zip(names, tensor.placements, strict=True) if not placement.is_replicate())


def fill(target: Tensor, values: Tensor) -> None:
    """Write what this rank holds of `values`, a whole tensor, into `target`."""
    if isinstance(target, DTensor):
        shape, offset = compute_local_shape_and_global_offset(target.shape, target.device_mesh, target.placements)
        values = values[tuple(slice(start, start + length) for start, length in zip(offset, shape, strict=True))]
    with torch.no_grad():
        local(target).copy_(values)


@contextmanager
def joined(device: str, layout: Layout, *, shardable: bool = True) -> Iterator[World]:
    """Join the other ranks, if torchrun started any, for the block. `device` is auto, cpu or cuda. Without a word in the layout
    all ranks share one copy of the model where `shardable`, else each holds its own.

    Raises UserError when ranks are missing, or when the layout does not divide them.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = choose_device(device)
    if size % layout.tensor:
        raise UserError(f"tensor is {layout.tensor}, which does not divide {size} processes; choose a divisor, or start others")
    shards = layout.shards or (size // layout.tensor if shardable else 1)
    if size % (layout.tensor * shards):
        raise UserError(
            f"{size} processes cannot be divided into tensor {layout.tensor} × shards {shards} × copies; choose divisors of {size}"
        )
    if size == 1:
        yield World(rank=0, size=1, device=chosen)
        return
    meet(chosen, size)
    try:
        shape = (size // (shards * layout.tensor), shards, layout.tensor)
        mesh = init_device_mesh(chosen.type, shape, mesh_dim_names=MESH)
        saving = distributed.new_group(backend="gloo")
        yield World(rank=rank, size=size, device=chosen, shards=shards, tensor=layout.tensor, mesh=mesh, saving=saving)
    finally:
        distributed.destroy_process_group()


def meet(device: torch.device, size: int) -> None:
    seconds = float(os.environ.get("POLYGLOT_JOIN_SECONDS", JOIN_SECONDS))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(backend, timeout=timedelta(seconds=seconds))
    except (distributed.DistStoreError, distributed.DistNetworkError) as error:
        raise UserError(
            f"not all {size} processes came within {seconds:.0f} s; see which node did not start, then start all of them again"
        ) from error


def choose_device(device: str) -> torch.device:
    """Raises UserError for a device that this machine does not have."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device is {device!r}; it must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda', but torch sees no GPU here; use --device cpu")
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(chosen)
    return chosen
