"""Time further scores on real text: MB (1e6 bytes) of UTF-8 per CPU second, best of three, texts of one batch.

    python benchmarks/corpus/further.py

Lexicons are the LDNOOBW lists of the language in the shared data (hundreds to thousands of entries); the linear model has a million
random weights over characters 3-4 and words 1-2. Data are looked for in POLYGLOT_SHARED_DATA, or in `shared/data` beside the
repository.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from kernels import LANGUAGES, ROUNDS, data_folder, read_texts

from polyglot_lm.corpus.lexicon import Lexicon
from polyglot_lm.corpus.linear import LinearModel
from polyglot_lm.corpus.lists import given


def measure(bytes_a_language: int = 4_000_000) -> dict[str, float]:
    """Return lexicon_mb_s_<code> and linear_mb_s_<code>, and the share of documents with an entry, lexicon_hits_<code>."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        linear = LinearModel(name="linear", file=given(random_model(Path(folder) / "model.npz")))
        for code in LANGUAGES:
            texts = read_texts(code, bytes_a_language)
            megabytes = sum(len(text.encode()) for text in texts) / 1e6
            (path,) = (data_folder() / "safety" / "ldnoobw_v2").glob(f"{code}.txt*")
            lexicon, urls = Lexicon(name="lexicon", file=given(path)), [None] * len(texts)
            figures[f"lexicon_mb_s_{code}"] = megabytes / cpu_seconds(lambda: lexicon.scores(texts, urls))  # noqa: B023
            figures[f"linear_mb_s_{code}"] = megabytes / cpu_seconds(lambda: linear.scores(texts, urls))  # noqa: B023
            figures[f"lexicon_hits_{code}"] = float(np.mean(lexicon.scores(texts, urls) > 0))
    return figures


def random_model(path: Path) -> Path:
    weights = np.random.default_rng(0).normal(size=1 << 20).astype(np.float32)
    np.savez(path, weights=weights, bias=0.0, char_ngrams=[3, 4], word_ngrams=[1, 2], max_chars=1_000_000)
    return path


def cpu_seconds(work: Callable[[], object]) -> float:
    work()  # what is read and built once is not timed
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def main() -> None:
    figures = measure()
    print("        lexicon MB/s  linear MB/s  documents with an entry")
    for code in LANGUAGES:
        speeds = figures[f"lexicon_mb_s_{code}"], figures[f"linear_mb_s_{code}"]
        print(f"{code:6} {speeds[0]:13.1f} {speeds[1]:12.1f} {figures[f'lexicon_hits_{code}']:24.3f}")


if __name__ == "__main__":
    main()
