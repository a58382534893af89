"""Cleaning: one normal form, and names that depend on nothing else."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.clean import document_id, exact_key, normalize
from polyglot_lm.corpus.sources import RawDocument
from polyglot_lm.tokenizer import SPECIAL_TOKENS


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (unicodedata.normalize("NFD", "한국어 café Việt"), "한국어 café Việt"),
        ("a\r\nb\rc\td\n", "a\nb\nc\td"),
        ("\ufeffa\x00\x07b\x7f\x85c\uffff", "abc"),
        ("  \n둘레 \n", "둘레"),
        ("가\u200d나 ｆｕｌｌ ①", "가\u200d나 ｆｕｌｌ ①"),
    ],
)
def test_text_gets_its_normal_form(raw: str, text: str) -> None:
    assert normalize(raw) == (text, 0)


def test_literal_special_tokens_are_replaced_and_counted() -> None:
    assert normalize("앞<|endoftext|>뒤 <|tell|> <|tel|>끝<|no|>") == ("앞 뒤    끝<|no|>", 3)
    assert normalize("x" + "".join(SPECIAL_TOKENS) + "y") == ("x" + " " * len(SPECIAL_TOKENS) + "y", len(SPECIAL_TOKENS))
    assert normalize("<|endof\x00text|>") == ("", 1)


@settings(deadline=None, max_examples=200)
@given(st.text("e\u0301\u1112\u1161가\x00\x7f\r\n <|sep>", max_size=12))
def test_a_normal_form_is_its_own_normal_form(raw: str) -> None:
    text, _ = normalize(raw)
    assert unicodedata.is_normalized("NFC", text)
    assert normalize(text) == (text, 0)


def test_a_control_character_before_an_accent_is_no_obstacle() -> None:
    assert normalize("e\x00\u0301") == ("é", 0)


def test_exact_duplicates_are_equal_but_for_case_and_white_space() -> None:
    assert exact_key("Ab\n c") == exact_key("aB  C") != exact_key("abc")


def test_an_id_says_source_path_and_position() -> None:
    ids = {
        document_id(source, RawDocument(path=path, position=position, text=text))
        for source in "ab"
        for path in "xy"
        for position in (1, 11)
        for text in "pq"
    }
    assert len(ids) == 8
    assert all(len(found) == 32 for found in ids)
