"""Held-out bits: of every test document, with its bytes; comparable where documents are parallel."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import SENTENCES, write_corpus

from polyglot_lm.evaluation.content import OurScorer, text_bits
from polyglot_lm.evaluation.heldout import (
    DOCUMENTS_FILE,
    HELDOUT_FILE,
    PARALLEL_FILE,
    SENTENCES_FILE,
    evaluate_heldout,
    measure_parallel,
)
from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.pipeline import Counters, Runtime, UserError, read_json
from polyglot_lm.shards import DocumentWriter, part_path, read_documents
from polyglot_lm.tokenizer import Tokenizer, train_tokenizer

PREMIUMS = {"ko": 1.3, "th": 2.8, "en": 1.0}
ONE_THREAD = Runtime(threads=1, device="cpu")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    folder, corpora = tmp_path_factory.mktemp("tokenizer"), {code: tiny_corpora[code] for code in PREMIUMS}
    train_tokenizer(folder, corpora=corpora, byte_premiums=PREMIUMS, vocab_size=384, max_english_bytes=20_000)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    network = GPTNeoX(neox(vocab_size=384, context=32, num_layers=1, width=32, num_heads=4, rotary_dims=4))
    initialize(network, torch.Generator().manual_seed(0))
    save_hf(network, folder, end_id=2)
    return folder


def measure(out: Path, model: Path, tokenizer: Path, corpora: dict[str, Path]) -> Counters:
    premiums = {code: PREMIUMS[code] for code in corpora}
    return evaluate_heldout(
        out,
        model=model,
        tokenizer=tokenizer,
        corpora=corpora,
        byte_premiums=premiums,
        window_english_bytes=1000,  # more than the model's context holds, so that its windows are the model's
        runtime=ONE_THREAD,
    )


def write_test_documents(folder: Path, code: str, ids: list[str]) -> Path:
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, name in enumerate(ids):
            writer.write({"id": name, "text": SENTENCES[code] * (number + 1), "split": "test"})
        writer.write({"id": "shared, not test", "text": SENTENCES[code], "split": "train"})
    return folder


def test_documents_are_parallel_whose_id_is_in_the_test_split_of_every_language(
    tmp_path: Path, model: Path, tokenizer: Path
) -> None:
    ids = {"ko": ["a", "b", "c"], "th": ["c", "x", "a"], "en": ["y", "a", "b", "c"]}
    corpora = {code: write_test_documents(tmp_path / code, code, names) for code, names in ids.items()}
    found = measure(tmp_path, model, tokenizer, corpora)
    assert found["parallel_documents"] == 2
    rows = pq.read_table(tmp_path / DOCUMENTS_FILE).to_pylist()
    for code, names in ids.items():
        parallel = [row for row in rows if row["lang"] == code and row["id"] in ("a", "c")]
        assert len(parallel) == 2
        assert found["languages"][code]["parallel_bits"] == pytest.approx(sum(row["bits"] for row in parallel))
        sizes = [len(SENTENCES[code].encode()) * (names.index(name) + 1) for name in ("a", "c")]
        assert found["languages"][code]["parallel_bytes"] == sum(sizes)


def test_without_common_documents_none_is_parallel(tmp_path: Path, model: Path, tokenizer: Path) -> None:
    corpora = {code: write_test_documents(tmp_path / code, code, [f"{code}1", f"{code}2"]) for code in ("ko", "en")}
    found = measure(tmp_path, model, tokenizer, corpora)
    assert found["parallel_documents"] == 0
    assert [row["parallel_bits"] for row in found["languages"].values()] == [0, 0]


def test_bits_are_those_of_the_test_documents_a_byte_and_an_english_byte(
    tmp_path: Path, model: Path, tokenizer: Path, tiny_corpora: dict[str, Path]
) -> None:
    found = measure(tmp_path, model, tokenizer, {code: tiny_corpora[code] for code in PREMIUMS})
    loaded = Tokenizer(tokenizer)
    scorer = OurScorer(load_hf(model), loaded)
    for code, row in found["languages"].items():
        texts = [each["text"] for each in read_documents(tiny_corpora[code], ("text",), "test")]
        ids = [loaded.encode(text, parse_special=True) for text in texts]
        assert row["documents"] == len(texts) == 6
        assert row["bytes"] == sum(len(text.encode()) for text in texts)
        assert row["tokens"] == sum(len(each) + 1 for each in ids)
        bits, cut = text_bits(scorer, scorer.encode(texts), 1000 * PREMIUMS[code])
        assert row["bits"] == pytest.approx(sum(float(each.sum()) for each in bits), rel=1e-5)
        assert row["windows_cut"] == cut > 0
        assert row["bits_per_byte_low"] < row["bits_per_byte"] < row["bits_per_byte_high"]
        assert row["bits_per_byte"] == row["bits"] / row["bytes"]
        assert row["bits_per_english_byte"] == pytest.approx(row["bits_per_byte"] * PREMIUMS[code])
    assert read_json(tmp_path / HELDOUT_FILE) == found


def test_the_bits_of_each_document_are_kept(tmp_path: Path, model: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyglot_lm.evaluation.heldout.DOCUMENTS_A_BATCH", 4)
    corpora = {"en": write_corpus(tmp_path / "en", "en", 90)}
    found = measure(tmp_path, model, tokenizer, corpora)
    rows = pq.read_table(tmp_path / DOCUMENTS_FILE).to_pylist()
    assert [row["id"] for row in rows] == [row["id"] for row in read_documents(corpora["en"], ("id",), "test")]
    assert sum(row["bits"] for row in rows) == pytest.approx(found["languages"]["en"]["bits"])
    assert min(row["bits"] for row in rows) > 0


def parallel_file(folder: Path, sentences: list[dict[str, str]]) -> Path:
    with pa.output_stream(str(folder / "parallel.jsonl.zst"), compression="zstd") as file:
        file.write("".join(json.dumps(sentence) + "\n" for sentence in sentences).encode())
    return folder / "parallel.jsonl.zst"


def test_parallel_sentences_are_scored_whole_and_by_their_second_halves(tmp_path: Path, model: Path, tokenizer: Path) -> None:
    scorer = OurScorer(load_hf(model), Tokenizer(tokenizer))
    file = parallel_file(tmp_path, [{"i": "a", **SENTENCES}, {"i": "b", **{code: text[:9] for code, text in SENTENCES.items()}}])
    found = measure_parallel(tmp_path, scorer, file, PREMIUMS, 512, ONE_THREAD)
    assert found["sentences"] == 2
    rows = {(row["lang"], row["id"]): row for row in pq.read_table(tmp_path / SENTENCES_FILE).to_pylist()}
    for code, row in found["languages"].items():
        bits = text_bits(scorer, scorer.encode([SENTENCES[code]]), 10_000)[0][0]
        assert rows[code, "a"]["bits"] == pytest.approx(bits.sum(), rel=1e-3)  # but for windows that the tiny context cuts
        assert 0 < rows[code, "a"]["second_half_bits"] < rows[code, "a"]["bits"]
        assert row["bits"] == pytest.approx(rows[code, "a"]["bits"] + rows[code, "b"]["bits"])
        assert row["parity"] == pytest.approx(found["languages"]["en"]["bits"] / row["bits"])
    assert read_json(tmp_path / PARALLEL_FILE) == found


def test_a_language_that_is_not_there_is_named(tmp_path: Path, model: Path, tokenizer: Path) -> None:
    scorer = OurScorer(load_hf(model), Tokenizer(tokenizer))
    with pytest.raises(UserError, match="has no 'th'; leave that language out"):
        measure_parallel(tmp_path, scorer, parallel_file(tmp_path, [{"ko": "가", "en": "a"}]), PREMIUMS, 512, ONE_THREAD)
    with pytest.raises(UserError, match="no held-out documents of 'ko'"):
        with DocumentWriter(part_path(tmp_path / "ko", 0)) as writer:
            writer.write({"id": "x", "text": "가", "split": "train"})
        measure(tmp_path, model, tokenizer, {"ko": tmp_path / "ko"})
