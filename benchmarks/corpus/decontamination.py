"""Decontamination: its speed beside a Python set's and datatrove's, and what n-grams of which length find.

    python benchmarks/corpus/decontamination.py [--megabytes 24] [--datatrove PYTHON] [--lengths]

Speed: MB (1e6) of UTF-8 per CPU second of `Contamination.hits` against the index of all evaluation sets of the shared data, best of
three. Peers on the same text (its first PEER_BYTES) and n-grams of 13 words: a Python set of tuples, and, if the Python of an
environment that has datatrove 0.10 is named, its `NGramsDecontFilter` with the word tokenizer it has for English on English.
`--lengths`: for n-grams of less content, how many of 2,009 FLORES sentences are found with 5 or 10 % of words replaced, and how
many documents of the shared text the evaluation sets hit, by any n-gram and by MIN_HITS of them.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from polyglot_lm.corpus.benchmarks import Benchmarks, benchmarks_of
from polyglot_lm.corpus.decontaminate import ID_FIELDS, NGRAM_UNITS, Contamination, NgramShape, index_benchmarks
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.scripts import UNSPACED, kinds
from polyglot_lm.languages import languages

SHARED = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
WHOLE_PERCENT, MAX_ITEMS, MAX_TEXTS, MIN_HITS = 60, 32, 8, 2
BATCH_BYTES, PEER_BYTES, RUNS = 4_000_000, 1_000_000, 3
CONTENTS = (0.4, 0.6, 0.8, 1.0)  # of the n-grams we use
EDITS = (0.05, 0.1)  # of words
WORD = re.compile(r"\w+")


def documents_of(code: str, most_bytes: int) -> list[str]:
    """Return texts of a language, in turn from its sources until the bytes are reached."""
    sources = []
    for path in sorted((SHARED / "text" / code).glob("*.jsonl.zst")):
        with pa.input_stream(str(path), compression="zstd") as stream:
            sources.append([json.loads(line)["text"] for line in stream.read().splitlines()])
    texts, left = [], most_bytes
    for place in range(max(map(len, sources))):
        for source in sources:
            if place < len(source) and left > 0:
                texts.append(source[place])
                left -= len(source[place].encode())
    return texts


def index(folder: Path, benchmarks: Benchmarks, content: float = 1.0) -> Path:
    units = {name: max(2, round(count * content)) for name, count in NGRAM_UNITS.items()}
    shape = NgramShape(units=units, whole_percent=WHOLE_PERCENT)
    chosen = {"excluded_fields": ID_FIELDS, "max_items": MAX_ITEMS, "max_texts": MAX_TEXTS}
    index_benchmarks(folder, benchmarks=benchmarks, shape=shape, **chosen)
    return folder


def batches(texts: Sequence[str]) -> list[TextBatch]:
    """Cut the documents as record batches would be: a few megabytes each."""
    held: list[list[str]] = [[]]
    size = 0
    for text in texts:
        size += len(text.encode())
        if size > BATCH_BYTES:
            held.append([])
            size = 0
        held[-1].append(text)
    return [TextBatch.from_texts(group) for group in held if group]


def speed(contamination: Contamination, texts: Sequence[str]) -> float:
    prepared = batches(texts)
    contamination.hits(prepared[0])
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        for batch in prepared:
            contamination.hits(batch)
        seconds.append(time.process_time() - start)
    return sum(batch.num_bytes for batch in prepared) / 1e6 / min(seconds)


def set_speed(benchmarks: Benchmarks, texts: Sequence[str]) -> float:
    """Time the plain way: words by a regular expression, tuples of 13 in a set."""
    wanted = {
        ngram
        for split in benchmarks.splits
        for item in split.items(frozenset(ID_FIELDS))
        for _, text in item
        for ngram in ngrams(text)
    }
    start = time.process_time()
    sum(not wanted.isdisjoint(ngrams(text)) for text in texts)
    return sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)


def ngrams(text: str, length: int = 13) -> set[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return set(zip(*(words[start:] for start in range(length)), strict=False))


DATATROVE = """
import json, sys, tempfile, time
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import ngrams, simplify_text
items, texts = (json.loads(line) for line in sys.stdin)
with tempfile.TemporaryDirectory() as folder:
    step = NGramsDecontFilter(folder, NGramsDecontConfig())
    step._index_hashes = {
        step.hash_func(" ".join(ngram)): "task"
        for item in items
        for ngram in ngrams(step.tokenizer.word_tokenize(simplify_text(item, step.config.norm_config)), step.config.n_grams)
    }
    start = time.process_time()
    for number, text in enumerate(texts):
        step.filter(Document(text=text, id=str(number)))
    print(time.process_time() - start)
