"""Deduplication: the same clusters as comparing every pair, the first copy stays, and files decide as memory would."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import anything, decided, files_of, mild, read_in, write

from polyglot_lm.corpus import clusters, exchange
from polyglot_lm.corpus.clean import exact_key
from polyglot_lm.corpus.deduplicate import DECISION_SCHEMA, decisions_path
from polyglot_lm.corpus.exchange import signature_path
from polyglot_lm.corpus.split import Split
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import read_documents

AGREEMENT = 0.72


def words(rng: random.Random, code: str, count: int) -> list[str]:
    pieces = SENTENCES[code].split() if " " in SENTENCES[code] else list(SENTENCES[code])
    return [rng.choice(pieces) + str(rng.randint(0, 999)) for _ in range(count)]


def with_copies(code: str, seed: int, count: int = 12) -> list[str]:
    """Return documents of which some are copies of earlier ones, exact, near (a few words changed) or far (half of them)."""
    rng = random.Random(f"{code}{seed}")
    texts = [words(rng, code, rng.randint(60, 120)) for _ in range(count)]
    for _ in range(count):
        copy = list(rng.choice(texts))
        for place in rng.sample(range(len(copy)), rng.choice([0, 0, 1, 2, 30])):
            copy[place] = "x" + str(rng.random())
        texts.append(copy)
    return [" ".join(text) for text in texts]


def decisions(folder: Path, documents: Path, code: str = "ko", source: int = 0) -> list[dict[str, Any]]:
    found = []
    for part in sorted(documents.glob("part-*.parquet")):
        rows = pq.read_table(decisions_path(folder, code, source, part)).to_pylist()
        ids = pq.read_table(part, columns=["id", "text"]).to_pylist()
        found += [{**row, **own} for row, own in zip(rows, ids, strict=True)]
    return found


def slow_clusters(texts: Sequence[str], signed: np.ndarray[Any, Any]) -> list[int]:
    """Compare every pair; return the first document of each document's cluster. Pairs of LSH are a subset of these."""
    first = list(range(len(texts)))
    for a, b in itertools.combinations(range(len(texts)), 2):
        alike = exact_key(texts[a]) == exact_key(texts[b]) or np.mean(signed[a] == signed[b]) >= AGREEMENT
        if alike and first[a] != first[b]:
            low, high = sorted((first[a], first[b]))
            first = [low if found == high else found for found in first]
    return first


@pytest.mark.parametrize("code", ["ko", "th", "en"])
@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_comparing_every_pair(tmp_path: Path, code: str, seed: int) -> None:
    texts = with_copies(code, seed)
    write(tmp_path / f"in/{code}.jsonl", texts)
    read_in(tmp_path / "documents", tmp_path / "in", code)
    total = decided(tmp_path / "out", {code: (tmp_path / "documents",)})
    rows = decisions(tmp_path / "out", tmp_path / "documents", code)
    signed = np.fromfile(signature_path(tmp_path / "documents/part-00000.parquet"), np.uint16).reshape(len(texts), -1)
    first = slow_clusters(texts, signed)
    assert [row["cluster_id"] for row in rows] == [rows[number]["id"] for number in first]
    assert [row["cluster_size"] for row in rows] == [first.count(number) for number in first]
    keys = [exact_key(text) for text in texts]
    alike = [bool(np.mean(signed[own] == signed[number]) >= AGREEMENT) for own, number in enumerate(first)]
    stays = [keys[own] not in keys[:own] and (number == own or not alike[own]) for own, number in enumerate(first)]
    assert [row["reason"] is None for row in rows] == stays
    for own, row in enumerate(rows):
        if row["reason"] is not None:
            assert row["reason"] == ("exact_duplicate" if keys[own] in keys[:own] else "near_duplicate")
    assert total["documents"] == sum(stays) < len(texts)
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    assert reasons == {name: total[f"removed_{name}"] for name in reasons}
    assert pq.read_schema(next((tmp_path / "out").rglob("decisions/*/*/*.parquet"))).names == DECISION_SCHEMA.names


def test_a_chain_of_likenesses_removes_only_what_is_like_the_first(tmp_path: Path) -> None:
    text = words(random.Random(1), "ko", 150)
    steps = [text := [*text[10:], *words(random.Random(step), "ko", 10)] for step in range(2, 12)]
    write(tmp_path / "in/ko.jsonl", [" ".join(step) for step in steps])
    read_in(tmp_path / "documents", tmp_path / "in")
    split = Split(key="k", control=0.3, select=0.3, test=0.3, min_bytes=0, max_share=0.3, max_domain_share=1.0)
    decided(tmp_path / "out", {"ko": (tmp_path / "documents",)}, split=split)
    rows = decisions(tmp_path / "out", tmp_path / "documents")
    assert {row["cluster_size"] for row in rows} == {10}, "each is like the next, so they are one cluster"
    assert [row["reason"] for row in rows[:2]] == [None, "near_duplicate"]
    assert [row["reason"] for row in rows[-3:]] == [None] * 3
    assert len({row["split"] for row in rows if row["reason"] is None}) == 1, "and a cluster is in one split"


def test_many_partitions_parts_chunks_and_workers_decide_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        write(tmp_path / f"in/ko/{number}.jsonl", with_copies("ko", number % 3))
    read_in(tmp_path / "documents", tmp_path / "in")
    documents = {"ko": (tmp_path / "documents",)}
    totals = [decided(tmp_path / "out-1", documents), decided(tmp_path / "out-2", documents, workers=2)]
    monkeypatch.setattr(exchange, "ROWS_PER_PARTITION", 7)
    monkeypatch.setattr(clusters, "DOCUMENTS_PER_CHUNK", 5)
    monkeypatch.setattr(clusters, "DOCUMENTS_PER_LOOK", 3)
    totals.append(decided(tmp_path / "out-3", documents))
    assert files_of(tmp_path / "out-1") == files_of(tmp_path / "out-2") == files_of(tmp_path / "out-3")
    assert totals[0] == totals[1] == totals[2]
    rows = decisions(tmp_path / "out-1", tmp_path / "documents")
    assert all(row["reason"] for row in rows[-24:]), "the fourth file is the first again"


