"""Morphemes: merges learned between walls only, encoding without any, and clear refusals."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SENTENCES, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.pipeline import UserError
from polyglot_lm.tokenizer import Tokenizer, morphemes, train_tokenizer
from polyglot_lm.tokenizer.encode import Fast, Reference
from polyglot_lm.tokenizer.morphemes import WALL, walled

pytest.importorskip("mecab")
SENTENCE = SENTENCES["ko"]


def train(out: Path, languages: tuple[str, ...]) -> Tokenizer:
    out.mkdir()
    corpora = {code: write_corpus(out / "corpora" / code, code, 100) for code in ("ko", "zh")}
    train_tokenizer(
        out,
        corpora=corpora,
        byte_premiums=dict.fromkeys(corpora, 1.0),
        vocab_size=384,
        max_english_bytes=10**9,
        morphemes=languages,
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


def test_a_language_without_an_analyser_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no morpheme analyser for 'en'; there is one for ko"):
        train(tmp_path / "out", ("en",))


def test_a_missing_analyser_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    morphemes.mecab_ko_library.cache_clear()
    monkeypatch.setitem(sys.modules, "mecab", None)
    with pytest.raises(UserError, match=r"need python-mecab-ko; install it with pip install 'polyglot-lm\[morphemes\]'"):
        morphemes.require_analysers(["ko"])


def polyglot_ko(folder: Path) -> dict[str, Any]:
    """Return a tokenizer in the layout of the released one: 4 special tokens, 256 bytes, merges up to 30,000, and three after."""
    described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    names = ["<|unused0|>", "<|unused1|>", "<|endoftext|>", "<|sep|>"]
    old = described["model"]["vocab"]
    vocab = {
        token: number
        for number, token in enumerate(
            [*names, *(token for token, number in sorted(old.items(), key=lambda i: i[1]) if number >= 64)]
        )
    }
    fill = {f"{'Z' * 9}{number}": number for number in range(len(vocab), 30_000)}
    added = [*names, "<|acc|>", "<|tel|>", "<|rrn|>"]
    ids = {**{name: number for number, name in enumerate(names)}, "<|acc|>": 30_000, "<|tel|>": 30_001, "<|rrn|>": 30_002}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        **described,
        "normalizer": None,
        "added_tokens": [{"id": ids[name], "content": name, **flags} for name in added],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Split", "pattern": {"String": "ೱ"}, "behavior": "Removed", "invert": False}, byte_level],
        },
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {**described["model"], "vocab": {**vocab, **fill}},
    }


def test_the_layout_of_polyglot_ko_is_used_as_it_is(tmp_path: Path) -> None:
    train(tmp_path / "ours", ())
    (tmp_path / "theirs").mkdir()
    described = json.dumps(polyglot_ko(tmp_path / "ours"), ensure_ascii=False)
    (tmp_path / "theirs" / "tokenizer.json").write_text(described, encoding="utf-8")
    tokenizer = Tokenizer(tmp_path / "theirs")
    assert (tokenizer.vocab_size, tokenizer.end_id, tokenizer.library.token_to_id("<|sep|>")) == (30_003, 2, 3)
    text = f"{SENTENCE} <|tell|> <|acc|>\n<|sep|> 1234"
    for encoder in (Reference(tokenizer), Fast(tokenizer)):
        ids = encoder.encode([text])[0].tolist()
        assert [number for number in ids if number >= 30_000] == [30_001, 30_000]
        assert 3 not in ids
        assert tokenizer.decode_bytes(ids).decode() == text.replace("<|tell|>", "<|tel|>")
