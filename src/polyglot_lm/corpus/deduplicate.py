"""Scored documents of languages that may copy each other, in; for each document its fate, out, without reading a text.

    decisions/<language>/<source number>/part-00000.parquet    a row for each document of that part, in its order:
        reason         why it is removed, null for a document that stays
        cluster_id     id of the first document of its cluster; cluster_size: how many documents the cluster has
        split          of a document that stays
        quality        rank in [0, 1] among the documents of its language that stay, by the score asked for

`clusters` finds what is alike; here every language's held-out shares and ranks are settled and the fates written. Of a cluster the
first document in the order of languages, sources and files stays, so a recipe's order of sources says which copy it trusts.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.clusters import Part, Work, find_clusters, list_parts, read_sorted
from polyglot_lm.corpus.exchange import Array, Flat, write_flat
from polyglot_lm.corpus.quality import REASONS, Thresholds
from polyglot_lm.corpus.ranks import Ranks, rank
from polyglot_lm.corpus.split import DomainBytes, Shares, Split, domain_of, shares_for, slot_of, weights
from polyglot_lm.pipeline import Counters, Outcome, Runtime, atomic_path, run_tasks, stage
from polyglot_lm.shards import read_columns

DECISION_SCHEMA = pa.schema(
    [
        ("reason", pa.dictionary(pa.int8(), pa.string())),
        ("cluster_id", pa.string()),
        ("cluster_size", pa.int32()),
        ("split", pa.dictionary(pa.int8(), pa.string())),
        ("quality", pa.float32()),
    ]
)
EXACT, NEAR = "exact_duplicate", "near_duplicate"
UNIT_ROW = np.dtype([("place", "<f8"), ("own_place", "<f8"), ("slot", "<i4"), ("bytes", "<u4"), ("score", "<f4")])


@stage(version=1, resumable=True)
def deduplicate(
    out: Path,
    *,
    documents: Mapping[str, tuple[Path, ...]],
    thresholds: Mapping[str, Thresholds],
    agreement: float | None,
    split: Split,
    quality: str | None,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Decide on the documents of a group of languages, given by language in the order in which copies are trusted.

    Near duplicates are those whose signatures agree in a share of `agreement` (None: exact duplicates alone). `quality` names
    the score column to rank by. Raises UserError for more than 2^32 documents or when a task's worker is killed again and again.
    """
    work = list_parts({code: list(folders) for code, folders in documents.items()}, out / "work")
    total = find_clusters(work, dict(thresholds), agreement, runtime)
    parts = work.parts()
    label = ", ".join(documents)
    run_tasks(
        runtime,
        work.folder,
        weigh,
        [Weigh(part=part, work=work, split=split, quality=quality) for part in parts],
        label=f"weigh {label}",
    )
    settled = {code: settle([part for part in parts if part.language == code], work, split) for code in documents}
    tasks = [Decide(part=part, work=work, out=out, settled=settled[part.language]) for part in parts]
    for manifest in run_tasks(runtime, out, write_decisions, tasks, label=f"decide {label}"):
        total.update(manifest.counters)
    shutil.rmtree(work.folder)
    shares = {f"share_{name}_{code}": share for code, found in settled.items() for name, share in found.shares.shares.items()}
    return {**dict(sorted(total.items())), **shares}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weigh:
    part: Part
    work: Work
    split: Split
    quality: str | None

    @property
    def name(self) -> str:
        return f"weigh-{self.part.name}"


def weigh(task: Weigh) -> Outcome:
    """Write where the hash places each document that stays, by its domain and by itself, with bytes and score."""
    part, columns = task.part, ["id", "url", "num_bytes", *([task.quality] if task.quality else [])]
    stays = staying(part, task.work)
    pieces, done = [np.empty(0, UNIT_ROW)], 0
    for batch in read_columns(part.path, tuple(columns)):
        chosen = batch.filter(pa.array(stays[done : done + len(batch)]))
        done += len(batch)
        ids, domains = chosen["id"].to_pylist(), [domain_of(url) for url in chosen["url"].to_pylist()]
        rows = np.empty(len(ids), UNIT_ROW)
        rows["own_place"] = task.split.places(ids)
        rows["place"] = task.split.places(domain or own for domain, own in zip(domains, ids, strict=True))
        rows["slot"] = [slot_of(domain) for domain in domains]
        rows["bytes"] = chosen["num_bytes"].to_numpy()
        rows["score"] = chosen[task.quality].to_numpy(zero_copy_only=False) if task.quality else np.nan
        pieces.append(rows)
    path = task.work.file("units", part.name)
    write_flat(path, [np.concatenate(pieces)])
    return Outcome(files=[path], counters=Counter())


