"""Real encoded text for the training benchmarks: zeros train faster than language does, and no loss falls on them.

    python benchmarks/training/text.py OUT.npy [--tokens 12800000]      tokens in one row, for gpu.py
    python benchmarks/training/text.py FOLDER                           what a recipe hands to the training loop, for loop.py

Eight languages, in a vocabulary of 30,080 of our own tokenizer trained on the same text; uint16. In the row they take turns,
document by document; in the folder each has its shards, and every fiftieth document is control text.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from polyglot_lm.languages import languages
from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.pipeline import Runtime
from polyglot_lm.shards import DocumentWriter, part_path
from polyglot_lm.tokenizer import Tokenizer, encode_corpus, train_tokenizer

DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
CODES = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en")
VOCAB_SIZE, ENGLISH_BYTES, CONTROL_EVERY = 30_080, 1_500_000, 50
ALONE = Runtime(workers=1)


def documents(code: str) -> Iterator[str]:
    """Yield all documents of a language, source after source."""
    for path in sorted((DATA / "text" / code).glob("*.jsonl.zst")):
        for line in pa.input_stream(str(path), compression="zstd").read().split(b"\n"):
            if line:
                yield json.loads(line)["text"]


def write_sample(folder: Path, code: str, num_bytes: int) -> Path:
    """Write a corpus folder of the first documents of a language, every fiftieth as control text."""
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, text in enumerate(documents(code)):
            name, size = f"{number:032x}", len(text.encode())
            keys = {"exact_key": name, "cluster_id": name, "cluster_size": 1}
            split = "train" if number % CONTROL_EVERY else "control"
            writer.write({"id": name, "text": text, "lang": code, "source": "x", "num_bytes": size, **keys, "split": split})
            num_bytes -= size
            if num_bytes < 0:
                return folder
    return folder


def write_inputs(
    out: Path, *, codes: Sequence[str] = CODES, vocab_size: int = VOCAB_SIZE, english_bytes: int = ENGLISH_BYTES
) -> None:
    """Write `corpora`, `tokenizer`, `tokens` and `mixture` as a recipe's steps would, an equal share of each language."""
    premiums = {code: languages()[code].byte_premium for code in codes}
    corpora = {code: write_sample(out / "corpora" / code, code, int(1.2 * english_bytes * premiums[code])) for code in codes}
    tokenizer, mixture = out / "tokenizer", out / "mixture"
    for folder in (tokenizer, mixture):
        folder.mkdir(parents=True)
    train_tokenizer(tokenizer, corpora=corpora, byte_premiums=premiums, vocab_size=vocab_size, max_english_bytes=english_bytes)
    tokens = {code: out / "tokens" / code for code in codes}
    for code, folder in tokens.items():
        encode_corpus(
            folder, corpus=corpora[code], tokenizer=tokenizer, language=code, source="x", byte_premium=premiums[code], runtime=ALONE
        )
    plan_mixture(mixture, tokens=tokens, policy=Uniform(unit="english_bytes"), seed=1)


def write_row(out: Path, num_tokens: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        write_inputs(Path(root))
        tokenizer = Tokenizer(Path(root) / "tokenizer")
    streams = {code: documents(code) for code in CODES}
    found: list[np.ndarray] = []
    while streams and sum(map(len, found)) < num_tokens:
        for code in list(streams):
            texts = [text for _, text in zip(range(32), streams[code], strict=False)]
            if not texts:
                del streams[code]
                continue
            ids = [
                token for document in tokenizer.encode_batch(texts, parse_special=False) for token in (*document, tokenizer.end_id)
            ]
            found.append(np.array(ids, dtype=np.uint16))
    np.save(out, np.concatenate(found)[:num_tokens])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=12_800_000)
    chosen = parser.parse_args()
    if chosen.out.suffix == ".npy":
        write_row(chosen.out, chosen.tokens)
    else:
        write_inputs(chosen.out)
