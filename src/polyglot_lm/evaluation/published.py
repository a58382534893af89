"""What others published of these models, as data with its source, so that a report can set it beside what was measured.

`published/*.tsv`: comment lines say where the numbers come from and what is odd about them; they travel with the numbers.
"""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "published"
GOLDFISH, KOBEST = FOLDER / "goldfish_flores.tsv", FOLDER / "kobest.tsv"
REFERENCE = "goldfish-1000mb"


def read_published(path: Path) -> tuple[list[dict[str, str]], str]:
    """Return the rows of a table, and what its comments say."""
    lines = path.read_text(encoding="utf-8").splitlines()
    story = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    return list(csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")), story


@functools.cache
def flores_nats() -> Mapping[str, Mapping[str, float]]:
    """Return nats by model and language for the second halves of FLORES sentences."""
    rows, _ = read_published(GOLDFISH)
    return {model: {row["lang"]: float(row[model]) for row in rows} for model in rows[0] if model != "lang"}


def published_competence() -> dict[str, dict[str, float]]:
    """Return r of the published models by language: their nats over those of the largest Goldfish, the same sentences."""
    found = flores_nats()
    return {
        model: {language: nats / found[REFERENCE][language] for language, nats in by_language.items()}
        for model, by_language in found.items()
        if model != REFERENCE
    }


@functools.cache
def published_tasks() -> Mapping[tuple[str, int], Mapping[str, float]]:
    """Return published scores by (model, examples) and task."""
    rows, _ = read_published(KOBEST)
    return {
        (row["model"], int(row["shots"])): {key: float(value) for key, value in row.items() if key.startswith("kobest_")}
        for row in rows
    }
