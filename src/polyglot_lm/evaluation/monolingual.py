"""The references of relative competence, gathered: monolingual models of the same size and tokenizer, each with its held-out
bits.

A reference is known by its language and by `content`: what it read of that language over what the multilingual model read of
it. 1 is the reference that r is defined by; as many as there are languages is the one of equal compute; three or more contents
make the curve from which equivalent monolingual data is read. Where several learning rates were tried, the control text
chooses.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.evaluation.heldout import DOCUMENTS_FILE, HELDOUT_FILE
from polyglot_lm.pipeline import Counters, UserError, atomic_path, read_json, read_record, stage, write_json
from polyglot_lm.shards import read_metrics

REFERENCES_FILE = "monolingual.json"


@stage(version=1)
def gather_references(
    out: Path,
    *,
    trainings: Mapping[str, Path],
    heldouts: Mapping[str, Path],
    languages: Mapping[str, str],
    contents: Mapping[str, float],
    rates: Mapping[str, float],
) -> Counters:
    """Write `monolingual.json` and `documents.parquet`; the mappings have a key for each reference, `languages` gives its code."""
    chosen: dict[tuple[str, float], dict[str, Any]] = {}
    for key, training in trainings.items():
        found = described(training, heldouts[key], languages[key]) | {"content": contents[key], "rate": rates[key], "key": key}
        place = (languages[key], contents[key])
        if place not in chosen or found["control_bits_per_byte"] < chosen[place]["control_bits_per_byte"]:
            chosen[place] = found
    rows = [
        {"lang": code, "content": content, "id": row["id"], "bits": row["bits"], "num_bytes": row["num_bytes"]}
        for (code, content), found in chosen.items()
        for row in pq.read_table(heldouts[found["key"]] / DOCUMENTS_FILE).to_pylist()
        if row["lang"] == code
    ]
    with atomic_path(out / DOCUMENTS_FILE) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
    by_language: dict[str, list[dict[str, Any]]] = {}
    for (code, _), found in sorted(chosen.items()):
        by_language.setdefault(code, []).append(found)
    windows = {read_json(folder / HELDOUT_FILE)["window_english_bytes"] for folder in heldouts.values()}
    write_json(out / REFERENCES_FILE, {"window_english_bytes": windows.pop(), "languages": by_language})
    return {"references": len(chosen), "tried": len(trainings)}


def described(training: Path, heldout: Path, language: str) -> dict[str, Any]:
    record = read_record(training)
    if record is None:
        raise FileNotFoundError(f"{training} has no record of a finished step")
    counters = record["counters"]
    curve = [
        [line["step"], line["control_bits_per_byte"][language]]
        for line in read_metrics(training)
        if line.get("control_bits_per_byte")
    ]
    return {
        "parameters": counters["parameters"],
        "steps": counters["steps"],
        "tokens": counters["tokens"],
        "amount": sum(counters["amounts"].values()),
        "unit": counters["unit"],
        "control_bits_per_byte": counters["control_bits_per_byte"][language],
        "bits_per_byte": read_json(heldout / HELDOUT_FILE)["languages"][language]["bits_per_byte"],
        "control_curve": curve,
    }


def read_references(folder: Path) -> tuple[dict[str, Any], dict[tuple[str, float], dict[str, float]]]:
    """Return `monolingual.json`, and each document's bits by (language, content); raises UserError when it is no such folder."""
    if not (folder / REFERENCES_FILE).exists():
        raise UserError(f"{folder} has no {REFERENCES_FILE}; make references with `polyglot run references`, and give their folder")
    bits: dict[tuple[str, float], dict[str, float]] = {}
    for row in pq.read_table(folder / DOCUMENTS_FILE).to_pylist():
        bits.setdefault((row["lang"], row["content"]), {})[row["id"]] = row["bits"]
    return read_json(folder / REFERENCES_FILE), bits
