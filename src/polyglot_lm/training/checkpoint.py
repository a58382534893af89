"""A training state that is whole or absent, written while the training goes on, and read by any number of ranks.

    <folder>/step-00000400/__0_0.distcp   tensors of rank 0: `model.<name>`, `optimizer.<name>.<field>`, `spikes.<name>`
                           __1_0.distcp   … of every other rank (torch.distributed.checkpoint)
                           .metadata      which piece of which tensor lies where
                           state.json     step, sampler, lineage, checksums of all the files above; written last

A rank copies what it holds into host memory and trains on; a thread writes the copy under a temporary name. When all ranks' files
are on disk, and not before, the first rank notes their checksums and renames the folder: the newest folder of that name is the
latest checkpoint, and only then older ones go. Pieces carry their place in the whole tensor, so another number of ranks or
another layout can read them. Nothing depends on time or place: a run cut anywhere and resumed leaves the same bytes.
"""

import errno
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from polyglot_lm.pipeline import CorruptFileError, UserError, read_json, write_json, xxh3_128_file
from polyglot_lm.pipeline.errors import disk_full
from polyglot_lm.pipeline.files import sync_folder
from polyglot_lm.training.parallel import World, local

NAME, STATE = "step-{:08d}", "state.json"
INDEX = ".metadata"
NOTE = "checksums-{}.json"
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process: that is meant


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """Which checkpoints stay: the newest ones, those of chosen steps, and every so many steps."""

    newest: int
    steps: frozenset[int] = frozenset()
    every: int | None = None

    def milestone(self, step: int) -> bool:
        return step in self.steps or (self.every is not None and step % self.every == 0)

    def most(self, last: int) -> int:
        """Count the checkpoints that lie side by side in a run of `last` steps, while the newest is being written."""
        return sum(self.milestone(step) for step in range(1, last + 1)) + self.newest + 1

    def prune(self, folder: Path) -> None:
        """Delete the other checkpoints."""
        for old in checkpoints(folder)[: -self.newest]:
            if not self.milestone(number(old)):
                remove(old)


class ShardWriter(FileSystemWriter):
    """Writes a rank's tensors with their checksums; the first rank, when all have, makes them a checkpoint."""

    def __init__(self, final: Path, state: Mapping[str, Any], keep: Keep) -> None:
        self.final, self.state, self.keep = final, state, keep
        self.temporary = final.with_name(f".{final.name}.tmp")
        super().__init__(self.temporary, sync_files=True)

    def storage_meta(self) -> None:
        """Leave out what names this very save: a random id and the folder."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> "torch.futures.Future[list[WriteResult]]":
        try:
            written = super().write_data(plan, planner)
        except RuntimeError as error:  # torch.save hides what the disk said
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        rank = plan.storage_data.prefix.strip("_")
        checksums = {path.name: xxh3_128_file(path) for path in sorted(self.temporary.glob(f"__{rank}_*"))}
        write_json(self.temporary / NOTE.format(rank), checksums)
        return written

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        checksums = {INDEX: xxh3_128_file(self.temporary / INDEX)}
        for rank in range(len(results)):
            note = self.temporary / NOTE.format(rank)
            checksums |= read_json(note)
            note.unlink()
        write_json(self.temporary / STATE, {**self.state, "xxh3_128": checksums})
        if self.final.exists():
            remove(self.final)
        self.temporary.rename(self.final)
        sync_folder(self.final.parent)
        self.keep.prune(self.final.parent)


@dataclass(kw_only=True, slots=True)
class Saver:
    """Saves beside the training, one checkpoint at a time."""

    folder: Path
    world: World
    copies: dict[str, Tensor] = field(default_factory=dict)  # in host memory, used again
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "checkpoint"))
    pending: "Future[Any] | None" = None

    def __post_init__(self) -> None:
        if self.world.first:
            for left in self.folder.glob(".step-*.tmp"):
                shutil.rmtree(left)
        self.world.wait()

    @property
    def busy(self) -> bool:
        """Whether a save is still being written, which another one would have to wait for."""
        return self.pending is not None and not self.pending.done()

    def make_room(self, tensors: Mapping[str, Tensor]) -> None:
        """Set host memory aside for copies of these tensors: page-locked memory comes slowly, and no save need wait for it."""
        for name, here in ((name, local(tensor)) for name, tensor in tensors.items() if name not in self.copies):
            self.copies[name] = torch.empty(here.shape, dtype=here.dtype, pin_memory=here.is_cuda)

    def begin(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], keep: Keep) -> None:
        """Copy the tensors and start to write them, when an earlier save has ended."""
        self.finish()
        self.make_room(tensors)
        staged = {name: self.copied(name, tensor) for name, tensor in tensors.items()}
        if self.world.device.type == "cuda":
            torch.cuda.synchronize()
        writer = ShardWriter(self.folder / NAME.format(step), {"step": step, **state}, keep)
        alone = self.world.size == 1
        self.pending = self.thread.submit(save, staged, storage_writer=writer, process_group=self.world.saving, no_dist=alone)

    def copied(self, name: str, tensor: Tensor) -> Tensor:
        """Return the tensor as it is now, this rank's part of it in host memory; on a GPU the copy is under way."""
        kept = self.copies[name].copy_(local(tensor), non_blocking=True)
        if not isinstance(tensor, DTensor):
            return kept
        moved = tensor.detach()  # a new description of the same place in the mesh
        moved._local_tensor = kept  # type: ignore[attr-defined]
        return moved

    def finish(self) -> None:
        """Wait until the last save is a checkpoint; raises UserError when it could not be written."""
        pending, self.pending = self.pending, None
        if pending is not None:
            with explained(self.folder):
                pending.result()

    def close(self) -> None:
        """Wait for the last save, whatever else went wrong, and end the thread."""
        try:
            self.finish()
        finally:
            self.thread.shutdown()


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn a disk that is full or cannot be written, on whichever rank, into a sentence."""
    try:
        yield
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        if any(disk_full(cause) for cause in causes):
            raise UserError(
                f"the disk holding {folder} is full; free space and run again: the last whole checkpoint is kept"
            ) from error
        refused = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno in REFUSED), None)
        if refused is not None:
            raise UserError(f"{folder} cannot be written ({refused.strerror}); make it writable and run again") from error
        raise RuntimeError(str(error)) from error  # theirs is no Exception


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints below `folder`, the newest last."""
    return sorted(state.parent for state in folder.glob(f"step-????????/{STATE}"))


