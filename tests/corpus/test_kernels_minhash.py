"""MinHash: signatures equal a slow twin's, and their agreement is the exact Jaccard similarity, without bias."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import SENTENCES, tiny_texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_twins import any_text, folded, jaccard, shingles

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.minhash import (
    BASE,
    BLOCK_UNITS,
    FACTORS,
    NUM_VALUES,
    TERMS,
    WHOLE_BLOCKS,
    band_keys,
    signatures,
)
from polyglot_lm.corpus.kernels.scripts import folds, kinds
from polyglot_lm.corpus.kernels.units import HASH_FACTOR, HASH_SEED, MIX_FACTOR, mixed, read_folded

WORD = 1 << 64


def signed(*texts: str, shingle_units: int = 5) -> np.ndarray:
    return signatures(TextBatch.from_texts(texts), shingle_units)


def slow_mixed(value: int) -> int:
    value = (value ^ value >> 32) * int(MIX_FACTOR) % WORD
    return value ^ value >> 32


def slow_unit(unit: str) -> int:
    value = int(HASH_SEED)
    for character in unit:
        value = (value ^ ord(character)) * int(HASH_FACTOR) % WORD
    return slow_mixed(value)


def slow_signature(hashes: Sequence[int]) -> list[int]:
    """Permute and take minima in Python's whole numbers."""
    pairs = zip(FACTORS[:NUM_VALUES].tolist(), TERMS[:NUM_VALUES].tolist(), strict=True)
    return [min((factor * value + term) % (1 << 32) for value in hashes) & 0xFFFF for factor, term in pairs]


def slow_polynomials(units: Sequence[int], length: int) -> list[int]:
    windows = [units[at : at + length] for at in range(max(1, len(units) - length + 1))]
    start = 0 if len(units) >= length else int(HASH_SEED)
    found = []
    for window in windows:
        value = start
        for unit in window:
            value = (value * int(BASE) + unit) % WORD
        found.append(value)
    return found


def narrow(value: int) -> int:
    return ((value ^ value >> 32) * int(MIX_FACTOR) % WORD) >> 32


@settings(max_examples=200, deadline=None)
@given(any_text, st.integers(1, 12))
@example("one two three", 3)
@example("漢字かな交じり", 9)
def test_a_signature_equals_its_twin(text: str, length: int) -> None:
    units = [slow_unit(unit) for unit in folded(text)]
    if units:
        assert signed(text, shingle_units=length)[0].tolist() == slow_signature(list(map(narrow, slow_polynomials(units, length))))


@settings(max_examples=200, deadline=None)
@given(any_text)
def test_units_are_the_folded_units_of_the_twin(text: str) -> None:
    data, units = np.frombuffer(text.encode(), np.uint8), np.empty(300, np.uint64)
    num_units, position = read_folded(data, 0, len(data), kinds(), folds(), units, 0)
    assert units[:num_units].tolist() == [slow_unit(unit) for unit in folded(text)]
    assert position == len(data)


@pytest.mark.parametrize("num_units", [BLOCK_UNITS - 1, BLOCK_UNITS, BLOCK_UNITS + 1, 2 * BLOCK_UNITS - 4, 3 * BLOCK_UNITS + 7])
def test_blocks_leave_no_shingle_out(num_units: int) -> None:
    text = " ".join(f"w{number * 7919 % 5000}" for number in range(num_units))
    units = [slow_unit(unit) for unit in text.split()]
    hashes = np.array(list(map(narrow, slow_polynomials(units, 5))), np.uint32)
    permuted = FACTORS[:NUM_VALUES, None] * hashes + TERMS[:NUM_VALUES, None]
    assert signed(text)[0].tolist() == (permuted.min(axis=1) & 0xFFFF).tolist()


def test_the_end_of_a_long_text_is_sampled() -> None:
    whole = WHOLE_BLOCKS * BLOCK_UNITS
    start = " ".join(f"w{number}" for number in range(whole))
    ends = [" ".join(f"{letter}{number}" for number in range(40 * whole)) for letter in "xyy"]
    one, other, same = signed(*(f"{start} {end}" for end in ends))
    assert (other == same).all()
    assert 0.1 < (one == other).mean() < 0.4  # 1 / (1 + 2 * 40 / 16) = 0.17 were everything after `whole` sampled


