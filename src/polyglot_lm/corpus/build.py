"""Scored documents of one language and their fates, in; its corpus, out: decided, decontaminated, masked, split.

    part-00000.parquet            clean documents: the text as training will see it, and every score
    removed/part-00000.parquet    the others as they were read, with `reason`
    masked/part-00000.parquet     where something was masked: document, place, kind and a keyed hash, never the text
    hits/part-00000.parquet       n-grams of evaluation sets found: document, task, item

The second and last time that the corpus reads its text. One task a part of the input; kept and removed add up to what was read.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.deduplicate import DECISION_SCHEMA, decisions_path
from polyglot_lm.masking import mask
from polyglot_lm.pipeline import Counters, Outcome, Runtime, UserError, run_tasks, stage
from polyglot_lm.shards import DOCUMENT_SCHEMA, SCORE, DocumentWriter, part_path, read_columns


@stage(version=2, resumable=True)
def build_corpus(
    out: Path,
    *,
    documents: tuple[Path, ...],
    decisions: Path,
    code: str,
    mask_countries: tuple[str, ...],
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write the corpus of one language; `decisions` is the folder of the group it was deduplicated in.

    A language with nothing left makes an empty folder, which its first reader refuses.
    """
    tasks = list_tasks(out, documents, decisions, code, mask_countries)
    total: Counter[str] = Counter()
    for manifest in run_tasks(runtime, out, build_part, tasks, label=f"corpus {code}", unit="parts"):
        if manifest.lost is not None:
            raise UserError(f"corpus {code} cannot be finished: {manifest.name}: {manifest.lost}; give fewer --workers")
        total.update(manifest.counters)
    return dict(sorted(total.items()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One part to write."""

    number: int
    documents: Path
    decisions: Path
    out: Path
    mask_countries: tuple[str, ...]

    @property
    def name(self) -> str:
        return part_path(self.out, self.number).stem


def list_tasks(
    out: Path, documents: tuple[Path, ...], decisions: Path, code: str, mask_countries: tuple[str, ...]
) -> list[Task]:
    found = [
        (part, decisions_path(decisions, code, source, part))
        for source, folder in enumerate(documents)
        for part in sorted(folder.glob("part-*.parquet"))
    ]
    return [
        Task(number=number, documents=part, decisions=decided, out=out, mask_countries=mask_countries)
        for number, (part, decided) in enumerate(found)
    ]


def build_part(task: Task) -> Outcome:
    """Carry out one task; a function of its input alone, so a second attempt writes the same bytes."""
    schema, removed_schema = schemas(task.documents)
    files = [part_path(folder, task.number) for folder in (task.out, task.out / "removed")]
    counters: Counter[str] = Counter()
    with DocumentWriter(files[0], schema) as kept, DocumentWriter(files[1], removed_schema) as removed:
        batches = zip(
            read_columns(task.documents, [name for name in schema.names if name not in ADDED]),
            read_columns(task.decisions, DECISION_SCHEMA.names),
            strict=True,
        )
        for documents, decided in batches:
            table = pa.table({**columns_of(documents), **columns_of(decided)})
            stays = pa.compute.is_null(table["reason"])
            kept.write_table(clean(table.filter(stays), task, counters).select(schema.names).cast(schema))
            refuse(table.filter(pa.compute.invert(stays)), removed, removed_schema, counters)
    return Outcome(files=files, counters=counters)
