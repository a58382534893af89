"""The parity report: figures of toy tokenizers that can be counted by hand, and one clear sentence for what cannot be measured."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import SENTENCES
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.cli import app
from polyglot_lm.languages import languages
from polyglot_lm.pipeline import CorruptFileError, UserError, read_json
from polyglot_lm.tokenizer import train_tokenizer
from polyglot_lm.tokenizer.parity import Measurable, gini, measure, of_tiktoken, read_measurable, read_parallel, script
from polyglot_lm.tokenizer.parity_page import names_of, write_parity_report

BYTES = Measurable(encode=lambda texts: [list(text.encode()) for text in texts], token_bytes={n: bytes([n]) for n in range(256)})
LETTERS = Measurable(
    encode=lambda texts: [[ord(c) for c in t] for t in texts], token_bytes={n: chr(n).encode() for n in range(0xD800)}
)
PARALLEL = {"en": ["abcd", "ab"], "ko": ["가나", "다"], "th": ["กขคง", "จ"]}
FLORES = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "parallel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    ones = dict.fromkeys(tiny_corpora, 1.0)
    train_tokenizer(out, corpora=tiny_corpora, byte_premiums=ones, vocab_size=1024, max_english_bytes=20_000)
    return out


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_tokenizer_of_bytes_charges_the_byte_premium() -> None:
    measured = measure(BYTES, PARALLEL, "en")
    ko, en = measured["languages"]["ko"], measured["languages"]["en"]
    assert (en["tokens_per_sentence"], ko["tokens_per_sentence"]) == (3.0, 4.5)
    assert ko["premium"] == ko["byte_premium"] == 1.5
    assert (ko["single_byte_share"], ko["partial_share"], en["single_byte_share"]) == (1.0, 1.0, 0.0)
    assert en["context_english_bytes"] == 2048 and ko["context_english_bytes"] == pytest.approx(2048 / 1.5)
    assert (measured["partial_tokens"], measured["vocab_size"], en["vocabulary_used"]) == (128, 256, 4)
    assert measured["max_min"] == 7.5 / 3.0
    assert measured["vocabulary_by_script"] == {"part of a character": 128, "Latin": 52, "no letters": 76}


def test_a_tokenizer_of_letters_has_no_parts_of_characters() -> None:
    measured = measure(LETTERS, PARALLEL, "en")
    assert measured["languages"]["th"]["partial_share"] == measured["partial_tokens"] == 0
    assert measured["languages"]["th"]["bytes_per_token"] == 3.0
    assert measured["mean_tokens_per_sentence"] == pytest.approx((3 + 1.5 + 2.5) / 3)


def test_without_the_reference_language_there_are_no_premiums() -> None:
    measured = measure(BYTES, {"ko": ["가"]}, "en")["languages"]["ko"]
    assert measured["premium"] is measured["byte_premium"] is measured["context_english_bytes"] is None


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=9))
def test_gini_is_that_of_its_definition_by_ranks(costs: list[float]) -> None:
    ordered = sorted(costs)
    by_ranks = sum((2 * rank - len(ordered) - 1) * cost for rank, cost in enumerate(ordered, 1)) / (len(ordered) * sum(ordered))
    assert gini(costs) == pytest.approx(by_ranks, abs=1e-9)
    assert gini([7 * cost for cost in costs]) == pytest.approx(gini(costs), abs=1e-9)


def test_gini_of_equals_is_zero_and_of_one_who_pays_all_is_the_most() -> None:
    assert gini([3, 3, 3]) == 0
    assert gini([0, 0, 0, 1]) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("가", "Hangul"),
        (" 漢字", "Han"),
        ("ไทย", "Thai"),
        ("ｱ", "Katakana"),
        ("123", "no letters"),
        ("đ", "Latin"),
        ("ひ", "Hiragana"),
    ],
)
def test_scripts_of_tokens(token: str, expected: str) -> None:
    assert script(token.encode()) == expected
    assert script("가".encode()[:2]) == "part of a character"


def test_byte_fallback_and_spaces_of_other_kinds_of_tokenizer(tmp_path: Path) -> None:
    pieces = [["<unk>", 0.0], ["\u2581ab", -1.0], ["a", -2.0], *([f"<0x{value:02X}>", -5.0] for value in range(256))]
    model = {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": True}
    file = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581"},
        "model": model,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    measured = measure(read_measurable(str(tmp_path)), {"en": ["ab"], "ko": ["a가"]}, "en")
    assert measured["languages"]["en"]["tokens_per_sentence"] == 1
    assert 0 < measured["languages"]["ko"]["single_byte_share"] < 1


def test_encodings_of_tiktoken_are_measured_the_same() -> None:
    encoding = SimpleNamespace(
        special_tokens_set={"<|end|>"},
        encode_single_token=lambda token: 256 if isinstance(token, str) else token[0],
        token_byte_values=lambda: [bytes([value]) for value in range(256)],
        encode_ordinary_batch=lambda texts: [list(text.encode()) for text in texts],
    )
    measured, plain = (measure(tokenizer, PARALLEL, "en") for tokenizer in (of_tiktoken(encoding), BYTES))
    assert measured["languages"] == plain["languages"]
    assert measured["vocabulary_by_script"] == {**plain["vocabulary_by_script"], "special": 1}


def test_the_report_sets_tokenizers_side_by_side(tmp_path: Path, folder: Path) -> None:
    parallel = {code: [sentence] for code, sentence in SENTENCES.items()}
    shutil.copytree(folder, tmp_path / "other")
    figures = write_parity_report(tmp_path, places=[str(folder), str(tmp_path / "other")], parallel=parallel, reference="en")
    assert figures["tokenizers"]["other"] == figures["tokenizers"][folder.name]
    assert read_json(tmp_path / "parity.json") == figures
    page = (tmp_path / "parity.html").read_text(encoding="utf-8")
    for code in SENTENCES:
        cost = figures["tokenizers"][folder.name]["languages"][code]["tokens_per_sentence"]
        assert f"<title>{languages()[code].name}, {folder.name}: {cost:.1f}</title>" in page
    assert page.count("<svg") == page.count("</svg>") == 4


def test_a_language_that_the_table_has_not_is_shown_by_its_code(tmp_path: Path, folder: Path) -> None:
    write_parity_report(tmp_path, places=[str(folder)], parallel={"xx-None": ["abc"], "ko": ["가"]}, reference="en")
    page = (tmp_path / "parity.html").read_text(encoding="utf-8")
    assert ">xx-None<" in page and ">한국어<" in page


def test_special_tokens_in_sentences_are_letters(folder: Path) -> None:
    assert len(read_measurable(str(folder)).encode(["<|endoftext|>"])[0]) > 1


def test_names_are_as_short_as_they_can_be() -> None:
    assert names_of(["runs/a/tok/", "runs/b/tok/tokenizer.json"]) == {"a/tok": "runs/a/tok/", "b/tok": "runs/b/tok/tokenizer.json"}
    assert list(names_of(["x/one", "y/two"])) == ["one", "two"]


def test_the_command_writes_the_report(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parallel = write_lines(tmp_path / "p.jsonl", [{"i": 0, **SENTENCES}])
    arguments = [
        "tokenizer",
        "report",
        str(folder),
        "--parallel",
        str(parallel),
        "--languages",
        "ko,en",
        "--out",
        str(tmp_path / "r"),
    ]
    app(arguments, standalone_mode=False)
    assert re.search(r"vocabulary\s+1,024", capsys.readouterr().out)
    assert list(read_json(tmp_path / "r" / "parity.json")["tokenizers"][folder.name]["languages"]) == ["ko", "en"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "has no sentences"), ([{"ko": "가", "en": "a"}, {"en": "b"}], r"line 2 of .* has no sentence in 'ko'")],
)
def test_parallel_text_that_is_not_parallel_is_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_parallel(write_lines(tmp_path / "p.jsonl", rows))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no parallel text at"):
        read_parallel(tmp_path / "none.jsonl.zst")
    (tmp_path / "bad.jsonl.zst").write_bytes(b"no zstd")
    with pytest.raises(CorruptFileError, match=r"bad\.jsonl\.zst is damaged"):
        read_parallel(tmp_path / "bad.jsonl.zst")
    with pytest.raises(UserError, match=r"there is no tokenizer at .*/nothing/here"):
        read_measurable(str(tmp_path / "nothing" / "here"))


def test_tiktoken_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(UserError, match="'cl100k_base' needs tiktoken; install it"):
        read_measurable("tiktoken:cl100k_base")


@pytest.mark.skipif(not FLORES.exists(), reason="needs shared/data/parallel")
def test_flores_has_the_byte_premiums_of_the_table() -> None:
    both = [read_parallel(FLORES / f"flores200_{part}.jsonl.zst") for part in ("dev", "devtest")]
    size = {code: sum(len(text.encode()) for texts in both for text in texts[code]) for code in both[0]}
    for code, total in size.items():
        assert total / size["en"] == pytest.approx(languages()[code].byte_premium, abs=0.0006)
