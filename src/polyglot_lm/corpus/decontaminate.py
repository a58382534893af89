"""Decontamination: which documents hold text of the evaluation sets, and of which items.

`index_benchmarks` cuts every text of every item, training parts included, into n-grams of equal content (`kernels/ngrams`) and
writes their hashes, sorted, beside a table of the texts. `Contamination` maps those files into memory, one copy for all workers of a
machine, and looks up batches of documents.

A text shorter than an n-gram is indexed whole if it is no shorter than `whole_percent` of one. An item that has only shorter texts
(COPA: seven words and two times four) is indexed as their concatenation too, in the order written. Not indexed are labels and
instructions (texts of more than `max_items` items), n-grams that occur in more than `max_texts` texts of one task (its boilerplate)
and those of few units repeated. A document is contaminated when it holds `min_hits` different n-grams of one text, or all
if that has fewer.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.benchmarks import Benchmarks, Split
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.scripts import SCRIPTS, folds, kinds
from polyglot_lm.pipeline import CorruptFileError, Counters, UserError, atomic_path, read_json, stage, write_json

if TYPE_CHECKING:
    from polyglot_lm.corpus.kernels.ngrams import Rule

Array = np.ndarray[Any, np.dtype[Any]]

REASON = "contaminated"
TEXT_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("split", pa.string()),
        ("item", pa.int32()),  # the first that has the text, counted from 0
        ("num_items", pa.int32()),  # of the split that have it
        ("field", pa.string()),
        ("num_ngrams", pa.int32()),  # in the index; none is left when all are boilerplate
    ]
)
HIT_SCHEMA = pa.schema(
    [
        ("document", pa.string()),
        *(TEXT_SCHEMA.field(name) for name in ("task", "split", "item", "field", "num_ngrams")),
        ("num_found", pa.int32()),  # different n-grams of the text in the document
        ("contaminates", pa.bool_()),
    ]
)
ARRAYS = {"hashes": np.uint64, "texts": np.uint32, "short_anchors": np.uint64, "short_units": np.int64, "filter": np.uint64}
CUT_BYTES = 4_000_000  # of text cut at once; 30 bytes of arrays for each
HITS_AT_ONCE = 1 << 18
ID_FIELDS = ("id", "idx", "link", "url", "sample_id", "q_id", "guid", "pid", "uid")
IN_BRACKETS = re.compile(r"\[([^\[\]]*)\]")

MAX_NGRAM_UNITS = 256
UNIT_NAMES = ("word", "number", "code_point", *SCRIPTS)
# 13 words is the field's convention (GPT-3, lm-evaluation-harness); the other lengths hold as much: 0.61 of a FLORES-200 sentence.
# benchmarks/corpus/decontamination.py measures edited copies found and unrelated documents hit, for these lengths and others.
NGRAM_UNITS: Mapping[str, int] = {
    **{"word": 13, "number": 39, "Hang": 9, "Hani": 21, "Hira": 40, "Kana": 40, "Thai": 70, "code_point": 70},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NgramShape:
    """How many units are an n-gram, by script: `word` for scripts that are not named, `number` for words of digits alone, `code_point`
    for Lao, Khmer and Myanmar. Where scripts mix, shares add up to one n-gram."""

    units: Mapping[str, int]
    whole_percent: int

    def __post_init__(self) -> None:
        for name, count in self.units.items():
            if name not in UNIT_NAMES:
                raise UserError(f"n-grams have no unit {name!r}; give some of {', '.join(UNIT_NAMES)}")
            if not 1 <= count <= MAX_NGRAM_UNITS:
                raise UserError(f"an n-gram of {count} units of {name!r} cannot be; give 1 to {MAX_NGRAM_UNITS}")
        if missing := [name for name in ("word", "number", "code_point") if name not in self.units]:
            raise UserError(f"n-grams have no length for {missing[0]!r}; add it")
        if not 1 <= self.whole_percent <= 100:
            raise UserError(f"whole_percent is {self.whole_percent}; give 1 to 100")


class Cuts(NamedTuple):
    """N-grams as they were cut: hash, anchor, row of the text, and how many units the text has if it is one whole (else 0)."""

    hashes: Array
    anchors: Array
    texts: Array
    whole_units: Array

    def select(self, which: Array) -> "Cuts":
        return Cuts(*(column[which] for column in self))


@stage(version=1)
def index_benchmarks(
    out: Path, *, benchmarks: Benchmarks, shape: NgramShape, excluded_fields: Sequence[str], max_items: int, max_texts: int
) -> Counters:
    """Write the index of the evaluation sets; counts items, texts and n-grams. Raises UserError for a file that cannot be read.

    Memory: 80 bytes an n-gram, and one split of texts."""
    from polyglot_lm.corpus.kernels.ngrams import rule_of

    rule = rule_of(shape.units, shape.whole_percent)
    rows: list[dict[str, Any]] = []
    cuts: list[Cuts] = []
    owned: list[list[list[int]]] = []  # of each split, of each item: the rows of its texts
    for split in benchmarks.splits:
        texts, of_items = texts_of(split, frozenset(excluded_fields), max_items, rule)
        cuts += [cut._replace(texts=cut.texts + len(rows)) for cut in cut_texts(list(texts), rule)]
        owned.append([[len(rows) + row for row in item] for item in of_items])
        rows += texts.values()
    every = Cuts(*(np.concatenate(column) for column in zip(*cuts, strict=True)))
    kept, num_boilerplate = drop_boilerplate(every, rows, max_texts)
    num_ngrams = np.bincount(kept.texts, minlength=len(rows))
    with atomic_path(out / "texts.parquet") as path:
        described = [{**row, "num_ngrams": count} for row, count in zip(rows, num_ngrams.tolist(), strict=True)]
        pq.write_table(pa.Table.from_pylist(described, schema=TEXT_SCHEMA), path, compression="zstd")
    lengths = write_arrays(out, kept)
    splits = describe(benchmarks, owned, num_ngrams)
    totals = {name: sum(split[name] for split in splits) for name in ("items", "items_indexed", "texts")}
    counters = {**totals, "ngrams": len(kept.hashes), "boilerplate_ngrams": num_boilerplate}
    whole = {"whole_percent": shape.whole_percent, "max_items": max_items, "max_texts": max_texts}
    write_json(out / "benchmarks.json", {"units": dict(shape.units), **whole, **counters, "lengths": lengths, "splits": splits})
    return counters


def texts_of(
    split: Split, excluded_fields: frozenset[str], max_items: int, rule: "Rule"
) -> tuple[dict[str, dict[str, Any]], list[list[int]]]:
    """Return the texts of a split that are long enough, each with its row of the table; and which of them each item has."""
    from polyglot_lm.corpus.kernels.ngrams import FULL

    items = list(split.items(excluded_fields))
    found_in = Counter(text for item in items for text in {text for _, text in item})
    weights = dict(zip(found_in, weights_of(list(found_in), rule), strict=True))
    texts: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    of_items = []
    for item, pieces in enumerate(items):
        own = [(field, text) for field, text in pieces if found_in[text] <= max_items]
        long_enough = {text: field for field, text in own if weights[text] >= rule.least}
        if all(weights[text] < FULL for _, text in own) and sum(weights[text] for _, text in own) >= rule.least:
            long_enough["\n".join(text for _, text in own)] = "+".join(dict.fromkeys(field for field, _ in own))
        forms = {form: field for text, field in long_enough.items() for form in (text, IN_BRACKETS.sub(r"\1", text))}
        for text, field in forms.items():
            numbers.setdefault(text, len(numbers))
            new = {"task": split.task, "split": split.split, "item": item, "num_items": 0, "field": field}
            texts.setdefault(text, new)["num_items"] += 1
        of_items.append([numbers[text] for text in forms])
    return texts, of_items


def batches(texts: Sequence[str]) -> Iterator[TextBatch]:
    """Yield the texts in batches of about CUT_BYTES."""
    held: list[str] = []
    num_bytes = 0
    for text in texts:
        held.append(text)
        num_bytes += len(text.encode())
        if num_bytes >= CUT_BYTES:
            yield TextBatch.from_texts(held)
            held, num_bytes = [], 0
    if held:
        yield TextBatch.from_texts(held)


def weights_of(texts: Sequence[str], rule: "Rule") -> list[int]:
    from polyglot_lm.corpus.kernels.ngrams import weigh

    weights: list[int] = []
    for batch in batches(texts):
        found = np.zeros(len(batch), np.int64)
        weigh(batch.data, batch.offsets, kinds(), folds(), rule, found)
        weights += found.tolist()
    return weights


def cut_texts(texts: Sequence[str], rule: "Rule") -> Iterator[Cuts]:
    from polyglot_lm.corpus.kernels.ngrams import cut

    yield Cuts(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    first = 0
    for batch in batches(texts):
        most = batch.num_bytes  # a unit has at least one byte
        room = Cuts(np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64))
        capacity = int(np.diff(batch.offsets).max())
        written = cut(batch.data, batch.offsets, kinds(), folds(), rule, capacity, *room)
        found = room.select(np.arange(written))
        yield found._replace(texts=found.texts + first)
        first += len(batch)


def drop_boilerplate(cuts: Cuts, rows: Sequence[Mapping[str, Any]], max_texts: int) -> tuple[Cuts, int]:
    """Return the n-grams sorted by hash and text, each once a text, and how many were in too many texts of a task to be kept."""
    ordered = cuts.select(np.lexsort((cuts.texts, cuts.hashes)))
    ordered = ordered.select(changes(ordered.hashes, ordered.texts))
    numbers = {task: number for number, task in enumerate(dict.fromkeys(row["task"] for row in rows))}
    tasks = np.array([numbers[row["task"]] for row in rows], np.int64)[ordered.texts]  # ascending, as texts are numbered by task
    starts = changes(ordered.hashes, tasks)
    run = np.cumsum(starts) - 1
    few = np.bincount(run, minlength=1)[run] <= max_texts
    return ordered.select(few), int((~few).sum())


def changes(*columns: Array) -> Array:
    """Say of each row whether it differs from the one before it."""
    differs = np.ones(len(columns[0]), np.bool_)
    differs[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return differs


def write_arrays(out: Path, cuts: Cuts) -> dict[str, int]:
    from polyglot_lm.corpus.kernels.ngrams import FILTER_BITS_PER_KEY, fill_filter

    short = cuts.select(cuts.whole_units > 0)
    short = short.select(np.lexsort((short.whole_units, short.anchors)))
    short = short.select(changes(short.anchors, short.whole_units))
    anchors = np.unique(cuts.anchors)
    blocks = np.zeros(1 + len(anchors) * FILTER_BITS_PER_KEY // 64, np.uint64)
    fill_filter(anchors, blocks)
    columns = (cuts.hashes, cuts.texts, short.anchors, short.whole_units, blocks)
    for (name, dtype), column in zip(ARRAYS.items(), columns, strict=True):
        with atomic_path(array_path(out, name)) as path:
            column.astype(dtype).tofile(path)
    return {name: len(column) for name, column in zip(ARRAYS, columns, strict=True)}


def array_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.{np.dtype(ARRAYS[name]).name}"


def describe(benchmarks: Benchmarks, owned: Sequence[Sequence[Sequence[int]]], num_ngrams: Array) -> list[dict[str, Any]]:
    """Return task, split and counts of every file. An item is indexed when a text of it is."""
    splits = []
    for split, items in zip(benchmarks.splits, owned, strict=True):
        rows = {row for item in items for row in item if num_ngrams[row]}
        counts = {"items": len(items), "items_indexed": sum(any(row in rows for row in item) for item in items)}
        ngrams = int(num_ngrams[sorted(rows)].sum())
        splits.append({"task": split.task, "split": split.split, "path": split.path, **counts, "texts": len(rows), "ngrams": ngrams})
    return splits


@dataclass(frozen=True, kw_only=True)
class Hits:
    """What a batch holds of evaluation texts: document (place in the batch), text (row of the index's table), how many different
    n-grams of it were found, and whether they are enough; sorted by document and text."""

    documents: Array
    texts: Array
    num_found: Array
    contaminates: Array

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def contaminated(self) -> Array:
        """The places in the batch of the documents to remove, ascending."""
        return np.unique(self.documents[self.contaminates])


class Contamination:
    """An index opened for looking up. Raises CorruptFileError when it is not what `index_benchmarks` wrote."""

    def __init__(self, folder: Path, *, min_hits: int) -> None:
        from polyglot_lm.corpus.kernels.ngrams import Index, rule_of

        if min_hits < 1:
            raise UserError(f"min_hits is {min_hits}; give at least 1")
        self.min_hits = min_hits
        self.summary = read_json(folder / "benchmarks.json")
        self.texts: pa.Table = pq.read_table(folder / "texts.parquet")
        self.rule = rule_of(self.summary["units"], self.summary["whole_percent"])
        arrays = {name: map_array(array_path(folder, name), self.summary["lengths"][name]) for name in ARRAYS}
        self.text_of_place = arrays.pop("texts")
        self.index = Index(**{name: read_only(array) for name, array in arrays.items()})
        self.needed = np.minimum(self.texts["num_ngrams"].to_numpy(), min_hits)

    def hits(self, batch: TextBatch) -> Hits:
        """Look up the documents of a batch; at most 16,384 n-grams of each, at which it is a copy of an evaluation set."""
        from polyglot_lm.corpus.kernels.ngrams import scan

        data, offsets = read_only(batch.data), read_only(batch.offsets)
        document_of, place_of = np.empty(HITS_AT_ONCE, np.int64), np.empty(HITS_AT_ONCE, np.int64)
        found = [np.zeros((2, 0), np.int64)]
        following = 0
        while following < len(batch):
            arguments = (kinds(), folds(), self.rule, self.index, document_of, place_of)
            following, written = scan(data, offsets, following, *arguments)
            found.append(np.unique(np.stack([document_of[:written], place_of[:written]]), axis=1))
        documents, places = np.concatenate(found, axis=1)
        texts = self.text_of_place[places].astype(np.int64)
        pairs, num_found = np.unique(np.stack([documents, texts]), axis=1, return_counts=True)
        documents, texts = pairs
        return Hits(documents=documents, texts=texts, num_found=num_found, contaminates=num_found >= self.needed[texts])

    def table(self, hits: Hits, ids: Sequence[str]) -> pa.Table:
        """Return the hits as rows of HIT_SCHEMA, to be written to `hits/`; ids: of the batch's documents. No text is repeated."""
        described = self.texts.take(pa.array(hits.texts))
        columns = {
            **{name: described[name] for name in described.column_names},
            "document": pa.array([ids[document] for document in hits.documents.tolist()], pa.string()),
            "num_found": pa.array(hits.num_found, pa.int32()),
            "contaminates": pa.array(hits.contaminates),
        }
        return pa.table([columns[name] for name in HIT_SCHEMA.names], schema=HIT_SCHEMA)


def map_array(path: Path, length: int) -> Array:
    dtype = np.dtype(ARRAYS[path.stem])
    if not path.exists() or path.stat().st_size != length * dtype.itemsize:
        raise CorruptFileError(path, f"not {length} numbers of {dtype.itemsize} bytes")
    return np.memmap(path, dtype, mode="r") if length else np.zeros(0, dtype)


def read_only(array: Array) -> Array:
    """Return the array as numba compiles for: one type, whoever made it."""
    view = np.asarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view
