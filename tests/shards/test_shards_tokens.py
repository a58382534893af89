"""Tokens on disk: a round trip for any documents, and every flipped byte is found and named."""

import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.shards import EncodedDocument, TokenDataset, require_open_files, tokens, write_tokens

DESCRIPTION = {"lang": "ko", "source": "tiny", "byte_premium": 2.0, "tokenizer": "abc", "upstream": ["corpus/ko-00000000"]}
DOCUMENTS = [[5, 6, 2], [7, 2], [8, 9, 10, 2], [2]]


def write(folder: Path, documents: list[list[int]], vocab_size: int = 512) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    encoded = (
        EncodedDocument(id=f"{number}", tokens=ids, num_bytes=3 * len(ids), cluster_size=1, quality=None)
        for number, ids in enumerate(documents)
    )
    return write_tokens(folder, encoded, vocab_size, DESCRIPTION)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[list[int]], int]:
    vocab_size = draw(st.sampled_from([300, 65_536, 65_537, 300_000]))
    return draw(st.lists(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=9), max_size=9)), vocab_size


@settings(deadline=None, max_examples=60)
@given(dataset=datasets(), shard_tokens=st.integers(1, 40), block_bytes=st.sampled_from([8, 16, 1 << 20]))
def test_any_documents_come_back(
    tmp_path_factory: pytest.TempPathFactory, dataset: tuple[list[list[int]], int], shard_tokens: int, block_bytes: int
) -> None:
    documents, vocab_size = dataset
    folder = tmp_path_factory.mktemp("tokens")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "SHARD_TOKENS", shard_tokens)
        patch.setattr(tokens, "BLOCK_BYTES", block_bytes)
        description = write(folder, documents, vocab_size)
        found = TokenDataset(folder)
        assert [found.document(number).tolist() for number in range(len(found))] == documents
        assert [found.document(number, 1, 3).tolist() for number in range(len(found))] == [ids[1:3] for ids in documents]
        found.verify()
    flat = [token for ids in documents for token in ids]
    dtype = "<u2" if vocab_size <= 65_536 else "<i4"
    assert b"".join(path.read_bytes() for path in sorted(folder.glob("*.bin"))) == np.array(flat, dtype).tobytes()
    assert description == found.description
    assert (description["documents"], description["tokens"], description["bytes"]) == (len(documents), len(flat), 3 * len(flat))
    assert found.lengths.tolist() == [len(ids) for ids in documents]


def test_shards_end_with_the_document_that_fills_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SHARD_TOKENS", 5)
    description = write(tmp_path, DOCUMENTS)
    assert [(shard["file"], shard["documents"], shard["tokens"]) for shard in description["shards"]] == [
        ("shard-00000.bin", 2, 5),
        ("shard-00001.bin", 2, 5),
    ]
    assert (tmp_path / "shard-00000.bin").read_bytes() == bytes([5, 0, 6, 0, 2, 0, 7, 0, 2, 0])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".bin", ".bin", ".index", ".json", ".parquet", ".parquet"]


def test_the_description_counts_and_checks_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "BLOCK_BYTES", 16)
    description = write(tmp_path, DOCUMENTS)
    content = (tmp_path / "shard-00000.bin").read_bytes()
    assert DESCRIPTION.items() <= description.items()
    assert (description["english_bytes"], description["bytes_per_token"], description["english_bytes_per_token"]) == (15, 3, 1.5)
    assert (description["dtype"], description["vocab_size"]) == ("<u2", 512)
    (shard,) = description["shards"]
    assert shard["xxh3_128"] == xxhash.xxh3_128_hexdigest(content)
    assert shard["blocks_xxh3_64"] == [xxhash.xxh3_64_hexdigest(content[:16]), xxhash.xxh3_64_hexdigest(content[16:])]


