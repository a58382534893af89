"""Tokens on disk: one flat file of ids, an index beside it, one description over all shards.

    <folder>/shard-00000.bin       little-endian ids, no header, bytewise a Megatron `.bin`
    <folder>/shard-00000.parquet   a row a document: id, offset and length in tokens, num_bytes, cluster_size, quality, xxh3
    <folder>/documents.index       over all shards, 16 bytes a document: tokens up to its end, xxh3 of its tokens
    <folder>/dataset.json          totals, dtype, tokenizer hash, upstream folders, xxh3 of every shard and 64 MiB block

One folder holds one language of one source; documents are whole, in corpus order, each ending in `<|endoftext|>`.

Readers need `dataset.json` and `documents.index` alone, and map everything else when it is first read: opening ten thousand shards
costs a stat for each, and memory has a page of what was read, not a row a document. Whoever reads the beginning of a document
checks it against its own checksum (0.1 µs a kilobyte), so a flipped bit is named when it is read, in any order, without a
look at its neighbours: checking 64 MiB blocks at first touch made every rank of a shuffled training read the whole corpus first.
"""

import resource
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from polyglot_lm.pipeline import CorruptFileError, UserError, atomic_path, read_json, write_json

BLOCK_BYTES = 64 * 2**20
SHARD_TOKENS = 2**28
OTHER_FILES = 512  # that a training holds open beside its shards
DESCRIPTION, INDEX = "dataset.json", "documents.index"
DOCUMENT = np.dtype([("end", "<i8"), ("xxh3", "<u8")])  # a row of the index: tokens of the folder up to the document's end
INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int32()),
        ("num_bytes", pa.int32()),
        ("cluster_size", pa.int32()),
        ("quality", pa.float32()),
        ("xxh3", pa.uint64()),  # of the tokens' bytes
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
    """Write shards, their tables, the index and `dataset.json`; return the latter.

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
    """Write the index and `dataset.json` over written shards, by what `write_shard` returned for each; return the latter."""
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
    with atomic_path(folder / INDEX) as temporary, temporary.open("wb") as file:
        file.writelines(rows.data for rows in index_rows(folder, shards))
    write_json(folder / DESCRIPTION, dataset)
    return dataset


def index_rows(folder: Path, shards: Iterable[Mapping[str, Any]]) -> Iterator[npt.NDArray[Any]]:
    """Yield the rows of the index, a shard at a time, by the shards' tables."""
    done = 0
    for shard in shards:
        table = read_table(folder / shard["file"], ("length", "xxh3"))
        rows = np.empty(shard["documents"], DOCUMENT)
        rows["end"] = done + np.cumsum(table["length"], dtype=np.int64)
        rows["xxh3"] = table["xxh3"]
        yield rows
        done += shard["tokens"]


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.bin"


