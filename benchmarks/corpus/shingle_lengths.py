"""Find how many characters a shingle needs where there are no spaces, to be as strict as one of five words.

    pip install jieba janome pythainlp    # in an environment of its own; the package itself needs none of them
    python benchmarks/corpus/shingle_lengths.py

Planted near-duplicates as in `near_duplicates`, but with words by a segmenter: edits replace whole words, and the exact
similarity is over shingles of five words. For each length it prints the mean of agreement less exact similarity (zero:
as strict as words), and at several thresholds of agreement the recall (pairs of 0.8 and more) / false (below 0.6) in per cent.
"""

import sys
import unicodedata
from collections.abc import Callable, Sequence

import near_duplicates
import numpy as np
from kernels import read_texts

LENGTHS = (5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 19, 20, 22, 24)
THRESHOLDS = (0.68, 0.70, 0.72, 0.74)
ORIGINALS = {"zh": 150, "th": 150, "ja": 60}  # janome is slow


class Segmenter:
    """Cuts text into words, in the place of a regular expression."""

    def __init__(self, lang: str) -> None:
        self.cut: Callable[[str], Sequence[str]] = {"zh": chinese, "ja": japanese, "th": thai}[lang]()

    def findall(self, text: str) -> list[str]:
        return list(self.cut(text))

    def reference(self, text: str, _length: int) -> set[tuple[str, ...]]:
        words = [word for word in self.cut(text.lower()) if any(unicodedata.category(c)[0] in "LMN" for c in word)]
        return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def chinese() -> Callable[[str], Sequence[str]]:
    import jieba

    return jieba.lcut


def japanese() -> Callable[[str], Sequence[str]]:
    from janome.tokenizer import Tokenizer

    tokenizer = Tokenizer(wakati=True)
    return lambda text: list(tokenizer.tokenize(text))


def thai() -> Callable[[str], Sequence[str]]:
    from pythainlp.tokenize import word_tokenize

    return word_tokenize


def main() -> None:
    for lang in sys.argv[1:] or ORIGINALS:
        segmenter = Segmenter(lang)
        near_duplicates.PIECE = segmenter
        near_duplicates.reference = segmenter.reference
        firsts, seconds, _, exact = near_duplicates.plant(lang, read_texts(lang, 2_000_000), ORIGINALS[lang])
        print(lang, f"{len(exact)} pairs; length, agreement less exact similarity, recall / false at {THRESHOLDS}")
        for length in LENGTHS:
            shared, agreement = near_duplicates.compare(firsts, seconds, length)
            found = [near_duplicates.quality(exact, shared, agreement, threshold) for threshold in THRESHOLDS]
            shown = "  ".join(f"{100 * each['recall']:6.2f} /{100 * each['false']:6.2f}" for each in found)
            print(f"{length:5} {np.mean(agreement - exact):+.3f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