def random_pair(rng: random.Random, glue: str, vocabulary: Sequence[str]) -> tuple[str, str]:
    """Return two texts of like length, the second with some units replaced: their similarity lies anywhere."""
    first = rng.choices(vocabulary, k=rng.randint(20, 300))
    second = list(first)
    for _ in range(int(len(first) * rng.random() ** 3)):
        second[rng.randrange(len(first))] = rng.choice(vocabulary)
    return glue.join(first), glue.join(second)


@pytest.mark.parametrize(
    ("glue", "vocabulary"),
    [(" ", [f"Kata{n}é" for n in range(400)]), (" ", [chr(0xAC00 + n) + "은" for n in range(400)])]
    + [("", [chr(first + n) for n in range(size)]) for first, size in ((0x4E00, 400), (0x3041, 80), (0xE01, 46))],
    ids=["Latin", "Hangul", "Han", "Hiragana", "Thai"],
)
def test_agreement_estimates_jaccard_without_bias(glue: str, vocabulary: Sequence[str]) -> None:
    rng = random.Random(7)
    pairs = [random_pair(rng, glue, vocabulary) for _ in range(300)]
    exact = np.array([jaccard(shingles(one, 5), shingles(other, 5)) for one, other in pairs])
    agreement = (signed(*(one for one, _ in pairs)) == signed(*(other for _, other in pairs))).mean(axis=1)
    assert (exact > 0.8).sum() > 20
    assert (exact < 0.6).sum() > 20
    theory = np.sqrt((exact * (1 - exact)).mean() / NUM_VALUES)
    assert abs((agreement - exact).mean()) < 4 * theory / np.sqrt(len(pairs))
    assert np.sqrt(((agreement - exact) ** 2).mean()) < 1.25 * theory


def test_unlike_texts_agree_in_almost_nothing() -> None:
    texts = [" ".join(f"{letter}{number}" for number in range(30_000)) for letter in "abcdefghij"]
    found = signed(*texts)
    agreements = [(found[one] == found[other]).mean() for one in range(10) for other in range(one)]
    assert np.mean(agreements) < 0.002


@pytest.mark.parametrize("code", SENTENCES)
def test_case_punctuation_and_spacing_change_nothing(code: str) -> None:
    text = tiny_texts(code, 1)[0] + " Ä Я"
    found = signed(text, text.upper(), text.replace(" ", "  \n… "), text + "!!", text + " x y z" * 9)
    assert (found[:4] == found[0]).all()
    assert (found[4] != found[0]).any()


def test_short_and_empty_texts_have_signatures_of_their_own() -> None:
    found = signed("", "", "one", "one two", "two one", "!!!", "???", "一", "一二", shingle_units=5)
    assert (found[0] == found[1]).all()
    for one in range(1, len(found)):
        assert [other for other in range(one) if (found[one] == found[other]).any()] == ([0] if one == 1 else [])
    assert signatures(TextBatch.from_texts([]), 5).shape == (0, NUM_VALUES)


def test_band_keys_agree_where_six_values_do() -> None:
    one = signed(SENTENCES["en"])
    other = one.copy()
    other[0, 13] += 1
    same = band_keys(one)[0] == band_keys(other)[0]
    assert np.flatnonzero(~same).tolist() == [2]
    assert len(set(band_keys(np.zeros((1, NUM_VALUES), np.uint16))[0].tolist())) == 20


def test_signatures_on_disk_keep_their_meaning(golden: Callable[[str, Any], None]) -> None:
    """A changed value would compare new documents with old ones in vain: then the stage needs a new version."""
    found = signed(*SENTENCES.values())
    values = {code: [*map(int, row[:6]), int(keys[0])] for code, row, keys in zip(SENTENCES, found, band_keys(found), strict=True)}
    golden("signatures.json", values)


def test_mixing_is_that_of_the_twin() -> None:
    assert int(mixed(np.uint64(12345))) == slow_mixed(12345)


@pytest.mark.parametrize("length", [0, 65])
def test_a_shingle_of_no_or_too_many_units_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"shingle_units is {length}; give 1 to 64"):
        signed("a", shingle_units=length)
