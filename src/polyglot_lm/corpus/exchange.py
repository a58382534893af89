"""Rows that find each other through files: every task writes its rows sorted by partition, every partition is read back whole.

    <file> = int64 offsets[partitions + 1] (in rows), then the rows, partition after partition

One file a task instead of one a partition keeps the number of files small; a reducer reads one range of each. `Flat` is the
other half: one value a document in files of fixed-size records, looked up by the document's number without holding them.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from polyglot_lm.pipeline import CorruptFileError, atomic_path

Array = np.ndarray[Any, Any]
OFFSET = np.dtype("<i8")
ROWS_PER_PARTITION = 4_000_000  # of 12 to 20 bytes: reading and sorting them stays below 0.3 GB


def partitions_for(rows: int) -> int:
    """Return how many partitions hold so many rows; a fact of the data, not of the workers."""
    return max(1, -(-rows // ROWS_PER_PARTITION))


def partition_of(keys: Array, partitions: int) -> Array:
    """Spread uint64 keys evenly over the partitions by their high 32 bits."""
    high = keys >> np.uint64(32)
    return (high * np.uint64(partitions) >> np.uint64(32)).astype(np.int64)


def write_rows(path: Path, rows: Array, partition: Array, partitions: int) -> None:
    order = np.argsort(partition, kind="stable")
    offsets = np.searchsorted(partition[order], np.arange(partitions + 1)).astype(OFFSET)
    write_flat(path, [offsets, rows[order]])


def write_flat(path: Path, arrays: Iterable[Array]) -> None:
    """Write arrays one after the other, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)


def read_rows(paths: Iterable[Path], partition: int, partitions: int, dtype: np.dtype[Any]) -> Array:
    """Return the rows of one partition of all files, in the order of the files."""
    pieces = [read_range(path, partition, partitions, dtype) for path in paths]
    return np.concatenate([np.empty(0, dtype), *pieces])


def read_range(path: Path, partition: int, partitions: int, dtype: np.dtype[Any]) -> Array:
    with path.open("rb") as file:
        file.seek(partition * OFFSET.itemsize)
        start, stop = np.frombuffer(read_exactly(file, path, 2 * OFFSET.itemsize), OFFSET).tolist()
        file.seek((partitions + 1) * OFFSET.itemsize + start * dtype.itemsize)
        return np.frombuffer(read_exactly(file, path, (stop - start) * dtype.itemsize), dtype)


def read_exactly(file: BinaryIO, path: Path, num_bytes: int) -> bytes:
    content = file.read(num_bytes)
    if len(content) < num_bytes:
        raise CorruptFileError(path, "it is cut")
    return content


class Flat:
    """Fixed-size records of all documents, part after part: number `firsts[k]` is record 0 of `paths[k]`."""

    def __init__(self, paths: Sequence[Path], rows: Sequence[int], dtype: str, width: int) -> None:
        self.paths, self.dtype, self.width = paths, np.dtype(dtype), width
        self.firsts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self.opened: dict[int, Array] = {}

    def part(self, number: int) -> Array:
        """Map one part, as [rows, width]; raises CorruptFileError when its size is not that of its rows."""
        if number not in self.opened:
            path, rows = self.paths[number], int(self.firsts[number + 1] - self.firsts[number])
            if path.stat().st_size != rows * self.width * self.dtype.itemsize:
                raise CorruptFileError(path, f"it does not hold {rows} records")
            shape = (rows, self.width)
            self.opened[number] = np.memmap(path, self.dtype, "r", shape=shape) if rows else np.empty(shape, self.dtype)
        return self.opened[number]

    def gather(self, documents: Array) -> Array:
        """Return the records of these documents, as [documents, width]."""
        found = np.empty((len(documents), self.width), self.dtype)
        parts = np.searchsorted(self.firsts, documents, side="right") - 1
        order = np.argsort(parts, kind="stable")
        for start, stop in runs(parts[order]):
            chosen = order[start:stop]
            number = int(parts[chosen[0]])
            found[chosen] = self.part(number)[documents[chosen].astype(np.int64) - self.firsts[number]]
        return found


def signature_path(part: Path) -> Path:
    """Return where the signatures of a part's documents lie, in its order."""
    return part.parent / "signatures" / f"{part.stem}.bin"


def runs(values: Array) -> Iterator[tuple[int, int]]:
    """Yield the bounds of the runs of equal neighbours."""
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    bounds = [0, *edges.tolist(), len(values)] if len(values) else [0]
    yield from itertools.pairwise(bounds)
