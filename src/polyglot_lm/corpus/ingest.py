"""Raw documents of one source and one language, in; documents of ours, in normal form and of that language, out.

One task a file, any number of workers; every task writes a part of its own, so the number of workers changes nothing.
What is refused goes to `removed/` with its reason, what cannot be read to `quarantine/`.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.corpus.clean import Filters, Profile, document_id, exact_key, judge, normalize
from polyglot_lm.corpus.sources import Files, RawDocument, Reader, Source, Unreadable, files_of
from polyglot_lm.pipeline import Counters, Runtime, stage
from polyglot_lm.shards import QUARANTINE_SCHEMA, REMOVED_SCHEMA, DocumentWriter, part_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One part to write."""

    number: int
    reader: Reader
    out: Path
    source: str
    license: str | None
    profile: Profile
    filters: Filters


@stage(version=1)
def ingest(
    out: Path,
    *,
    source: Path | Files | Source,
    source_name: str,
    license: str | None,
    profile: Profile,
    filters: Filters,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Read a source (a folder that a step wrote, or files or a hub data set of the user's) and write its documents.

    Counts documents read, kept, refused by reason, and unreadable. Raises UserError for a file that cannot be read.
    """
    read = files_of(source, profile.code, name=source_name) if isinstance(source, Path) else source
    make = functools.partial(Task, out=out, source=source_name, license=license, profile=profile, filters=filters)
    tasks = [make(number=number, reader=reader) for number, reader in enumerate(read.tasks())]
    total: Counter[str] = Counter()
    with runtime.progress.task(f"documents {profile.code}", total=len(tasks), unit="files") as progress:
        for counters in runtime.map(ingest_part, tasks):
            total.update(counters)
            progress.advance(1)
    return dict(sorted(total.items()))


def ingest_part(task: Task) -> Mapping[str, int]:
    """Carry out one task; a function of its input alone, so a second attempt writes the same bytes."""
    total: Counter[str] = Counter()
    with (
        DocumentWriter(part_path(task.out, task.number)) as kept,
        DocumentWriter(part_path(task.out / "removed", task.number), REMOVED_SCHEMA) as removed,
        DocumentWriter(part_path(task.out / "quarantine", task.number), QUARANTINE_SCHEMA) as quarantine,
    ):
        for record in task.reader.records():
            total["documents_read"] += 1
            if isinstance(record, Unreadable):
                quarantine.write({"origin": record.path, "position": record.position, "reason": record.reason})
                total["unreadable"] += 1
                continue
            row, reason, replaced = clean(record, task)
            total["special_tokens_replaced"] += replaced
            if reason is None:
                kept.write(row)
                total.update(documents=1, bytes=row["num_bytes"])
            else:
                removed.write({**row, "reason": reason})
                total[f"removed_{reason}"] += 1
    return total


def clean(record: RawDocument, task: Task) -> tuple[dict[str, Any], str | None, int]:
    """Return the document's row, the reason to refuse it (None to keep it), and the special tokens replaced in it."""
    text, replaced = normalize(record.text)
    reason, scores = judge(text, task.profile, task.filters)
    row = {
        "id": document_id(task.source, record),
        "text": text,
        "lang": task.profile.code,
        "source": task.source,
        "url": record.url,
        "license": record.license or task.license,
        "num_bytes": len(text.encode()),
        "exact_key": exact_key(text),
        **scores,
    }
    return row, reason, replaced