def staying(part: Part, work: Work) -> Array:
    """Say of each document of a part whether it stays: no reason against it, and the first of its cluster."""
    reasons = np.fromfile(work.file("reasons", part.name), np.uint8)
    stays: Array = (reasons == 0) & (of_part("labels", part, work) == part.numbers)
    return stays


def of_part(kind: str, part: Part, work: Work) -> Array:
    return np.fromfile(work.file(kind, "all"), np.uint32, count=part.rows, offset=4 * part.first)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What all parts of a language must agree on: its held-out shares, the domains too large to hold out whole, the ranks."""

    shares: Shares
    large_slots: Array
    ranks: Array


def settle(parts: list[Part], work: Work, split: Split) -> Settled:
    """Add up what the parts of a language weigh, one file at a time."""
    domains, ranks = DomainBytes(), Ranks()
    bytes_at = weights(np.empty(0), np.empty(0))
    files = [work.file("units", part.name) for part in parts]
    for path in files:
        units = np.fromfile(path, UNIT_ROW)
        domains.add(units["slot"], units["bytes"])
        ranks.add(units["score"])
    large = domains.large(split.max_domain_share)
    for path in files:
        units = np.fromfile(path, UNIT_ROW)
        bytes_at += weights(places(units, large), units["bytes"])
    return Settled(shares=shares_for(split, bytes_at), large_slots=large, ranks=ranks.table())


def places(units: Array, large_slots: Array) -> Array:
    return np.where(np.isin(units["slot"], large_slots), units["own_place"], units["place"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    part: Part
    work: Work
    out: Path
    settled: Settled

    @property
    def name(self) -> str:
        return self.part.name


def write_decisions(task: Decide) -> Outcome:
    part, work = task.part, task.work
    reasons = np.fromfile(work.file("reasons", part.name), np.uint8)
    labels, stays = of_part("labels", part, work), staying(part, work)
    units = np.fromfile(work.file("units", part.name), UNIT_ROW)
    splits, ranks = np.full(part.rows, None, object), np.full(part.rows, np.nan, np.float32)
    splits[stays] = task.settled.shares.of(places(units, task.settled.large_slots))
    ranks[stays] = rank(units["score"], task.settled.ranks)
    names = np.array([None, *REASONS[1:], EXACT, NEAR], object)
    codes = reasons.astype(np.int64)
    copies = (reasons == 0) & ~stays
    codes[copies] = len(REASONS) + 1
    codes[exact_copies(part, work)] = len(REASONS)
    columns = {
        "reason": pa.array(names[codes], pa.string()),
        "cluster_id": pa.array(first_ids(labels, work), pa.string()),
        "cluster_size": sizes_of(labels, work).astype(np.int32),
        "split": pa.array(splits, pa.string()),
        "quality": pa.array(ranks, pa.float32(), from_pandas=True),
    }
    path = decisions_path(task.out, part.language, part.source, part.path)
    with atomic_path(path) as temporary:
        table = pa.table(columns).cast(DECISION_SCHEMA)
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    counted = Counter(names[codes][~stays].tolist())
    return Outcome(
        files=[path], counters=Counter(documents=int(stays.sum()), **{f"removed_{name}": n for name, n in counted.items()})
    )


def exact_copies(part: Part, work: Work) -> Array:
    """Return the places in the part of documents that an earlier document equals."""
    found = [read_sorted(path, part.first, part.first + part.rows) for path in work.files("exact-pairs")]
    return np.concatenate([np.empty(0, np.uint32), *found]).astype(np.int64) - part.first


def first_ids(labels: Array, work: Work) -> list[str]:
    """Look up the ids of documents by number, as hex."""
    parts = work.parts()
    ids = Flat([work.file("ids", part.name) for part in parts], [part.rows for part in parts], "<u8", 2)
    digits = ids.gather(labels).tobytes().hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]


def sizes_of(labels: Array, work: Work) -> Array:
    return np.memmap(work.file("sizes", "all"), np.uint32, "r")[labels] if len(labels) else labels


def decisions_path(folder: Path, language: str, source: int, part: Path) -> Path:
    return folder / "decisions" / language / str(source) / part.name
