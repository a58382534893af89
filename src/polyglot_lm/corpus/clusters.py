"""Which documents are alike: columns and signatures in, for each document the number of its cluster out.

Passes over files, each a set of tasks: (1) `judge`: thresholds on score columns; exact keys of what passes go to partitions;
(2) `find_exact`: equal keys, the first document stands for all; (3) `make_bands`: 20 band keys of those, to partitions;
(4) `find_near`: equal keys, verified by signature (Broder 1997; 20 bands of 6 rows find pairs of Jaccard similarity 0.8 with
p = 0.998); (5) `label`: union-find in one process, some 20 bytes a document, the only memory that grows with the corpus;
(6) `choose`: a chain of likenesses may lead far, so a document goes only if it agrees with the first of its cluster itself.

Documents are numbered through all parts in order, and the smallest number of a cluster is its first document.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from polyglot_lm.corpus.exchange import Array, Flat, partition_of, partitions_for, read_rows, signature_path, write_flat, write_rows
from polyglot_lm.corpus.kernels import NUM_BANDS, NUM_VALUES
from polyglot_lm.corpus.quality import Thresholds, decide
from polyglot_lm.pipeline import Outcome, Runtime, UserError, all_done, read_json, run_tasks, write_json
from polyglot_lm.shards import SCORE, count_documents, read_columns

EXACT_ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("document", "<u4")])
BAND_ROW = np.dtype([("key", "<u8"), ("document", "<u4")])
PAIR = np.dtype([("document", "<u4"), ("first", "<u4")])
MAX_DOCUMENTS = 1 << 32
KEPT, REFUSED, EXACT, NEAR = range(4)  # what becomes of a document
DOCUMENTS_PER_CHUNK = 100_000  # 24 MB of signatures, 24 MB of band rows
DOCUMENTS_PER_LOOK = 200_000  # documents whose signatures are compared at a time, 48 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One Parquet part of the input: its documents have the numbers `first` to `first + rows - 1`."""

    language: str
    source: int
    path: Path
    first: int
    rows: int

    @property
    def name(self) -> str:
        return f"{self.language}-{self.source}-{self.path.stem}"

    @property
    def numbers(self) -> Array:
        return np.arange(self.first, self.first + self.rows, dtype=np.uint32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The folder where passes leave what the next one reads; small, so that it travels with every task."""

    folder: Path
    num_documents: int

    def file(self, kind: str, name: object) -> Path:
        return self.folder / kind / f"{name}.bin"

    def files(self, kind: str) -> list[Path]:
        return sorted((self.folder / kind).glob("*.bin"))

    def parts(self) -> tuple[Part, ...]:
        return read_parts(self.folder / "parts.json")


def list_parts(documents: dict[str, Sequence[Path]], work: Path) -> Work:
    """Number the documents of all parts and note the parts; raises UserError above 4,294,967,296 documents."""
    parts, first = list[Part](), 0
    for language, folders in documents.items():
        for source, folder in enumerate(folders):
            for path in sorted(folder.glob("part-*.parquet")):
                rows = count_documents(path)
                parts.append(Part(language=language, source=source, path=path, first=first, rows=rows))
                first += rows
    if first > MAX_DOCUMENTS:
        raise UserError(f"{', '.join(documents)} have {first} documents, above 2^32 for one group; give fewer languages or sources")
    write_json(work / "parts.json", {"parts": [{**asdict(part), "path": str(part.path)} for part in parts]})
    return Work(folder=work, num_documents=first)


@functools.lru_cache(maxsize=1)
def read_parts(path: Path) -> tuple[Part, ...]:
    return tuple(Part(**{**part, "path": Path(part["path"])}) for part in read_json(path)["parts"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    part: Part
    work: Work
    thresholds: Thresholds

    @property
    def name(self) -> str:
        return f"judge-{self.part.name}"


def judge(task: Judge) -> Outcome:
    """Write the part's reasons (uint8 [rows], 0 for none), its ids, and the exact keys of what has no reason."""
    part, work = task.part, task.work
    reasons, ids, keys = [np.empty(0, np.uint8)], [np.empty((0, 2), "<u8")], [np.empty((0, 2), "<u8")]
    scores = [name for name in pq.read_schema(part.path).names if name.startswith(SCORE)]
    for batch in read_columns(part.path, ("id", "exact_key", *scores)):
        columns = {name.removeprefix(SCORE): batch[name].to_numpy(zero_copy_only=False) for name in scores}
        reasons.append(decide(columns, task.thresholds))
        ids.append(from_hex(batch["id"].to_pylist()))
        keys.append(from_hex(batch["exact_key"].to_pylist()))
    reason, key = np.concatenate(reasons), np.concatenate(keys)
    passed = reason == 0
    rows = np.empty(int(passed.sum()), EXACT_ROW)
    rows["high"], rows["low"], rows["document"] = key[passed, 0], key[passed, 1], part.numbers[passed]
    partitions = partitions_for(work.num_documents)
    files = [work.file(kind, part.name) for kind in ("reasons", "ids", "exact")]
    write_flat(files[0], [reason])
    write_flat(files[1], [np.concatenate(ids)])
    write_rows(files[2], rows, partition_of(rows["high"], partitions), partitions)
    return Outcome(files=files, counters=Counter(documents_read=part.rows))


def from_hex(texts: list[str]) -> Array:
    """Read hex digits of 128 bits each, as uint64 [texts, 2]."""
    return np.frombuffer(bytes.fromhex("".join(texts)), "<u8").reshape(-1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """One partition of the exact keys (`kind` exact) or of the band keys (`kind` near)."""

    kind: str
    number: int
    work: Work
    agreement: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number:05d}"


def find_exact(task: Partition) -> Outcome:
    """Write a pair for every document whose key an earlier one has, in the order of documents."""
    partitions = partitions_for(task.work.num_documents)
    rows = read_rows(task.work.files("exact"), task.number, partitions, EXACT_ROW)
    rows = rows[np.lexsort((rows["document"], rows["low"], rows["high"]))]
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (rows["high"][1:] != rows["high"][:-1]) | (rows["low"][1:] != rows["low"][:-1])
    first = rows["document"][np.flatnonzero(begins)][np.cumsum(begins) - 1] if len(rows) else rows["document"]
    return write_pairs(task, rows["document"][~begins], first[~begins])


def write_pairs(task: Partition, documents: Array, first: Array) -> Outcome:
    pairs = np.empty(len(documents), PAIR)
    pairs["document"], pairs["first"] = documents, first
    path = task.work.file(f"{task.kind}-pairs", task.name)
    write_flat(path, [np.sort(pairs, order="document")])
    return Outcome(files=[path], counters=Counter({f"{task.kind}_pairs": len(pairs)}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Bands:
    part: Part
    work: Work

    @property
    def name(self) -> str:
        return f"bands-{self.part.name}"


def make_bands(task: Bands) -> Outcome:
    """Write the band keys of the part's documents that no reason and no earlier copy takes out."""
    from polyglot_lm.corpus.kernels.minhash import band_keys

    part, work = task.part, task.work
    left = np.fromfile(work.file("reasons", part.name), np.uint8) == 0
    left[exact_copies(part, work)] = False
    chosen = np.flatnonzero(left)
    signatures = Flat([signature_path(part.path)], [part.rows], "<u2", NUM_VALUES).part(0)
    partitions = partitions_for(work.num_documents * NUM_BANDS)
    files = []
    for chunk, start in enumerate(range(0, len(chosen), DOCUMENTS_PER_CHUNK)):
        some = chosen[start : start + DOCUMENTS_PER_CHUNK]
        rows = np.empty(len(some) * NUM_BANDS, BAND_ROW)
        rows["key"] = band_keys(np.ascontiguousarray(signatures[some])).ravel()
        rows["document"] = np.repeat((some + part.first).astype(np.uint32), NUM_BANDS)
        files.append(work.file("bands", f"{part.name}-{chunk:03d}"))
        write_rows(files[-1], rows, partition_of(rows["key"], partitions), partitions)
    return Outcome(files=files, counters=Counter(documents_compared=len(chosen)))


def read_sorted(path: Path, start: int, stop: int) -> Array:
    """Return the documents from `start` to before `stop` in a file of pairs, without reading the rest."""
    pairs = np.memmap(path, PAIR, "r") if path.stat().st_size else np.empty(0, PAIR)
    bounds = np.searchsorted(pairs["document"], [start, stop])
    return np.array(pairs["document"][bounds[0] : bounds[1]])


def find_near(task: Partition) -> Outcome:
    """Write a pair for every document that agrees with an earlier one of the same band key."""
    from polyglot_lm.corpus.kernels.lsh import Buckets, group, verified_edges

    work = task.work
    rows = read_rows(work.files("bands"), task.number, partitions_for(work.num_documents * NUM_BANDS), BAND_ROW)
    buckets = group(np.ascontiguousarray(rows["key"]), np.ascontiguousarray(rows["document"]))
    del rows
    parts = work.parts()
    signatures = Flat([signature_path(part.path) for part in parts], [part.rows for part in parts], "<u2", NUM_VALUES)
    found: dict[str, list[Array]] = {"first": [np.empty(0, np.uint32)], "second": [np.empty(0, np.uint32)]}
    for start, stop in looks(buckets.bounds):
        documents, local = np.unique(buckets.documents[buckets.bounds[start] : buckets.bounds[stop]], return_inverse=True)
        some = Buckets(local.astype(np.uint32), buckets.bounds[start : stop + 1] - buckets.bounds[start])
        edges = verified_edges(some, signatures.gather(documents), task.agreement)
        found["first"].append(documents[edges.first])
        found["second"].append(documents[edges.second])
    return write_pairs(task, np.concatenate(found["second"]), np.concatenate(found["first"]))


def looks(bounds: Array) -> Iterator[tuple[int, int]]:
    """Cut buckets into runs of about `DOCUMENTS_PER_LOOK` documents, whole buckets each."""
    start = 0
    while start < len(bounds) - 1:
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + DOCUMENTS_PER_LOOK, side="right")) - 1)
        yield start, stop
        start = stop


