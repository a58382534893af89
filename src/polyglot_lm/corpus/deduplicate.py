"""Scored documents of languages that may copy each other, in; for each document its fate, out, without reading a text.

    decisions/<language>/<source number>/part-00000.parquet    a row for each document of that part, in its order:
        reason         why it is removed, null for a document that stays
        cluster_id     id of the first document of its cluster; cluster_size: how many documents the cluster has
        split          of a document that stays
        quality        rank in [0, 1] among the documents of its language that stay, by the score asked for

`clusters` finds what is alike; here every language's held-out shares and ranks are settled and the fates written. Of a cluster the
first document in the order of languages, sources and files stays, so a recipe's order of sources says which copy it trusts; others
go if they agree with it.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.clusters import EXACT, KEPT, NEAR, Part, Work, fates_of, find_clusters, list_parts, of_part
from polyglot_lm.corpus.exchange import Array, Flat, write_flat
from polyglot_lm.corpus.quality import Thresholds, reasons_of
from polyglot_lm.corpus.ranks import Ranks, rank
from polyglot_lm.corpus.split import DomainBytes, Shares, Split, domain_of, shares_for, slot_of, weights
from polyglot_lm.pipeline import Counters, Outcome, Runtime, all_done, atomic_path, run_tasks, stage
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
    weighing = [Weigh(part=part, work=work, split=split, quality=quality) for part in parts]
    all_done(run_tasks(runtime, work.folder, weigh, weighing, label=f"weigh {label}"), f"weigh {label}")
    settled = {code: settle([part for part in parts if part.language == code], work, split) for code in documents}
    tasks = [
        Decide(part=part, work=work, out=out, settled=settled[part.language], reasons=reasons_of(thresholds[part.language]))
        for part in parts
    ]
    for manifest in all_done(run_tasks(runtime, out, write_decisions, tasks, label=f"decide {label}"), f"decide {label}"):
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
    """Write where the hash places each document that stays, by its domain and by its cluster, with bytes and score.

    Where a chain left several documents of a cluster, the cluster goes before the domain.
    """
    part, work = task.part, task.work
    columns = ["url", "num_bytes", *([task.quality] if task.quality else [])]
    stays = fates_of(part, work) == KEPT
    labels = of_part("labels", part, work)
    chains = [np.empty(0, np.uint32), *(np.fromfile(path, np.uint32) for path in work.files("chains"))]
    chained = np.isin(labels, np.concatenate(chains))
    pieces, done = [np.empty(0, UNIT_ROW)], 0
    for batch in read_columns(part.path, tuple(columns)):
        here = slice(done, done + len(batch))
        done += len(batch)
        chosen = batch.filter(pa.array(stays[here]))
        clusters = first_ids(labels[here][stays[here]], work)
        domains = [domain_of(url) for url in chosen["url"].to_pylist()]
        domains = [None if chain else domain for chain, domain in zip(chained[here][stays[here]], domains, strict=True)]
        rows = np.empty(len(clusters), UNIT_ROW)
        rows["own_place"] = task.split.places(clusters)
        rows["place"] = task.split.places(domain or cluster for domain, cluster in zip(domains, clusters, strict=True))
        rows["slot"] = [slot_of(domain) for domain in domains]
        rows["bytes"] = chosen["num_bytes"].to_numpy()
        rows["score"] = chosen[task.quality].to_numpy(zero_copy_only=False) if task.quality else np.nan
        pieces.append(rows)
    path = work.file("units", part.name)
    write_flat(path, [np.concatenate(pieces)])
    return Outcome(files=[path], counters=Counter())


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
    reasons: tuple[str | None, ...]  # by code

    @property
    def name(self) -> str:
        return self.part.name


def write_decisions(task: Decide) -> Outcome:
    part, work = task.part, task.work
    labels, fates = of_part("labels", part, work), fates_of(part, work)
    stays = fates == KEPT
    units = np.fromfile(work.file("units", part.name), UNIT_ROW)
    splits, ranks = np.full(part.rows, None, object), np.full(part.rows, np.nan, np.float32)
    splits[stays] = task.settled.shares.of(places(units, task.settled.large_slots))
    ranks[stays] = rank(units["score"], task.settled.ranks)
    reasons = np.array(task.reasons, object)[np.fromfile(work.file("reasons", part.name), np.uint8)]
    reasons[fates == EXACT] = "exact_duplicate"
    reasons[fates == NEAR] = "near_duplicate"
    columns = {
        "reason": pa.array(reasons, pa.string()),
        "cluster_id": pa.array(first_ids(labels, work), pa.string()),
        "cluster_size": sizes_of(labels, work).astype(np.int32),
        "split": pa.array(splits, pa.string()),
        "quality": pa.array(ranks, pa.float32(), from_pandas=True),
    }
    path = decisions_path(task.out, part.language, part.source, part.path)
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns).cast(DECISION_SCHEMA), temporary, compression="zstd", write_page_checksum=True)
    counters = Counter(f"removed_{reason}" for reason in reasons[~stays].tolist())
    counters["documents"] = int(stays.sum())
    return Outcome(files=[path], counters=counters)


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