def test_a_copy_in_a_related_language_or_a_later_source_goes(tmp_path: Path) -> None:
    texts = with_copies("id", 0, count=4)[:4]
    for code, name in (("id", "a"), ("id", "b"), ("ms", "a")):
        write(tmp_path / name / f"{code}.jsonl", texts if name == "a" else ["baru " + texts[0], "lain sekali " * 20])
        read_in(tmp_path / f"{code}-{name}", tmp_path / name, code, name=name)
    documents = {"id": (tmp_path / "id-a", tmp_path / "id-b"), "ms": (tmp_path / "ms-a",)}
    decided(tmp_path / "out", documents)
    assert [row["reason"] for row in decisions(tmp_path / "out", tmp_path / "id-a", "id")] == [None] * 4
    assert [row["reason"] for row in decisions(tmp_path / "out", tmp_path / "id-b", "id", 1)] == ["near_duplicate", None]
    malay = decisions(tmp_path / "out", tmp_path / "ms-a", "ms")
    assert {row["reason"] for row in malay} == {"exact_duplicate"}
    assert [row["cluster_id"] for row in malay] == [row["id"] for row in read_documents(tmp_path / "id-a", ("id",))]


def test_without_an_agreement_only_equal_texts_are_copies(tmp_path: Path) -> None:
    texts = with_copies("ko", 1)
    write(tmp_path / "in/ko.jsonl", texts)
    read_in(tmp_path / "documents", tmp_path / "in")
    total = decided(tmp_path / "out", {"ko": (tmp_path / "documents",)}, agreement=None)
    assert total["documents"] == len(set(map(exact_key, texts)))
    assert "removed_near_duplicate" not in total


def test_what_a_threshold_refuses_is_no_copy_of_anything(tmp_path: Path) -> None:
    text = " ".join(with_copies("ko", 2)[:1])[:400]
    texts = ["짧다", text, "짧다", text, "only Latin letters stand in this Korean file " * 2]
    write(tmp_path / "in/ko.jsonl", texts)
    read_in(tmp_path / "documents", tmp_path / "in")
    total = decided(tmp_path / "out", {"ko": (tmp_path / "documents",)}, thresholds={"ko": mild("ko")})
    rows = decisions(tmp_path / "out", tmp_path / "documents")
    assert [row["reason"] for row in rows] == ["too_short", None, "too_short", "exact_duplicate", "wrong_script"]
    assert [row["cluster_size"] for row in rows] == [1, 2, 1, 2, 1]
    assert total["documents"] == 1


def test_quality_is_the_rank_of_the_score_among_what_stays(tmp_path: Path) -> None:
    texts = [" ".join(words(random.Random(number), "ko", 20 + 10 * number)) for number in range(9)]
    write(tmp_path / "in/ko.jsonl", [*texts, texts[0]])
    read_in(tmp_path / "documents", tmp_path / "in")
    decided(tmp_path / "out", {"ko": (tmp_path / "documents",)}, quality="score_num_chars")
    ranks = [row["quality"] for row in decisions(tmp_path / "out", tmp_path / "documents")]
    assert ranks[-1] is None
    assert ranks[:-1] == pytest.approx([(number + 0.5) / 9 for number in range(9)])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.sampled_from(["a.org", "b.org", "big.org", None]), min_size=30, max_size=60), st.integers(0, 3))
def test_no_cluster_and_no_small_domain_crosses_a_split(tmp_path_factory: Any, hosts: list[str | None], seed: int) -> None:
    folder, rng = tmp_path_factory.mktemp("split"), random.Random(seed)
    rows = [
        {"text": " ".join(words(rng, "ko", 20)), "url": f"https://{host}/{n}" if host else None} for n, host in enumerate(hosts)
    ]
    rows += [{"text": " ".join(words(rng, "ko", 200)), "url": f"https://big.org/{n}"} for n in range(40)]
    write(folder / "in/ko.jsonl", [{key: value for key, value in row.items() if value} for row in rows])
    read_in(folder / "documents", folder / "in")
    split = Split(key=str(seed), control=0.1, select=0.1, test=0.1, min_bytes=0, max_share=0.1, max_domain_share=0.3)
    decided(folder / "out", {"ko": (folder / "documents",)}, split=split)
    found = decisions(folder / "out", folder / "documents")
    for host in ("a.org", "b.org"):
        assert len({row["split"] for row, raw in zip(found, rows, strict=True) if host in str(raw["url"])}) <= 1
    assert len({row["split"] for row, raw in zip(found, rows, strict=True) if "big.org" in str(raw["url"])}) > 1


def test_no_documents_are_no_error(tmp_path: Path) -> None:
    write(tmp_path / "in/ko.jsonl", [])
    read_in(tmp_path / "documents", tmp_path / "in")
    total = decided(tmp_path / "out", {"ko": (tmp_path / "documents",)}, thresholds={"ko": anything("ko")})
    assert not any(value for name, value in total.items() if not name.startswith("share_"))


def test_too_many_documents_for_one_group_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in/ko.jsonl", with_copies("ko", 0))
    read_in(tmp_path / "documents", tmp_path / "in")
    monkeypatch.setattr(clusters, "MAX_DOCUMENTS", 5)
    with pytest.raises(UserError, match="ko have 24 documents, above"):
        decided(tmp_path / "out", {"ko": (tmp_path / "documents",)})