def write_shard(path: Path, documents: Iterator[EncodedDocument], vocab_size: int, *, max_tokens: float) -> dict[str, Any] | None:
    """Write documents until the shard has `max_tokens` or they end; return its description, None when there were none."""
    dtype = token_dtype(vocab_size)
    rows: list[dict[str, Any]] = []
    offset = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for document in documents:
            tokens = np.asarray(document.tokens, dtype=dtype)
            file.write(tokens.tobytes())
            rows.append(
                {
                    "id": document.id,
                    "offset": offset,
                    "length": len(document.tokens),
                    "num_bytes": document.num_bytes,
                    "cluster_size": document.cluster_size,
                    "quality": document.quality,
                    "xxh3": xxhash.xxh3_64_intdigest(tokens.data),
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
    """One file of tokens, mapped when it is first read; raises CorruptFileError when it is missing or cut."""

    def __init__(self, path: Path, description: Mapping[str, Any], dtype: np.dtype[Any]) -> None:
        self.path, self.dtype = path, dtype
        self.blocks: list[str] = description["blocks_xxh3_64"]
        expected = description["tokens"] * dtype.itemsize
        found = path.stat().st_size if path.exists() else -1
        if found != expected:
            raise CorruptFileError(path, "missing" if found < 0 else f"{found} bytes, expected {expected}")

    @cached_property
    def tokens(self) -> Tokens:
        return mapped(self.path, self.dtype)

    def verify(self) -> None:
        """Raise CorruptFileError for the first block that is not what was written."""
        per_block = BLOCK_BYTES // self.dtype.itemsize
        for block, expected in enumerate(self.blocks):
            found = xxhash.xxh3_64_hexdigest(self.tokens[block * per_block : (block + 1) * per_block].data)
            if found != expected:
                raise CorruptFileError(self.path, f"block {block} has checksum {found}, expected {expected}")


class TokenDataset:
    """The documents of one folder by number, over all its shards.

    `ends[number]` are the tokens up to the end of a document, `description` is `dataset.json`. Raises CorruptFileError where
    a file is not what was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = read_json(folder / DESCRIPTION)
        dtype, shards = np.dtype(self.description["dtype"]), self.description["shards"]
        require_open_files(len(shards))
        self.shards = [Shard(folder / shard["file"], shard, dtype) for shard in shards]
        self.shard_ends = np.cumsum([shard["tokens"] for shard in shards], dtype=np.int64)
        self.shard_begins = np.concatenate([[0], self.shard_ends])
        self.index = self.read_index()
        self.ends: npt.NDArray[np.int64] = self.index["end"]

    def read_index(self) -> npt.NDArray[Any]:
        path, rows, tokens = self.folder / INDEX, self.description["documents"], self.description["tokens"]
        found = path.stat().st_size if path.exists() else -1
        if found != rows * DOCUMENT.itemsize:
            raise CorruptFileError(path, "missing" if found < 0 else f"{found} bytes, expected {rows * DOCUMENT.itemsize}")
        index = mapped(path, DOCUMENT) if rows else np.empty(0, DOCUMENT)
        if rows and index["end"][-1] != tokens:
            raise CorruptFileError(path, f"it ends at token {index['end'][-1]}, expected {tokens}")
        return index

    def __len__(self) -> int:
        return len(self.index)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of every document: eight bytes each, for those who need them all."""
        return np.diff(self.ends, prepend=0)

    def document(self, number: int, start: int = 0, stop: int | None = None) -> Tokens:
        """Return the tokens [start, stop) of document `number`, its end token being the last; check it all if `start` is 0."""
        if not 0 <= number < len(self):
            raise IndexError(f"document is {number}; {self.folder} has {len(self)}, numbered from 0")
        return self.pieces(np.array([number]), [start], [stop])[0]

    def pieces(self, numbers: npt.NDArray[np.int64], starts: Sequence[int], stops: Sequence[int | None]) -> list[Tokens]:
        """Return the tokens [start, stop) of each of these documents, as `document` does."""
        rows = self.index[numbers]
        begins = np.where(numbers > 0, self.ends[numbers - 1], 0)
        shards = np.searchsorted(self.shard_ends, begins, side="right")
        before = self.shard_begins[shards]
        where = ((begins - before).tolist(), (rows["end"] - before).tolist(), rows["xxh3"].tolist())
        found = []
        for shard, begin, end, checksum, start, stop in zip(shards.tolist(), *where, starts, stops, strict=True):
            tokens: Tokens = self.shards[shard].tokens[begin:end]
            if start == 0 and xxhash.xxh3_64_intdigest(tokens.data) != checksum:
                raise CorruptFileError(self.shards[shard].path, f"the document at its token {begin} is not what its checksum says")
            found.append(tokens[start:stop])
        return found

    def verify(self) -> None:
        """Check every block of the shards, their tables and the index; raises CorruptFileError at the first that differs."""
        done = 0
        for shard, rows in zip(self.shards, index_rows(self.folder, self.description["shards"]), strict=True):
            shard.verify()
            if not np.array_equal(rows, self.index[done : done + len(rows)]):
                raise CorruptFileError(self.folder / INDEX, f"it differs from the table of {shard.path.name}")
            done += len(rows)


def mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Map a file as a plain array: slices of a `memmap` cost three times as much."""
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)


def require_open_files(num_files: int) -> None:
    """Let this process hold as many files, since a mapped file keeps its descriptor; raises UserError if the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = num_files + OTHER_FILES
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise UserError(
            f"{num_files} shards are more files than this process may open ({hard}); raise the limit with `ulimit -Hn {needed}`"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def read_table(path: Path, columns: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return columns of a shard's table; raises CorruptFileError when it cannot be read."""
    path = path.with_suffix(".parquet")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, str(error).splitlines()[0]) from error
    return {name: table.column(name).to_numpy() for name in columns}
