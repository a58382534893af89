"""More tokens: old ids stay, merging goes on as training would have, and what cannot be is said."""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import texts
from polyglot_lm.tokenizer import Tokenizer, train_tokenizer
from polyglot_lm.tokenizer.extend import Pair, extend_tokenizer, joined, learn

PREMIUMS = {"ko": 1.3, "vi": 1.3, "th": 2.8}


def asian(corpora: dict[str, Path]) -> dict[str, Path]:
    return {code: corpora[code] for code in PREMIUMS}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("base")
    latin = {code: tiny_corpora[code] for code in ("en", "id", "ms")}
    train_tokenizer(out, corpora=latin, byte_premiums=dict.fromkeys(latin, 1.0), vocab_size=384, max_english_bytes=20_000)
    return out


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, base: Path, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("extended")
    found = extend_tokenizer(
        out, base=base, corpora=asian(tiny_corpora), byte_premiums=PREMIUMS, vocab_size=512, max_english_bytes=20_000
    )
    assert (found["vocab_size"], found["added"]) == (512, 512 - Tokenizer(base).vocab_size)
    return out


def test_old_tokens_keep_their_ids_and_old_text_its_cut(base: Path, extended: Path, tiny_corpora: dict[str, Path]) -> None:
    old, new = Tokenizer(base), Tokenizer(extended)
    assert new.token_bytes[: old.vocab_size] == old.token_bytes
    assert new.end_id == old.end_id
    english = list(texts(tiny_corpora["en"], "train"))
    latin = [text for text in english if text.isascii()]
    assert new.encode_batch(latin, parse_special=False) == old.encode_batch(latin, parse_special=False)


def test_the_new_language_takes_fewer_tokens_and_comes_back(base: Path, extended: Path, tiny_corpora: dict[str, Path]) -> None:
    old, new = Tokenizer(base), Tokenizer(extended)
    for text in texts(tiny_corpora["ko"], "test"):
        ids = new.encode(text, parse_special=False)
        assert new.decode_bytes(ids) == text.encode()
        assert len(ids) < 0.5 * len(old.encode(text, parse_special=False))


def slow_learn(words: dict[tuple[str, ...], float], wanted: int, known: set[str]) -> list[Pair]:
    """The definition: count all pairs anew before every merge."""
    cuts = {number: list(cut) for number, cut in enumerate(words)}
    weights = list(words.values())
    merges: list[Pair] = []
    while len(merges) < wanted:
        counts: Counter[Pair] = Counter()
        for number, cut in cuts.items():
            for pair in itertools.pairwise(cut):
                counts[pair] += weights[number]  # type: ignore[assignment]
        left = [pair for pair in counts if "".join(pair) not in known]
        if not left:
            break
        best = min(left, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        known = known | {"".join(best)}
        cuts = {number: joined(cut, best) for number, cut in cuts.items()}
    return merges


@given(st.dictionaries(st.text("abc", min_size=2, max_size=8).map(tuple), st.integers(1, 9).map(float), min_size=1, max_size=12))
def test_merges_are_those_of_counting_anew_every_time(words: dict[tuple[str, ...], float]) -> None:
    known = {"a", "b", "c", "ab"}
    assert learn(words, 10, known) == slow_learn(words, 10, known)


def test_the_library_joins_as_we_counted(base: Path, extended: Path, tiny_corpora: dict[str, Path]) -> None:
    """The old cut, joined merge after merge in their order, is the library's new cut."""
    old, new = Tokenizer(base), Tokenizer(extended)
    known = set(old.library.get_vocab())
    merges = [tuple(pair) for pair in json.loads(new.path.read_text())["model"]["merges"]]
    added = [pair for pair in merges if "".join(pair) not in known]
    words = [piece for text in texts(tiny_corpora["ko"], "test") for piece, _ in old.library.pre_tokenizer.pre_tokenize_str(text)]
    for word in random.Random(1).sample(words, 40):
        cut = [token.value for token in old.library.model.tokenize(word)]
        for pair in added:
            cut = joined(cut, pair)
        assert cut == [token.value for token in new.library.model.tokenize(word)]


@pytest.mark.parametrize(
    ("vocab_size", "message"),
    [(384, "ask for more"), (500, "must be a multiple of 128"), (128_000, "more tokens than .*; ask for fewer or add text")],
)
def test_a_size_that_cannot_be_is_said(
    tmp_path: Path, base: Path, tiny_corpora: dict[str, Path], vocab_size: int, message: str
) -> None:
    corpora = asian(tiny_corpora)
    with pytest.raises(UserError, match=message):
        extend_tokenizer(
            tmp_path, base=base, corpora=corpora, byte_premiums=PREMIUMS, vocab_size=vocab_size, max_english_bytes=20_000
        )
