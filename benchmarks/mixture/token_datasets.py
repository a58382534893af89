"""The token shards that are measured: random ids in documents whose lengths are log-normal, 900 tokens in the mean.

speed/<source>   8 sources of 16 M tokens in shards of 4 M, for the tokens a second
many/<source>    8 sources of 1,250 shards of 20 documents, for the start and for random documents
large, small     one source of 32 M or of 0.3 M documents of which only the index is real, for memory and replay
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from polyglot_lm.pipeline import write_json
from polyglot_lm.shards import EncodedDocument, describe_tokens, shard_path, tokens, write_shard

SOURCES = tuple("abcdefgh")
MEAN_TOKENS = 900
VOCAB_SIZE = 65_536
DESCRIPTION = {"lang": "en", "source": "random", "byte_premium": 1.0, "tokenizer": "none", "upstream": []}


def lengths(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).lognormal(np.log(MEAN_TOKENS) - 0.6, 1.1, count)
    return np.maximum(2, drawn).astype(np.int64)


def documents(count: int, seed: int) -> Iterator[EncodedDocument]:
    draw = np.random.default_rng(seed)
    for number, length in enumerate(lengths(count, seed).tolist()):
        ids = draw.integers(64, VOCAB_SIZE, length, dtype=np.uint16)
        ids[-1] = 2
        yield EncodedDocument(id=str(number), tokens=ids, num_bytes=4 * length, cluster_size=1, quality=None)


def write_speed(root: Path, num_tokens: int, shard_tokens: int) -> None:
    for seed, source in enumerate(SOURCES):
        folder, stream, shards = root / source, documents(num_tokens // MEAN_TOKENS, seed), []
        while shard := write_shard(shard_path(folder, len(shards)), stream, VOCAB_SIZE, max_tokens=shard_tokens):
            shards.append(shard)
        describe_tokens(folder, shards, VOCAB_SIZE, DESCRIPTION)


def write_many(root: Path, num_shards: int) -> None:
    """Write one shard a source and copy it: the files are many, not the random numbers."""
    for seed, source in enumerate(SOURCES):
        folder = root / source
        first = shard_path(folder, 0)
        shard = write_shard(first, documents(20, seed), VOCAB_SIZE, max_tokens=np.inf)
        paths = [shard_path(folder, number) for number in range(num_shards // len(SOURCES))]
        for path in paths[1:]:
            for suffix in (".bin", ".parquet"):
                shutil.copyfile(first.with_suffix(suffix), path.with_suffix(suffix))
        describe_tokens(folder, [{**shard, "file": path.name} for path in paths], VOCAB_SIZE, DESCRIPTION)


def write_index_only(folder: Path, num_documents: int) -> None:
    """Write the index of so many documents over a shard of zeros that takes no place on the disk."""
    folder.mkdir(parents=True)
    rows = np.zeros(num_documents, tokens.DOCUMENT)
    rows["end"] = np.cumsum(lengths(num_documents, 0))
    rows.tofile(folder / tokens.INDEX)
    total = int(rows["end"][-1])
    with shard_path(folder, 0).open("wb") as file:
        file.truncate(2 * total)
    shard = {"file": shard_path(folder, 0).name, "tokens": total, "documents": num_documents, "xxh3_128": "", "blocks_xxh3_64": []}
    write_json(
        folder / tokens.DESCRIPTION,
        {**DESCRIPTION, "tokens": total, "documents": num_documents, "dtype": "<u2", "vocab_size": VOCAB_SIZE, "shards": [shard]},
    )
