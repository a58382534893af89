"""Bits the model needs for held-out text, a language at a time and on parallel documents.

Bits per byte of different languages cannot be compared, since a byte holds less in Thai than in Chinese. Two things can: bits per
English-equivalent byte, roughly, and the total bits of documents that say the same in every language, exactly: those whose
id is in the test split of all of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from polyglot_lm.model.hf import load_hf
from polyglot_lm.model.score import document_bits
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Counters, Runtime, Task, atomic_path, stage, write_json
from polyglot_lm.shards import read_documents
from polyglot_lm.tokenizer import Tokenizer

HELDOUT_FILE = "heldout.json"
DOCUMENTS_FILE = "documents.parquet"
DOCUMENTS_A_BATCH = 64
Scored = dict[str, Any]


@stage(version=1)
def evaluate_heldout(
    out: Path,
    *,
    model: Path,
    tokenizer: Path,
    corpora: Mapping[str, Path],
    byte_premiums: Mapping[str, float],
    runtime: Runtime = Runtime(),
) -> Counters:
    """Score the test split of every language; writes `heldout.json` and the bits of each document."""
    torch.set_num_threads(runtime.threads)
    network, loaded = load_hf(model), Tokenizer(tokenizer)
    found = {language: list(read_documents(folder, ("id", "text"), "test")) for language, folder in corpora.items()}
    with runtime.progress.task("held-out", total=sum(map(len, found.values())), unit="documents") as task:
        scored = {language: score(rows, language, network, loaded, task) for language, rows in found.items()}
    parallel = set.intersection(*({row["id"] for row in rows} for rows in scored.values()))
    measured = {language: summary(rows, parallel, byte_premiums[language]) for language, rows in scored.items()}
    write_scored(out, [row for rows in scored.values() for row in rows])
    result = {"parallel_documents": len(parallel), "languages": measured}
    write_json(out / HELDOUT_FILE, result)
    return result


def score(rows: list[Scored], language: str, model: GPTNeoX, tokenizer: Tokenizer, task: Task) -> list[Scored]:
    scored: list[Scored] = []
    for start in range(0, len(rows), DOCUMENTS_A_BATCH):
        batch = rows[start : start + DOCUMENTS_A_BATCH]
        ids = tokenizer.encode_batch([row["text"] for row in batch], parse_special=True)
        bits = document_bits(model, ids, tokenizer.end_id)
        scored += [
            {"id": row["id"], "lang": language, "bits": b, "num_bytes": len(row["text"].encode()), "num_tokens": len(i) + 1}
            for row, b, i in zip(batch, bits, ids, strict=True)
        ]
        task.advance(len(batch))
    return scored


def summary(rows: list[Scored], parallel: set[str], byte_premium: float) -> dict[str, float]:
    bits, num_bytes = sum(row["bits"] for row in rows), sum(row["num_bytes"] for row in rows)
    return {
        "documents": len(rows),
        "bytes": num_bytes,
        "tokens": sum(row["num_tokens"] for row in rows),
        "bits": bits,
        "bits_per_byte": bits / num_bytes,
        "bits_per_english_byte": bits / num_bytes * byte_premium,
        "parallel_bits": sum(row["bits"] for row in rows if row["id"] in parallel),
        "parallel_bytes": sum(row["num_bytes"] for row in rows if row["id"] in parallel),
    }


def write_scored(out: Path, rows: list[Scored]) -> None:
    with atomic_path(out / DOCUMENTS_FILE) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
