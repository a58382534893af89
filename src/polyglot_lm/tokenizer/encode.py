"""Encode the training documents of a corpus into token shards, by the fastest encoder whose ids are the reference's.

    shard-00000.bin, .parquet    see `shards.tokens`; one shard for each run of parts that holds about `SHARD_TEXT_BYTES` of text
    shard-00000.json             what the task found: counts and checksums, and the document whose ids differed, if one did
    dataset.json                 over all shards, last

One task a shard, so that any number of workers writes the same bytes and a run that was cut goes on. fastokens encodes; it is
young, so Hugging Face tokenizers encodes a sample of every shard as well, and where one id differs that whole shard again, with a
warning.

The encoder parses the tokens of personal information that masking wrote and no others: both libraries get the tokenizer with
all other special tokens turned into plain vocabulary, which bytes never merge to.
"""

import functools
import itertools
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from polyglot_lm.pipeline import Counters, Outcome, Runtime, counted, read_json, run_tasks, stage, write_json
from polyglot_lm.shards import EncodedDocument, count_text_bytes, describe_tokens, read_columns, shard_path, write_shard
from polyglot_lm.tokenizer.special import ALIASES, PERSONAL_TOKENS
from polyglot_lm.tokenizer.vocabulary import Tokenizer

SHARD_TEXT_BYTES = 2**30  # about half a gigabyte of ids
ENCODE_BATCH = 256  # documents handed to a library at once
CHECKED_FIRST = 16  # documents at the head of every shard that both libraries encode,
CHECK_EVERY = 1024  # and of those after it one in so many, which adds 2 % to the time;
CHECKED_CHARACTERS = 20_000  # of a longer one its head
COLUMNS = ("id", "text", "source", "num_bytes", "cluster_size", "quality", "split")
Ids = npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """One shard to write: the training documents of one source in a run of parts."""

    number: int
    parts: tuple[Path, ...]
    text_bytes: int
    source: str
    tokenizer: Path
    out: Path

    @property
    def name(self) -> str:
        return shard_path(self.out, self.number).stem


class IdsDiffer(Exception):  # noqa: N818  (no error of anybody's: the reference takes over)
    """Raised when fastokens gives other ids than the reference; `document` is the id of the text."""

    def __init__(self, document: str) -> None:
        super().__init__(document)
        self.document = document


