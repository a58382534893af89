"""The slow twin of decontamination: tuples of folded units in Python sets, and a small index to compare it with."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from polyglot_lm.corpus.benchmarks import benchmarks_of
from polyglot_lm.corpus.decontaminate import ID_FIELDS, NGRAM_UNITS, NgramShape, index_benchmarks
from polyglot_lm.corpus.kernels.scripts import OTHER_UNSPACED, SCRIPT_RANGES

SHAPE = NgramShape(units=NGRAM_UNITS, whole_percent=60)
Unit = tuple[str, Fraction]


def index_of(folder: Path, files: Mapping[str, Sequence[Any]], *, max_items: int = 32, max_texts: int = 8) -> Path:
    """Write evaluation sets (`task/split` -> items) and their index; return the index."""
    for name, items in files.items():
        path = folder / "eval" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    out = folder / "index"
    out.mkdir()
    given = {"benchmarks": benchmarks_of(folder / "eval"), "shape": SHAPE, "excluded_fields": ID_FIELDS}
    index_benchmarks(out, **given, max_items=max_items, max_texts=max_texts)
    return out


def script_of(character: str) -> str:
    """Return `word`, `number`, a script's name, `code_point`, `mark` or nothing for what parts units."""
    category = unicodedata.category(character)
    if category[0] not in "LMN":
        return ""
    for name, ranges in SCRIPT_RANGES.items():
        if category[0] != "N" and any(low <= ord(character) <= high for low, high in ranges):
            return name if name in NGRAM_UNITS else "word"
    if category[0] != "N" and any(low <= ord(character) <= high for low, high in OTHER_UNSPACED):
        return "code_point"
    return {"N": "number", "M": "mark", "L": "word"}[category[0]]


def slow_units(text: str) -> list[Unit]:
    """Return folded units, each with its share of an n-gram."""
    units: list[Unit] = []
    word, share = "", Fraction(0)
    for character in [*unicodedata.normalize("NFC", text), "\n"]:
        script = script_of(character)
        if script in ("", "Hani", "Hira", "Kana", "Thai", "code_point"):
            if word:
                units.append((word, share))
            word, share = "", Fraction(0)
            if script:
                units.append((character.lower(), Fraction(1, NGRAM_UNITS[script])))
        elif script != "mark" or word:
            word += character.lower()
            share = max(share, Fraction(1, NGRAM_UNITS[script]) if script != "mark" else Fraction(0))
    return units


def slow_ngrams(text: str) -> set[tuple[str, ...]]:
    """Return all n-grams of a text, shortest runs that share to one, or the whole of a short one."""
    units = slow_units(text)
    if sum(share for _, share in units) < 1:
        whole = tuple(unit for unit, _ in units)
        long_enough = sum(share for _, share in units) >= Fraction(SHAPE.whole_percent, 100)
        return {whole} if long_enough and is_telling(whole) else set()
    return {run for run in full_runs(units) if is_telling(run)}


def full_runs(units: Sequence[Unit]) -> set[tuple[str, ...]]:
    runs = set()
    for end in range(1, len(units) + 1):
        begin, total = end, Fraction(0)
        while begin and total < 1:
            begin -= 1
            total += units[begin][1]
        if total >= 1:
            runs.add(tuple(unit for unit, _ in units[begin:end]))
    return runs


def is_telling(run: Sequence[str]) -> bool:
    return len(set(run)) * 4 >= len(run)


def slow_hits(texts: Sequence[str], documents: Sequence[str], min_hits: int) -> dict[tuple[int, int], tuple[int, bool]]:
    """Return (document, text) -> (different n-grams found, whether enough); a text that occurs twice is its first."""
    found = {}
    for number, document in enumerate(documents):
        units = slow_units(document)
        names = [unit for unit, _ in units]
        runs = full_runs(units)
        for item, text in enumerate(texts):
            wanted = slow_ngrams(text)
            is_whole = sum(share for _, share in slow_units(text)) < 1
            here = {run for run in wanted if (contains(names, run) if is_whole else run in runs)}
            if here and texts.index(text) == item:
                found[number, item] = (len(here), len(here) >= min(min_hits, len(wanted)))
    return found


def contains(names: Sequence[str], run: Sequence[str]) -> bool:
    return any(tuple(names[start : start + len(run)]) == tuple(run) for start in range(len(names) - len(run) + 1))
