"""The encoder of corpora: the bytes of a slow twin whatever the workers, resumed where it was cut, and never other ids than the
reference library's."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import SENTENCES, tiny_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.pipeline import Runtime, UserError, read_json
from polyglot_lm.shards import DocumentWriter, EncodedDocument, TokenDataset, part_path, read_documents, write_tokens
from polyglot_lm.tokenizer import PERSONAL_TOKENS, Tokenizer, encode, encode_corpus, train_tokenizer
from polyglot_lm.tokenizer.encode import Fast, Ids, Reference, runs

ALONE = Runtime(workers=1)
PARTS = ["ko", "th", "en"]  # a part of the corpus each, to cut the text into several shards
TEXT = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "text"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    ones = dict.fromkeys(tiny_corpora, 1.0)
    train_tokenizer(out, corpora=tiny_corpora, byte_premiums=ones, vocab_size=1024, max_english_bytes=20_000)
    return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    for part, code in enumerate(PARTS):
        with DocumentWriter(part_path(out, part)) as writer:
            for number, text in enumerate([*tiny_texts(code, 30), f"{SENTENCES[code]} <|tell|>\n<|email|>  1234", ""]):
                row = {"id": f"{code}-{number}", "text": text, "source": "web" if number % 7 else "books"}
                writer.write({**row, "num_bytes": len(text.encode()), "cluster_size": 1, "quality": 0.5, "split": "train"})
    return out


def encoded(out: Path, corpus: Path, folder: Path, runtime: Runtime = ALONE) -> Path:
    encode_corpus(out, corpus=corpus, tokenizer=folder, language="ko", source="web", byte_premium=2.0, runtime=runtime)
    return out


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_the_bytes_are_those_of_the_slow_twin(tmp_path: Path, corpus: Path, folder: Path) -> None:
    tokenizer = Tokenizer(folder)
    rows = [row for row in read_documents(corpus, ("id", "text", "source", "num_bytes", "quality")) if row["source"] == "web"]
    documents = (
        EncodedDocument(
            id=row["id"],
            tokens=[*tokenizer.encode(row["text"], parse_special=True), tokenizer.end_id],
            num_bytes=row["num_bytes"],
            cluster_size=1,
            quality=row["quality"],
        )
        for row in rows
    )
    described = {"lang": "ko", "source": "web", "byte_premium": 2.0, "tokenizer": tokenizer.hash}
    upstream = {"upstream": [corpus.name, folder.name]}
    write_tokens(tmp_path / "twin", documents, tokenizer.vocab_size, described | upstream)
    found = written(encoded(tmp_path / "ours", corpus, folder))
    assert {name: data for name, data in found.items() if name != "shard-00000.json"} == written(tmp_path / "twin")


def test_the_number_of_workers_changes_no_byte(tmp_path: Path, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "SHARD_TEXT_BYTES", 1)
    two = Runtime(workers=2)
    one, several = (written(encoded(tmp_path / name, corpus, folder, runtime)) for name, runtime in (("1", ALONE), ("2", two)))
    two.runner.close()
    assert one == several
    assert [name for name in one if name.endswith(".bin")] == [f"shard-{number:05d}.bin" for number in range(len(PARTS))]


@pytest.mark.slow
def test_on_ray_the_same_bytes_appear(tmp_path: Path, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(encode, "SHARD_TEXT_BYTES", 1)
    here = written(encoded(tmp_path / "here", corpus, folder))
    try:
        there = written(encoded(tmp_path / "there", corpus, folder, Runtime(workers=2, cluster="local")))
    finally:
        ray.shutdown()
    assert there == here
    assert len([name for name in there if name.endswith(".bin")]) == len(PARTS)


def test_shards_of_another_tokenizer_are_refused_by_its_hash(tmp_path: Path, corpus: Path, folder: Path) -> None:
    from polyglot_lm.training.loop import Control

    described = TokenDataset(encoded(tmp_path / "tokens", corpus, folder)).description
    assert Control.read({}, folder, {described["tokenizer"]}).end_id == 2
    file = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tokenizer.json").write_text(file + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"the token shards were not encoded with .*other; encode them with it, or name theirs"):
        Control.read({}, tmp_path / "other", {described["tokenizer"]})


def test_shards_keep_the_order_of_the_documents(
    tmp_path: Path, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TokenDataset(encoded(tmp_path / "whole", corpus, folder))
    monkeypatch.setattr(encode, "SHARD_TEXT_BYTES", 1)
    cut = TokenDataset(encoded(tmp_path / "cut", corpus, folder))
    cut.verify()
    assert (len(whole.shards), len(cut.shards)) == (1, len(PARTS))
    assert [whole.document(n).tolist() for n in range(len(whole))] == [cut.document(n).tolist() for n in range(len(cut))]


def test_a_part_without_documents_of_the_source_leaves_no_shard(tmp_path: Path, folder: Path) -> None:
    for part, source in enumerate(["books", "web"]):
        with DocumentWriter(part_path(tmp_path / "corpus", part)) as writer:
            writer.write({"id": "a", "text": "abc", "source": source, "num_bytes": 3, "cluster_size": 1, "split": "train"})
    dataset = TokenDataset(encoded(tmp_path / "tokens", tmp_path / "corpus", folder))
    assert len(dataset) == 1


def test_a_cut_run_goes_on_where_it_stopped(tmp_path: Path, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "SHARD_TEXT_BYTES", 1)
    whole = written(encoded(tmp_path / "whole", corpus, folder))
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for name in ("dataset.json", "shard-00001.parquet", "manifests/shard-00002.json"):
        (tmp_path / "cut" / name).unlink()
    done: list[str] = []
    real = encode.encode_shard
    monkeypatch.setattr(encode, "encode_shard", lambda task: (done.append(task.name), real(task))[1])
    assert written(encoded(tmp_path / "cut", corpus, folder)) == whole
    assert done == ["shard-00001", "shard-00002"]


def test_other_ids_than_the_reference_are_named_and_not_written(
    tmp_path: Path, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = written(encoded(tmp_path / "right", corpus, folder))
    monkeypatch.setattr(encode, "SHARD_TEXT_BYTES", 10**9)
    real = Fast.encode

    def wrong(self: Fast, texts: Sequence[str]) -> list[Ids]:
        return [ids[::-1] if "<|email|>" in text else ids for text, ids in zip(texts, real(self, texts), strict=True)]

    monkeypatch.setattr(Fast, "encode", wrong)
    monkeypatch.setattr(encode, "CHECK_EVERY", 1)
    with pytest.warns(UserWarning, match=r"ko/web, shard-00000\.bin: fastokens gives document ko-30 other ids than tokenizers"):
        found = written(encoded(tmp_path / "wrong", corpus, folder))
    assert {**found, "shard-00000.json": b""} == {**right, "shard-00000.json": b""}


@pytest.mark.parametrize("characters", [3, 10**6])
def test_long_documents_are_compared_by_their_heads(folder: Path, characters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "CHECKED_CHARACTERS", characters)
    fast, reference = libraries(folder)
    seen: list[str] = []

    class Watched:
        end_id = 2

        def encode(self, texts: Sequence[str]) -> list[Ids]:
            seen.extend(texts)
            return reference.encode(texts)

    text = SENTENCES["ko"]
    assert not encode.differ(text, fast.encode([text])[0], fast, Watched())
    assert seen == [text[:characters]]
    assert encode.differ(text, np.array([1], np.uint32), Reference(Tokenizer(folder)), Watched()) == (characters > len(text))


def test_a_tokenizer_that_the_fast_library_cannot_read_is_encoded_by_the_reference(
    tmp_path: Path, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = written(encoded(tmp_path / "right", corpus, folder))
    personal = encode.personal_only(folder / "tokenizer.json")
    broken = iter([personal, '{"model": {"type": "Unknown"}}', personal])
    monkeypatch.setattr(encode, "personal_only", lambda _: next(broken))
    with pytest.warns(UserWarning, match=r"fastokens cannot read .*tokenizers encoded this shard instead"):
        found = written(encoded(tmp_path / "other", corpus, folder))
    assert found["shard-00000.bin"] == right["shard-00000.bin"]


def test_only_tokens_of_personal_information_are_parsed(folder: Path) -> None:
    tokenizer = Tokenizer(folder)
    text = "a <|endoftext|> <|sep|> <|reserved20|> <|tell|><|tax|>"
    for encoder in (Fast(tokenizer), Reference(tokenizer)):
        ids = encoder.encode([text])[0].tolist()
        assert [number for number in ids if number < 64] == [5, 11]
        assert tokenizer.decode_bytes(ids) == text.encode()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))) | st.sampled_from([*PERSONAL_TOKENS, "<|sep|>", " ", "\r\n"])))
def test_both_libraries_give_the_same_ids_for_any_text(folder: Path, pieces: list[str]) -> None:
    fast, reference = libraries(folder)
    texts = ["".join(pieces), *pieces]
    for ours, theirs in zip(fast.encode(texts), reference.encode(texts), strict=True):
        assert ours.tolist() == theirs.tolist()


KEPT: dict[Path, tuple[Fast, Reference]] = {}


def libraries(folder: Path) -> tuple[Fast, Reference]:
    if folder not in KEPT:
        KEPT[folder] = (Fast(Tokenizer(folder)), Reference(Tokenizer(folder)))
    return KEPT[folder]


@pytest.mark.skipif(not TEXT.exists(), reason="needs shared/data/text")
@pytest.mark.parametrize("code", SENTENCES)
def test_both_libraries_give_the_same_ids_on_real_text(folder: Path, code: str) -> None:
    fast, reference = libraries(folder)
    for path in sorted((TEXT / code).glob("*.jsonl.zst")):
        lines = pa.input_stream(path, compression="zstd").read(30_000).split(b"\n")[:-1]
        texts = [json.loads(line)["text"] for line in lines]
        for ours, theirs in zip(fast.encode(texts), reference.encode(texts), strict=True):
            assert np.array_equal(ours, theirs)


def test_runs_of_parts_hold_all_parts_in_order_and_their_size(corpus: Path) -> None:
    parts = sorted(corpus.glob("part-*.parquet"))
    (everything, size), *rest = runs(parts, 10**9)
    assert list(everything) == parts and rest == []
    single = list(runs(parts, 1))
    assert [run for run, _ in single] == [(part,) for part in parts]
    assert sum(each for _, each in single) == size
    text = sum(row["num_bytes"] for row in read_documents(corpus, ("num_bytes",)))
    assert text <= size < 1.1 * text + 4096


def test_the_description_names_what_it_was_made_of(tmp_path: Path, corpus: Path, folder: Path) -> None:
    described: dict[str, Any] = read_json(encoded(tmp_path, corpus, folder) / "dataset.json")
    assert described["upstream"] == [corpus.name, folder.name]
    assert described["tokenizer"] == Tokenizer(folder).hash
