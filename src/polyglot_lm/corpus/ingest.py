"""Raw documents of one source and one language, in; the same documents in normal form with all their scores, out.

    part-00000.parquet             every document that can be read, in the order of its slice; columns of the schema and `score_*`
    signatures/part-00000.bin      uint16 [documents, 120], for near-duplicate search
    quarantine/part-00000.parquet  what cannot be read, and why

Nothing is judged here: whether a score is good enough is decided later, on columns, so that a changed threshold reads no text. One
task a slice, any number of workers; every slice writes a part of its own, so the number of workers changes nothing.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from polyglot_lm.corpus.clean import document_id, exact_key, normalize
from polyglot_lm.corpus.exchange import Array, signature_path
from polyglot_lm.corpus.identify import Profile
from polyglot_lm.corpus.sources import Files, RawDocument, Reader, Record, Source, Unreadable, files_of
from polyglot_lm.pipeline import Counters, Outcome, Runtime, atomic_path, counted, run_tasks, stage
from polyglot_lm.shards import DOCUMENT_SCHEMA, QUARANTINE_SCHEMA, SCORE, DocumentWriter, part_path

if TYPE_CHECKING:
    from polyglot_lm.corpus.extra import Extra
    from polyglot_lm.corpus.identify import Identifier
    from polyglot_lm.corpus.kernels.batch import TextBatch

BATCH_BYTES = 4_000_000
BATCH_DOCUMENTS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What reading documents of a language takes; a copy of those fields of the table and no more, so that a corrected number
    of speakers re-runs no corpus."""

    code: str
    stop_words: tuple[str, ...]
    shingle_units: int
    languages: tuple[Profile, ...]  # those that identification knows


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One part to write."""

    number: int
    reader: Reader
    out: Path
    source: str
    license: str | None
    reading: Reading
    further: "tuple[Extra, ...]"

    @property
    def name(self) -> str:
        return part_path(self.out, self.number).stem


@stage(version=2, resumable=True)
def ingest(
    out: Path,
    *,
    source: Path | Files | Source,
    source_name: str,
    license: str | None,
    reading: Reading,
    further: "tuple[Extra, ...]" = (),
    runtime: Runtime = Runtime(),
) -> Counters:
    """Read a source (a folder that a step wrote, or files or a hub data set of the user's) and write its documents.

    `further` scores (see `extra`) become columns beside our own; raises UserError when one of them cannot be used.
    Counts documents read, written, and unreadable, slices lost (see `pipeline.tasks`), and languages found.
    """
    from polyglot_lm.corpus.kernels.ready import compile_kernels

    compile_kernels(runtime.progress)
    if further:
        from polyglot_lm.corpus.extra import check_scores

        check_scores(further)
    read = files_of(str(source), reading.code, name=source_name) if isinstance(source, Path) else source
    make = functools.partial(Task, out=out, source=source_name, license=license, reading=reading, further=further)
    tasks = [make(number=number, reader=reader) for number, reader in enumerate(read.tasks())]
    manifests = run_tasks(runtime, out, ingest_part, tasks, label=f"documents {reading.code}", unit="slices")
    return dict(sorted(sum((counted(manifest) for manifest in manifests), Counter[str]()).items()))


def ingest_part(task: Task) -> Outcome:
    """Carry out one task; a function of its input alone, so a second attempt writes the same bytes."""
    part, quarantined = part_path(task.out, task.number), part_path(task.out / "quarantine", task.number)
    signed = signature_path(part)
    counters: Counter[str] = Counter()
    with ExitStack() as stack:
        quarantine = stack.enter_context(DocumentWriter(quarantined, QUARANTINE_SCHEMA))
        signatures = stack.enter_context(stack.enter_context(atomic_path(signed)).open("wb"))
        documents: DocumentWriter | None = None
        for batch in batches(task.reader.records(), quarantine, counters):
            table, batch_signatures = measure(batch, task, counters)
            if documents is None:
                documents = stack.enter_context(DocumentWriter(part, table.schema))
            documents.write_table(table)
            signatures.write(batch_signatures.data)
    return Outcome(files=[part, signed, quarantined], counters=counters)


def batches(records: Iterable[Record], quarantine: DocumentWriter, counters: Counter[str]) -> Iterator[list[RawDocument]]:
    """Gather documents to batches of bounded size; what cannot be read goes to quarantine."""
    batch, num_bytes = list[RawDocument](), 0
    for record in records:
        counters["documents_read"] += 1
        if isinstance(record, Unreadable):
            quarantine.write({"origin": record.path, "position": record.position, "reason": record.reason})
            counters["documents_quarantined"] += 1
            continue
        batch.append(record)
        num_bytes += len(record.text)
        if num_bytes >= BATCH_BYTES or len(batch) == BATCH_DOCUMENTS:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def measure(batch: list[RawDocument], task: Task, counters: Counter[str]) -> tuple[pa.Table, Array]:
    """Return a batch in normal form with its scores, and its signatures (uint16 [documents, 120])."""
    from polyglot_lm.corpus.kernels.batch import TextBatch
    from polyglot_lm.corpus.kernels.minhash import signatures

    cleaned = [normalize(raw.text) for raw in batch]
    plain, urls = [text for text, _ in cleaned], [raw.url for raw in batch]
    texts = pa.array(plain, pa.large_string())
    encoded = TextBatch.of(texts)
    num_bytes = encoded.offsets[1:] - encoded.offsets[:-1]
    rows = len(batch)
    known: dict[str, Any] = {
        "id": [document_id(task.source, raw) for raw in batch],
        "text": texts.cast(pa.string()),
        "lang": [task.reading.code] * rows,
        "source": [task.source] * rows,
        "url": urls,
        "license": [raw.license or task.license for raw in batch],
        "num_bytes": num_bytes,
        "exact_key": [exact_key(text) for text, _ in cleaned],
    }
    columns = {field.name: pa.array(known[field.name], field.type) for field in DOCUMENT_SCHEMA if field.name in known}
    measured = scores(plain, encoded, task.reading) | {extra.name: extra.scores(plain, urls) for extra in task.further}
    columns |= {f"{SCORE}{name}": pa.array(values) for name, values in measured.items()}
    counters.update(documents=rows, bytes=int(num_bytes.sum()), special_tokens_replaced=sum(replaced for _, replaced in cleaned))
    return pa.table(columns), signatures(encoded, task.reading.shingle_units)


def scores(texts: list[str], encoded: "TextBatch", reading: Reading) -> dict[str, Any]:
    """Return all score columns of a batch: statistics, and the language found with the confidence in it."""
    from polyglot_lm.corpus.kernels.statistics import statistics

    found = dict(statistics(encoded, reading.stop_words))
    identifier = identifier_of(reading.languages)
    shares = np.stack([found[f"script_{script}"] for script in identifier.scripts], axis=1)
    counts = np.rint(shares * found["num_letters"][:, None]).astype(np.int64)
    codes, confidences = identifier.identify_batch(texts, counts)
    return {**found, "language": codes, "language_confidence": confidences.astype(np.float32)}


@functools.lru_cache(maxsize=1)
def identifier_of(languages: tuple[Profile, ...]) -> "Identifier":
    from polyglot_lm.corpus.identify import Identifier

    return Identifier(languages)
