"""A corpus: exact duplicates removed, identifiers masked, whole clusters held out."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus import Split, build, build_corpus
from polyglot_lm.corpus.clean import exact_key
from polyglot_lm.masking import KINDS
from polyglot_lm.pipeline import Runtime, UserError
from polyglot_lm.shards import DocumentWriter, part_path, read_documents

SPLIT = Split(key="test", control=0.1, select=0.1, test=0.2)
TRAIN_ALONE = Split(key="test", control=0.0, select=0.0, test=0.0)


def write(folder: Path, texts: Sequence[str], first: int = 0) -> Path:
    """Write documents as ingest does; ids fall while positions rise, so that the first is not the smallest."""
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, text in enumerate(texts, first):
            writer.write({"id": f"{1_000_000 - number:032x}", "text": text, "lang": "ko", "exact_key": exact_key(text)})
    return folder


def run(out: Path, *folders: Path, split: Split = SPLIT, countries: tuple[str, ...] = ()) -> dict[str, int]:
    return dict(
        build_corpus(
            out,
            documents=folders,
            code="ko",
            mask_countries=countries,
            mask_kinds=KINDS,
            split=split,
            runtime=Runtime(root=out.parent),
        )
    )


def test_of_exact_duplicates_the_smallest_id_is_kept(tmp_path: Path) -> None:
    first = write(tmp_path / "a", ["같은 글", "다른 글", "같은  글"])
    second = write(tmp_path / "b", ["같은\n글", "셋째 글"], first=3)
    total = run(tmp_path / "out", first, second, split=TRAIN_ALONE)
    rows = list(read_documents(tmp_path / "out", ("id", "text", "cluster_id", "cluster_size", "split")))
    assert [(row["text"], row["cluster_size"], row["split"]) for row in rows] == [
        ("다른 글", 1, "train"),
        ("같은\n글", 3, "train"),
        ("셋째 글", 1, "train"),
    ]
    assert all(row["cluster_id"] == row["id"] for row in rows)
    removed = list(read_documents(tmp_path / "out/removed", ("text", "reason", "cluster_id")))
    assert [(row["text"], row["reason"]) for row in removed] == [("같은 글", "exact_duplicate"), ("같은  글", "exact_duplicate")]
    assert {row["cluster_id"] for row in removed} == {rows[1]["id"]}
    assert (total["documents_read"], total["documents"], total["removed_exact_duplicate"]) == (5, 3, 2)


def test_parts_change_nothing_but_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = write(tmp_path / "in", [f"글 {number % 70}" for number in range(100)])
    whole = run(tmp_path / "whole", documents)
    monkeypatch.setattr(build, "DOCUMENTS_PER_PART", 30)
    assert run(tmp_path / "parts", documents) == whole
    assert len(list((tmp_path / "parts").glob("part-*"))) == 3
    rows = [list(read_documents(tmp_path / out, ("id", "text", "split"))) for out in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == whole["documents"] == 70


def test_equal_input_makes_equal_bytes(tmp_path: Path) -> None:
    documents = write(tmp_path / "in", [f"글 {number}" for number in range(100)])
    for out in ("a", "b"):
        run(tmp_path / out, documents)
    assert part_path(tmp_path / "a", 0).read_bytes() == part_path(tmp_path / "b", 0).read_bytes()


def test_a_document_is_held_out_by_its_id_whatever_else_there_is(tmp_path: Path) -> None:
    texts = [f"글 {number}" for number in range(200)]
    total = run(tmp_path / "all", write(tmp_path / "in", texts))
    rows = {row["id"]: row for row in read_documents(tmp_path / "all", ("id", "split", "num_bytes"))}
    found = Counter(row["split"] for row in rows.values())
    assert found.keys() == {"train", "control", "select", "test"}
    assert found == {name: total[f"documents_{name}"] for name in found}
    assert total["bytes_test"] == sum(row["num_bytes"] for row in rows.values() if row["split"] == "test")
    run(tmp_path / "half", write(tmp_path / "in-half", texts[:100]))
    for row in read_documents(tmp_path / "half", ("id", "split")):
        assert rows[row["id"]]["split"] == row["split"] == SPLIT.of(row["id"])


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.floats(0, 0.3)] * 3), st.text("ab", max_size=3))
def test_splits_get_their_shares(shares: tuple[float, float, float], key: str) -> None:
    split = Split(key=key, control=shares[0], select=shares[1], test=shares[2])
    found = Counter(split.of(f"{number:032x}") for number in range(2_000))
    for name, share in zip(("control", "select", "test"), shares, strict=True):
        assert found[name] / 2_000 == pytest.approx(share, abs=0.05)  # over four standard deviations


def test_another_key_holds_out_other_documents() -> None:
    splits = [Split(key=key, control=0.0, select=0.0, test=0.5) for key in "ab"]
    same = sum(splits[0].of(str(number)) == splits[1].of(str(number)) for number in range(1_000))
    assert 400 < same < 600


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (-0.1, 0.1, 0.1)])
def test_shares_that_leave_nothing_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="each must be at least 0 and their sum below 1"):
        Split(key="k", control=shares[0], select=shares[1], test=shares[2])


def test_identifiers_are_masked_and_counted(tmp_path: Path) -> None:
    texts = ["전화 010-1234-5678, 02-123-4567", "주민번호 900101-1234567", "아무것도 없음"]
    documents = write(tmp_path / "in", texts)
    total = run(tmp_path / "out", documents, split=TRAIN_ALONE, countries=("kr",))
    rows = list(read_documents(tmp_path / "out", ("text", "pii_counts", "num_bytes")))
    assert [row["text"] for row in rows] == ["전화 <|tell|>, <|tell|>", "주민번호 <|rrn|>", "아무것도 없음"]
    assert [dict(row["pii_counts"]) for row in rows] == [{"tell": 2}, {"rrn": 1}, {}]
    assert [row["num_bytes"] for row in rows] == [len(row["text"].encode()) for row in rows]
    assert (total["pii_tell"], total["pii_rrn"]) == (2, 1)
    report = [json.loads(line) for line in (tmp_path / "out/masked/part-00000.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["country"]) for line in report] == [("tell", "kr"), ("tell", "kr"), ("rrn", "kr")]
    assert not any(number in json.dumps(report) for number in ("010", "1234", "900101"))
    assert len({line["hash"] for line in report}) == 3
    run(tmp_path / "bare", documents, split=TRAIN_ALONE)
    assert [row["text"] for row in read_documents(tmp_path / "bare", ("text",))] == texts


@pytest.mark.parametrize(("texts", "missing"), [([], "train"), (["글"], "control|select|test|train")])
def test_a_language_without_enough_text_is_said_in_a_sentence(tmp_path: Path, texts: list[str], missing: str) -> None:
    folder = write(tmp_path / "in", texts)
    with pytest.raises(UserError, match=rf"language 'ko' has {len(texts)} documents .* '({missing})'; add text .*{folder}"):
        run(tmp_path / "out", folder)
