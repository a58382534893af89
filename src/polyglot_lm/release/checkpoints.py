"""The tensors of a training's checkpoint, so that an intermediate step is exported like the model at the end.

    <training>/checkpoints/step-00001000/  ─► the names of a Hugging Face folder, one tensor at a time

A checkpoint holds the optimizer's state too and is cut by ranks; torch's reader puts each tensor together from its pieces.
"""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from polyglot_lm.model.hf import HEAD, PREFIX
from polyglot_lm.pipeline import CorruptFileError, read_json, xxh3_128_file
from polyglot_lm.training.checkpoint import INDEX, STATE

MODEL = "model."  # before the name of a parameter; others begin with `optimizer.` and the like


def is_checkpoint(folder: Path) -> bool:
    """Say whether a folder is one that a training wrote to go on from."""
    return (folder / INDEX).exists()


def training_of(folder: Path) -> Path:
    """Return the training's folder of a checkpoint, and any other folder as it is."""
    return folder.resolve().parents[1] if is_checkpoint(folder) else folder


class CheckpointFiles:
    """The parameters in a checkpoint under the names of a Hugging Face folder; raises CorruptFileError when damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for file, expected in read_json(folder / STATE)["xxh3_128"].items():
            found = xxh3_128_file(folder / file) if (folder / file).exists() else "missing"
            if found != expected:
                raise CorruptFileError(folder / file, f"checksum {found}, expected {expected}")
        held = FileSystemReader(folder).read_metadata().state_dict_metadata
        names = [name for name in held if name.startswith(MODEL)]
        self.held = {their_name(name.removeprefix(MODEL)): name for name in names}
        self.kinds = {name: cast(TensorStorageMetadata, held[own]) for name, own in self.held.items()}
        self.shapes = {name: tuple(kind.size) for name, kind in self.kinds.items()}

    def read(self, name: str) -> Tensor:
        """Read one tensor, put together from the pieces of all ranks."""
        found = {self.held[name]: torch.empty(self.shapes[name], dtype=self.kinds[name].properties.dtype)}
        load(found, storage_reader=FileSystemReader(self.folder), no_dist=True)
        return found[self.held[name]]


def their_name(name: str) -> str:
    return name if name == HEAD else PREFIX + name
