"""Weights of any GPT-NeoX folder, tensor by tensor, and networks that compute with them without ever holding them whole.

    folder (safetensors or pytorch_model.bin, one file or many) ─► TensorFiles: their names ─► Weights: our names, our shapes

A 12.8B in fp32 is 51 GB; exporting and proving it takes a few gigabytes, because a tensor is read when it is needed and
a module has its parameters only while it computes. Everything that can be wrong with a folder (a file missing or cut, a tensor
missing or of another shape, a wrong checksum) is found when it is opened, before anything is written.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.hf import (
    CHECKSUMS,
    CONFIG,
    HEAD,
    IGNORED,
    MODEL_FOLDER,
    PREFIX,
    WEIGHTS,
    WEIGHTS_INDEX,
    from_hf_config,
)
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import CorruptFileError, UserError, read_json, xxh3_128_file
from polyglot_lm.release.checkpoints import CheckpointFiles, is_checkpoint, training_of

EMBEDDINGS = ("embed_in.weight", HEAD)  # their rows are padded to the configuration's vocabulary
LEGACY, LEGACY_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"  # as transformers wrote before safetensors
MIXED = "query_key_value"
Read = Callable[[str], Tensor]
Network = TypeVar("Network", bound=nn.Module)


class TensorFiles:
    """The tensors of a folder under the names in its files; raises UserError when it has none, CorruptFileError when damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        paths = weight_paths(folder)
        verify_checksums(folder, paths)
        for path in paths:
            for name, shape in shapes_in(path).items():
                self.places[name], self.shapes[name] = path, shape
        self.num_bytes = sum(path.stat().st_size for path in paths)

    def read(self, name: str) -> Tensor:
        """Read one tensor; its pages leave memory with it."""
        path = self.places[name]
        if path.suffix == ".bin":
            return legacy(path)[name]
        with safe_open(path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor


def weight_paths(folder: Path) -> list[Path]:
    for index, single in ((WEIGHTS_INDEX, WEIGHTS), (LEGACY_INDEX, LEGACY)):
        if (folder / index).exists():
            return [folder / name for name in sorted(set(read_json(folder / index)["weight_map"].values()))]
        if (folder / single).exists():
            return [folder / single]
    raise UserError(f"no {WEIGHTS} in {str(folder)!r}; give the folder of an exported model")


def verify_checksums(folder: Path, paths: list[Path]) -> None:
    checksums = read_json(folder / CHECKSUMS) if (folder / CHECKSUMS).exists() else {}
    for path in paths:
        if not path.exists():
            raise CorruptFileError(path, "missing")
        if path.name in checksums and (found := xxh3_128_file(path)) != checksums[path.name]:
            raise CorruptFileError(path, f"checksum {found}, expected {checksums[path.name]}")


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    if path.suffix == ".bin":
        return {name: tuple(tensor.shape) for name, tensor in legacy(path).items()}
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(path, str(error)) from error


@functools.lru_cache(maxsize=4)
def legacy(path: Path) -> dict[str, Tensor]:
    """Map a pickled checkpoint into memory; only tensors are unpickled."""
    try:
        loaded: dict[str, Tensor] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # torch raises RuntimeError, EOFError, UnpicklingError or OSError for a damaged file
        raise CorruptFileError(path, str(error).splitlines()[0]) from error
    return loaded


class Weights:
    """A model's configuration and its tensors under our names, embeddings padded to the configuration's vocabulary."""

    def __init__(self, folder: Path) -> None:
        checkpoint, folder = folder, training_of(folder)
        folder = folder / MODEL_FOLDER if (folder / MODEL_FOLDER / CONFIG).exists() else folder
        if not (folder / CONFIG).exists():
            raise UserError(f"no {CONFIG} in {str(folder)!r}; give the folder of a trained or exported model")
        self.folder = folder
        read = read_json(folder / CONFIG)
        if not read.get("attention_bias", True):
            raise UserError(f"attention_bias is false in {str(folder / CONFIG)!r}; only models with biases can be loaded")
        self.config = from_hf_config(read)
        self.files = CheckpointFiles(checkpoint) if is_checkpoint(checkpoint) else TensorFiles(folder)
        self.shapes = expected_shapes(self.config)
        self.theirs = {name: self.their_name(name) for name in self.shapes}
        self.require_whole()

    @property
    def dtype(self) -> str:
        """The stored precision, such as float16."""
        return str(self.read("final_layer_norm.weight").dtype).removeprefix("torch.")

    def their_name(self, name: str) -> str:
        if name == HEAD and self.config.tied_head:
            name = "embed_in.weight"
        return name if name == HEAD else PREFIX + name

    def require_whole(self) -> None:
        for name, shape in self.shapes.items():
            found = self.files.shapes.get(self.theirs[name])
            rows = min(shape[0], found[0]) if found and name in EMBEDDINGS else shape[0]
            if found != (rows, *shape[1:]):
                what = f"{self.theirs[name]} has the shape {found}, {CONFIG} says {shape}" if found else f"no {self.theirs[name]}"
                raise CorruptFileError(self.folder / CONFIG, what)
        known = set(self.theirs.values()) | {HEAD}
        for name in self.files.shapes:
            if name not in known and not name.endswith(IGNORED):
                raise CorruptFileError(self.folder / CONFIG, f"it does not account for the tensor {name}")

    def read(self, name: str) -> Tensor:
        """Read a tensor by our name."""
        tensor = self.files.read(self.theirs[name])
        missing = self.shapes[name][0] - tensor.shape[0]
        return torch.cat([tensor, tensor.new_zeros(missing, tensor.shape[1])]) if missing else tensor

    def network(self) -> GPTNeoX:
        """Return the model, streamed, computing in fp32."""
        return streamed(bare(self.config), self.read)


def bare(config: ModelConfig) -> GPTNeoX:
    with torch.device("meta"):
        return GPTNeoX(config).eval()


def expected_shapes(config: ModelConfig) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in bare(config).state_dict().items()}


def streamed(network: Network, read: Read) -> Network:
    """Let each module of a network on the meta device have its parameters, in fp32, only while it computes."""
    for path, module in network.named_modules():
        names = {name: f"{path}.{name}" for name, _ in module.named_parameters(recurse=False)}
        if names:
            module.register_forward_pre_hook(functools.partial(fill, names=names, read=read))
            module.register_forward_hook(functools.partial(empty, names=names))
    return network


def fill(module: nn.Module, _: Any, *, names: Mapping[str, str], read: Read) -> None:
    for name, full in names.items():
        setattr(module, name, nn.Parameter(read(full).float(), requires_grad=False))


def empty(module: nn.Module, *_: Any, names: Mapping[str, str]) -> None:
    for name in names:
        setattr(module, name, nn.Parameter(torch.empty(0, device="meta"), requires_grad=False))


def by_kind(rows: Tensor, config: ModelConfig) -> Tensor:
    """Turn rows [head, 3, head_width] of query, key and value into all queries, then all keys, then all values."""
    return rows.reshape(config.num_heads, 3, config.head_width, -1).transpose(0, 1).reshape(rows.shape).contiguous()


def by_head(rows: Tensor, config: ModelConfig) -> Tensor:
    """Undo `by_kind`."""
    return rows.reshape(3, config.num_heads, config.head_width, -1).transpose(0, 1).reshape(rows.shape).contiguous()
