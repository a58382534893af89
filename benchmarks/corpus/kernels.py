"""Time the corpus kernels on real text and count planted near-duplicates found.

    python benchmarks/corpus/kernels.py

Speeds are MB (1e6 bytes) of UTF-8 per CPU second, best of three, over equal bytes of each language; the mean is total bytes over
total seconds. LSH rows are synthetic: a million documents, 15 % of which share 60 % of their 20 bands with another, in five
partitions of four bands. Compilation is timed in a process of its own with an empty cache, loading in another with that cache.
Text is looked for in POLYGLOT_SHARED_DATA, or in `shared/data` beside the repository.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from near_duplicates import compare, plant, quality

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.lsh import Components, group, star_edges, verified_edges
from polyglot_lm.corpus.kernels.minhash import band_keys, signatures
from polyglot_lm.corpus.kernels.statistics import statistics
from polyglot_lm.languages import language

LANGUAGES = ("en", "ko", "zh", "ja", "id", "ms", "vi", "th")
BYTES_A_LANGUAGE = 4_000_000
ORIGINALS = 300
MIN_AGREEMENT = 0.72
LSH_DOCUMENTS, LSH_BANDS, LSH_PARTITIONS = 1_000_000, 20, 5
ROUNDS = 3
LOAD = """
import time; start = time.process_time()
import numpy as np
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels import lsh, minhash, statistics
batch = TextBatch.from_texts(["a text", "a text", "文字 ก"])
statistics.statistics(batch, ["a"])
signed = minhash.signatures(batch, 5)
buckets = lsh.group(minhash.band_keys(signed)[:, 0].copy(), np.arange(3, dtype=np.uint32))
components = lsh.Components(3)
components.join(lsh.verified_edges(buckets, signed, 0.72))
components.labels()
print(time.process_time() - start)
"""


def data_folder() -> Path:
    return Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def read_texts(lang: str, num_bytes: int, seed: int = 0) -> list[str]:
    """Return documents of all the language's sources in random order, the last one cut so that bytes are equal."""
    texts = []
    for path in sorted((data_folder() / "text" / lang).glob("*.jsonl.zst")):
        with pa.input_stream(str(path), compression="zstd") as stream:
            texts += [json.loads(line)["text"] for line in stream.read().split(b"\n") if line]
    random.Random(seed).shuffle(texts)
    chosen, left = [], num_bytes
    for text in texts:
        if left > 0:
            chosen.append(text.encode()[:left].decode(errors="ignore"))
            left -= len(chosen[-1].encode())
    return chosen


def cpu_seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def measure_language(lang: str) -> dict[str, float]:
    texts = read_texts(lang, BYTES_A_LANGUAGE)
    batch, units = TextBatch.from_texts(texts), language(lang).shingle_units
    firsts, seconds, _, exact = plant(lang, read_texts(lang, 3_000_000, seed=1), ORIGINALS)
    found = quality(exact, *compare(firsts, seconds, units), MIN_AGREEMENT)
    return {
        "bytes": batch.num_bytes,
        "statistics_seconds": cpu_seconds(lambda: statistics(batch, ("a", "b"))),
        "minhash_seconds": cpu_seconds(lambda: band_keys(signatures(batch, units))),
        "shingle_units": units,
        **found,
    }


def lsh_rows(num_documents: int, seed: int = 0) -> np.ndarray:
    """Return band keys, uint64 [documents, 20]."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 1 << 63, (num_documents, LSH_BANDS)).astype(np.uint64)
    copies = np.flatnonzero(rng.random(num_documents) < 0.15)[1:]
    sources = (rng.random(len(copies)) * copies).astype(np.int64)
    shared = rng.random((len(copies), LSH_BANDS)) < 0.6
    keys[copies] = np.where(shared, keys[sources], keys[copies])
    return keys


def measure_lsh() -> dict[str, float]:
    keys, documents = lsh_rows(LSH_DOCUMENTS), np.arange(LSH_DOCUMENTS, dtype=np.uint32)
    signed = np.random.default_rng(1).integers(0, 1 << 16, (LSH_DOCUMENTS, 120), dtype=np.uint16)
    width = LSH_BANDS // LSH_PARTITIONS
    parts = [np.ascontiguousarray(keys[:, at : at + width].T).ravel() for at in range(0, LSH_BANDS, width)]
    numbers = np.tile(documents, width)

    def cluster(verified: bool) -> None:  # noqa: FBT001  # the one difference between the two figures
        components = Components(LSH_DOCUMENTS)
        for part in parts:
            buckets = group(part, numbers)
            components.join(verified_edges(buckets, signed, MIN_AGREEMENT) if verified else star_edges(buckets))
        components.labels()

    rows = LSH_DOCUMENTS * LSH_BANDS
    return {
        "lsh_mrows_s": rows / cpu_seconds(lambda: cluster(False)) / 1e6,
        "lsh_verified_mrows_s": rows / cpu_seconds(lambda: cluster(True)) / 1e6,
    }


def measure_loading() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        first, second = (
            float(subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, capture_output=True, text=True).stdout)
            for _ in range(2)
        )
    return {"compile_seconds": first, "load_seconds": second}


def summary(table: Sequence[dict[str, float]]) -> dict[str, float]:
    total = sum(row["bytes"] for row in table)
    speeds = {name: [row["bytes"] / row[f"{name}_seconds"] / 1e6 for row in table] for name in ("statistics", "minhash")}
    return {
        "statistics_mb_s": total / sum(row["statistics_seconds"] for row in table) / 1e6,
        "statistics_mb_s_min": min(speeds["statistics"]),
        "minhash_mb_s": total / sum(row["minhash_seconds"] for row in table) / 1e6,
        "minhash_mb_s_min": min(speeds["minhash"]),
        "dedup_recall_min": min(row["recall"] for row in table),
        "dedup_false_max": max(row["false"] for row in table),
    }


def measure(languages: Sequence[str] = LANGUAGES) -> dict[str, float]:
    """Return all figures; prints a row a language."""
    print("lang  statistics  minhash  shingle  recall>=.8  pairs  false<.6  pairs  of those .4-.6")
    table = []
    for lang in languages:
        row = measure_language(lang)
        table.append(row)
        speeds = f"{row['bytes'] / row['statistics_seconds'] / 1e6:10.1f} {row['bytes'] / row['minhash_seconds'] / 1e6:8.1f}"
        counts = f"{row['recall']:10.4f} {row['similar']:6.0f} {row['false']:9.4f} {row['unlike']:6.0f} {row['near']:7.0f}"
        print(f"{lang:4}  {speeds} {row['shingle_units']:8.0f}  {counts}", flush=True)
    return {**summary(table), **measure_lsh(), **measure_loading()}


def main() -> None:
    figures = measure()
    for name, value in figures.items():
        print(f"{name:22} {value:.4g}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
