"""What became of the text: documents and corpora in, one JSON and one page out.

    report.json    all that the page shows, by language, source and reason
    report.html    one file for people; see `report_page`

Every number is counted again from the columns that lie on disk, never taken from what other steps say about themselves: of each
part, what was read must be what was kept and what was removed, or the report fails. One task a part, and a part's counts are
its manifest's, so memory does not grow with the corpus. Texts are read for the samples alone: those removed documents of a
reason whose ids, which are hashes, are the smallest. They were removed before masking, so they are masked here, by the rules of
all countries.

Times and memory differ from run to run and so stand in no file of a stage; `polyglot corpus costs` prints them.
"""

import functools
import heapq
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyglot_lm.corpus.quality import MEASURES, RULES, Thresholds
from polyglot_lm.corpus.report_page import page
from polyglot_lm.corpus.split import domain_of
from polyglot_lm.languages import languages as known_languages
from polyglot_lm.masking import countries_with_rules, mask
from polyglot_lm.pipeline import (
    MANIFESTS,
    CorruptFileError,
    Counters,
    Outcome,
    Runtime,
    UserError,
    all_done,
    atomic_text,
    read_json,
    run_tasks,
    stage,
    write_json,
)
from polyglot_lm.shards import REASON, SCORE, SPLITS, part_path, read_columns

