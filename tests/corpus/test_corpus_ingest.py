"""Ingest: every record is written with its scores, or quarantined; the number of workers changes nothing."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SENTENCES, tiny_texts
from stages import files_of, read_in, reading, write

from polyglot_lm.corpus import ingest as module
from polyglot_lm.corpus.exchange import signature_path
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.minhash import signatures
from polyglot_lm.corpus.kernels.statistics import statistics
from polyglot_lm.shards import DOCUMENT_SCHEMA, QUARANTINE_SCHEMA, read_documents

ODD = ["", "짧다", "1234567890 " * 5, "latin letters only here", "\x00", "😀" * 30]


def test_every_record_is_accounted_for(tmp_path: Path) -> None:
    texts = [text + "<|tell|>." for text in tiny_texts("ko", 5)]
    write(tmp_path / "in/ko.jsonl", [*texts, *ODD], '{"text": 5}\nno json\n')
    total = read_in(tmp_path / "out", tmp_path / "in")
    assert (total["documents_read"], total["documents"], total["documents_quarantined"]) == (13, 11, 2)
    assert total["special_tokens_replaced"] == 5
    rows = list(read_documents(tmp_path / "out", ("text", "lang", "source", "license", "num_bytes", "score_language")))
    assert [row["text"] for row in rows[:5]] == [text.replace("<|tell|>", " ") for text in texts]
    assert {(row["lang"], row["source"], row["license"]) for row in rows} == {("ko", "tiny", "CC0")}
    assert [row["score_language"] for row in rows[:5]] == ["ko"] * 5
    assert total["bytes"] == sum(row["num_bytes"] for row in rows) == sum(len(row["text"].encode()) for row in rows)
    (quarantine,) = (tmp_path / "out/quarantine").iterdir()
    assert [row["position"] for row in pq.read_table(quarantine).to_pylist()] == [11, 12]
    assert pq.read_schema(quarantine).names == QUARANTINE_SCHEMA.names


@pytest.mark.parametrize("code", SENTENCES)
def test_scores_and_signatures_are_those_of_the_text_in_its_place(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_DOCUMENTS", 3)
    texts = tiny_texts(code, 8)
    write(tmp_path / f"in/{code}.jsonl", texts)
    read_in(tmp_path / "out", tmp_path / "in", code)
    part = tmp_path / "out/part-00000.parquet"
    table = pq.read_table(part)
    assert table.schema.names[: len(known := [name for name in DOCUMENT_SCHEMA.names if name in table.schema.names])] == known
    batch = TextBatch.from_texts(texts)
    for name, values in statistics(batch, ()).items():
        np.testing.assert_array_equal(table[f"score_{name}"].to_numpy(), values)
    signed = np.fromfile(signature_path(part), np.uint16).reshape(8, -1)
    np.testing.assert_array_equal(signed, signatures(batch, reading(code).shingle_units))


@pytest.mark.parametrize("text", ["\ud800", "낱자 하나가 잘린 글입니다 \udc80 그래도 글입니다"])
def test_a_document_with_half_a_character_stops_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / "in/ko.jsonl", [*tiny_texts("ko", 2), text])
    total = read_in(tmp_path / "out", tmp_path / "in")
    assert (total["documents_read"], total["documents"], total["documents_quarantined"]) == (3, 2, 1)


def test_workers_change_no_byte(tmp_path: Path) -> None:
    for part in range(3):
        write(tmp_path / f"in/ko/{part}.jsonl", [*tiny_texts("ko", 4, seed=part), *ODD], "bad\n")
    totals = [read_in(tmp_path / f"out-{workers}", tmp_path / "in", workers=workers) for workers in (1, 2)]
    assert totals[0] == totals[1]
    assert totals[0]["documents_read"] == 33
    files = [files_of(out) for out in sorted(tmp_path.glob("out-*"))]
    assert len(files[0]) == 9
    assert files[0] == files[1]


def test_parallel_documents_have_equal_ids_in_every_language(tmp_path: Path) -> None:
    ids = []
    for code in ("ko", "th"):
        write(tmp_path / f"in/{code}/a.jsonl", tiny_texts(code, 5))
        read_in(tmp_path / code, tmp_path / "in", code)
        ids.append([row["id"] for row in read_documents(tmp_path / code, ("id",))])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 5


def test_a_document_brings_its_own_url_and_licence(tmp_path: Path) -> None:
    write(tmp_path / "in/ko.jsonl", [{"text": tiny_texts("ko", 1)[0], "url": "https://example.org", "license": "CC-BY-4.0"}])
    read_in(tmp_path / "out", tmp_path / "in")
    (found,) = read_documents(tmp_path / "out", ("url", "license"))
    assert found == {"url": "https://example.org", "license": "CC-BY-4.0"}


def test_nothing_to_read_leaves_nothing_but_an_empty_signature_file(tmp_path: Path) -> None:
    write(tmp_path / "in/ko.jsonl", [], "bad\n")
    assert read_in(tmp_path / "out", tmp_path / "in") == {"documents_quarantined": 1, "documents_read": 1}
    assert not (tmp_path / "out/part-00000.parquet").exists()
    assert signature_path(tmp_path / "out/part-00000.parquet").read_bytes() == b""