"""


def datatrove_speed(python: Path, benchmarks: Benchmarks, texts: Sequence[str]) -> float:
    """Time datatrove's filter, its index filled with the n-grams of the English sets."""
    items = [
        text for split in benchmarks.splits if "_en" in split.task for item in split.items(frozenset(ID_FIELDS)) for _, text in item
    ]
    given = json.dumps(items) + "\n" + json.dumps(texts) + "\n"
    done = subprocess.run([python, "-c", DATATROVE], input=given, capture_output=True, text=True, check=True)
    return sum(len(text.encode()) for text in texts) / 1e6 / float(done.stdout.split()[-1])


def measure(most_bytes: int, datatrove: Path | None = None) -> dict[str, float]:
    """Return `decontaminate_mb_s` (equal bytes of all languages ÷ seconds), `decontaminate_mb_s_<code>` and the peers' figures."""
    benchmarks = benchmarks_of(SHARED / "eval", SHARED / "parallel")
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        contamination = Contamination(index(Path(folder), benchmarks), min_hits=MIN_HITS)
        for code in languages():
            figures[f"decontaminate_mb_s_{code}"] = speed(contamination, documents_of(code, most_bytes))
    figures["decontaminate_mb_s"] = len(figures) / sum(1 / value for value in figures.values())
    peer_texts = documents_of("en", PEER_BYTES)
    figures["decontaminate_set_mb_s_en"] = set_speed(benchmarks, peer_texts)
    if datatrove:
        figures["decontaminate_datatrove_mb_s_en"] = datatrove_speed(datatrove, benchmarks, peer_texts)
    return figures


def edited(text: str, rate: float, by: random.Random) -> str:
    """Replace words by others of their kind, each with the same chance; where there are no spaces, single characters less often, as
    many of them make a word (NGRAM_UNITS says how many)."""
    pieces = re.findall(r"\s+|[^\s]", text) if is_unspaced(text) else re.findall(r"\s+|[^\s]+", text)
    per_word = sum(NGRAM_UNITS[name] for name in unspaced_names(text)) / len(unspaced_names(text)) / NGRAM_UNITS["word"]
    return "".join(by.choice(pieces) if piece.strip() and by.random() < rate / per_word else piece for piece in pieces)


def is_unspaced(text: str) -> bool:
    return sum(UNSPACED >> int(kinds()[ord(c)] & 0x1F) & 1 for c in text) * 2 > len(text)


def unspaced_names(text: str) -> Sequence[str]:
    if not is_unspaced(text):
        return ("Hang",) if re.search("[가-힣]", text) else ("word",)
    if re.search("[ก-๙]", text):
        return ("Thai",)
    return ("Hani", "Hira") if re.search("[ぁ-ヿ]", text) else ("Hani",)


def lengths(most_bytes: int) -> list[Mapping[str, object]]:
    """Return a row for each language and content of n-grams: edited copies found, documents of the shared text hit."""
    benchmarks = benchmarks_of(SHARED / "eval", SHARED / "parallel")
    flores = [split for split in benchmarks.splits if split.task == "flores200"]
    rows: list[Mapping[str, object]] = []
    texts = {code: documents_of(code, most_bytes) for code in languages()}
    sentences = {
        code: [text for split in flores for item in split.items(frozenset("i")) for field, text in item if field == code]
        for code in languages()
    }
    for content in CONTENTS:
        with tempfile.TemporaryDirectory() as folder:
            contamination = Contamination(index(Path(folder), benchmarks, content), min_hits=MIN_HITS)
            for code in languages():
                row: dict[str, object] = {"code": code, "content": content}
                for rate in EDITS:
                    changed = [edited(text, rate, random.Random(f"{code}{number}")) for number, text in enumerate(sentences[code])]
                    hits = contamination.hits(TextBatch.from_texts(changed))
                    row[f"any_{rate}"] = len(np.unique(hits.documents)) / len(changed)
                    row[f"enough_{rate}"] = len(hits.contaminated) / len(changed)
                hits = contamination.hits(TextBatch.from_texts(texts[code]))
                row |= {
                    "documents": len(texts[code]),
                    "any_hit": len(np.unique(hits.documents)),
                    "enough_hit": len(hits.contaminated),
                }
                rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=24)
    parser.add_argument("--datatrove", type=Path)
    parser.add_argument("--lengths", action="store_true")
    given = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is no folder; set POLYGLOT_SHARED_DATA")
    if given.lengths:
        rows = lengths(int(given.megabytes * 1e6))
        print(*rows[0], sep="\t")
        for row in rows:
            print(*(f"{value:.3f}" if isinstance(value, float) else value for value in row.values()), sep="\t")
        return
    figures = measure(int(given.megabytes * 1e6), given.datatrove)
    for name, value in figures.items():
        print(f"{name:36} {value:10.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
