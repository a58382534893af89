"""A corpus: what was decided is carried out, identifiers are masked, and nothing is lost on the way."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import tiny_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import built, corpus, decided, files_of, index, mild, read_in, write

from polyglot_lm.corpus.build import MASKED_SCHEMA
from polyglot_lm.corpus.clean import exact_key
from polyglot_lm.corpus.split import Split
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import DOCUMENT_SCHEMA, read_documents, require_documents

SPLIT = Split(key="test", control=0.1, select=0.1, test=0.2, min_bytes=0, max_share=0.2, max_domain_share=1.0)


def test_a_corpus_holds_what_stays_and_removed_the_rest(tmp_path: Path) -> None:
    texts = ["같은 글", "다른 글", "같은  글", "", "같은\n글", "셋째 글"]
    folder, total = corpus(tmp_path, texts)
    rows = list(read_documents(folder, ("id", "text", "cluster_id", "cluster_size", "split", "score_num_chars")))
    assert [(row["text"], row["cluster_size"], row["split"]) for row in rows] == [
        ("같은 글", 3, "train"),
        ("다른 글", 1, "train"),
        ("셋째 글", 1, "train"),
    ]
    assert all(row["cluster_id"] == row["id"] and row["score_num_chars"] == len(row["text"]) for row in rows)
    removed = list(read_documents(folder / "removed", ("text", "reason", "cluster_id")))
    assert [(row["text"], row["reason"]) for row in removed] == [
        ("같은  글", "exact_duplicate"),
        ("", "empty"),
        ("같은\n글", "exact_duplicate"),
    ]
    assert removed[0]["cluster_id"] == rows[0]["id"]
    assert (total["documents_read"], total["documents"], total["documents_removed_exact_duplicate"]) == (6, 3, 2)
    assert pq.read_schema(folder / "part-00000.parquet").names[: len(DOCUMENT_SCHEMA)] == DOCUMENT_SCHEMA.names


def test_workers_change_no_byte(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"in/ko/{number}.jsonl", [*tiny_texts("ko", 9, seed=number), "메일 a.b@example.com 010-1234-5678"])
    read_in(tmp_path / "documents", tmp_path / "in")
    documents = (tmp_path / "documents",)
    decided(tmp_path / "clusters", {"ko": documents}, split=SPLIT)
    for workers in (1, 2):
        built(tmp_path / f"out-{workers}", documents, tmp_path / "clusters", mask_countries=("kr",), workers=workers)
    files = [files_of(tmp_path / f"out-{workers}") for workers in (1, 2)]
    assert len(files[0]) == 3 + 2 + 1
    assert files[0] == files[1]


def test_the_split_is_that_of_the_decisions_and_counted(tmp_path: Path) -> None:
    folder, total = corpus(tmp_path, [f"글 {number}" for number in range(200)], split=SPLIT)
    rows = list(read_documents(folder, ("split", "num_bytes")))
    found = Counter(row["split"] for row in rows)
    assert found.keys() == {"train", "control", "select", "test"}
    assert found == {name: total[f"documents_{name}"] for name in found}
    assert total["bytes_test"] == sum(row["num_bytes"] for row in rows if row["split"] == "test")


def test_identifiers_are_masked_counted_and_noted_without_their_text(tmp_path: Path) -> None:
    texts = ["전화 010-1234-5678, 02-123-4567", "주민번호 900101-1234568", "아무것도 없음"]
    folder, total = corpus(tmp_path, texts, mask_countries=("kr",))
    rows = list(read_documents(folder, ("id", "text", "pii_counts", "num_bytes", "exact_key")))
    assert [row["text"] for row in rows] == ["전화 <|tell|>, <|tell|>", "주민번호 <|rrn|>", "아무것도 없음"]
    assert [dict(row["pii_counts"]) for row in rows] == [{"tell": 2}, {"rrn": 1}, {}]
    assert [row["num_bytes"] for row in rows] == [len(row["text"].encode()) for row in rows]
    assert [row["exact_key"] for row in rows] == [exact_key(row["text"]) for row in rows], "no key of what was masked"
    assert (total["pii_tell"], total["pii_rrn"]) == (2, 1)
    noted = pq.read_table(folder / "masked/part-00000.parquet", schema=MASKED_SCHEMA).to_pylist()
    assert [(row["id"], row["kind"]) for row in noted] == [(rows[0]["id"], "tell")] * 2 + [(rows[1]["id"], "rrn")]
    assert not any(digits in str(noted) for digits in ("1234-5678", "12345678", "123-4567", "900101"))


def test_kinds_that_are_switched_off_stay(tmp_path: Path) -> None:
    texts = ["전화 010-1234-5678"]
    folder, total = corpus(tmp_path, texts, mask_countries=("kr",), mask_kinds=("rrn",))
    assert [row["text"] for row in read_documents(folder, ("text",))] == texts
    assert not any(name.startswith("pii_") for name in total)
    with pytest.raises(UserError, match="nothing"):
        corpus(tmp_path / "again", texts, mask_countries=("kr",), mask_kinds=("nothing",))


def test_a_document_that_holds_an_evaluation_item_goes_and_the_item_is_named(tmp_path: Path) -> None:
    item, *others = tiny_texts("ko", 6)
    texts = [*others[:2], f"앞에 다른 말이 있고 {item} 뒤에도 있다", *others[2:], ""]
    folder, total = corpus(tmp_path, texts, contamination=index(tmp_path, [item]))
    assert [row["text"] for row in read_documents(folder, ("text",))] == others
    rows = {row["reason"]: row for row in read_documents(folder / "removed", ("id", "text", "reason", "split"))}
    assert rows.keys() == {"contaminated", "empty"}
    assert (rows["contaminated"]["text"], rows["contaminated"]["split"]) == (texts[2], None)
    hits = pq.read_table(folder / "hits/part-00000.parquet").to_pylist()
    assert {(hit["document"], hit["task"], hit["split"]) for hit in hits} == {(rows["contaminated"]["id"], "quiz", "test")}
    assert item not in str(hits)
    assert (total["documents_read"], total["documents"], total["documents_removed_contaminated"]) == (7, 5, 1)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.text(max_size=60) | st.sampled_from([*tiny_texts("ko", 3), "짧다", "가" * 501]), max_size=15), st.booleans())
def test_kept_removed_and_quarantined_are_what_was_read(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], broken: bool
) -> None:
    root = tmp_path_factory.mktemp("sum")
    write(root / "raw/ko.jsonl", texts, '{"text": 1}\n{"te' if broken else "")
    read = read_in(root / "documents", root / "raw")
    decided(root / "clusters", {"ko": (root / "documents",)}, split=SPLIT, thresholds={"ko": mild("ko")})
    total = Counter(built(root / "corpus", (root / "documents",), root / "clusters"))
    assert (
        read.get("documents_read", 0) == len(texts) + 2 * broken == read.get("documents", 0) + read.get("documents_quarantined", 0)
    )
    removed = sum(count for name, count in total.items() if name.startswith("documents_removed_"))
    assert total["documents_read"] == read.get("documents", 0) == total["documents"] + removed
    assert total["documents"] == sum(total[f"documents_{name}"] for name in ("train", "control", "select", "test"))
    ids = [row["id"] for folder in (root / "corpus", root / "corpus/removed") for row in read_documents(folder, ("id",))]
    assert sorted(ids) == sorted(row["id"] for row in read_documents(root / "documents", ("id",)))


def test_a_language_with_nothing_left_is_refused_by_its_first_reader(tmp_path: Path) -> None:
    folder, total = corpus(tmp_path, ["짧다"], thresholds={"ko": mild("ko")})
    assert total["documents"] == 0
    with pytest.raises(UserError, match=rf"language 'ko' has no documents for 'train' in {folder}; add text"):
        require_documents({"ko": folder}, "train")
