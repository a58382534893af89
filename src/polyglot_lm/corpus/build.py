"""Documents of all sources of one language, in; its corpus, out: exact duplicates removed, personal information masked, split.

Whole clusters of duplicates fall to one split, by a keyed hash of the cluster's smallest id. Ids of parallel documents are
equal in every language (see `sources`), so a parallel document is held out in all languages or in none. What was masked is
listed in `masked/` by document, kind, rule and a keyed hash, never by its text (see `masking.records`).
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from polyglot_lm.masking import check_kinds, mask, report_key, span_records
from polyglot_lm.pipeline import Counters, Runtime, UserError, atomic_text, stage
from polyglot_lm.shards import REMOVED_SCHEMA, DocumentWriter, part_path, read_documents

DOCUMENTS_PER_PART = 100_000
COLUMNS = ("id", "text", "lang", "source", "url", "license", "num_bytes", "exact_key", "score_script_share", "score_language")


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Shares of the documents held out, and the key of the hash that chooses them.

    `control` is what a mixture controller may see, `select` is for choosing models, `test` for reporting alone.
    """

    key: str
    control: float
    select: float
    test: float

    def __post_init__(self) -> None:
        shares = (self.control, self.select, self.test)
        if min(shares) < 0 or sum(shares) >= 1:
            raise ValueError(f"held-out shares are {shares}; each must be at least 0 and their sum below 1")

    def of(self, cluster_id: str) -> str:
        place = xxhash.xxh3_64_intdigest(f"{self.key}:{cluster_id}".encode()) / 2**64
        for name in ("test", "select", "control"):
            place -= getattr(self, name)
            if place < 0:
                return name
        return "train"


@dataclass(frozen=True, kw_only=True, slots=True)
class Masker:
    """Whose numbers and which kinds are masked, and the key of the report's hashes."""

    countries: tuple[str, ...]
    kinds: tuple[str, ...]
    key: bytes


@dataclass(slots=True)
class Cluster:
    """Documents with the same exact key."""

    id: str
    size: int


@stage(version=2)
def build_corpus(
    out: Path,
    *,
    documents: tuple[Path, ...],
    code: str,
    mask_countries: tuple[str, ...],
    mask_kinds: tuple[str, ...],
    split: Split,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write the corpus of one language; raises UserError for an unknown kind or when a split that was asked for stays empty."""
    check_kinds(mask_kinds)
    masker = Masker(countries=mask_countries, kinds=mask_kinds, key=report_key(runtime.root))
    clusters = find_clusters(documents)
    total: Counter[str] = Counter()
    position = 0
    rows = (row for folder in documents for row in read_documents(folder, COLUMNS))
    with runtime.progress.task(f"corpus {code}", total=sum(c.size for c in clusters.values()), unit="documents") as task:
        while part := write_part(out, position, rows, clusters, masker, split):
            total.update(part)
            task.advance(part["documents_read"])
            position += 1
    check_splits(code, split, total, documents)
    return dict(sorted(total.items()))


def find_clusters(documents: tuple[Path, ...]) -> dict[str, Cluster]:
    """Map each exact key to the smallest id that has it and their number."""
    clusters: dict[str, Cluster] = {}
    for folder in documents:
        for row in read_documents(folder, ("id", "exact_key")):
            cluster = clusters.setdefault(row["exact_key"], Cluster(row["id"], 0))
            cluster.id = min(cluster.id, row["id"])
            cluster.size += 1
    return clusters


def write_part(
    out: Path,
    number: int,
    rows: Iterator[dict[str, Any]],
    clusters: dict[str, Cluster],
    masker: Masker,
    split: Split,
) -> Counter[str]:
    """Write one part and what was removed on the way; an empty counter when no rows are left."""
    total: Counter[str] = Counter()
    with (
        DocumentWriter(part_path(out, number)) as kept,
        DocumentWriter(part_path(out / "removed", number), REMOVED_SCHEMA) as removed,
        atomic_text(part_path(out / "masked", number).with_suffix(".jsonl")) as report,
    ):
        for row in rows:
            total["documents_read"] += 1
            cluster = clusters[row["exact_key"]]
            row |= {"cluster_id": cluster.id, "cluster_size": cluster.size}
            if row["id"] != cluster.id:
                removed.write({**row, "reason": "exact_duplicate"})
                total["removed_exact_duplicate"] += 1
                continue
            text, spans = masked = mask(row["text"], countries=masker.countries, kinds=masker.kinds)
            records = span_records(row["text"], spans, masker.key)
            report.writelines(f"{json.dumps({'id': row['id'], **record})}\n" for record in records)
            row["text"], counts = text, masked.counts
            row |= {"num_bytes": len(row["text"].encode()), "pii_counts": list(counts.items())}
            row["split"] = split.of(cluster.id)
            kept.write(row)
            total.update({f"pii_{kind}": count for kind, count in counts.items()})
            total.update({"documents": 1, f"documents_{row['split']}": 1, f"bytes_{row['split']}": row["num_bytes"]})
            if kept.num_rows == DOCUMENTS_PER_PART:
                break
    return total


def check_splits(code: str, split: Split, total: Counter[str], documents: tuple[Path, ...]) -> None:
    wanted = ["train", *(name for name in ("control", "select", "test") if getattr(split, name) > 0)]
    for name in wanted:
        if not total[f"documents_{name}"]:
            sources = ", ".join(str(folder) for folder in documents)
            raise UserError(
                f"language {code!r} has {total['documents']} documents after filtering, none of them for {name!r}; "
                f"add text or loosen the filters (refused documents and reasons are in removed/ of {sources})"
            )
