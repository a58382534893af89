"""datatrove's side of the comparison; runs in datatrove's own environment, imports nothing of ours, and talks in JSON lines.

    python datatrove_worker.py filters SETTINGS.json  < documents.jsonl > verdicts.jsonl
    python datatrove_worker.py pipeline SETTINGS.json < documents.jsonl > seconds.json

`filters` writes, for each document, the reason each of the three filters gives (null = keep) and the value of every statistic they
judge by. datatrove's filters tell no values, so these are computed here from datatrove's own words and counting functions, and
a document whose values and verdicts disagree stops the run: the values are then not those the filters saw.
`pipeline` times datatrove's steps (filters, FTFY, signatures, buckets, clusters, filter by cluster, PII; one process, tokenizers
loaded beforehand, no reading and no writing of text) and writes CPU seconds by step.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.filters.gopher_repetition_filter import (
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_words
from loguru import logger

Settings = dict[str, Any]
REPEATED_LINE_BREAKS = re.compile("\n+")
TOP_SIZES, DUPLICATE_SIZES = (2, 3, 4), (5, 6, 7, 8, 9, 10)
REASONS = {  # datatrove's word for a refusal -> the statistic behind it
    "empty": "num_words",
    "dup_line_frac": "duplicate_lines",
    **{f"top_{n}_gram": f"top_{n}gram" for n in TOP_SIZES},
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}gram" for n in DUPLICATE_SIZES},
    "line_punct_ratio": "line_punctuation",
    "char_dup_ratio": "duplicate_line_characters",
    "list_ratio": "newlines",
    "gopher_short_doc": "num_words",
    "gopher_long_doc": "num_words",
    "gopher_below_avg_threshold": "word_length",
    "gopher_above_avg_threshold": "word_length",
    "gopher_too_many_hashes": "hashes",
    "gopher_too_many_ellipsis": "ellipses",
    "gopher_too_many_bullets": "bullet_lines",
    "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_below_alpha_threshold": "alphabetic_words",
    "gopher_enough_stop_words": "stop_words",
}


def filters(settings: Settings) -> list[Any]:
    """Return the three filters as FineWeb2 sets them."""
    language = settings["datatrove"]
    low, high = settings["word_length"]
    repetition = GopherRepetitionFilter(
        language=language,
        dup_para_frac=0,
        dup_line_char_frac=0,
        dup_para_char_frac=0,
        dup_line_frac=settings["duplicate_lines"],
        top_n_grams=list(zip(TOP_SIZES, settings["top_ngrams"], strict=True)),
        dup_n_grams=list(zip(DUPLICATE_SIZES, settings["duplicate_ngrams"], strict=True)),
    )
    fineweb = FineWebQualityFilter(
        language=language,
        short_line_thr=999,
        char_duplicates_ratio=0.1,
        line_punct_thr=settings["line_punctuation"],
        new_line_ratio=settings["newlines"],
    )
    gopher = GopherQualityFilter(
        language=language,
        min_avg_word_length=low,
        max_avg_word_length=high,
        stop_words=settings["stop_words"],
        max_non_alpha_words_ratio=settings["alphabetic_words"],
        min_stop_words=2,
    )
    return [repetition, fineweb, gopher]


def statistics(text: str, settings: Settings) -> dict[str, float]:
    """Return what the filters look at; definitions are datatrove 0.10.1's, denominators included."""
    words = split_into_words(text, settings["datatrove"])
    plain = [word for word in words if any(letter not in PUNCTUATION_SET for letter in word)]
    lines = text.splitlines()
    filled = [line for line in text.split("\n") if line.strip()]
    split_lines = REPEATED_LINE_BREAKS.split(text)
    num_words = max(1, len(words))
    found = {
        "num_tokens": len(words),
        "num_words": len(plain),
        "word_length": float(np.mean([len(word) for word in plain])) if plain else 0.0,
        "hashes": text.count("#") / num_words,
        "ellipses": (text.count("...") + text.count("…")) / num_words,
        "bullet_lines": share(lines, lambda line: line.lstrip().startswith(("•", "-"))),
        "ellipsis_lines": share(lines, lambda line: line.rstrip().endswith(("...", "…"))),
        "alphabetic_words": share(words, lambda word: any(map(str.isalpha, word))),
        "stop_words": len(set(settings["stop_words"]).intersection(words)),
        "duplicate_lines": find_duplicates(split_lines)[0] / len(split_lines),
        "line_punctuation": share(filled, lambda line: line.endswith(tuple(TERMINAL_PUNCTUATION))),
        "duplicate_line_characters": find_duplicates(filled)[1] / max(1, len(text.replace("\n", ""))),
        "newlines": text.count("\n") / num_words,
    }
    for n in TOP_SIZES:
        grams = get_n_grams(words, n)
        found[f"top_{n}gram"] = find_top_duplicate(grams) / len(text) if grams else 0.0
    for n in DUPLICATE_SIZES:
        found[f"duplicate_{n}gram"] = find_all_duplicate(words, n) / len(text)
    return found


