"""The two references next to hand calls and slow twins."""

import lzma
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.evaluation.references import REFERENCES_FILE, measure_references, order0_bits, token_counts, xz_bits
from polyglot_lm.pipeline import Runtime, read_json
from polyglot_lm.shards import EncodedDocument, texts, write_tokens
from polyglot_lm.tokenizer import Tokenizer, encode_corpus, train_tokenizer

DOCUMENTS = st.lists(st.lists(st.integers(0, 9), max_size=20), max_size=10)


def slow_order0(counts: list[int], documents: list[list[int]], end_id: int) -> float:
    total = 0.0
    for document in documents:
        for token in [*document, end_id]:
            total += math.log2((sum(counts) + len(counts)) / (counts[token] + 1))
    return total


def test_xz_bits_are_what_the_held_out_text_adds_to_the_compressed_size() -> None:
    train, held_out = b"the same words again and again " * 50, b"and some that are new: quixotic zephyrs"
    with_both = lzma.compress(train + b"\n" + held_out, preset=9)
    assert xz_bits(train, held_out) == 8 * (len(with_both) - len(lzma.compress(train, preset=9)))


def test_text_that_xz_has_seen_costs_less_than_text_it_has_not() -> None:
    seen = bytes(np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8))
    unseen = bytes(np.random.default_rng(1).integers(0, 256, 4000, dtype=np.uint8))
    assert xz_bits(seen, seen) < 0.1 * xz_bits(seen, unseen)


@given(st.lists(st.integers(0, 1000), min_size=10, max_size=10), DOCUMENTS)
def test_order0_bits_equal_a_loop_over_tokens(counts: list[int], documents: list[list[int]]) -> None:
    assert order0_bits(np.array(counts), documents, 2) == pytest.approx(slow_order0(counts, documents, 2))


@given(st.lists(st.integers(0, 1000), min_size=10, max_size=10))
def test_order0_probabilities_sum_to_one(counts: list[int]) -> None:
    end = order0_bits(np.array(counts), [[]], 2)
    probabilities = [2 ** (end - order0_bits(np.array(counts), [[token]], 2)) for token in range(10)]
    assert math.fsum(probabilities) == pytest.approx(1)


@given(DOCUMENTS)
@settings(max_examples=20, deadline=None)
def test_token_counts_are_those_of_all_folders(tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]) -> None:
    root = tmp_path_factory.mktemp("tokens")
    halves = documents[::2], documents[1::2]
    for number, half in enumerate(halves):
        rows = (EncodedDocument(id="x", tokens=[*ids, 2], num_bytes=1, cluster_size=1, quality=None) for ids in half)
        write_tokens(root / str(number), rows, 10, {"byte_premium": 1.0})
    expected = Counter(token for ids in documents for token in [*ids, 2])
    assert token_counts((root / "0", root / "1"), 10).tolist() == [expected[token] for token in range(10)]


def test_references_are_bits_a_byte_of_the_test_split(tmp_path: Path) -> None:
    corpora = {"en": write_corpus(tmp_path / "en", "en"), "vi": write_corpus(tmp_path / "vi", "vi")}
    premiums = {"en": 1.0, "vi": 1.3}
    train_tokenizer(tmp_path, corpora=corpora, byte_premiums=premiums, vocab_size=384, max_english_bytes=10**6)
    tokens = {code: (tmp_path / "tokens" / code,) for code in corpora}
    for code, corpus in corpora.items():
        encode_corpus(
            tokens[code][0],
            corpus=corpus,
            tokenizer=tmp_path,
            language=code,
            source="tiny",
            byte_premium=premiums[code],
            runtime=Runtime(workers=1),
        )
    measure_references(tmp_path, corpora=corpora, tokens=tokens, tokenizer=tmp_path, max_train_bytes=1000)
    measured, tokenizer = read_json(tmp_path / REFERENCES_FILE), Tokenizer(tmp_path)
    for code, corpus in corpora.items():
        held_out = list(texts(corpus, "test"))
        num_bytes = len("".join(held_out).encode())
        shown = "\n".join(texts(corpus, "train")).encode()[-1000:]
        counts = Counter(
            token for text in texts(corpus, "train") for token in [*tokenizer.encode(text, parse_special=True), tokenizer.end_id]
        )
        ids = [tokenizer.encode(text, parse_special=True) for text in held_out]
        order0 = slow_order0([counts[token] for token in range(384)], ids, tokenizer.end_id)
        assert measured[code]["xz"] == xz_bits(shown, "\n".join(held_out).encode()) / num_bytes
        assert measured[code]["order0"] == pytest.approx(order0 / num_bytes)
