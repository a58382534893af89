"""Ingest: every record is kept, refused with its reason, or quarantined; the number of workers changes nothing."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import tiny_texts

from polyglot_lm.corpus import Filters, ingest
from polyglot_lm.corpus.sources import files_of
from polyglot_lm.languages import language
from polyglot_lm.pipeline import Runtime
from polyglot_lm.recipes.quickstart import profile
from polyglot_lm.shards import QUARANTINE_SCHEMA, REMOVED_SCHEMA, read_documents

FILTERS = Filters(
    min_chars=20, max_chars=500, min_letter_share=0.5, min_script_share=0.5, min_signature_share=0.0, min_language_confidence=0.3
)
REFUSED = {"too_short": "짧다", "too_long": "가" * 501, "few_letters": "1234567890 " * 5, "wrong_script": "latin letters only here"}


def run(out: Path, source: Any, code: str = "ko", workers: int = 1) -> dict[str, int]:
    arguments: dict[str, Any] = {"source_name": "tiny", "license": "CC0", "profile": profile(language(code)), "filters": FILTERS}
    return dict(ingest(out, source=source, runtime=Runtime(workers=workers), **arguments))


def write(path: Path, texts: list[str], extra: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) + extra, encoding="utf-8")


def test_every_record_is_accounted_for(tmp_path: Path) -> None:
    kept = [text + "<|tell|>." for text in tiny_texts("ko", 5)]
    write(tmp_path / "in/ko.jsonl", [*kept, *REFUSED.values()], '{"text": 5}\nno json\n')
    total = run(tmp_path / "out", tmp_path / "in")
    refused = {f"removed_{reason}": 1 for reason in REFUSED}
    counted = sum(total[name] for name in ("documents", "unreadable", *refused))
    assert total["documents_read"] == counted == 11
    assert refused.items() <= total.items()
    assert (total["documents"], total["unreadable"], total["special_tokens_replaced"]) == (5, 2, 5)
    rows = list(read_documents(tmp_path / "out", ("text", "lang", "source", "license", "num_bytes", "split")))
    assert [row["text"] for row in rows] == [text.replace("<|tell|>", " ") for text in kept]
    assert {(row["lang"], row["source"], row["license"], row["split"]) for row in rows} == {("ko", "tiny", "CC0", None)}
    assert total["bytes"] == sum(row["num_bytes"] for row in rows) == sum(len(row["text"].encode()) for row in rows)
    removed = read_documents(tmp_path / "out/removed", ("reason", "text"))
    assert {row["reason"]: row["text"] for row in removed} == {reason: text.strip() for reason, text in REFUSED.items()}
    (quarantine,) = (tmp_path / "out/quarantine").iterdir()
    assert [row["position"] for row in pq.read_table(quarantine).to_pylist()] == [9, 10]


@pytest.mark.parametrize("text", ["\ud800", "낱자 하나가 잘린 글입니다 \udc80 그래도 글입니다"])
def test_a_document_with_half_a_character_stops_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / "in/ko.jsonl", [*tiny_texts("ko", 2), text])
    total = run(tmp_path / "out", tmp_path / "in")
    assert (total["documents_read"], total["documents"]) in {(3, 2), (3, 3)}


def test_workers_change_no_byte(tmp_path: Path) -> None:
    for part in range(3):
        write(tmp_path / f"in/ko/{part}.jsonl", [*tiny_texts("ko", 4, seed=part), *REFUSED.values()], "bad\n")
    totals = [run(tmp_path / f"out-{workers}", tmp_path / "in", workers=workers) for workers in (1, 2)]
    assert totals[0] == totals[1]
    assert totals[0]["documents_read"] == 27
    files = [
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*.parquet")} for out in sorted(tmp_path.glob("out-*"))
    ]
    assert len(files[0]) == 9
    assert files[0] == files[1]


def test_parallel_documents_have_equal_ids_in_every_language(tmp_path: Path) -> None:
    ids = []
    for code in ("ko", "th"):
        write(tmp_path / f"in/{code}/a.jsonl", tiny_texts(code, 5))
        run(tmp_path / code, tmp_path / "in", code)
        ids.append([row["id"] for row in read_documents(tmp_path / code, ("id",))])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 5


def test_a_document_brings_its_own_url_and_licence(tmp_path: Path) -> None:
    row = {"text": tiny_texts("ko", 1)[0], "url": "https://example.org", "license": "CC-BY-4.0"}
    (tmp_path / "ko.jsonl").write_text(json.dumps(row) + "\n")
    run(tmp_path / "out", files_of(tmp_path, "ko"))
    (found,) = read_documents(tmp_path / "out", ("url", "license"))
    assert found == {"url": "https://example.org", "license": "CC-BY-4.0"}


def test_refused_and_unreadable_records_lie_in_schemas_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "in/ko.jsonl", ["짧다"], "bad\n")
    run(tmp_path / "out", tmp_path / "in")
    assert not (tmp_path / "out/part-00000.parquet").exists()
    assert pq.read_schema(tmp_path / "out/removed/part-00000.parquet").names == REMOVED_SCHEMA.names
    assert pq.read_schema(tmp_path / "out/quarantine/part-00000.parquet").names == QUARANTINE_SCHEMA.names