def share(items: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, items)) / max(1, len(items))


def verdict(rule: Any, document: Document) -> str | None:
    decision = rule.filter(document)
    return None if decision is True else REASONS[decision[1]]


def judge(documents: Iterator[Document], settings: Settings) -> Iterator[dict[str, Any]]:
    rules = filters(settings)
    for document in documents:
        values = statistics(document.text, settings)
        reasons = [verdict(rule, document) for rule in rules]
        expected = [first_failure(values, group) for group in bounds(settings)]
        if reasons != expected:
            raise SystemExit(f"document {document.id}: datatrove says {reasons}, the statistics say {expected}")
        yield {"id": document.id, "reasons": reasons, "values": values}


def bounds(settings: Settings) -> list[list[tuple[str, float, float]]]:
    """Return for each filter its rules in datatrove's order: statistic, least and greatest value that is kept."""
    least, most = settings["word_length"]
    top = [(f"top_{n}gram", 0, bound) for n, bound in zip(TOP_SIZES, settings["top_ngrams"], strict=True)]
    duplicate = [(f"duplicate_{n}gram", 0, bound) for n, bound in zip(DUPLICATE_SIZES, settings["duplicate_ngrams"], strict=True)]
    return [
        [("duplicate_lines", 0, settings["duplicate_lines"]), *top, *duplicate],
        [
            ("line_punctuation", settings["line_punctuation"], 1),
            ("duplicate_line_characters", 0, 0.1),
            ("newlines", 0, settings["newlines"]),
        ],
        [
            ("num_words", 50, 100_000),
            ("word_length", least, most),
            ("hashes", 0, 0.1),
            ("ellipses", 0, 0.1),
            ("bullet_lines", 0, 0.9),
            ("ellipsis_lines", 0, 0.3),
            ("alphabetic_words", settings["alphabetic_words"], 1),
            ("stop_words", 2, np.inf),
        ],
    ]


def first_failure(values: dict[str, float], rules: list[tuple[str, float, float]]) -> str | None:
    return next((name for name, least, most in rules if not least <= values[name] <= most), None)


def time_pipeline(documents: list[Document], settings: Settings) -> dict[str, float]:
    """Run the steps over documents in memory; return CPU seconds by step."""
    repetition, fineweb, gopher = filters(settings)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        signature, *rest = minhash(Path(folder), settings["datatrove"])
        split_into_words("a b", settings["datatrove"])  # loads the word tokenizer
        for name, rules in (("filters", [repetition, fineweb, gopher]), ("ftfy", [FTFYFormatter()])):
            seconds[name] = timed(lambda rules=rules: chain(rules, documents))
        seconds["minhash"] = timed(lambda: signature.run(iter(documents), 0, 1))
        for step, tasks, reads_documents in rest:
            given = documents if reads_documents else None
            seconds["minhash"] += timed(lambda step=step, tasks=tasks, given=given: run_tasks(step, tasks, given))
        seconds["pii"] = timed(lambda: chain([PIIFormatter()], documents))
    return seconds


def chain(steps: list[Any], documents: list[Document]) -> None:
    """Give every document to every step, refused ones too: each step is timed on all the text."""
    for document in documents:
        for step in steps:
            (step.filter(document) if hasattr(step, "filter") else step.format(document.text))


def minhash(folder: Path, language: str) -> tuple[Any, ...]:
    config = MinhashConfig(hash_config=HashConfig(hash_fc="xxhash", precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5)
    signatures, buckets, remove = (str(folder / name) for name in ("signatures", "buckets", "remove"))
    return (
        MinhashDedupSignature(output_folder=signatures, config=config, language=language),
        (MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config), config.num_buckets, False),
        (MinhashDedupCluster(input_folder=buckets, output_folder=remove, config=config, save_cluster_size=True), 1, False),
        (MinhashDedupFilter(input_folder=remove), 1, True),
    )


def run_tasks(step: Any, tasks: int, documents: list[Document] | None) -> None:
    for rank in range(tasks):
        result = step.run(None if documents is None else iter(documents), rank, tasks)
        if result is not None:
            list(result)


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def read_documents() -> Iterator[Document]:
    for line in sys.stdin:
        fields = json.loads(line)
        yield Document(text=fields["text"], id=fields["id"])


def main() -> None:
    logger.remove()
    mode, settings = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    if mode == "pipeline":
        documents = list(read_documents())
        print(json.dumps(time_pipeline(documents, settings)))
        return
    for row in judge(read_documents(), settings):
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
