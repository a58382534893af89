"""Token shards for Megatron-LM: an `.idx` beside every `.bin`, which is Megatron's already.

    shard-00000.idx    magic, version, dtype, counts; tokens of every sequence, where each begins, and which begin documents

A sequence is a document of ours, its end token included. Layout: `megatron/core/datasets/indexed_dataset.py` of NVIDIA/Megatron-LM.
"""

import struct
from pathlib import Path

import numpy as np

from polyglot_lm.pipeline import atomic_path
from polyglot_lm.shards import TokenDataset

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
DTYPE_CODES = {"<u2": 8, "<i4": 4}


def write_megatron_index(folder: Path) -> list[Path]:
    """Write the index of every shard in a folder of tokens; return the files. Their common stem is what Megatron is given."""
    dataset = TokenDataset(folder)
    code = DTYPE_CODES[dataset.description["dtype"]]
    bounds = np.searchsorted(dataset.ends, dataset.shard_ends, side="right")
    written = []
    for shard, lengths in zip(dataset.shards, np.split(dataset.lengths, bounds[:-1]), strict=True):
        starts = (np.cumsum(lengths) - lengths) * shard.dtype.itemsize
        path = shard.path.with_suffix(".idx")
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(MAGIC + struct.pack("<QBQQ", VERSION, code, len(lengths), len(lengths) + 1))
            file.write(lengths.astype("<i4").tobytes())
            file.write(starts.astype("<i8").tobytes())
            file.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
        written.append(path)
    return written