def find_clusters(work: Work, thresholds: dict[str, Thresholds], agreement: float | None, runtime: Runtime) -> Counter[str]:
    """Carry out the passes and leave `labels` and `sizes` (uint32 [documents]) in the work folder; `agreement` None: exact only."""
    parts, total, label_of = work.parts(), Counter[str](), ", ".join(thresholds)

    def carry_out(function: Any, tasks: list[Any], what: str) -> None:
        name = f"{what} {label_of}"
        for manifest in all_done(run_tasks(runtime, work.folder, function, tasks, label=name), name):
            total.update(manifest.counters)

    carry_out(judge, [Judge(part=part, work=work, thresholds=thresholds[part.language]) for part in parts], "judge")
    exact = range(partitions_for(work.num_documents))
    carry_out(find_exact, [Partition(kind="exact", number=number, work=work) for number in exact], "exact duplicates")
    if agreement is not None:
        carry_out(make_bands, [Bands(part=part, work=work) for part in parts], "band keys")
        near = range(partitions_for(work.num_documents * NUM_BANDS))
        tasks = [Partition(kind="near", number=number, work=work, agreement=agreement) for number in near]
        carry_out(find_near, tasks, "near duplicates")
    label(work)
    carry_out(choose, [Choose(part=part, work=work, agreement=agreement) for part in parts], "copies")
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Choose:
    part: Part
    work: Work
    agreement: float | None

    @property
    def name(self) -> str:
        return f"choose-{self.part.name}"


