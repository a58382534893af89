"""A study small enough for a test: two languages, 384 tokens, a model of two layers, seconds on a core."""

import json
from pathlib import Path
from typing import Any

from conftest import SENTENCES, tiny_texts

from polyglot_lm.mixture import Explicit, Uniform
from polyglot_lm.pipeline import Runtime
from polyglot_lm.shards import DocumentWriter, part_path
from polyglot_lm.study.gather import Scoring, StudyData, gather_study
from polyglot_lm.study.protocol import UNIFORM, Arm, Protocol
from polyglot_lm.tokenizer import ParallelText, encode_corpus, train_tokenizer

LANGUAGES = ("ko", "en")
PREMIUMS = {"ko": 1.2, "en": 1.0}
VOCAB_SIZE = 384
SPLITS = {0: "test", 1: "control", 2: "select"}
ARMS = {
    "bloom": Arm(policy=Explicit(unit="english_bytes", weights={"en": 0.8, "ko": 0.2})),
    "uniform": Arm(policy=UNIFORM),
    "raw-bytes": Arm(policy=Uniform(unit="bytes")),
    "controller-from-raw": Arm(policy=Uniform(unit="bytes"), steered=True),
}


def write_texts(folder: Path, code: str, count: int = 120) -> Path:
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, text in enumerate(tiny_texts(code, count)):
            row = {"id": f"{number:032x}", "text": text, "lang": code, "source": "tiny", "num_bytes": len(text.encode())}
            key = {"exact_key": row["id"], "cluster_id": row["id"], "cluster_size": 1}
            writer.write({**row, **key, "split": SPLITS.get(number % 10, "train")})
    return folder


def make_data(root: Path) -> Path:
    """Write corpora, a tokenizer, shards and the gathered folder; return the latter."""
    corpora = {code: write_texts(root / "corpus" / code, code) for code in LANGUAGES}
    tokenizer, out, parallel = root / "tokenizer", root / "data", root / "parallel.jsonl"
    tokenizer.mkdir()
    train_tokenizer(tokenizer, corpora=corpora, byte_premiums=PREMIUMS, vocab_size=VOCAB_SIZE, max_english_bytes=20_000)
    tokens = {code: root / "tokens" / code for code in LANGUAGES}
    for code, folder in tokens.items():
        how = {"language": code, "source": "tiny", "byte_premium": PREMIUMS[code], "runtime": Runtime(workers=1)}
        encode_corpus(folder, corpus=corpora[code], tokenizer=tokenizer, **how)
    parallel.write_text(json.dumps({code: SENTENCES[code] for code in LANGUAGES}) + "\n")
    out.mkdir()
    gather_study(
        out,
        corpora=corpora,
        tokenizers={"parity": tokenizer},
        tokens={"parity": tokens},
        parallel=ParallelText(path=parallel),
        byte_premiums=PREMIUMS,
        scoring=Scoring(
            splits={"test": 1500, "select": 800, "control": 800}, document_english_bytes=100, window_english_bytes=40, key="tiny"
        ),
    )
    return out


def protocol(**changed: Any) -> Protocol:
    """Return decisions under which a whole study is some forty trainings of a few steps."""
    decisions: dict[str, Any] = {
        "languages": LANGUAGES,
        "size": "tiny",
        "context": 32,
        "content": 2500.0,
        "max_epochs": 1.5,
        "arms": ARMS,
        "seeds": 2,
        "arm_batches": (4,),
        "batches": (2,),
        "rates": (0.004,),
        "full_sweeps": ("tiny",),
        "carried": {},
        "reference_seeds": 2,
        "whole_budget": ("en",),
        "synergy_size": "tiny",
        "synergy_seeds": 1,
        "ladder": ("tiny",),
        "ladder_seeds": 1,
        "probes": 5,
        "probe_size": "tiny",
        "confirm_size": "tiny",
        "confirm_seeds": 2,
        "finer_batches": (2,),
        "finer_reference_batches": (1,),
    }
    return Protocol(**{**decisions, **changed})


def data_of(folder: Path) -> StudyData:
    return StudyData(folder)
