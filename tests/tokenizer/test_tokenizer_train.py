"""The tokenizer's training: fixed special tokens, the same bytes every time, equal text of every language, and clear refusals."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import SENTENCES, write_corpus

from polyglot_lm.pipeline import Progress, Runtime, Task, UserError, read_json
from polyglot_lm.shards import DocumentWriter, part_path, read_documents
from polyglot_lm.tokenizer import (
    CONFIG_FILE,
    END_ID,
    SPECIAL_TOKENS,
    TOKENIZER_FILE,
    ParallelText,
    Parity,
    Tokenizer,
    check_vocab_size,
    train_tokenizer,
)
from polyglot_lm.tokenizer.train import new_tokenizer

ONE = dict.fromkeys(SENTENCES, 1.0)
THAI_WORD = "ที่น้ำกำลัง"  # vowel signs and tone marks above, below and beside the letters


def train(out: Path, corpora: dict[str, Path], vocab_size: int = 512, max_english_bytes: int = 20_000, **more: Any) -> Tokenizer:
    out.mkdir()
    train_tokenizer(out, corpora=corpora, byte_premiums=ONE, vocab_size=vocab_size, max_english_bytes=max_english_bytes, **more)
    return Tokenizer(out)


def test_special_tokens_have_their_fixed_ids_and_bytes_follow_from_64(tmp_path: Path, tiny_corpora: dict[str, Path]) -> None:
    library = train(tmp_path / "tokenizer", tiny_corpora).library
    named = "unused0 unused1 endoftext sep acc tell rrn card email ip passport tax".split()
    for number, name in enumerate(named):
        assert library.token_to_id(f"<|{name}|>") == number
    assert library.id_to_token(63) == "<|reserved63|>"
    assert sorted(library.get_added_tokens_decoder()) == list(range(64))
    assert END_ID == 2 and len(SPECIAL_TOKENS) == 64


def test_bytes_take_the_ids_from_64_to_319(tmp_path: Path, tiny_corpora: dict[str, Path]) -> None:
    tokenizer = train(tmp_path / "tokenizer", tiny_corpora)
    assert sorted(tokenizer.token_bytes[64:320]) == [bytes([value]) for value in range(256)]
    assert all(len(piece) > 1 for piece in tokenizer.token_bytes[320:])


def test_training_twice_gives_the_same_bytes(tmp_path: Path, tiny_corpora: dict[str, Path]) -> None:
    train(tmp_path / "first", tiny_corpora)
    train(tmp_path / "second", tiny_corpora)
    for name in (TOKENIZER_FILE, CONFIG_FILE):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("vocab_size", [0, 128, 256, 385, 500, 30_003])
def test_a_vocabulary_of_a_wrong_size_is_refused_with_a_right_one(vocab_size: int) -> None:
    with pytest.raises(UserError, match=rf"vocab_size is {vocab_size}; it must be a multiple of 128 from 384 up") as caught:
        check_vocab_size(vocab_size)
    check_vocab_size(int(str(caught.value).rsplit(" ", 1)[1]))


def test_too_little_text_is_refused_with_the_size_it_yields(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", "en", count=3)
    with pytest.raises(UserError, match=r"the text yields only \d+ tokens, fewer than vocab_size=4096"):
        train(tmp_path / "tokenizer", {"en": corpus}, vocab_size=4096)


def test_too_little_text_for_parity_is_refused_the_same(tmp_path: Path) -> None:
    corpora = {code: write_corpus(tmp_path / code, code, count=3) for code in ("en", "ko")}
    with pytest.raises(UserError, match=r"the text yields only \d+ tokens, fewer than vocab_size=4096; ask for fewer or add text"):
        train(tmp_path / "tokenizer", corpora, vocab_size=4096, policy=Parity(parallel=None, plain_share=0.5))


def test_a_language_without_text_is_named(tmp_path: Path) -> None:
    corpora = {"en": write_corpus(tmp_path / "en", "en"), "th": tmp_path / "th"}
    corpora["th"].mkdir()
    with pytest.raises(UserError, match=r"language 'th' has no documents for 'train' in .*; add text"):
        train(tmp_path / "tokenizer", corpora)


def test_reading_is_shown_by_bytes_and_merging_by_time(
    tmp_path: Path, tiny_corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, list[float]] = {}

    class Watched(Progress):
        @contextmanager
        def task(self, name: str, total: float, unit: str, done: float = 0.0) -> Iterator[Task]:
            task = Task(name, total, unit, done)
            yield task
            shown[name] = [total, task.done]

    monkeypatch.setattr("polyglot_lm.tokenizer.train.BEAT_SECONDS", 0.001)
    out = tmp_path / "tokenizer"
    train(out, tiny_corpora, policy=Parity(parallel=None, plain_share=0.5), runtime=Runtime(progress=Watched()))
    assert list(shown) == ["tokenizer: text", "tokenizer: merges"]
    total, read = shown["tokenizer: text"]
    assert total - 4 * len(tiny_corpora) < read <= total
    expected, seconds = shown["tokenizer: merges"]
    assert 0 < seconds < expected


def test_a_training_that_fails_ends_what_it_shows(tmp_path: Path, tiny_corpora: dict[str, Path]) -> None:
    before = threading.active_count()
    with pytest.raises(UserError, match="has no sentence"):
        (tmp_path / "short.jsonl").write_text('{"en": "a"}\n')
        policy = Parity(parallel=ParallelText(path=tmp_path / "short.jsonl"), plain_share=0.0)
        train(tmp_path / "tokenizer", tiny_corpora, policy=policy)
    assert threading.active_count() == before


def test_every_language_gives_the_same_english_equivalent_bytes(tmp_path: Path) -> None:
    corpora = {"en": write_corpus(tmp_path / "en", "en", 200), "ko": write_corpus(tmp_path / "ko", "ko", 40)}
    counters = train_tokenizer(
        tmp_path, corpora=corpora, byte_premiums={"en": 1.0, "ko": 2.0}, vocab_size=384, max_english_bytes=10**9
    )
    assert counters["bytes"]["ko"] == pytest.approx(2 * counters["bytes"]["en"], abs=2)
    assert counters["english_bytes_per_language"] == counters["bytes"]["en"]


def test_only_training_text_reaches_the_tokenizer(tmp_path: Path, tiny_corpora: dict[str, Path]) -> None:
    for code, corpus in tiny_corpora.items():
        with DocumentWriter(part_path(tmp_path / code, 0)) as writer:
            for row in read_documents(corpus, ("text", "split", "num_bytes"), "train"):
                writer.write(row)
    without_held_out = {code: tmp_path / code for code in tiny_corpora}
    assert train(tmp_path / "first", tiny_corpora).hash == train(tmp_path / "second", without_held_out).hash


def test_the_pretokenizer_keeps_a_thai_word_with_its_vowel_signs_in_one_piece() -> None:
    pieces = new_tokenizer().pre_tokenizer.pre_tokenize_str(f"{THAI_WORD} {THAI_WORD}")
    assert [end - start for _, (start, end) in pieces] == [len(THAI_WORD), len(THAI_WORD) + 1]


def test_combining_marks_stay_with_their_letters_and_numbers_are_cut_every_three_digits() -> None:
    split = new_tokenizer().pre_tokenizer.pre_tokenize_str
    spans = [span for _, span in split("q\u0323u\u0301 1234567, don't")]
    words = ["q\u0323u\u0301", " ", "123", "456", "7", ",", " don", "'t"]
    text = "q\u0323u\u0301 1234567, don't"
    assert [text[start:end] for start, end in spans] == words


@pytest.mark.parametrize(
    ("text", "pieces"), [("it's", ["it", "'s"]), ("we'LL go", ["we", "'LL", " go"]), ("'saya'", ["'saya", "'"])]
)
def test_an_english_clitic_is_cut_off_and_a_word_in_quotation_marks_is_not(text: str, pieces: list[str]) -> None:
    assert [text[start:end] for _, (start, end) in new_tokenizer().pre_tokenizer.pre_tokenize_str(text)] == pieces


def test_the_configuration_names_the_same_token_for_begin_end_and_padding(tmp_path: Path, tiny_corpora: dict[str, Path]) -> None:
    train(tmp_path / "tokenizer", tiny_corpora)
    config = read_json(tmp_path / "tokenizer" / CONFIG_FILE)
    assert {config[f"{role}_token"] for role in ("bos", "eos", "pad")} == {"<|endoftext|>"}
    assert json.loads((tmp_path / "tokenizer" / TOKENIZER_FILE).read_text())["normalizer"] == {"type": "NFC"}
