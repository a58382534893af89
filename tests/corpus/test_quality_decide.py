"""Decisions: each equals what a slow reader of rules says of one document alone; the first rule that fails names the reason."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.scripts import SCRIPTS
from polyglot_lm.corpus.kernels.statistics import statistics
from polyglot_lm.corpus.kernels.tokens import TOKEN_COUNTS
from polyglot_lm.corpus.quality import (
    ESTIMATES,
    FEATURES,
    MEASURES,
    REASONS,
    RULES,
    Bound,
    Thresholds,
    decide,
    lenient,
    thresholds_of,
)
from polyglot_lm.corpus.quality import TOKEN_COUNTS as NAMED_COUNTS
from polyglot_lm.languages import language, languages

PIECES = [
    "the cat sat on the mat and looked at it. ",
    "한국어 문서입니다. ",
    "漢字の文書です。",
    "ภาษาไทยเป็น",
    "1 | 2 | ",
    "#",
    "...",
    "\n",
    "- a\n",
    "\n\n",
]
texts = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


def columns_of(documents: list[str], code: str, said: list[str], confidence: list[float]) -> dict[str, np.ndarray]:
    found = dict(statistics(TextBatch.from_texts(documents), thresholds_of(code).stop_words))
    return {**found, "language": np.array(said, dtype=object), "language_confidence": np.array(confidence, np.float32)}


def slow_reason(columns: dict[str, np.ndarray], place: int, thresholds: Thresholds) -> str | None:
    """Judge one document by reading the rules aloud, numbers in plain Python."""
    row = {name: column[place].item() if hasattr(column[place], "item") else column[place] for name, column in columns.items()}

    def letters(*scripts: str) -> int:
        return round(sum(row[f"script_{script}"] for script in scripts) * row["num_letters"])

    unspaced = letters("Hani", "Hira", "Kana", "Thai", "Hang")
    features = {**row, "spaced_letters": row["num_letters"] - unspaced, "hangul": letters("Hang"), "han": letters("Hani")}
    features |= {"hiragana": letters("Hira"), "katakana": letters("Kana"), "thai": letters("Thai")}
    many = {name: max(1, sum(w * features[f] for f, w in thresholds.weights[name].items())) for name in thresholds.weights}
    per_token = max(1, row["num_units"] + row["num_symbols"]) / many["tokens"]
    values = {
        **row,
        "script_share": sum(row[f"script_{script}"] for script in thresholds.scripts),
        "signature_share": sum(row[f"script_{s}"] for s in thresholds.signature) if thresholds.signature else 1,
        "language_confidence": row["language_confidence"] if row["language"] == thresholds.code else 0,
        "words": many["words"],
        "word_length": (row["num_letters"] + row["num_digits"]) / many["words"],
        "hashes": row["hash_ratio"] * per_token,
        "ellipses": row["ellipsis_ratio"] * per_token,
        "bullet_lines": row["bullet_line_ratio"],
        "ellipsis_lines": row["ellipsis_line_ratio"],
        "alphabetic_words": many["alphabetic"] / many["tokens"],
        "line_punctuation": row["ended_line_ratio"],
        "newlines": row["num_newlines"] / many["tokens"],
        "duplicate_line_characters": row["line_char_duplicates"],
        "duplicate_lines": row["dup_line_frac"],
        **{f"top_{n}gram": row[f"top_{n}_gram"] for n in (2, 3, 4)},
        **{f"duplicate_{n}gram": row[f"dup_{n}_gram"] for n in range(5, 11)},
    }
    for rule in RULES:
        bound = thresholds.bounds.get(rule.measure, Bound())
        if rule.side == "least" and bound.least is not None and values[rule.measure] < bound.least:
            return rule.reason
        if rule.side == "most" and bound.most is not None and values[rule.measure] > bound.most:
            return rule.reason
    return None


@settings(max_examples=60, deadline=None)
@given(documents=st.lists(texts, min_size=1, max_size=6), code=st.sampled_from(sorted(languages())), data=st.data())
def test_decisions_equal_the_slow_reader(documents: list[str], code: str, data: st.DataObject) -> None:
    said = data.draw(st.lists(st.sampled_from([code, "xx"]), min_size=len(documents), max_size=len(documents)))
    sure = data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=len(documents), max_size=len(documents)))
    columns, thresholds = columns_of(documents, code, said, sure), thresholds_of(code)
    off = data.draw(st.sets(st.sampled_from(sorted(thresholds.bounds))))
    kept_on = {name: bound for name, bound in thresholds.bounds.items() if name not in off}
    thresholds = dataclasses.replace(thresholds, bounds=kept_on)
    codes = decide(columns, thresholds)
    assert codes.dtype == np.uint8
    assert [REASONS[found] for found in codes] == [slow_reason(columns, place, thresholds) for place in range(len(documents))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_each_rule_refuses_for_its_own_reason(rule) -> None:  # type: ignore[no-untyped-def]
    thresholds = thresholds_of("en")
    columns = columns_of(["The cat sat on the mat. " * 30], "en", ["en"], [0.75])
    value = float(MEASURES[rule.measure](columns, thresholds)[0])
    beyond = math.nextafter(value, math.inf if rule.side == "least" else -math.inf)
    for bound, reason in ((beyond, rule.reason), (value, None)):
        alone = dataclasses.replace(thresholds, bounds={rule.measure: Bound(**{rule.side: bound})})
        assert [REASONS[code] for code in decide(columns, alone)] == [reason]


def test_the_first_failing_rule_names_the_reason() -> None:
    columns = columns_of(["", "  ", "1 2 3 " * 40], "en", ["en"] * 3, [1.0] * 3)
    assert [REASONS[code] for code in decide(columns, thresholds_of("en"))] == ["empty", "empty", "few_letters"]


def test_good_text_is_kept_and_repeated_text_is_not() -> None:
    words = map("".join, itertools.product(("ba", "mi", "ta", "so", "fu"), ("ker", "ling", "nt", "rrow"), ("s", "ed", "ing")))
    good = "".join(f"The {next(words)} of {next(words)} and {next(words)} have {next(words)}.\n" for _ in range(12))
    columns = columns_of([good, good * 2], "en", ["en"] * 2, [1.0] * 2)
    assert [REASONS[code] for code in decide(columns, thresholds_of("en"))] == [None, "repeated_line_characters"]


def test_lenient_thresholds_ask_for_length_letters_and_language_alone() -> None:
    mild = lenient(
        language("ja"),
        min_chars=5,
        max_chars=40,
        min_letter_share=0.5,
        min_script_share=0.5,
        min_signature_share=0.05,
        min_language_confidence=0.3,
    )
    documents = [
        "漢字かな混じりの文",
        "短い",
        "漢字" * 30,
        "1234567890",
        "only Latin letters",
        "漢字漢字漢字漢字",
        "漢字かな混じりの文",
        " ",
    ]
    columns = columns_of(documents, "ja", ["ja"] * 6 + ["zh", "ja"], [0.5] * 8)
    expected = [None, "too_short", "too_long", "few_letters", "wrong_script", "no_signature", "wrong_language", "empty"]
    assert [REASONS[code] for code in decide(columns, mild)] == expected


def test_a_missing_value_fails_no_rule() -> None:
    columns = columns_of(["The cat sat on the mat."], "en", ["en"], [math.nan])
    alone = dataclasses.replace(thresholds_of("en"), bounds={"language_confidence": Bound(least=0.5)})
    assert decide(columns, alone).tolist() == [0]


def test_no_documents_no_codes() -> None:
    assert decide(columns_of([], "en", [], []), thresholds_of("en")).tolist() == []


def test_a_missing_column_is_named() -> None:
    columns = columns_of(["text"], "en", ["en"], [1.0])
    del columns["ended_line_ratio"]
    alone = dataclasses.replace(thresholds_of("en"), bounds={"line_punctuation": Bound(least=0.1)})
    with pytest.raises(KeyError, match="ended_line_ratio"):
        decide(columns, alone)


def test_rules_are_documented_and_fit_a_byte() -> None:
    assert len(REASONS) == len(set(REASONS)) == len(RULES) + 1 < 256
    assert all(rule.story and rule.measure in MEASURES for rule in RULES)


def test_names_of_columns_are_those_of_the_kernels() -> None:
    assert NAMED_COUNTS == TOKEN_COUNTS
    assert {"Hang", "Hani", "Hira", "Kana", "Thai"} <= set(SCRIPTS)
    assert set(FEATURES) > set(NAMED_COUNTS)
    assert len(ESTIMATES) == 3
