"""What the pre-tokeniser may cut and what comes back: no letter is parted from its marks in any script, no word of Thai, Hangul or
Han is cut at all, and decoding what was encoded gives the text in NFC, whatever the text."""

import itertools
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
import regex
from conftest import SENTENCES
from hypothesis import example, given
from hypothesis import strategies as st

from polyglot_lm.tokenizer import Tokenizer, train_tokenizer
from polyglot_lm.tokenizer.encode import Fast
from polyglot_lm.tokenizer.train import new_tokenizer

SPLIT = new_tokenizer().pre_tokenizer.pre_tokenize_str


def letters(first: int, last: int, categories: str = "LM") -> list[str]:
    return [chr(code) for code in range(first, last + 1) if unicodedata.category(chr(code))[0] in categories]


THAI = letters(0x0E01, 0x0E4E)
HANGUL = letters(0xAC00, 0xD7A3)
JAMO = [chr(0x1100), chr(0x1161), chr(0x11A8), chr(0x302E)]  # conjoining letters and a tone mark: text in NFD, or of Middle Korean
DEVANAGARI = letters(0x0900, 0x0963)
VIETNAMESE = [*"aeiouydđăâêôơưAEO", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323", "\u0302", "\u031b"]
HAN_AND_KANA = ["漢", "字", "々", "か", "が", "゙", "ー", "ァ", "\u3099"]
SCRIPTS = {
    "Thai": THAI,
    "Hangul": HANGUL,
    "jamo": JAMO,
    "Devanagari": DEVANAGARI,
    "Vietnamese": VIETNAMESE,
    "Han and kana": HAN_AND_KANA,
}
MARKED = st.sampled_from(list(SCRIPTS)).flatmap(lambda script: st.text(SCRIPTS[script], min_size=1, max_size=30))
AROUND = st.sampled_from(["", " ", "\n", "  ", "(", "!", "1", "23", "\u200b", "'", "-"])
ANY = st.text(st.characters(exclude_categories=("Cs",)))  # surrogates are no text


def cuts(text: str) -> set[int]:
    return {end for _, (_, end) in SPLIT(text)}


def boundaries(text: str) -> set[int]:
    """Return where the graphemes of a text end, by another library."""
    return set(itertools.accumulate(len(found) for found in regex.findall(r"\X", text)))


@given(st.lists(st.tuples(MARKED, AROUND), min_size=1).map(lambda pairs: "".join(itertools.chain(*pairs))))
@example("ที่น้ำกำลัง")
@example("e\u0301\u0323 'd\u0303 \u1100\u1161\u11a8")
def test_no_mark_is_parted_from_its_letter(text: str) -> None:
    for cut in cuts(text) - {len(text)}:
        before, after = text[cut - 1], text[cut]
        parted = unicodedata.category(after)[0] == "M" and unicodedata.category(before)[0] in "LM"
        assert not parted, f"{text!r} is cut before {after!r}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_grapheme_of_a_word_is_cut(script: str) -> None:
    for size in (2, 3):
        for word in map("".join, itertools.islice(itertools.product(SCRIPTS[script], repeat=size), 0, 20_000, 7)):
            assert cuts(word) == {len(word)} <= boundaries(word)


@given(st.text(HANGUL, min_size=1, max_size=40) | st.text(THAI, min_size=1, max_size=40))
def test_a_run_of_hangul_or_thai_is_one_piece_with_the_space_before_it(word: str) -> None:
    assert [span for _, span in SPLIT(f"{word} {word}")] == [(0, len(word)), (len(word), 2 * len(word) + 1)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Tokenizer:
    out = tmp_path_factory.mktemp("tokenizer")
    premiums = dict.fromkeys(tiny_corpora, 1.0)
    train_tokenizer(out, corpora=tiny_corpora, byte_premiums=premiums, vocab_size=512, max_english_bytes=20_000)
    return Tokenizer(out)


def decoded(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    return str(tokenizer.library.decode(list(ids), skip_special_tokens=False))


@given(st.lists(ANY | st.sampled_from([*SENTENCES.values(), *JAMO, *VIETNAMESE, "<|sep|>"])).map("".join))
@example("".join(JAMO))
@example("\u0000\ufeff\U0010ffff\u0344\ufb1d")
@example("q\u0301\u1dfa\u0323")  # a mark that came with Unicode 14
def test_what_is_encoded_comes_back_in_nfc(tokenizer: Tokenizer, text: str) -> None:
    ids, expected = tokenizer.encode(text, parse_special=False), unicodedata.normalize("NFC", text)
    assert decoded(tokenizer, ids) == expected
    assert tokenizer.decode_bytes(ids) == expected.encode()
    assert tokenizer.token_lengths[ids].sum() == len(expected.encode())


def test_every_character_there_is_comes_back_from_both_encoders(tokenizer: Tokenizer) -> None:
    characters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) != "Cs"]
    texts = [unicodedata.normalize("NFC", "".join(characters[start : start + 5000])) for start in range(0, len(characters), 5000)]
    for text, ids in zip(texts, Fast(tokenizer).encode(texts), strict=True):
        assert tokenizer.encode(text, parse_special=True) == ids.tolist()
        assert decoded(tokenizer, ids) == text


@pytest.mark.parametrize("code", SENTENCES)
def test_the_same_ids_whatever_the_normal_form(tokenizer: Tokenizer, code: str) -> None:
    forms = [unicodedata.normalize(form, SENTENCES[code]) for form in ("NFC", "NFD")]
    first, second = (tokenizer.encode(form, parse_special=False) for form in forms)
    assert first == second
    assert tokenizer.token_lengths[second].sum() == len(SENTENCES[code].encode())
