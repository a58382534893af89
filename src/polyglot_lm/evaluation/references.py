"""Two references that any model worth its name must beat, on the same held-out text.

`xz`: what `xz -9` needs for the held-out text when it has already seen the training text of that language,
size(training + held-out) − size(training). It knows every phrase it has met, and nothing else.
`order0`: each token of ours by its frequency in the training text (add-one). It knows the vocabulary, and no context.
"""

import lzma
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.pipeline import Counters, Runtime, stage, write_json
from polyglot_lm.shards import TokenDataset, texts
from polyglot_lm.tokenizer import Tokenizer

REFERENCES_FILE = "references.json"
XZ_PRESET = 9


@stage(version=1)
def measure_references(
    out: Path,
    *,
    corpora: Mapping[str, Path],
    tokens: Mapping[str, tuple[Path, ...]],
    tokenizer: Path,
    max_train_bytes: int,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write bits per byte of both references on the test split of every language; xz is shown the last `max_train_bytes`
    of the training text."""
    loaded = Tokenizer(tokenizer)
    measured: dict[str, dict[str, float]] = {}
    with runtime.progress.task("references", total=len(corpora), unit="languages") as task:
        for language, folder in corpora.items():
            held_out = list(texts(folder, "test"))
            num_bytes = sum(len(text.encode()) for text in held_out)
            counts = token_counts(tokens[language], loaded.vocab_size)
            bits = {
                "xz": xz_bits("\n".join(texts(folder, "train")).encode()[-max_train_bytes:], "\n".join(held_out).encode()),
                "order0": order0_bits(counts, loaded.encode_batch(held_out, parse_special=True), loaded.end_id),
            }
            measured[language] = {name: value / num_bytes for name, value in bits.items()}
            task.advance(1)
    write_json(out / REFERENCES_FILE, measured)
    return {"bits_per_byte": measured}


def xz_bits(train: bytes, held_out: bytes) -> float:
    seen = len(lzma.compress(train, preset=XZ_PRESET))
    return 8.0 * (len(lzma.compress(train + b"\n" + held_out, preset=XZ_PRESET)) - seen)


def token_counts(folders: tuple[Path, ...], vocab_size: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(vocab_size, dtype=np.int64)
    for folder in folders:
        dataset = TokenDataset(folder)
        for number in range(len(dataset)):
            counts += np.bincount(dataset.document(number), minlength=vocab_size)
    return counts


def order0_bits(counts: npt.NDArray[Any], documents: list[list[int]], end_id: int) -> float:
    """Return the bits of the documents, each with its end, under add-one smoothed counts."""
    bits = np.log2(counts.sum() + len(counts)) - np.log2(counts + 1)
    return math.fsum(float(bits[token]) for ids in documents for token in (*ids, end_id))
