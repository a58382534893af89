"""Tokens on disk: one flat file of ids, an index beside it, one description over all shards.

    <folder>/shard-00000.bin       little-endian ids, no header, bytewise a Megatron `.bin`
    <folder>/shard-00000.parquet   a row a document: id, offset and length in tokens, num_bytes, cluster_size, quality
    <folder>/dataset.json          totals, dtype, tokenizer hash, upstream folders, xxh3 of every shard and 64 MiB block

One folder holds one language of one source; documents are whole, in corpus order, each ending in `<|endoftext|>`.
Reading maps the files; a block is checked against its checksum the first time anything in it is read, so opening a
terabyte costs nothing and a flipped bit is still named.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from polyglot_lm.pipeline import CorruptFileError, atomic_path, read_json, write_json

BLOCK_BYTES = 64 * 2**20
SHARD_TOKENS = 2**28
DESCRIPTION = "dataset.json"
INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int32()),
        ("num_bytes", pa.int32()),
        ("cluster_size", pa.int32()),
        ("quality", pa.float32()),
    ]
)
Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.int32]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2") if vocab_size <= 65_536 else np.dtype("<i4")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedDocument:
    """A document as ids, its end token included, with what the index keeps of it."""

    id: str
    tokens: Sequence[int] | npt.NDArray[np.unsignedinteger[Any]]
    num_bytes: int
    cluster_size: int
    quality: float | None


def write_tokens(
    folder: Path, documents: Iterable[EncodedDocument], vocab_size: int, description: Mapping[str, Any]
) -> dict[str, Any]:
    """Write shards, indexes and `dataset.json`; return the latter.

    `description` is what the caller knows: lang, source, byte_premium, tokenizer, upstream. Memory holds the index of
    one shard, never its tokens.
    """
    stream = iter(documents)
    shards: list[dict[str, Any]] = []
    while shard := write_shard(shard_path(folder, len(shards)), stream, vocab_size, max_tokens=SHARD_TOKENS):
        shards.append(shard)
    return describe_tokens(folder, shards, vocab_size, description)


def describe_tokens(
    folder: Path, shards: Sequence[Mapping[str, Any]], vocab_size: int, description: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `dataset.json` over shards that are written, by what `write_shard` returned for each; return its content."""
    totals = {key: sum(shard[key] for shard in shards) for key in ("documents", "tokens", "bytes")}
    english_bytes = totals["bytes"] / description["byte_premium"]
    dataset = {
        **description,
        **totals,
        "english_bytes": english_bytes,
        "bytes_per_token": totals["bytes"] / max(1, totals["tokens"]),
        "english_bytes_per_token": english_bytes / max(1, totals["tokens"]),
        "dtype": token_dtype(vocab_size).str,
        "vocab_size": vocab_size,
        "shards": shards,
    }
    write_json(folder / DESCRIPTION, dataset)
    return dataset


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.bin"


def write_shard(path: Path, documents: Iterator[EncodedDocument], vocab_size: int, *, max_tokens: float) -> dict[str, Any] | None:
    """Write documents until the shard has `max_tokens` or they end; return its description, None when there were none."""
    dtype = token_dtype(vocab_size)
    rows: list[dict[str, Any]] = []
    offset = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for document in documents:
            file.write(np.asarray(document.tokens, dtype=dtype).tobytes())
            rows.append(
                {
                    "id": document.id,
                    "offset": offset,
                    "length": len(document.tokens),
                    "num_bytes": document.num_bytes,
                    "cluster_size": document.cluster_size,
                    "quality": document.quality,
                }
            )
            offset += len(document.tokens)
            if offset >= max_tokens:
                break
    if not rows:
        path.unlink()
        return None
    with atomic_path(path.with_suffix(".parquet")) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA), temporary, write_page_checksum=True)
    whole, blocks = checksums(path)
    return {
        "file": path.name,
        "documents": len(rows),
        "tokens": offset,
        "bytes": sum(row["num_bytes"] for row in rows),
        "xxh3_128": whole,
        "blocks_xxh3_64": blocks,
    }


def checksums(path: Path) -> tuple[str, list[str]]:
    whole, blocks = xxhash.xxh3_128(), []
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            whole.update(block)
            blocks.append(xxhash.xxh3_64_hexdigest(block))
    return whole.hexdigest(), blocks


class Shard:
    """One mapped file of tokens that checks each block before it is first read."""

    def __init__(self, path: Path, description: Mapping[str, Any], dtype: np.dtype[Any]) -> None:
        self.path = path
        self.blocks: list[str] = description["blocks_xxh3_64"]
        self.checked = [False] * len(self.blocks)
        expected = description["tokens"] * dtype.itemsize
        found = path.stat().st_size if path.exists() else -1
        if found != expected:
            raise CorruptFileError(path, "missing" if found < 0 else f"{found} bytes, expected {expected}")
        self.tokens: Tokens = np.memmap(path, dtype=dtype, mode="r")

    def read(self, offset: int, length: int) -> Tokens:
        size = self.tokens.itemsize
        for block in range(offset * size // BLOCK_BYTES, ((offset + length) * size - 1) // BLOCK_BYTES + 1):
            if not self.checked[block]:
                self.check(block)
        return self.tokens[offset : offset + length]

    def check(self, block: int) -> None:
        """Raise CorruptFileError when the block is not what was written."""
        per_block = BLOCK_BYTES // self.tokens.itemsize
        found = xxhash.xxh3_64_hexdigest(self.tokens[block * per_block : (block + 1) * per_block].data)
        if found != self.blocks[block]:
            raise CorruptFileError(self.path, f"block {block} has checksum {found}, expected {self.blocks[block]}")
        self.checked[block] = True

    def verify(self) -> None:
        for block in range(len(self.blocks)):
            self.check(block)


class TokenDataset:
    """The documents of one folder by number, over all its shards.

    `lengths` are tokens a document; `description` is `dataset.json`. Raises CorruptFileError where a file is not what its
    checksum says.
    """

    def __init__(self, folder: Path) -> None:
        self.description = read_json(folder / DESCRIPTION)
        dtype = np.dtype(self.description["dtype"])
        self.shards = [Shard(folder / shard["file"], shard, dtype) for shard in self.description["shards"]]
        indexes = [read_index(shard.path.with_suffix(".parquet")) for shard in self.shards]
        self.offsets = np.concatenate([index["offset"] for index in indexes] or [np.zeros(0, np.int64)])
        self.lengths = np.concatenate([index["length"] for index in indexes] or [np.zeros(0, np.int64)])
        self.shard_of = np.repeat(np.arange(len(indexes)), [len(index["offset"]) for index in indexes])

    def __len__(self) -> int:
        return len(self.lengths)

    def document(self, number: int, start: int = 0, stop: int | None = None) -> Tokens:
        """Return the tokens [start, stop) of document `number`, its end token being the last."""
        length = int(self.lengths[number])
        stop = length if stop is None else min(stop, length)
        shard: Shard = self.shards[self.shard_of[number]]
        return shard.read(int(self.offsets[number]) + start, stop - start)

    def verify(self) -> None:
        """Check every block; raises CorruptFileError at the first that differs."""
        for shard in self.shards:
            shard.verify()


def read_index(path: Path) -> dict[str, npt.NDArray[np.int64]]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=["offset", "length"])
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, str(error).splitlines()[0]) from error
    return {name: table.column(name).to_numpy().astype(np.int64) for name in ("offset", "length")}