@stage(version=2, resumable=True)
def encode_corpus(
    out: Path,
    *,
    corpus: Path,
    tokenizer: Path,
    language: str,
    source: str,
    byte_premium: float,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write the training documents of one source of a corpus as token shards; warns where the fast encoder was not used."""
    loaded = Tokenizer(tokenizer)
    make = functools.partial(ShardTask, source=source, tokenizer=tokenizer, out=out)
    tasks = [
        make(number=number, parts=parts, text_bytes=text_bytes)
        for number, (parts, text_bytes) in enumerate(runs(sorted(corpus.glob("part-*.parquet")), SHARD_TEXT_BYTES))
    ]
    label = f"tokens {language}"
    manifests = run_tasks(runtime, out, encode_shard, tasks, label=label, unit="B", weight=lambda task: task.text_bytes)
    shards = [read_json(out / name) for manifest in manifests for name in manifest.outputs if name.endswith(".json")]
    for shard in shards:
        if reason := shard.pop("not_fast", None):
            warnings.warn(f"{language}/{source}, {shard['file']}: {reason}; tokenizers encoded this shard instead", stacklevel=1)
    description = {
        "lang": language,
        "source": source,
        "byte_premium": byte_premium,
        "tokenizer": loaded.hash,
        "upstream": [corpus.name, tokenizer.name],
    }
    dataset = describe_tokens(out, shards, loaded.vocab_size, description)
    lost = sum((counted(manifest) for manifest in manifests), Counter[str]())["slices_lost"]
    totals = {key: dataset[key] for key in ("documents", "tokens", "bytes", "english_bytes", "bytes_per_token")}
    return totals | ({"slices_lost": lost} if lost else {})


def runs(parts: Sequence[Path], limit: int) -> Iterator[tuple[tuple[Path, ...], int]]:
    """Cut parts into runs of about `limit` bytes of text, by their metadata alone; yield each with its bytes."""
    run, size = list[Path](), 0
    for part in parts:
        run.append(part)
        size += count_text_bytes(part)
        if size >= limit:
            yield tuple(run), size
            run, size = [], 0
    if run:
        yield tuple(run), size


def encode_shard(task: ShardTask) -> Outcome:
    """Carry out one task; a function of its input alone, so a second attempt writes the same bytes."""
    path = shard_path(task.out, task.number)
    loaded = Tokenizer(task.tokenizer)
    reference, not_fast = Reference(loaded), None
    try:
        encoder: Encoder = Fast(loaded)
        shard = write_shard(path, encoded(task, encoder, reference), loaded.vocab_size, max_tokens=np.inf)
    except IdsDiffer as difference:
        not_fast = f"fastokens gives document {difference.document} other ids than tokenizers"
    except CannotBeRead as error:
        not_fast = f"fastokens cannot read {task.tokenizer}: {error}"
    if not_fast:
        shard = write_shard(path, encoded(task, reference, None), loaded.vocab_size, max_tokens=np.inf)
    if shard is None:
        return Outcome(files=[], counters=Counter())
    found = path.with_suffix(".json")
    write_json(found, shard | ({"not_fast": not_fast} if not_fast else {}))
    counters = Counter({key: shard[key] for key in ("documents", "tokens", "bytes")})
    return Outcome(files=[path, path.with_suffix(".parquet"), found], counters=counters)


def encoded(task: ShardTask, encoder: "Encoder", reference: "Encoder | None") -> Iterator[EncodedDocument]:
    """Yield the documents with their ids; raises IdsDiffer where a sampled one has others by the reference."""
    number = 0
    for rows in chosen(task):
        texts = rows.column("text").to_pylist()
        ids = encoder.encode(texts)
        about = zip(*(rows.column(name).to_pylist() for name in ("id", "num_bytes", "cluster_size", "quality")), strict=True)
        for text, found, (key, num_bytes, cluster_size, quality) in zip(texts, ids, about, strict=True):
            checked = number < CHECKED_FIRST or number % CHECK_EVERY == 0
            if reference is not None and checked and differ(text, found, encoder, reference):
                raise IdsDiffer(key)
            tokens = np.append(found, np.uint32(encoder.end_id))
            yield EncodedDocument(id=key, tokens=tokens, num_bytes=num_bytes, cluster_size=cluster_size, quality=quality)
            number += 1


def differ(text: str, ids: Ids, encoder: "Encoder", reference: "Encoder") -> bool:
    head = text[:CHECKED_CHARACTERS]
    ours = ids if head == text else encoder.encode([head])[0]
    return not np.array_equal(ours, reference.encode([head])[0])


def chosen(task: ShardTask) -> Iterator[pa.RecordBatch]:
    """Yield the training documents of the source, at most `ENCODE_BATCH` at a time."""
    for part in task.parts:
        for batch in read_columns(part, COLUMNS):
            wanted = pc.and_(pc.equal(batch.column("split"), "train"), pc.equal(batch.column("source"), task.source))
            rows = batch.filter(wanted)
            for start in range(0, len(rows), ENCODE_BATCH):
                yield rows.slice(start, ENCODE_BATCH)


class Encoder(Protocol):
    """Turns corpus texts into ids, without their end."""

    end_id: int

    def encode(self, texts: Sequence[str]) -> list[Ids]: ...


class Reference:
    """Hugging Face tokenizers."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer as Library

        self.end_id, self.respell = tokenizer.end_id, tokenizer.respell
        self.library: Any = Library.from_str(personal_only(tokenizer.path))

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        found = self.library.encode_batch_fast(self.respell(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in found]


class CannotBeRead(Exception):  # noqa: N818  (as above)
    """Raised when fastokens knows no such tokenizer."""


class Fast:
    """fastokens, https://github.com/crusoecloud/fastokens: the same ids, ten times as fast."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from fastokens import Tokenizer as Library

        self.end_id, self.respell = tokenizer.end_id, tokenizer.respell
        with one_thread():
            try:
                self.library = Library.from_json_str(personal_only(tokenizer.path))
            except ValueError as error:
                raise CannotBeRead(str(error)) from error
            self.library.encode_batch_flat(["a"])

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        ids, offsets = self.library.encode_batch_flat(self.respell(texts))
        flat = np.frombuffer(ids, dtype="<u4")
        return [flat[start:end] for start, end in itertools.pairwise(np.frombuffer(offsets, dtype="<u8").tolist())]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let a library whose threads start inside use one: the workers are the parallelism.

    fastokens has threads of its own besides rayon's and asks for their number at the first long text, so that stays set; two of
    them would wait for each other in a busy loop, which cost half of the CPU time (28 MB/s instead of 60 on texts seen before).
    """
    os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")
    before = os.environ.get("RAYON_NUM_THREADS")
    os.environ["RAYON_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["RAYON_NUM_THREADS"]
        else:
            os.environ["RAYON_NUM_THREADS"] = before


def personal_only(path: Path) -> str:
    """Return a tokenizer's JSON in which only the tokens of personal information are parsed; all ids stay."""
    description = read_json(path)
    parsed = {*PERSONAL_TOKENS, *ALIASES.values()}
    added: list[Mapping[str, Any]] = description["added_tokens"]
    model = description["model"]
    vocab = {**model["vocab"], **{token["content"]: token["id"] for token in added}}
    kept = [token for token in added if token["content"] in parsed]
    return json.dumps({**description, "added_tokens": kept, "model": {**model, "vocab": vocab}}, ensure_ascii=False)