def choose(task: Choose) -> Outcome:
    """Write what becomes of each document of a part (uint8), and the clusters (uint32) of those that stay, not being the first."""
    part, work = task.part, task.work
    labels = of_part("labels", part, work)
    fate = np.where(np.fromfile(work.file("reasons", part.name), np.uint8) == 0, KEPT, REFUSED).astype(np.uint8)
    if task.agreement is not None:
        others = np.flatnonzero((fate == KEPT) & (labels != part.numbers))
        fate[others[agrees(part, work, others, labels, task.agreement)]] = NEAR
    fate[exact_copies(part, work)] = EXACT
    files = [work.file(kind, part.name) for kind in ("fates", "chains")]
    write_flat(files[0], [fate])
    write_flat(files[1], [labels[(fate == KEPT) & (labels != part.numbers)]])
    return Outcome(files=files, counters=Counter())


def agrees(part: Part, work: Work, places: Array, labels: Array, agreement: float) -> Array:
    """Say of documents, by place in the part, whether their signatures agree with those of their clusters' first ones."""
    own = Flat([signature_path(part.path)], [part.rows], "<u2", NUM_VALUES).part(0)
    parts = work.parts()
    all_signatures = Flat([signature_path(other.path) for other in parts], [other.rows for other in parts], "<u2", NUM_VALUES)
    pieces = [np.empty(0, np.bool_)]
    for start in range(0, len(places), DOCUMENTS_PER_CHUNK):
        some = places[start : start + DOCUMENTS_PER_CHUNK]
        pieces.append((own[some] == all_signatures.gather(labels[some])).mean(axis=1) >= agreement - 1e-9)
    return np.concatenate(pieces)


def exact_copies(part: Part, work: Work) -> Array:
    """Return the places in the part of documents that an earlier document equals."""
    found = [read_sorted(path, part.first, part.first + part.rows) for path in work.files("exact-pairs")]
    return np.concatenate([np.empty(0, np.uint32), *found]).astype(np.int64) - part.first


def fates_of(part: Part, work: Work) -> Array:
    return np.fromfile(work.file("fates", part.name), np.uint8)


def of_part(kind: str, part: Part, work: Work) -> Array:
    """Return a part's stretch of a file that has one uint32 for every document."""
    return np.fromfile(work.file(kind, "all"), np.uint32, count=part.rows, offset=4 * part.first)


def label(work: Work) -> None:
    """Join all pairs; every document gets the number of its cluster's first document, and the first the cluster's size."""
    from polyglot_lm.corpus.kernels.lsh import Components, Edges

    components = Components(work.num_documents)
    for kind in ("exact-pairs", "near-pairs"):
        for path in work.files(kind):
            pairs = np.fromfile(path, PAIR)
            components.join(Edges(np.ascontiguousarray(pairs["first"]), np.ascontiguousarray(pairs["document"])))
    labels = components.labels()
    write_flat(work.file("labels", "all"), [labels.astype(np.uint32)])
    write_flat(work.file("sizes", "all"), [np.bincount(labels, minlength=len(labels)).astype(np.uint32)])
