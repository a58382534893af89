"""Real encoded text for the training benchmarks: zeros train faster than language does, and no loss falls on them.

    python benchmarks/training/text.py OUT.npy [--tokens 12800000]

Eight languages in turn, document by document, in a vocabulary of 30,080 of our own tokenizer trained on the same text; uint16.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from polyglot_lm.languages import languages
from polyglot_lm.shards import DocumentWriter, part_path
from polyglot_lm.tokenizer import Tokenizer, train_tokenizer

DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
CODES = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en")
VOCAB_SIZE, ENGLISH_BYTES = 30_080, 1_500_000


def documents(code: str) -> Iterator[str]:
    """Yield all documents of a language, source after source."""
    for path in sorted((DATA / "text" / code).glob("*.jsonl.zst")):
        for line in pa.input_stream(str(path), compression="zstd").read().split(b"\n"):
            if line:
                yield json.loads(line)["text"]


def write_sample(folder: Path, code: str, num_bytes: int) -> Path:
    """Write a corpus folder of the first documents of a language."""
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, text in enumerate(documents(code)):
            name, size = f"{number:032x}", len(text.encode())
            keys = {"exact_key": name, "cluster_id": name, "cluster_size": 1}
            writer.write({"id": name, "text": text, "lang": code, "source": "x", "num_bytes": size, **keys, "split": "train"})
            num_bytes -= size
            if num_bytes < 0:
                return folder
    return folder


def encode(out: Path, num_tokens: int) -> None:
    premiums = {code: languages()[code].byte_premium for code in CODES}
    with tempfile.TemporaryDirectory() as root:
        sample = {code: write_sample(Path(root) / code, code, int(1.2 * ENGLISH_BYTES * premiums[code])) for code in CODES}
        trained = Path(root) / "tokenizer"
        trained.mkdir()
        train_tokenizer(trained, corpora=sample, byte_premiums=premiums, vocab_size=VOCAB_SIZE, max_english_bytes=ENGLISH_BYTES)
        tokenizer = Tokenizer(trained)
        streams = {code: documents(code) for code in CODES}
        found: list[np.ndarray] = []
        while streams and sum(map(len, found)) < num_tokens:
            for code in list(streams):
                texts = [text for _, text in zip(range(32), streams[code], strict=False)]
                if not texts:
                    del streams[code]
                    continue
                ids = [token for document in tokenizer.encode_batch(texts, parse_special=False) for token in (*document, tokenizer.end_id)]
                found.append(np.array(ids, dtype=np.uint16))
    np.save(out, np.concatenate(found)[:num_tokens])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=12_800_000)
    chosen = parser.parse_args()
    encode(chosen.out, chosen.tokens)
    print(np.load(chosen.out, mmap_mode="r").shape)
