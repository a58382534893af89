"""Parity merges on top of plain ones, in the memory of plain BPE.

In: texts by language, and a tokenizer that has learned its plain merges from all of them. Out: its model with parity merges after
the plain ones. The library's trainer can do both, but then keeps from the first byte on where every pair stands: 11 GB for 100 MB
of text, where plain BPE takes 4. Here the text is first written in the plain tokens, a letter a token, which is a quarter as long;
the library learns the rest on these letters, and its merges are translated back. Without plain merges a letter is a byte, and
the merges are those of the library alone.

Two merges may spell one token, which has one id; so the library is asked for a few more than there are ids left. It is rare: none
of 26,086 did in a vocabulary of 65,536.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

FIRST_LETTER = 0x10000  # letters are code points from here on, a place for every id; no normal form or pattern meets them
BETWEEN = "\n"  # stands between the words of the pre-tokeniser, across which nothing is merged
BATCH = 256
SPARE = 1 / 64  # of the merges


def in_letters(tokenizer: Any, texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts with a letter for every token and `BETWEEN` between words."""
    tokenizer.encode_special_tokens = True
    remaining = iter(texts)
    while batch := list(itertools.islice(remaining, BATCH)):
        for found in tokenizer.encode_batch(batch, add_special_tokens=False):
            letters = np.array(found.ids, np.uint32) + FIRST_LETTER
            starts = np.flatnonzero(np.diff(np.array(found.word_ids, np.int64))) + 1
            yield np.insert(letters, starts, ord(BETWEEN)).astype("<u4").tobytes().decode("utf-32-le")


def num_letters(texts: Iterable[str]) -> int:
    return sum(len(text) - text.count(BETWEEN) for text in texts)


def learn_parity(
    texts: Sequence[Sequence[str]], parallel: Sequence[Sequence[str]] | None, ratio: list[float] | None, merges: int, variant: str
) -> list[tuple[str, str]]:
    """Return merges of letters, each chosen for the language that is dearest then: by letters of its parallel sentences or, without
    these, by letters against its `ratio`, the letters that should cost the same in every language."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    letters = Tokenizer(models.BPE())
    letters.pre_tokenizer = pre_tokenizers.Split(BETWEEN, behavior="removed")
    trainer = trainers.ParityBpeTrainer(
        num_merges=math.ceil(merges * (1 + SPARE)), variant=variant, ratio=ratio, special_tokens=[], show_progress=False
    )
    trainer.train_from_iterator(
        letters,
        train_iterators=[iter(each) for each in texts],
        dev_iterators=[iter(each) for each in parallel] if parallel else None,
    )
    return [(left, right) for left, right in json.loads(letters.to_str())["model"]["merges"]]


def add_merges(tokenizer: Any, merges: Iterable[tuple[str, str]], vocab_size: int) -> None:
    """Put merges of letters behind those of the tokenizer, until its vocabulary has `vocab_size` tokens or they end."""
    from tokenizers import models

    model: Mapping[str, Any] = json.loads(tokenizer.to_str())["model"]
    vocab: dict[str, int] = dict(model["vocab"])
    known = dict.fromkeys((left, right) for left, right in model["merges"])
    spelled = {chr(FIRST_LETTER + number): token for token, number in vocab.items()}
    for pair in merges:
        if len(vocab) >= vocab_size:
            break
        left, right = ("".join(spelled[letter] for letter in side) for side in pair)
        known.setdefault((left, right))
        vocab.setdefault(left + right, len(vocab))
    tokenizer.model = models.BPE(vocab, list(known))
