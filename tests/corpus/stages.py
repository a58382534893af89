"""The corpus stages on texts written in a test: every test goes through real files and real scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyglot_lm.corpus.benchmarks import benchmarks_of
from polyglot_lm.corpus.build import build_corpus
from polyglot_lm.corpus.decontaminate import ID_FIELDS, NGRAM_UNITS, NgramShape, index_benchmarks
from polyglot_lm.corpus.deduplicate import deduplicate
from polyglot_lm.corpus.identify import profiles
from polyglot_lm.corpus.ingest import Reading, ingest
from polyglot_lm.corpus.quality import Bound, Thresholds, lenient
from polyglot_lm.corpus.split import Split
from polyglot_lm.languages import language
from polyglot_lm.masking import KINDS
from polyglot_lm.pipeline import Runtime

TRAIN_ALONE = Split(key="test", control=0.0, select=0.0, test=0.0, min_bytes=0, max_share=0.0, max_domain_share=1.0)


def reading(code: str) -> Reading:
    entry = language(code)
    return Reading(code=code, stop_words=(), shingle_units=entry.shingle_units, languages=profiles(code))


def anything(code: str) -> Thresholds:
    """Refuse nothing but emptiness."""
    return Thresholds(code=code, scripts=(), signature=(), bounds={"num_visible": Bound(least=1)})


def mild(code: str) -> Thresholds:
    return lenient(
        language(code),
        min_chars=20,
        max_chars=500,
        min_letter_share=0.5,
        min_script_share=0.5,
        min_signature_share=0.05,
        min_language_confidence=0.3,
    )


def write(path: Path, rows: Sequence[str | Mapping[str, Any]], extra: str = "") -> Path:
    """Write documents, texts or whole rows, as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": row} if isinstance(row, str) else row) + "\n" for row in rows]
    path.write_text("".join(lines) + extra, encoding="utf-8")
    return path


def read_in(out: Path, folder: Path, code: str = "ko", name: str = "tiny", workers: int = 1) -> dict[str, Any]:
    arguments: dict[str, Any] = {"source_name": name, "license": "CC0", "reading": reading(code)}
    return dict(ingest(out, source=folder, runtime=Runtime(workers=workers), **arguments))


def decided(out: Path, documents: Mapping[str, tuple[Path, ...]], workers: int = 1, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "thresholds": {code: anything(code) for code in documents},
        "agreement": 0.72,
        "split": TRAIN_ALONE,
        "quality": None,
        **changes,
    }
    return dict(deduplicate(out, documents=documents, runtime=Runtime(workers=workers), **arguments))


def built(out: Path, documents: tuple[Path, ...], decisions: Path, code: str = "ko", **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"mask_countries": (), "mask_kinds": KINDS, "contamination": None, "min_hits": 2, **changes}
    runtime = Runtime(root=out.parent, workers=arguments.pop("workers", 1))
    return dict(build_corpus(out, documents=documents, decisions=decisions, code=code, runtime=runtime, **arguments))


def corpus(root: Path, rows: Sequence[str | Mapping[str, Any]], code: str = "ko", **changes: Any) -> tuple[Path, dict[str, Any]]:
    """Take texts through all three stages; return the corpus folder and what its last stage counted."""
    masking = {name: changes.pop(name) for name in ("mask_countries", "mask_kinds", "contamination", "min_hits") if name in changes}
    write(root / "raw" / f"{code}.jsonl", rows)
    read_in(root / "documents", root / "raw", code)
    decided(root / "clusters", {code: (root / "documents",)}, **changes)
    return root / "corpus", built(root / "corpus", (root / "documents",), root / "clusters", code, **masking)


def index(root: Path, items: Sequence[str]) -> Path:
    """Index an evaluation set `quiz` of these questions."""
    write(root / "eval/quiz/test.jsonl", [{"question": item, "label": 1} for item in items])
    shape = NgramShape(units=NGRAM_UNITS, whole_percent=60)
    found = benchmarks_of(root / "eval")
    index_benchmarks(root / "index", benchmarks=found, shape=shape, excluded_fields=ID_FIELDS, max_items=32, max_texts=8)
    return root / "index"


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of all files but the measurements."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "manifests" not in path.parts
    }
