"""Bits the model needs for held-out text, a language at a time, and for text that says the same in all of them.

Bits per byte of different languages cannot be compared, since a byte holds less in Thai than in Chinese. Two things can: bits
per English-equivalent byte, roughly, and the total bits of documents that say the same in every language: those whose id is in
the test split of all of them, and the sentences of a parallel file. Every document's bits are kept, so that intervals, and
comparisons with other models, are over documents.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from polyglot_lm.evaluation.bootstrap import ratio_interval
from polyglot_lm.evaluation.content import OurScorer, Scorer, second_half, text_bits
from polyglot_lm.evaluation.local import read_rows
from polyglot_lm.evaluation.models import device_named
from polyglot_lm.model.hf import load_hf
from polyglot_lm.pipeline import Counters, Runtime, Task, UserError, atomic_path, stage, write_json
from polyglot_lm.shards import read_documents
from polyglot_lm.tokenizer import Tokenizer

HELDOUT_FILE = "heldout.json"
DOCUMENTS_FILE = "documents.parquet"
PARALLEL_FILE = "parallel.json"
SENTENCES_FILE = "sentences.parquet"
DOCUMENTS_A_BATCH = 64
Scored = dict[str, Any]


@stage(version=2)
def evaluate_heldout(
    out: Path,
    *,
    model: Path,
    tokenizer: Path,
    corpora: Mapping[str, Path],
    byte_premiums: Mapping[str, float],
    window_english_bytes: int,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Score the test split of every language; writes `heldout.json` and the bits of each document."""
    torch.set_num_threads(runtime.threads)
    scorer = OurScorer(load_hf(model).to(device_named(runtime.device)), Tokenizer(tokenizer))
    return measure_heldout(out, scorer, corpora, byte_premiums, window_english_bytes, runtime)


def measure_heldout(
    out: Path,
    scorer: Scorer,
    corpora: Mapping[str, Path],
    byte_premiums: Mapping[str, float],
    window_english_bytes: int,
    runtime: Runtime,
) -> dict[str, Any]:
    """Score the test split of corpora under any model; raises UserError for a language without one."""
    found = {language: list(read_documents(folder, ("id", "text"), "test")) for language, folder in corpora.items()}
    for language, rows in found.items():
        if not rows:
            raise UserError(f"{corpora[language]} has no held-out documents of {language!r}; leave that language out")
    with runtime.progress.task("held-out", total=sum(map(len, found.values())), unit="documents") as task:
        scored = {
            language: score(rows, language, scorer, window_english_bytes * byte_premiums[language], task)
            for language, rows in found.items()
        }
    parallel = set.intersection(*({row["id"] for row in rows} for rows, _ in scored.values()))
    measured = {
        language: summary(rows, parallel, byte_premiums[language]) | {"windows_cut": cut}
        for language, (rows, cut) in scored.items()
    }
    write_rows(out / DOCUMENTS_FILE, [row for rows, _ in scored.values() for row in rows])
    result = {"window_english_bytes": window_english_bytes, "parallel_documents": len(parallel), "languages": measured}
    write_json(out / HELDOUT_FILE, result)
    return result


def score(rows: list[Scored], language: str, scorer: Scorer, window_bytes: float, task: Task) -> tuple[list[Scored], int]:
    """Return every document with its bits, and how many windows were cut."""
    scored: list[Scored] = []
    num_cut = 0
    for start in range(0, len(rows), DOCUMENTS_A_BATCH):
        batch = rows[start : start + DOCUMENTS_A_BATCH]
        encoded = scorer.encode([row["text"] for row in batch])
        bits, cut = text_bits(scorer, encoded, window_bytes)
        num_cut += cut
        scored += [
            {
                "id": row["id"],
                "lang": language,
                "bits": float(b.sum()),
                "num_bytes": len(row["text"].encode()),
                "num_tokens": len(text.ids) + 1,
            }
            for row, b, text in zip(batch, bits, encoded, strict=True)
        ]
        task.advance(len(batch))
    return scored, num_cut


def summary(rows: list[Scored], parallel: set[str], byte_premium: float) -> dict[str, float]:
    bits, num_bytes = (np.array([row[key] for row in rows], dtype=np.float64) for key in ("bits", "num_bytes"))
    low, high = ratio_interval(bits, num_bytes)
    return {
        "documents": len(rows),
        "bytes": int(num_bytes.sum()),
        "tokens": sum(row["num_tokens"] for row in rows),
        "bits": float(bits.sum()),
        "bits_per_byte": float(bits.sum() / num_bytes.sum()),
        "bits_per_byte_low": low,
        "bits_per_byte_high": high,
        "bits_per_english_byte": float(bits.sum() / num_bytes.sum() * byte_premium),
        "parallel_bits": math.fsum(row["bits"] for row in rows if row["id"] in parallel),
        "parallel_bytes": sum(row["num_bytes"] for row in rows if row["id"] in parallel),
    }


def measure_parallel(
    out: Path, scorer: Scorer, file: Path, byte_premiums: Mapping[str, float], window_english_bytes: int, runtime: Runtime
) -> dict[str, Any]:
    """Score the sentences of a parallel file whole and their second halves given the first; writes `parallel.json`.

    Raises UserError for a language that the file does not have. `parity` is English bits / the language's (information parity).
    """
    sentences = read_rows(file)
    rows: list[Scored] = []
    with runtime.progress.task("parallel", total=len(sentences) * len(byte_premiums), unit="sentences") as task:
        for language, premium in byte_premiums.items():
            if any(language not in sentence for sentence in sentences):
                raise UserError(f"{file} has no {language!r}; leave that language out, or give a file that has it")
            encoded = scorer.encode([sentence[language] for sentence in sentences])
            bits, _ = text_bits(scorer, encoded, window_english_bytes * premium)
            rows += [
                {
                    "id": str(sentence.get("i", number)),
                    "lang": language,
                    "bits": float(b.sum()),
                    "second_half_bits": float(b[second_half(text) : -1].sum()),
                    "num_bytes": len(sentence[language].encode()),
                    "num_tokens": len(text.ids),
                }
                for number, (sentence, b, text) in enumerate(zip(sentences, bits, encoded, strict=True))
            ]
            task.advance(len(sentences))
    write_rows(out / SENTENCES_FILE, rows)
    result = {"sentences": len(sentences), "languages": parity_of(rows, list(byte_premiums))}
    write_json(out / PARALLEL_FILE, result)
    return result


def parity_of(rows: Sequence[Scored], languages: Sequence[str]) -> dict[str, dict[str, float]]:
    totals = {
        code: {
            key: math.fsum(row[key] for row in rows if row["lang"] == code) for key in ("bits", "second_half_bits", "num_tokens")
        }
        for code in languages
    }
    english = totals.get("en")
    for found in totals.values():
        if english is not None:
            found["parity"] = english["bits"] / found["bits"]
            found["second_half_parity"] = english["second_half_bits"] / found["second_half_bits"]
    return totals


def write_rows(path: Path, rows: list[Scored]) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
