"""How often a document is read in one epoch: more where many near-copies stood for it, or where it ranks high in quality.

Deduplication leaves one document of each cluster of near-duplicates; text that many pages repeat is often better than text of one
page, up to a point beyond which it is spam, so it is read again as the size of its cluster says (rehydration, FineWeb2, arXiv
2506.20920). Reading more of good text rather than weighing its loss keeps the gradient's variance low (arXiv 2410.04579).

The step writes a dataset of the same shape whose index names a document as often as it is read; the token files are hard links, so
it costs an index and no tokens, and every reader of shards, the sampler first, needs to know nothing of it. What is repeated spends
the budget of repetition: `unique_tokens` in its description is what a cap on epochs counts.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyglot_lm.pipeline import Counters, atomic_path, read_json, stage, write_json

DESCRIPTION = "dataset.json"
UNIQUE_TOKENS = "unique_tokens"
FINEWEB2 = ((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1))  # smallest cluster size, times read (huggingface/fineweb-2)
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Times a document is read in an epoch: those of its cluster's size times those of its quality's rank in [0, 1].

    Each is a table of (from, times), rising; a document without a rank has rank 0.
    """

    by_cluster_size: tuple[tuple[int, int], ...] = ((1, 1),)
    by_quality: tuple[tuple[float, int], ...] = ((0.0, 1),)

    def __post_init__(self) -> None:
        for name, first in (("by_cluster_size", 1), ("by_quality", 0)):
            starts, times = zip(*getattr(self, name), strict=True) if getattr(self, name) else ((), ())
            if not starts or starts[0] != first or list(starts) != sorted(set(starts)):
                raise ValueError(f"{name} starts at {list(starts)}; it must begin with {first} and rise")
            if any(count < 0 for count in times) or not any(times):
                raise ValueError(f"{name} reads {list(times)} times; these must be 0 or more, and one above 0")

    def times(self, cluster_sizes: Counts, qualities: npt.NDArray[np.float64]) -> Counts:
        """Return how often each document is read."""
        return looked_up(self.by_cluster_size, np.maximum(cluster_sizes, 1)) * looked_up(self.by_quality, qualities)


def looked_up(table: tuple[tuple[float, int], ...], values: npt.NDArray[np.generic]) -> Counts:
    starts, times = np.array([start for start, _ in table]), np.array([count for _, count in table], dtype=np.int64)
    return np.asarray(times[np.searchsorted(starts, values, side="right") - 1])


@stage(version=1)
def repeat_documents(out: Path, *, tokens: Path, repeats: Repeats) -> Counters:
    """Write a dataset in which each document stands as often as it is read in an epoch."""
    description = read_json(tokens / DESCRIPTION)
    rows = [repeat_shard(tokens / shard["file"], out / shard["file"], repeats) for shard in description["shards"]]
    totals = {name: int(sum(row[name] for row in rows)) for name in ("documents", "tokens", "bytes", UNIQUE_TOKENS)}
    english_bytes = totals["bytes"] / description["byte_premium"]
    held = {
        "english_bytes": english_bytes,
        "bytes_per_token": totals["bytes"] / max(1, totals["tokens"]),
        "english_bytes_per_token": english_bytes / max(1, totals["tokens"]),
    }
    write_json(out / DESCRIPTION, {**description, **totals, **held})
    return totals


def repeat_shard(source: Path, target: Path, repeats: Repeats) -> dict[str, int]:
    """Link the tokens, write the index with its rows repeated, and count both."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)
    table = pq.read_table(source.with_suffix(".parquet"))
    qualities = pc.fill_null(table["quality"].cast(pa.float64()), 0.0).to_numpy()
    times = repeats.times(table["cluster_size"].to_numpy().astype(np.int64), qualities)
    repeated = table.take(pa.array(np.repeat(np.arange(len(table)), times)))
    with atomic_path(target.with_suffix(".parquet")) as temporary:
        pq.write_table(repeated, temporary, write_page_checksum=True)
    lengths, num_bytes = (table[name].to_numpy().astype(np.int64) for name in ("length", "num_bytes"))
    return {
        "documents": int(times.sum()),
        "tokens": int((times * lengths).sum()),
        "bytes": int((times * num_bytes).sum()),
        UNIQUE_TOKENS: int(lengths[times > 0].sum()),
    }