def test_the_index_holds_ends_and_checksums_over_all_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SHARD_TOKENS", 5)
    write(tmp_path, DOCUMENTS)
    rows = [(end, xxhash.xxh3_64_intdigest(np.array(ids, "<u2"))) for end, ids in zip([3, 5, 9, 10], DOCUMENTS, strict=True)]
    assert (tmp_path / "documents.index").read_bytes() == b"".join(struct.pack("<qQ", *row) for row in rows)
    found = TokenDataset(tmp_path)
    assert found.ends.tolist() == [end for end, _ in rows]


@pytest.mark.parametrize("number", [-1, 4])
def test_a_document_that_is_not_there_is_refused(tmp_path: Path, number: int) -> None:
    write(tmp_path, DOCUMENTS)
    with pytest.raises(IndexError, match=rf"document is {number}; .* has 4"):
        TokenDataset(tmp_path).document(number)


def test_shards_are_mapped_when_they_are_read_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SHARD_TOKENS", 1)
    write(tmp_path, DOCUMENTS)
    found = TokenDataset(tmp_path)
    assert found.document(2).tolist() == DOCUMENTS[2]
    assert ["tokens" in vars(shard) for shard in found.shards] == [False, False, True, False]


def test_more_shards_than_files_that_may_be_open_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: allowed.append(limits))
    for num_files in (1, 512, 3000):
        require_open_files(num_files)
    assert allowed == [(3512, 4096)]
    with pytest.raises(UserError, match=r"4000 shards are more files than this process may open \(4096\).*ulimit -Hn 4512"):
        require_open_files(4000)


def test_a_token_beyond_the_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        write(tmp_path, [[65_536]], vocab_size=65_536)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", range(20))
def test_a_flipped_byte_is_named_at_the_first_read_and_by_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(tokens, "BLOCK_BYTES", 4)
    write(tmp_path, DOCUMENTS)
    path = tmp_path / "shard-00000.bin"
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    found = TokenDataset(tmp_path)
    ends, block = found.ends * 2, at // 4
    for number in range(len(found)):
        if at < ends[number] and (number == 0 or at >= ends[number - 1]):
            with pytest.raises(
                CorruptFileError,
                match=rf"{path} is damaged \(the document at its token {(ends[number - 1] if number else 0) // 2} is not what",
            ):
                found.document(number, 0, 1)
        else:
            assert found.document(number).tolist() == DOCUMENTS[number]
    with pytest.raises(CorruptFileError, match=rf"{path} is damaged \(block {block} has checksum"):
        found.verify()


@pytest.mark.parametrize("at", range(64))
def test_a_flipped_byte_of_the_index_is_named_by_verify(tmp_path: Path, at: int) -> None:
    write(tmp_path, DOCUMENTS)
    path = tmp_path / "documents.index"
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=str(path)):
        TokenDataset(tmp_path).verify()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["shard-00000.bin", "documents.index", "dataset.json"])
@pytest.mark.parametrize("harm", [Path.unlink, cut])
def test_a_missing_or_cut_file_is_named_when_the_folder_is_opened(tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    write(tmp_path, DOCUMENTS)
    if name == "dataset.json":
        (tmp_path / name).write_text((tmp_path / name).read_text().rstrip())
    harm(tmp_path / name)
    with pytest.raises(CorruptFileError, match=str(tmp_path / name)):
        TokenDataset(tmp_path)


def test_no_documents_make_a_dataset_of_none(tmp_path: Path) -> None:
    assert write(tmp_path, [])["shards"] == []
    assert len(TokenDataset(tmp_path)) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json", "documents.index"]


@pytest.mark.parametrize("harm", [Path.unlink, cut])
def test_a_missing_or_cut_table_is_named_by_verify_and_not_needed_before(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    write(tmp_path, DOCUMENTS)
    harm(tmp_path / "shard-00000.parquet")
    found = TokenDataset(tmp_path)
    assert found.document(0).tolist() == DOCUMENTS[0]
    with pytest.raises(CorruptFileError, match=str(tmp_path / "shard-00000.parquet")):
        found.verify()