def number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint, its name first, so that half of it is never taken for one."""
    dying = checkpoint.with_name(f".{checkpoint.name}.tmp")
    shutil.rmtree(dying, ignore_errors=True)
    checkpoint.rename(dying)
    shutil.rmtree(dying)


def tensors_of(network: nn.Module, optimizers: Sequence[Optimizer], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all tensors of a training by names that no layout changes."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in named_parameters(network)}
    tensors = {f"model.{name}": parameter.detach() for parameter, name in names.items()}
    for optimizer in optimizers:
        for parameter, fields in optimizer.state.items():
            tensors |= {f"optimizer.{names[parameter]}.{key}": value for key, value in fields.items()}
    return dict(sorted((tensors | dict(others)).items()))  # optimizers remember an order of their own


def load_checkpoint(
    checkpoint: Path, world: World, network: nn.Module, optimizers: Sequence[Optimizer], others: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Fill network, optimizers and the other tensors in place, and return `state.json`.

    Raises UserError on every rank when a file's checksum is wrong on any.
    """
    state = verified_state(checkpoint, world)
    reader = FileSystemReader(checkpoint)
    saved = reader.read_metadata().state_dict_metadata
    owner = {parameter: optimizer for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in named_parameters(network):
        prefix = f"optimizer.{name}."
        for key in (key for key in saved if key.startswith(prefix)):
            one = cast(TensorStorageMetadata, saved[key]).size == torch.Size(())
            value = torch.zeros((), device=world.device) if one else torch.zeros_like(parameter, requires_grad=False)
            owner[parameter].state[parameter][key.removeprefix(prefix)] = value
    targets = tensors_of(network, optimizers, others)
    load(targets, storage_reader=reader, process_group=world.saving, no_dist=world.size == 1)
    return state


def named_parameters(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in network.named_parameters():  # a tied head is there once
        yield name.replace("_checkpoint_wrapped_module.", ""), parameter


def verified_state(checkpoint: Path, world: World) -> dict[str, Any]:
    """Read `state.json` and check the files it names, every rank some of them."""
    error, state = None, {}
    try:
        state = read_json(checkpoint / STATE)
        for name, expected in sorted(state["xxh3_128"].items())[world.rank :: world.size]:
            found = xxh3_128_file(checkpoint / name) if (checkpoint / name).exists() else "missing"
            if found != expected:
                raise CorruptFileError(checkpoint / name, f"checksum {found}, expected {expected}")
    except CorruptFileError as damage:
        if world.size == 1:
            raise
        error = str(damage)
    world.agree(error)
    return state


def lack_of_space(folder: Path, num_bytes: int, copies: int) -> str | None:
    """Say that the disk cannot hold so many checkpoints beside what it holds, if so."""
    existing = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed, free = num_bytes * copies - existing, shutil.disk_usage(folder).free
    if needed <= free:
        return None
    return (
        f"{copies} checkpoints of {num_bytes / 1e9:.3g} GB need {needed / 1e9:.3g} GB, but the disk holding {folder} has "
        f"{free / 1e9:.3g} GB left and is full before the end; free space, or keep fewer (--keep-checkpoints)"
    )
