"""Decontamination: which documents hold text of the evaluation sets, and of which items.

`index_benchmarks` cuts every text of every item, training parts included, into n-grams of equal content (`kernels/ngrams`) and
writes their hashes, sorted, beside a table of the texts. `Contamination` maps those files into memory, one copy for all workers
of a machine, and looks up batches of documents.

Neighbouring texts shorter than an n-gram (COPA: seven words and two times four) are indexed as one text, in the order written;
a short one is indexed whole if it is `whole_percent` of an n-gram at least, and a third of its item. Not indexed are labels and
instructions (texts of more than `max_items` items), identifiers, n-grams in more than `max_texts` texts of one task (its
boilerplate) and those of few units repeated. A document is contaminated when it holds `min_hits` different n-grams of one text,
or all if that has fewer.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.benchmarks import Benchmarks, Split
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.scripts import SCRIPTS
from polyglot_lm.pipeline import CorruptFileError, Counters, UserError, atomic_path, read_json, stage, write_json

if TYPE_CHECKING:
    from polyglot_lm.corpus.kernels.ngrams import Cuts, Rule

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
CUT_BYTES = 4_000_000  # of text cut at once
ID_FIELDS = ("idx", "link", "url", "sample_id", "q_id", "guid", "uid")  # `id` is Indonesian in parallel text
IDENTIFIER = re.compile(r"[!-~]*[0-9/_@][!-~]*")  # no text, whatever its field: 28-0001, https://..., 3.5%
WHOLE_SHARE = 1 / 3
IN_BRACKETS = re.compile(r"\[([^\[\]]*)\]")  # marks a word within others, particles after it: [word]s

MAX_NGRAM_UNITS = 256
UNIT_NAMES = ("word", "number", "code_point", *SCRIPTS)
# 13 words is the field's convention (GPT-3, lm-evaluation-harness); the other lengths hold as much: 0.61 of a FLORES-200 sentence.
# benchmarks/corpus/decontamination.py measures edited copies found and unrelated documents hit, for these lengths and others.
NGRAM_UNITS = {"word": 13, "number": 39, "Hang": 9, "Hani": 21, "Hira": 40, "Kana": 40, "Thai": 70, "code_point": 70}


@dataclass(frozen=True, kw_only=True, slots=True)
class NgramShape:
    """How many units are an n-gram, by script: `word` for scripts that are not named, `number` for words of digits alone,
    `code_point` for Lao, Khmer and Myanmar. Where scripts mix, shares add up to one n-gram."""

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


@stage(version=1)
def index_benchmarks(
    out: Path, *, benchmarks: Benchmarks, shape: NgramShape, excluded_fields: Sequence[str], max_items: int, max_texts: int
) -> Counters:
    """Write the index of the evaluation sets; counts items, texts and n-grams. Raises UserError for a file that cannot be read.

    Memory: 80 bytes an n-gram, and one split of texts."""
    from polyglot_lm.corpus.kernels.ngrams import Cuts, cut_batch, rule_of

    rule = rule_of(shape.units, shape.whole_percent)
    rows: list[dict[str, Any]] = []
    cuts = [cut_batch(TextBatch.from_texts([]), rule)]
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
    items = list(split.items(excluded_fields))
    found_in = Counter(text for item in items for text in {text for _, text in item})
    weights = dict(zip(found_in, weights_of(list(found_in), rule), strict=True))
    texts: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    of_items = []
    for item, pieces in enumerate(items):
        own = [
            (field, text, weights[text]) for field, text in pieces if found_in[text] <= max_items and not IDENTIFIER.fullmatch(text)
        ]
        forms = {form: field for field, text in choose(own, rule.least) for form in (text, IN_BRACKETS.sub(r"\1", text))}
        for text, field in forms.items():
            numbers.setdefault(text, len(numbers))
            new = {"task": split.task, "split": split.split, "item": item, "num_items": 0, "field": field}
            texts.setdefault(text, new)["num_items"] += 1
        of_items.append([numbers[text] for text in forms])
    return texts, of_items


def choose(pieces: Sequence[tuple[str, str, int]], least: int) -> Iterator[tuple[str, str]]:
    """Yield what of an item's (field, text, weight) is looked for: its long texts, neighbouring short ones as one text, and short
    ones that are `WHOLE_SHARE` of the item at least: an answer of eight words is found in many documents that know no question."""
    from polyglot_lm.corpus.kernels.ngrams import FULL

    enough = WHOLE_SHARE * sum(weight for _, _, weight in pieces)
    short_runs = (list(run) for is_short, run in itertools.groupby(pieces, lambda piece: piece[2] < FULL) if is_short)
    joined = (tuple(zip(*run, strict=True)) for run in short_runs)
    runs = [("+".join(dict.fromkeys(fields)), "\n".join(texts), sum(weights)) for fields, texts, weights in joined]
    for field, text, weight in (*pieces, *runs):
        if weight >= FULL or weight >= max(least, enough):
            yield field, text


def batches(texts: Iterable[str]) -> Iterator[TextBatch]:
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
    from polyglot_lm.corpus.kernels.ngrams import text_weights

    return [weight for batch in batches(texts) for weight in text_weights(batch, rule).tolist()]


def cut_texts(texts: Sequence[str], rule: "Rule") -> Iterator["Cuts"]:
    from polyglot_lm.corpus.kernels.ngrams import cut_batch

    first = 0
    for batch in batches(texts):
        found = cut_batch(batch, rule)
        yield found._replace(texts=found.texts + first)
        first += len(batch)


def drop_boilerplate(cuts: "Cuts", rows: Sequence[Mapping[str, Any]], max_texts: int) -> tuple["Cuts", int]:
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


def write_arrays(out: Path, cuts: "Cuts") -> dict[str, int]:
    from polyglot_lm.corpus.kernels.ngrams import filter_of

    short = cuts.select(cuts.whole_units > 0)
    short = short.select(np.lexsort((short.whole_units, short.anchors)))
    short = short.select(changes(short.anchors, short.whole_units))
    columns = (cuts.hashes, cuts.texts, short.anchors, short.whole_units, filter_of(np.unique(cuts.anchors)))
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
        splits.append(
            {"task": split.task, "split": split.split, "path": split.path, **counts, "texts": len(rows), "ngrams": ngrams}
        )
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
        from polyglot_lm.corpus.kernels.batch import read_only
        from polyglot_lm.corpus.kernels.ngrams import Index, rule_of

        if min_hits < 1:
            raise UserError(f"min_hits is {min_hits}; give at least 1")
        self.min_hits = min_hits
        self.summary = read_json(folder / "benchmarks.json")
        self.texts = read_texts(folder / "texts.parquet")
        self.rule = rule_of(self.summary["units"], self.summary["whole_percent"])
        arrays = {name: map_array(array_path(folder, name), self.summary["lengths"][name]) for name in ARRAYS}
        self.text_of_place = arrays.pop("texts")
        self.index = Index(**{name: read_only(array) for name, array in arrays.items()})
        self.needed = np.minimum(self.texts["num_ngrams"].to_numpy(), min_hits)

    def hits(self, batch: TextBatch) -> Hits:
        """Look up the documents of a batch; at most 16,384 n-grams of each, at which it is a copy of an evaluation set."""
        from polyglot_lm.corpus.kernels.ngrams import find

        documents, places = find(batch, self.rule, self.index)
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


def read_texts(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, schema=TEXT_SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, str(error).splitlines()[0]) from error


def map_array(path: Path, length: int) -> Array:
    dtype = np.dtype(ARRAYS[path.stem])
    if not path.exists() or path.stat().st_size != length * dtype.itemsize:
        raise CorruptFileError(path, f"not {length} numbers of {dtype.itemsize} bytes")
    return np.memmap(path, dtype, mode="r") if length else np.zeros(0, dtype)
