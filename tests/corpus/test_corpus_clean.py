"""Cleaning: one normal form, and a reason for every refusal."""

import dataclasses
import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus import Filters, Profile
from polyglot_lm.corpus.clean import document_id, exact_key, judge, normalize
from polyglot_lm.corpus.sources import RawDocument
from polyglot_lm.languages import languages
from polyglot_lm.recipes.quickstart import profile
from polyglot_lm.tokenizer import SPECIAL_TOKENS

FLORES = Path(__file__).parents[3] / "shared" / "data" / "parallel" / "flores200_devtest.jsonl.zst"
FILTERS = Filters(
    min_chars=20,
    max_chars=2_000,
    min_letter_share=0.5,
    min_script_share=0.5,
    min_signature_share=0.05,
    min_language_confidence=0.2,
)
PROFILES = {code: profile(language) for code, language in languages().items()}


def document(code: str) -> str:
    return (SENTENCES[code] + ". ") * (1 + 200 // len(SENTENCES[code]))


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
    assert normalize("앞<|endoftext|>뒤 <|tell|> <|tel|>끝<|no|>") == ("앞 뒤   <|tel|>끝<|no|>", 2)
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


@pytest.mark.parametrize("code", SENTENCES)
def test_every_language_is_accepted_by_its_own_profile(code: str) -> None:
    reason, scores = judge(document(code), PROFILES[code], FILTERS)
    assert (reason, scores["score_script_share"]) == (None, 1.0)
    assert ("score_language" in scores) == bool(PROFILES[code].rivals)


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("ko", "짧은 글", "too_short"),
        ("ko", document("ko") * 20, "too_long"),
        ("ko", "123 - 456, 7.89 (!?) 가나다" * 2, "few_letters"),
        ("ko", document("ja"), "wrong_script"),
        ("th", document("en"), "wrong_script"),
        ("zh", document("ja"), "wrong_script"),
        ("ja", document("zh"), "wrong_script"),
        ("vi", document("en"), "wrong_language"),
        ("ms", document("en"), "wrong_language"),
        ("en", document("id"), "wrong_language"),
        ("id", document("vi"), "wrong_language"),
    ],
)
def test_every_refusal_has_its_reason(code: str, text: str, reason: str) -> None:
    assert judge(text, PROFILES[code], FILTERS)[0] == reason


def test_text_without_letters_has_a_reason_too() -> None:
    lenient = dataclasses.replace(FILTERS, min_chars=0, min_letter_share=0.0, min_script_share=0.0)
    assert judge("", PROFILES["ko"], FILTERS)[0] == "too_short"
    assert judge("12345", PROFILES["ko"], lenient) == (None, {"score_script_share": 0.0})
    assert judge("12345", PROFILES["ja"], lenient)[0] == "wrong_script"


def test_marks_that_are_no_letters_raise_no_share() -> None:
    reason, scores = judge("ア・イ・ウ・エ・オ・カ・キ・ク・ケ・コ・", PROFILES["ja"], FILTERS)
    assert reason is None
    assert scores["score_script_share"] <= 1


@pytest.mark.parametrize(
    ("field", "value"), [("min_chars", -1), ("min_chars", 3_000), ("min_letter_share", 1.5), ("min_language_confidence", -0.1)]
)
def test_bounds_that_make_no_sense_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(FILTERS, **{field: value})


def test_a_script_without_ranges_is_refused() -> None:
    with pytest.raises(ValueError, match="xx: no ranges for script Cher"):
        Profile(code="xx", scripts=("Latn", "Cher"), signature=(), rivals=())


@pytest.mark.skipif(not FLORES.exists(), reason="FLORES-200 is not here")
def test_malay_and_indonesian_are_told_apart() -> None:
    with pa.input_stream(str(FLORES), compression="zstd") as stream:
        rows = [json.loads(line) for line in stream.read().splitlines()[:400]]
    strict = dataclasses.replace(FILTERS, min_language_confidence=0.3)
    for code, other in (("ms", "id"), ("id", "ms")):
        documents = [" ".join(row[code] for row in rows[k : k + 8]) for k in range(0, len(rows), 8)]
        own, foreign = (sum(judge(text, PROFILES[c], strict)[0] is None for text in documents) for c in (code, other))
        assert own >= 0.95 * len(documents)
        assert foreign <= 0.25 * len(documents)