REPORT_FILE, PAGE_FILE = "report.json", "report.html"
MAX_EPOCHS = 4  # repeated reading is worth as much as new text up to about here (Muennighoff et al. 2023)
SAMPLE_CHARS = 280
MASKED_CHARS = 4000  # of a sample's text, so that no identifier is shown because it was cut in two
UNITS = ("documents", "bytes")
MAX_BUCKET = 1024  # of cluster sizes, each up to a power of two; the last holds all larger ones too
LATER_STORIES = {
    "exact_duplicate": "an earlier document says the same, but for case and white space",
    "near_duplicate": "an earlier document says nearly the same",
    "contaminated": "holds text of an evaluation set",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the report says of a language that its text does not show; a copy of those fields of the table and no more."""

    name: str
    english_name: str
    byte_premium: float
    supply_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How much is to be read in training, in English-equivalent bytes, and the share of each language."""

    english_bytes: int
    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.english_bytes < 1:
            raise ValueError(f"budget is {self.english_bytes} English-equivalent bytes; it must be at least 1")
        if abs(sum(self.shares.values()) - 1) > 1e-6 or min(self.shares.values()) < 0:
            raise ValueError(f"the budget's shares add up to {sum(self.shares.values()):.4f}; they must add up to 1, none negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of the documents and what became of it; `number` is that of the corpus part, None where nothing was readable."""

    code: str
    source: str
    documents: Path
    corpus: Path
    number: int | None
    num_samples: int
    work: Path

    @property
    def name(self) -> str:
        return f"{self.code}-{self.documents.parent.name}-{self.documents.stem}"


@stage(version=1, resumable=True)
def corpus_report(
    out: Path,
    *,
    languages: Mapping[str, Facts],
    source_names: tuple[str, ...],
    documents: Mapping[str, tuple[Path, ...]],
    corpora: Mapping[str, Path],
    thresholds: Mapping[str, Thresholds],
    budget: Budget,
    num_samples: int,
    mask_countries: tuple[str, ...],
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write `report.json` and `report.html`; `documents` are by language in the order of `source_names`.

    Shows `num_samples` documents of each reason and language. Raises CorruptFileError when kept and removed documents are not those
    that were read, UserError when the budget names other languages.
    """
    if budget.shares.keys() != languages.keys():
        raise UserError(f"the budget has shares of {', '.join(budget.shares)}; give one for each of {', '.join(languages)}")
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    parts = [
        Part(code=code, source=source, documents=path, corpus=corpora[code], number=number, num_samples=num_samples, work=work)
        for code in languages
        for source, path, number in list_parts(source_names, documents[code])
    ]
    counted = {code: {name: Counter[str]() for name in source_names} for code in languages}
    chosen = {code: dict[str, list[Sample]]() for code in languages}
    manifests = all_done(run_tasks(runtime, work, count_part, parts, label="report", unit="parts"), "the report")
    for part, manifest in zip(parts, manifests, strict=True):
        counted[part.code][part.source].update(manifest.counters)
        merge(chosen[part.code], read_json(work / manifest.outputs[0]), part)
    for code in languages:
        for name, folder in zip(source_names, documents[code], strict=True):
            counted[code][name]["slices/lost/"] += lost_slices(folder)
    samples = {code: read_samples(found, thresholds[code], mask_countries) for code, found in chosen.items()}
    summary = summarize(languages, counted, samples, budget)
    write_json(out / REPORT_FILE, summary)
    with atomic_text(out / PAGE_FILE) as file:
        file.write(page(summary))
    shutil.rmtree(work)
    total = summary["total"]
    removed, kept = ({unit: sum(row[unit] for row in total[name].values()) for unit in UNITS} for name in ("removed", "kept"))
    return {"read": total["read"], "removed": removed, "kept": kept, "quarantined": sum(total["quarantined"].values())}


def list_parts(names: Sequence[str], folders: Sequence[Path]) -> Iterator[tuple[str, Path, int | None]]:
    """List the parts of a language with their numbers in its corpus, and those of slices in which nothing was readable."""
    number = 0
    for source, folder in zip(names, folders, strict=True):
        for path in sorted(folder.glob("part-*.parquet")):
            yield source, path, number
            number += 1
        for path in sorted(folder.glob("quarantine/part-*.parquet")):
            if not (folder / path.name).exists():
                yield source, folder / path.name, None


def lost_slices(folder: Path) -> int:
    """Count the slices of a source whose worker was killed again and again, so that nobody knows what they hold."""
    without_part = [path for path in (folder / MANIFESTS).glob("part-*.json") if not (folder / f"{path.stem}.parquet").exists()]
    return sum(read_json(path).get("lost") is not None for path in without_part)


def count_part(part: Part) -> Outcome:
    """Count a part by what became of its documents, under `<unit>/<kind>/<value>`, and choose its samples: ids by reason."""
    counters: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    for batch in rows_of(part.documents, "num_bytes"):
        add(counters, "read", pa.array([""] * len(batch)), batch["num_bytes"])
    if part.number is not None:
        removed, kept = part_path(part.corpus / "removed", part.number), part_path(part.corpus, part.number)
        for batch in rows_of(removed, "id", "num_bytes", "cluster_size", f"{SCORE}language", REASON.name):
            add(counters, "removed", batch[REASON.name], batch["num_bytes"])
            describe(counters, batch)
            choose(samples, batch, part.num_samples)
        for batch in rows_of(kept, "num_bytes", "cluster_size", f"{SCORE}language", "split", "pii_counts"):
            add(counters, "kept", batch["split"], batch["num_bytes"])
            describe(counters, batch)
            for found in batch["pii_counts"].to_pylist():
                counters.update({f"spans/masked/{kind}": spans for kind, spans in found or ()})
        for batch in rows_of(part_path(part.corpus / "hits", part.number), "document", "task", "contaminates"):
            rows = batch.filter(batch["contaminates"]).to_pylist()
            counters.update(f"documents/hits/{task}" for _, task in {(row["document"], row["task"]) for row in rows})
    for batch in rows_of(part.documents.parent / "quarantine" / part.documents.name, REASON.name):
        counters.update(f"documents/quarantined/{reason.partition(':')[0]}" for reason in batch[REASON.name].to_pylist())
    ended = of_kind(counters, "documents", "removed").total() + of_kind(counters, "documents", "kept").total()
    if ended != counters["documents/read/"]:
        raise CorruptFileError(
            part_path(part.corpus, part.number or 0), f"{ended} documents of the {counters['documents/read/']} in {part.documents}"
        )
    path = part.work / "samples" / f"{part.name}.json"
    write_json(path, samples)
    return Outcome(files=[path], counters=counters)


def rows_of(path: Path, *columns: str) -> Iterator[pa.RecordBatch]:
    """Yield the columns of a part; nothing where there was nothing to write."""
    return read_columns(path, columns) if path.exists() else iter(())


def add(counters: Counter[str], kind: str, values: pa.Array, num_bytes: pa.Array) -> None:
    """Count documents and bytes by value."""
    table = pa.table({"value": values.cast(pa.string()), "bytes": num_bytes})
    for row in table.group_by("value").aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist():
        counters[f"documents/{kind}/{row['value']}"] += row["bytes_count"]
        counters[f"bytes/{kind}/{row['value']}"] += row["bytes_sum"]


def describe(counters: Counter[str], batch: pa.RecordBatch) -> None:
    """Count the language found and the size of the cluster, of kept and removed documents alike."""
    add(counters, "found", batch[f"{SCORE}language"], batch["num_bytes"])
    for size, documents in Counter(batch["cluster_size"].to_pylist()).items():
        counters[f"documents/clusters/{min(1 << (size - 1).bit_length(), MAX_BUCKET)}"] += documents


def choose(samples: dict[str, list[str]], batch: pa.RecordBatch, count: int) -> None:
    """Keep the smallest ids of each reason."""
    for reason in pc.unique(batch[REASON.name]).to_pylist():
        ids = batch["id"].filter(pc.equal(batch[REASON.name], reason)).to_pylist()
        samples[reason] = heapq.nsmallest(count, [*samples.get(reason, ()), *ids])


Sample = tuple[str, Path]  # id, and the part that holds it


def merge(chosen: dict[str, list[Sample]], found: Mapping[str, list[str]], part: Part) -> None:
    for reason, ids in found.items():
        new = [(key, part_path(part.corpus / "removed", part.number or 0)) for key in ids]
        chosen[reason] = heapq.nsmallest(part.num_samples, [*chosen.get(reason, ()), *new])


def read_samples(
    chosen: Mapping[str, list[Sample]], thresholds: Thresholds, countries: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Read the chosen documents and nothing else, shortened and masked."""
    by_part: dict[Path, set[str]] = {}
    for key, path in (sample for samples in chosen.values() for sample in samples):
        by_part.setdefault(path, set()).add(key)
    found: dict[str, dict[str, Any]] = {}
    for path, ids in by_part.items():
        scores = [name for name in pq.read_schema(path).names if name.startswith(SCORE)]
        wanted = pa.array(sorted(ids))
        for batch in rows_of(path, "id", "text", "url", "source", "num_bytes", "cluster_size", REASON.name, *scores):
            for row in batch.filter(pc.is_in(batch["id"], wanted)).to_pylist():
                found[row["id"]] = {
                    "id": row["id"],
                    "source": row["source"],
                    "domain": domain_of(row["url"]),
                    "bytes": row["num_bytes"],
                    "cluster_size": row["cluster_size"],
                    "because": because(row, thresholds),
                    "text": excerpt(row["text"], countries, SAMPLE_CHARS),
                }
    return {reason: [found[key] for key, _ in samples] for reason, samples in sorted(chosen.items())}


def because(row: Mapping[str, Any], thresholds: Thresholds) -> str:
    """Say which value is beyond which bound; empty for a reason that is none of the rules'."""
    rule = next((rule for rule in RULES if rule.reason == row[REASON.name]), None)
    if rule is None:
        return ""
    bound = getattr(thresholds.bounds.get(rule.measure), rule.side, None)
    if bound is None:
        return ""
    value = value_of(rule.measure, row, thresholds)
    return f"{rule.measure.replace('_', ' ')} {short_number(value)}, {short_number(bound)} at {rule.side}"


def short_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def value_of(measure: str, row: Mapping[str, Any], thresholds: Thresholds) -> float:
    """Measure one document by the columns of its scores."""
    columns = {name.removeprefix(SCORE): np.array([value]) for name, value in row.items() if name.startswith(SCORE)}
    return float(MEASURES[measure](columns, thresholds)[0])


def excerpt(text: str, countries: Sequence[str], chars: int) -> str:
    """Return the beginning of a text, masked; masked first, so that no identifier shows because it was cut in two."""
    masked = mask(text[:MASKED_CHARS], countries=countries).text
    return masked if len(masked) <= chars and len(text) <= MASKED_CHARS else masked[:chars].rstrip() + " …"


def known_countries() -> tuple[str, ...]:
    """Return every country with rules: a removed document may be in any language."""
    return countries_with_rules(dict.fromkeys(country for language in known_languages().values() for country in language.countries))


def of_kind(counters: Counter[str], unit: str, kind: str) -> Counter[str]:
    prefix = f"{unit}/{kind}/"
    return Counter({key.removeprefix(prefix): count for key, count in sorted(counters.items()) if key.startswith(prefix)})


def summarize(
    languages: Mapping[str, Facts],
    counted: Mapping[str, Mapping[str, Counter[str]]],
    samples: Mapping[str, Mapping[str, Any]],
    budget: Budget,
) -> dict[str, Any]:
    """Put the counts of sources, languages and all together, and ask what the budget makes of them."""
    rows = {}
    for code, facts in languages.items():
        total = sum(counted[code].values(), Counter[str]())
        kept = of_kind(total, "bytes", "kept")["train"]
        needed = budget.english_bytes * budget.shares[code] * facts.byte_premium
        rows[code] = {
            **asdict(facts),
            **tally(total),
            "sources": {name: tally(counters) for name, counters in counted[code].items()},
            "share": budget.shares[code],
            "train_bytes": kept,
            "budget_bytes": round(needed),
            "epochs": needed / kept if kept else None,
            "supply_epochs": needed / facts.supply_bytes,
            "samples": samples[code],
        }
    balanced = [MAX_EPOCHS * row["train_bytes"] / row["byte_premium"] / row["share"] for row in rows.values() if row["share"]]
    return {
        "budget_english_bytes": budget.english_bytes,
        "balanced_english_bytes": int(min(balanced)),
        "max_epochs": MAX_EPOCHS,
        "stories": {rule.reason: rule.story for rule in RULES} | LATER_STORIES,
        "total": tally(sum((c for sources in counted.values() for c in sources.values()), Counter[str]())),
        "languages": rows,
    }


def tally(counters: Counter[str]) -> dict[str, Any]:
    """Arrange counts: documents and bytes read, removed by reason, kept by split; the latter's bytes as read and as written."""
    documents, num_bytes = (functools.partial(of_kind, counters, unit) for unit in ("documents", "bytes"))
    removed = {reason: amount(n, num_bytes("removed")[reason]) for reason, n in documents("removed").items()}
    kept = {split: amount(documents("kept")[split], num_bytes("kept")[split]) for split in SPLITS if documents("kept")[split]}
    return {
        "read": amount(counters["documents/read/"], counters["bytes/read/"]),
        "quarantined": dict(documents("quarantined")),
        "slices_lost": counters["slices/lost/"],
        "removed": removed,
        "kept_as_read": counters["bytes/read/"] - sum(row["bytes"] for row in removed.values()),
        "kept": kept,
        "masked": dict(of_kind(counters, "spans", "masked")),
        "hits": dict(documents("hits")),
        "found": {code: amount(n, num_bytes("found")[code]) for code, n in documents("found").items()},
        "clusters": {str(size): documents("clusters")[str(size)] for size in sorted(map(int, documents("clusters")))},
    }


def amount(documents: int, num_bytes: int) -> dict[str, int]:
    return {"documents": documents, "bytes": num_bytes}
