"""Other readers of the same shards, each behind torch's DataLoader in this process (no workers, so that CPU time counts it all).

    torch       windows at random over all shards: a map-style dataset over memory maps, as most trainers have it
    datatrove   DatatroveFolderDataset 0.10.1, in the order of its files, which is what it is made for

Neither mixes sources by share, keeps documents whole across windows, or says where documents begin; both start a window
wherever the file has one.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

CACHE = Path(os.environ.get("POLYGLOT_BENCH_CACHE", Path.home() / ".cache" / "polyglot-lm" / "bench"))
PINS = ("datatrove==0.10.1", "loguru==0.7.3")  # what its reader needs besides torch, numpy and fsspec


class PlainWindows(Dataset[torch.Tensor]):
    """The k-th stretch of `context + 1` tokens of a list of files."""

    def __init__(self, paths: list[Path], context: int) -> None:
        self.files = [np.memmap(path, dtype=np.uint16, mode="r") for path in paths]
        self.size = context + 1
        self.ends = np.cumsum([len(file) // self.size for file in self.files])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, number: int) -> torch.Tensor:
        file = int(np.searchsorted(self.ends, number, side="right"))
        start = (number - (int(self.ends[file - 1]) if file else 0)) * self.size
        return torch.from_numpy(self.files[file][start : start + self.size].astype(np.int64))


def torch_loader(root: Path, context: int, batch: int) -> Iterable[torch.Tensor]:
    dataset = PlainWindows(sorted(root.rglob("*.bin")), context)
    return DataLoader(dataset, batch_size=batch, shuffle=True, generator=torch.Generator().manual_seed(1))


def datatrove_loader(root: Path, context: int, batch: int) -> Iterable[dict[str, torch.Tensor]]:
    from datatrove.utils.dataset import DatatroveFolderDataset

    dataset = DatatroveFolderDataset(str(root), context, filename_pattern="**/*.bin", recursive=True, token_size=2)
    return DataLoader(dataset, batch_size=batch)


LOADERS: dict[str, Callable[[Path, int, int], Iterable[object]]] = {"torch": torch_loader, "datatrove": datatrove_loader}


def install() -> None:
    """Put datatrove into a folder of its own, behind our own packages."""
    folder = CACHE / "datatrove-reader"
    if not (folder / "installed").exists():
        print(f"installing datatrove into {folder}", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PINS]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (folder / "installed").touch()
    sys.path.append(str(folder))


def tokens_a_second(name: str, root: Path, context: int, batch: int, num_batches: int) -> float:
    """Return tokens in a CPU second of this process, the first batch not counted."""
    torch.set_num_threads(1)
    batches = iter(LOADERS[name](root, context, batch))
    next(batches)
    begin = time.process_time()
    for _ in range(num_batches):
        next(batches)
    return num_batches * batch * context / (time.process_time() - begin)
