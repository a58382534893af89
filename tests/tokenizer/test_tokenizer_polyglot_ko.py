"""The released Polyglot-Ko tokenizer's layout, used as it is: ids, aliases and padding unchanged, no normal form of ours.

The file itself is not here; a small one of exactly its layout is built: 4 special tokens, 256 bytes, merges up to 30,000, then
`<|acc|>`, `<|tel|>`, `<|rrn|>` (EleutherAI/polyglot-ko-1.3b, tokenizer.json; its pre-tokeniser takes out U+0CF1, which parted the
morphemes of its training text).
"""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from conftest import SENTENCES, write_corpus

from polyglot_lm.model.config import neox, padded_vocab_size
from polyglot_lm.pipeline import Runtime, read_json
from polyglot_lm.shards import DocumentWriter, TokenDataset, part_path
from polyglot_lm.tokenizer import TOKENIZER_FILE, Tokenizer, encode_corpus, train_tokenizer
from polyglot_lm.tokenizer.encode import Fast, Reference
from polyglot_lm.tokenizer.parity import measure, read_measurable

FIRST = ("<|unused0|>", "<|unused1|>", "<|endoftext|>", "<|sep|>")
LAST = ("<|acc|>", "<|tel|>", "<|rrn|>")
IDS = {name: number for number, name in enumerate(FIRST)} | {name: 30_000 + number for number, name in enumerate(LAST)}
TEXT = f"{SENTENCES['ko']} <|tell|> <|acc|>\n<|sep|> 1234"


def in_released_layout(described: dict[str, Any]) -> dict[str, Any]:
    ours = sorted(described["model"]["vocab"].items(), key=lambda item: item[1])
    pieces = [*FIRST, *(token for token, number in ours if number >= 64)]
    pieces += [f"{'Z' * 9}{number}" for number in range(len(pieces), 30_000)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    walls = {"type": "Split", "pattern": {"String": "\u0cf1"}, "behavior": "Removed", "invert": False}
    return {
        **described,
        "normalizer": None,
        "added_tokens": [{"id": number, "content": name, **flags} for name, number in IDS.items()],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [walls, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {**described["model"], "vocab": {token: number for number, token in enumerate(pieces)}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("polyglot-ko")
    corpora = {code: write_corpus(out / code, code, 100) for code in ("ko", "zh")}
    train_tokenizer(out, corpora=corpora, byte_premiums=dict.fromkeys(corpora, 1.0), vocab_size=384, max_english_bytes=10**9)
    described = in_released_layout(read_json(out / TOKENIZER_FILE))
    (out / TOKENIZER_FILE).write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder)


def test_its_ids_are_the_released_ones(tokenizer: Tokenizer) -> None:
    assert (tokenizer.vocab_size, tokenizer.end_id) == (30_003, 2)
    assert {name: tokenizer.library.token_to_id(name) for name in IDS} == IDS
    assert sorted(tokenizer.token_bytes[4:260]) == [bytes([value]) for value in range(256)]
    assert tokenizer.special_ids == frozenset(IDS.values())


def test_the_embedding_is_padded_to_30_080_and_the_tokenizer_is_not(tokenizer: Tokenizer) -> None:
    assert padded_vocab_size(tokenizer.vocab_size) == 30_080
    model = neox(vocab_size=tokenizer.vocab_size, context=64, num_layers=1, width=64, num_heads=1, rotary_dims=16)
    assert model.vocab_size == 30_080
    assert len(tokenizer.token_lengths) == 30_003


def test_masked_text_takes_its_own_tokens_and_a_prompt_takes_none(tokenizer: Tokenizer) -> None:
    for encoder in (Reference(tokenizer), Fast(tokenizer)):
        ids = encoder.encode([TEXT])[0].tolist()
        assert [number for number in ids if number >= 30_000] == [30_001, 30_000]  # our <|tell|> is its <|tel|>
        assert 3 not in ids  # <|sep|> is written by nobody but a user of the model
        assert tokenizer.decode_bytes(ids).decode() == TEXT.replace("<|tell|>", "<|tel|>")
    plain = tokenizer.encode(TEXT, parse_special=False)
    assert not tokenizer.special_ids & set(plain)
    assert tokenizer.decode_bytes(plain).decode() == TEXT


def test_its_text_is_not_normalized_and_loses_the_morpheme_mark_alone(tokenizer: Tokenizer) -> None:
    parted = unicodedata.normalize("NFD", "날씨")
    assert tokenizer.decode_bytes(tokenizer.encode(parted, parse_special=False)).decode() == parted
    assert tokenizer.encode("날씨\u0cf1가", parse_special=False) == [
        *tokenizer.encode("날씨", parse_special=False),
        *tokenizer.encode("가", parse_special=False),
    ]


def test_a_corpus_is_encoded_with_it(tmp_path: Path, folder: Path, tokenizer: Tokenizer) -> None:
    with DocumentWriter(part_path(tmp_path / "corpus", 0)) as writer:
        row = {"id": "0", "text": TEXT, "source": "web", "num_bytes": len(TEXT.encode()), "cluster_size": 1, "split": "train"}
        writer.write(row)
    encode_corpus(
        tmp_path / "tokens",
        corpus=tmp_path / "corpus",
        tokenizer=folder,
        language="ko",
        source="web",
        byte_premium=1.2,
        runtime=Runtime(workers=1),
    )
    dataset = TokenDataset(tmp_path / "tokens")
    assert (dataset.description["vocab_size"], dataset.description["dtype"]) == (30_003, "<u2")
    *ids, end = dataset.document(0).tolist()
    assert (ids, end) == (Reference(tokenizer).encode([TEXT])[0].tolist(), 2)


def test_transformers_and_the_report_read_it(folder: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs(SENTENCES["ko"])["input_ids"] == tokenizer.encode(SENTENCES["ko"], parse_special=False)
    assert theirs.convert_tokens_to_ids(list(IDS)) == list(IDS.values())
    assert measure(read_measurable(str(folder)), {"ko": [SENTENCES["ko"]]}, "ko")["vocab_size"] == 30_003
