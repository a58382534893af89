"""Encoding: nothing is lost, token lengths are byte lengths, special tokens are parsed where they may be and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENTENCES, tiny_texts, write_corpus
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.pipeline import CorruptFileError, Runtime, UserError, read_json
from polyglot_lm.shards import DocumentWriter, TokenDataset, part_path, read_documents
from polyglot_lm.tokenizer import PERSONAL_TOKENS, TOKENIZER_FILE, Tokenizer, encode_corpus, train_tokenizer

ALONE = Runtime(workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    premiums = dict.fromkeys(tiny_corpora, 1.0)
    train_tokenizer(out, corpora=tiny_corpora, byte_premiums=premiums, vocab_size=512, max_english_bytes=20_000)
    return out


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder)


@pytest.mark.parametrize("code", SENTENCES)
def test_token_lengths_sum_to_the_bytes_of_the_text_in_every_script(tokenizer: Tokenizer, code: str) -> None:
    for text in [SENTENCES[code], *tiny_texts(code, 5)]:
        ids = tokenizer.encode(text, parse_special=False)
        assert tokenizer.token_lengths[ids].sum() == len(text.encode())
        assert len(ids) < len(text.encode())  # something was merged
        assert tokenizer.decode_bytes(ids) == text.encode()


@given(st.lists(st.sampled_from(["<|endoftext|>", "<|sep|>", "<|", "|>", "endoftext", " ", *PERSONAL_TOKENS])))
def test_literal_special_tokens_are_just_their_letters_in_a_prompt(tokenizer: Tokenizer, pieces: list[str]) -> None:
    text = "".join(pieces)
    ids = tokenizer.encode(text, parse_special=False)
    assert all(number >= 64 for number in ids)
    assert tokenizer.decode_bytes(ids) == text.encode()


@pytest.mark.parametrize("token", PERSONAL_TOKENS)
def test_personal_tokens_are_parsed_in_corpus_text_and_count_their_letters(tokenizer: Tokenizer, token: str) -> None:
    text = f"전화 {token} 입니다"
    ids = tokenizer.encode(text, parse_special=True)
    assert [number for number in ids if number < 64] == [tokenizer.library.token_to_id(token)]
    assert tokenizer.token_lengths[ids].sum() == len(text.encode())


def test_the_end_token_stands_for_no_bytes(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_lengths[tokenizer.end_id] == 0
    assert np.count_nonzero(tokenizer.token_lengths == 0) == 1


def test_ids_are_those_of_transformers_autotokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    for text in [*SENTENCES.values(), "mail <|email|> or <|tell|>\n\n  12345"]:
        assert theirs(text)["input_ids"] == tokenizer.encode(text, parse_special=True)
        assert theirs.decode(tokenizer.encode(text, parse_special=True)) == text
    assert theirs.eos_token_id == theirs.bos_token_id == theirs.pad_token_id == tokenizer.end_id


def test_token_ids_of_one_sentence_a_script_stay_what_they_are(tokenizer: Tokenizer, golden: Callable[[str, Any], None]) -> None:
    ids = {code: " ".join(map(str, tokenizer.encode(text, parse_special=False))) for code, text in SENTENCES.items()}
    golden("token_ids.json", ids)


@pytest.mark.parametrize("code", ["ko", "th"])
def test_encoded_documents_end_and_add_up(tmp_path: Path, folder: Path, tiny_corpora: dict[str, Path], code: str) -> None:
    counters = encode_corpus(
        tmp_path, corpus=tiny_corpora[code], tokenizer=folder, language=code, source="tiny", byte_premium=2.5, runtime=ALONE
    )
    dataset, tokenizer = TokenDataset(tmp_path), Tokenizer(folder)
    rows = list(read_documents(tiny_corpora[code], ("text", "num_bytes"), "train"))
    for number, row in enumerate(rows):
        *ids, end = dataset.document(number).tolist()
        assert end == tokenizer.end_id
        assert ids == tokenizer.encode(row["text"], parse_special=True)
    described = read_json(tmp_path / "dataset.json")
    assert described["documents"] == len(dataset) == len(rows)
    assert described["tokens"] == dataset.lengths.sum()
    assert described["bytes"] == sum(row["num_bytes"] for row in rows)
    assert described["english_bytes"] == described["bytes"] / 2.5
    assert described["bytes_per_token"] == described["bytes"] / described["tokens"]
    assert described["tokenizer"] == tokenizer.hash
    assert counters == {key: described[key] for key in ("documents", "tokens", "bytes", "english_bytes", "bytes_per_token")}


def test_only_the_training_split_of_the_named_source_is_encoded(tmp_path: Path, folder: Path) -> None:
    chosen = [("train", "web"), ("test", "web"), ("train", "books"), ("control", "web"), ("train", "web"), ("select", "web")]
    with DocumentWriter(part_path(tmp_path / "corpus", 0)) as writer:
        for number, (split, source) in enumerate(chosen):
            text = f"{split} {source} {number}"
            writer.write(
                {"id": str(number), "text": text, "source": source, "split": split, "num_bytes": len(text), "cluster_size": 1}
            )
    encode_corpus(
        tmp_path / "tokens",
        corpus=tmp_path / "corpus",
        tokenizer=folder,
        language="en",
        source="web",
        byte_premium=1.0,
        runtime=ALONE,
    )
    dataset, tokenizer = TokenDataset(tmp_path / "tokens"), Tokenizer(folder)
    read = [tokenizer.decode_bytes(dataset.document(number)[:-1].tolist()).decode() for number in range(len(dataset))]
    assert read == ["train web 0", "train web 4"]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json in .*; give the folder of a tokenizer"):
        Tokenizer(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe", "half"])
def test_a_damaged_tokenizer_is_named(tmp_path: Path, folder: Path, damage: bytes | str) -> None:
    whole = (folder / TOKENIZER_FILE).read_bytes()
    (tmp_path / TOKENIZER_FILE).write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    with pytest.raises(CorruptFileError, match=r"tokenizer\.json is damaged"):
        Tokenizer(tmp_path)


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path, folder: Path) -> None:
    read = json.loads((folder / TOKENIZER_FILE).read_text())
    read["added_tokens"] = []
    del read["model"]["vocab"]["<|endoftext|>"]
    (tmp_path / TOKENIZER_FILE).write_text(json.dumps(read))
    with pytest.raises(UserError, match=r"has no token <\|endoftext\|>"):
        Tokenizer(tmp_path)


def edited(folder: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    read = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    edit(read)
    (tmp_path / TOKENIZER_FILE).write_text(json.dumps(read), encoding="utf-8")
    return tmp_path


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path, folder: Path) -> None:
    words = {"type": "WordLevel", "vocab": {"a": 0, "<|endoftext|>": 1}, "unk_token": "a"}
    with pytest.raises(UserError, match=r"tokenizer\.json is a WordLevel tokenizer; Polyglot trains on byte-level BPE"):
        Tokenizer(edited(folder, tmp_path, lambda read: read.update(model=words)))


def test_a_bpe_of_characters_is_refused(tmp_path: Path, folder: Path) -> None:
    def drop_bytes(read: dict[str, Any]) -> None:
        read["model"].update(merges=[], vocab={"a": 64, "b": 65})

    with pytest.raises(UserError, match=r"not byte-level: 254 of the 256 bytes have no token"):
        Tokenizer(edited(folder, tmp_path, drop_bytes))


def test_a_vocabulary_with_holes_counts_its_largest_id(tmp_path: Path, folder: Path) -> None:
    def skip(read: dict[str, Any]) -> None:
        read["model"]["vocab"]["ZZZ"] = 999

    holed = Tokenizer(edited(folder, tmp_path, skip))
    assert (holed.vocab_size, len(holed.token_bytes), holed.token_bytes[999], holed.token_bytes[998]) == (1000, 1000, b"ZZZ", b"")


def test_a_damaged_corpus_is_named(tmp_path: Path, folder: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", "en", 5)
    (corpus / "part-00000.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(CorruptFileError, match=r"part-00000\.parquet is damaged"):
        encode_corpus(tmp_path, corpus=corpus, tokenizer=folder, language="en", source="tiny", byte_premium=1.0, runtime=ALONE)


def test_the_telephone_token_of_polyglot_ko_stands_for_ours(folder: Path, tmp_path: Path) -> None:
    file = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
    (tmp_path / TOKENIZER_FILE).write_text(file.replace("<|tell|>", "<|tel|>"), encoding="utf-8")
    theirs, ours = Tokenizer(tmp_path), Tokenizer(folder)
    text = "전화 <|tell|> 로"
    ids = theirs.encode(text, parse_special=True)
    assert ids == ours.encode(text, parse_special=True)
    assert theirs.library.token_to_id("<|tel|>") in ids
    assert theirs.decode_bytes(theirs.encode(text, parse_special=False)) == text.encode()
