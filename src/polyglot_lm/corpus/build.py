"""Scored documents of one language and their fates, in; its corpus, out: decided, decontaminated, masked, split.

    part-00000.parquet            clean documents: the text as training will see it, and every score
    removed/part-00000.parquet    the others as they were read, with `reason`
    masked/part-00000.parquet     what was masked: document, kind, country, rule and a keyed hash, never the text
    hits/part-00000.parquet       n-grams of evaluation sets found: document, task, split, item

The second and last time that the corpus reads its text. One task a part of the input; kept and removed add up to what was read.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyglot_lm.corpus.clean import exact_key
from polyglot_lm.corpus.decontaminate import HIT_SCHEMA, Contamination
from polyglot_lm.corpus.decontaminate import REASON as CONTAMINATED
from polyglot_lm.corpus.deduplicate import DECISION_SCHEMA, decisions_path
from polyglot_lm.masking import check_kinds, mask, report_key, span_records
from polyglot_lm.pipeline import Counters, Outcome, Runtime, all_done, run_tasks, stage
from polyglot_lm.shards import DOCUMENT_SCHEMA, REASON, SCORE, DocumentWriter, part_path, read_columns

MASKED_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "kind", "country", "rule", "hash")])


@stage(version=2, resumable=True)
def build_corpus(
    out: Path,
    *,
    documents: tuple[Path, ...],
    decisions: Path,
    code: str,
    mask_countries: tuple[str, ...],
    mask_kinds: tuple[str, ...],
    contamination: Path | None,
    min_hits: int,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write the corpus of one language; `decisions` is the folder of the group that it was deduplicated in.

    `contamination` is an index of evaluation sets or None; a document with `min_hits` n-grams of one of its texts goes. A
    language with nothing left makes an empty folder, which its first reader refuses. Raises UserError for an unknown kind.
    """
    check_kinds(mask_kinds)
    masker = Masker(countries=mask_countries, kinds=mask_kinds, key=report_key(runtime.root))
    sources = [(part, source) for source, folder in enumerate(documents) for part in sorted(folder.glob("part-*.parquet"))]
    tasks = [
        Task(
            number=number,
            documents=part,
            decisions=decisions_path(decisions, code, source, part),
            out=out,
            masker=masker,
            contamination=contamination,
            min_hits=min_hits,
        )
        for number, (part, source) in enumerate(sources)
    ]
    total: Counter[str] = Counter()
    manifests = run_tasks(runtime, out, build_part, tasks, label=f"corpus {code}", unit="parts")
    for manifest in all_done(manifests, f"corpus {code}"):
        total.update(manifest.counters)
    return dict(sorted(total.items()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Masker:
    """What is masked, and the key of the hashes that the report may show."""

    countries: tuple[str, ...]
    kinds: tuple[str, ...]
    key: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One part to write."""

    number: int
    documents: Path
    decisions: Path
    out: Path
    masker: Masker
    contamination: Path | None
    min_hits: int

    @property
    def name(self) -> str:
        return part_path(self.out, self.number).stem


def build_part(task: Task) -> Outcome:
    """Carry out one task; a function of its input alone, so a second attempt writes the same bytes."""
    schema = corpus_schema(task.documents)
    files = [part_path(folder, task.number) for folder in (task.out, *(task.out / name for name in ("removed", "masked", "hits")))]
    counters: Counter[str] = Counter()
    with (
        DocumentWriter(files[0], schema) as kept,
        DocumentWriter(files[1], schema.append(REASON)) as removed,
        DocumentWriter(files[2], MASKED_SCHEMA) as masked,
        DocumentWriter(files[3], HIT_SCHEMA) as hits,
    ):
        for table in decided(task, schema):
            table = decontaminated(table, task, hits)
            refused = pc.is_valid(table[REASON.name])
            removed.write_table(table.filter(refused))
            kept.write_table(masked_table(table.filter(pc.invert(refused)).drop([REASON.name]), task.masker, masked, counters))
            count(table, counters)
    return Outcome(files=files, counters=counters)


def decided(task: Task, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the documents of a part with what was decided on them, `reason` last."""
    read = [name for name in schema.names if name not in (*DECISION_SCHEMA.names, "pii_counts")]
    decisions, done = read_decisions(task.decisions), 0
    for documents in read_columns(task.documents, read):
        fates = decisions.slice(done, len(documents)).combine_chunks()
        done += len(documents)
        unmasked = pa.nulls(len(documents), schema.field("pii_counts").type)
        both = {**columns_of(documents), **columns_of(fates), "pii_counts": unmasked}
        yield pa.table(both).select([*schema.names, REASON.name]).cast(schema.append(REASON))


def read_decisions(path: Path) -> pa.Table:
    return pa.Table.from_batches(read_columns(path, DECISION_SCHEMA.names), DECISION_SCHEMA)


def decontaminated(table: pa.Table, task: Task, report: DocumentWriter) -> pa.Table:
    """Give documents that stand in an evaluation set their reason, where they had none, and take their split."""
    if task.contamination is None:
        return table
    from polyglot_lm.corpus.kernels.batch import TextBatch

    stays = np.flatnonzero(pc.is_null(table[REASON.name]).to_numpy())
    chosen = table.take(stays)
    contamination = opened_index(task.contamination, task.min_hits)
    found = contamination.hits(TextBatch.of(chosen["text"].combine_chunks()))
    report.write_table(contamination.table(found, chosen["id"].to_pylist()))
    if not len(found.contaminated):
        return table
    reasons, splits = table[REASON.name].to_pylist(), table["split"].to_pylist()
    for place in stays[found.contaminated].tolist():
        reasons[place], splits[place] = CONTAMINATED, None
    return replaced(table, {REASON.name: reasons, "split": splits})


@functools.lru_cache(maxsize=1)
def opened_index(folder: Path, min_hits: int) -> Contamination:
    return Contamination(folder, min_hits=min_hits)


def corpus_schema(part: Path) -> pa.Schema:
    """Return the columns of the schema, then the scores that the part brings."""
    found = pq.read_schema(part)
    return pa.schema([*DOCUMENT_SCHEMA, *(field for field in found if field.name.startswith(SCORE))])


def columns_of(batch: pa.RecordBatch | pa.Table) -> dict[str, pa.Array]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def masked_table(table: pa.Table, masker: Masker, report: DocumentWriter, counters: Counter[str]) -> pa.Table:
    """Mask the texts of a table and note what was masked."""
    ids, texts, num_bytes, keys = (table[name].to_pylist() for name in ("id", "text", "num_bytes", "exact_key"))
    pii: list[list[tuple[str, int]]] = [[] for _ in texts]
    for place, text in enumerate(texts):
        masked = mask(text, countries=masker.countries, kinds=masker.kinds)
        if not masked.spans:
            continue
        for record in span_records(text, masked.spans, masker.key):
            report.write({"id": ids[place], **record})
        counters.update({f"pii_{kind}": found for kind, found in masked.counts.items()})
        texts[place], num_bytes[place], pii[place] = masked.text, len(masked.text.encode()), list(masked.counts.items())
        keys[place] = exact_key(masked.text)  # the old one would tell a short text's number to whoever tries all
    if not any(pii):
        return replaced(table, {"pii_counts": pii})
    return replaced(table, {"pii_counts": pii, "text": texts, "num_bytes": num_bytes, "exact_key": keys})


def replaced(table: pa.Table, columns: dict[str, Sequence[Any]]) -> pa.Table:
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    return table


def count(table: pa.Table, counters: Counter[str]) -> None:
    """Count documents and bytes as read, by reason or split."""
    counters["documents_read"] += len(table)
    sizes = table["num_bytes"].to_pylist()
    for reason, split, size in zip(table[REASON.name].to_pylist(), table["split"].to_pylist(), sizes, strict=True):
        fate = f"removed_{reason}" if reason else split
        counters[f"documents_{fate}"] += 1
        counters[f"bytes_{fate}"] += size
        counters["documents"] += not reason
        counters["bytes"] += 0 if reason else size
