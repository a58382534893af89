"""How often a document is read in one epoch: more where many near-copies stood for it, or where it ranks high in quality.

Deduplication leaves one document of each cluster of near-duplicates; text that many pages repeat is often better than text of one
page, up to a point beyond which it is spam, so it is read again as the size of its cluster says (rehydration, FineWeb2, arXiv
2506.20920). Reading more of good text rather than weighing its loss keeps the gradient's variance low (arXiv 2410.04579).

Nothing on disk changes: cluster size and quality lie in the index of the shards, the mixture keeps the two tables, and the sampler
is told how often each document occurs. What is repeated spends the budget of repetition, so a cap on epochs counts documents once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyglot_lm.shards import TokenDataset

MOST = 255
Occurrences = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Times a document is read in an epoch: those of its cluster's size times those of its quality's rank in [0, 1].

    Each is a rising table of (from, times); a document without a rank has rank 0.
    """

    by_cluster_size: tuple[tuple[int, int], ...] = ((1, 1),)
    by_quality: tuple[tuple[float, int], ...] = ((0.0, 1),)

    def __post_init__(self) -> None:
        for name, first in (("by_cluster_size", 1), ("by_quality", 0)):
            starts, times = [start for start, _ in getattr(self, name)], [count for _, count in getattr(self, name)]
            if not starts or starts[0] != first or starts != sorted(set(starts)):
                raise ValueError(f"{name} starts at {starts}; it must begin with {first} and rise")
            if min(times) < 0 or max(times) == 0:
                raise ValueError(f"{name} reads {times} times; these must be 0 or more, and one above 0")
        most = max(count for _, count in self.by_cluster_size) * max(count for _, count in self.by_quality)
        if most > MOST:
            raise ValueError(f"a document may be read {most} times in an epoch; lower the tables so that it is {MOST} at most")

    def occurrences(self, cluster_sizes: npt.NDArray[Any], qualities: npt.NDArray[Any]) -> Occurrences:
        """Return how often each document is read in an epoch."""
        times = looked_up(self.by_cluster_size, np.maximum(cluster_sizes, 1)) * looked_up(self.by_quality, qualities)
        return times.astype(np.uint8)


# smallest cluster size, times read: the simple weights of huggingface/fineweb-2
FINEWEB2 = Repeats(by_cluster_size=((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1)))


def looked_up(table: tuple[tuple[float, int], ...], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    starts, times = np.array([start for start, _ in table]), np.array([count for _, count in table], dtype=np.int64)
    return np.asarray(times[np.searchsorted(starts, values, side="right") - 1])


def occurrences_of(dataset: TokenDataset, repeats: Repeats) -> Occurrences:
    """Return how often each document of a dataset is read in an epoch: a byte a document."""
    return np.concatenate([of_index(table, repeats) for table in indexes(dataset, "cluster_size", "quality")])


def read_in_an_epoch(dataset: TokenDataset, repeats: Repeats) -> dict[str, int]:
    """Return tokens and bytes that one epoch reads, and the tokens of the documents that it reads at all."""
    if repeats == Repeats():
        tokens, num_bytes = dataset.description["tokens"], dataset.description["bytes"]
        return {"tokens": tokens, "bytes": num_bytes, "unique_tokens": tokens}
    total = {"tokens": 0, "bytes": 0, "unique_tokens": 0}
    for table in indexes(dataset, "length", "num_bytes", "cluster_size", "quality"):
        times, lengths = of_index(table, repeats).astype(np.int64), table["length"].to_numpy()
        total["tokens"] += int((times * lengths).sum())
        total["bytes"] += int((times * table["num_bytes"].to_numpy()).sum())
        total["unique_tokens"] += int(lengths[times > 0].sum())
    return total


def of_index(table: pa.Table, repeats: Repeats) -> Occurrences:
    qualities = pc.fill_null(table["quality"].cast(pa.float64()), 0.0)
    return repeats.occurrences(table["cluster_size"].to_numpy(), qualities.to_numpy())


def indexes(dataset: TokenDataset, *columns: str) -> Iterator[pa.Table]:
    """Yield columns of the index of each shard, one in memory at a time."""
    for shard in dataset.shards:
        yield pq.read_table(shard.path.with_suffix(".parquet"), columns=list(columns))


def as_json(repeats: Repeats) -> Mapping[str, Any]:
    return {"by_cluster_size": repeats.by_cluster_size, "by_quality": repeats.by_quality}


def from_json(read: Mapping[str, Any]) -> Repeats:
    return Repeats(**{name: tuple((start, times) for start, times in table) for name, table in read.items()})
