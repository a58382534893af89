"""Morphemes: merges learned between walls only, encoding without any, and clear refusals."""

import json
import sys
from pathlib import Path

import pytest
from conftest import SENTENCES, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.pipeline import UserError
from polyglot_lm.tokenizer import Balanced, Parity, Policy, Tokenizer, morphemes, train_tokenizer
from polyglot_lm.tokenizer.morphemes import WALL, walled

pytest.importorskip("mecab")
SENTENCE = SENTENCES["ko"]


def train(out: Path, languages: tuple[str, ...], policy: Policy = Balanced()) -> Tokenizer:
    out.mkdir()
    corpora = {code: write_corpus(out / "corpora" / code, code, 100) for code in ("ko", "zh")}
    train_tokenizer(
        out,
        corpora=corpora,
        byte_premiums=dict.fromkeys(corpora, 1.0),
        vocab_size=384,
        max_english_bytes=10**9,
        morphemes=languages,
        policy=policy,
    )
    return Tokenizer(out)


def test_walls_stand_between_morphemes_of_a_word_and_nowhere_else() -> None:
    (cut,) = walled([SENTENCE], "ko")
    assert cut.split() == [word.replace("|", WALL) for word in "오늘|은 날씨|가 맑|아서 강가|를 따라 천천히 걸|었|습니다".split()]


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(exclude_categories=("Cs",))) | st.lists(st.sampled_from([*SENTENCE, " ", "\n", WALL])).map("".join))
def test_without_its_walls_a_text_is_what_it_was(text: str) -> None:
    (cut,) = walled([text], "ko")
    assert cut.replace(WALL, "") == text.replace(WALL, "")


def test_no_merge_is_learned_across_a_wall_and_encoding_needs_none(tmp_path: Path) -> None:
    free, bounded = train(tmp_path / "free", ()), train(tmp_path / "bounded", ("ko",))
    pieces = {tokenizer: [raw.decode(errors="replace").strip() for raw in tokenizer.token_bytes] for tokenizer in (free, bounded)}
    assert "날씨가" in pieces[free] and "날씨가" not in pieces[bounded]
    assert "날씨" in pieces[bounded]
    described = json.loads((tmp_path / "bounded" / "tokenizer.json").read_text(encoding="utf-8"))
    plain = json.loads((tmp_path / "free" / "tokenizer.json").read_text(encoding="utf-8"))
    assert described["pre_tokenizer"] == plain["pre_tokenizer"]
    assert WALL not in json.dumps(described, ensure_ascii=False)
    assert bounded.decode_bytes(bounded.encode(SENTENCE, parse_special=False)).decode() == SENTENCE


def test_parity_merges_stay_between_walls_too(tmp_path: Path) -> None:
    policy = Parity(parallel=None, plain_share=0.5)
    free, bounded = train(tmp_path / "free", (), policy), train(tmp_path / "bounded", ("ko",), policy)
    pieces = {tokenizer: {raw.decode(errors="replace").strip() for raw in tokenizer.token_bytes} for tokenizer in (free, bounded)}
    assert "날씨가" in pieces[free] and "날씨가" not in pieces[bounded]
    assert "날씨" in pieces[bounded]


def test_a_language_without_an_analyser_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no morpheme analyser for 'en'; there is one for ko"):
        train(tmp_path / "out", ("en",))


def test_a_missing_analyser_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    morphemes.mecab_ko_library.cache_clear()
    monkeypatch.setitem(sys.modules, "mecab", None)
    with pytest.raises(UserError, match=r"need python-mecab-ko; install it with pip install 'polyglot-lm\[morphemes\]'"):
        morphemes.require_analysers(["ko"])
