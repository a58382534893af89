"""How well and how fast masking works: recall, precision and text destroyed by kind and country, next to three peers.

    make bench ROOM=masking

The held-out set is the last of the evaluation kit's sets of sentences: written before it was run, and no rule was changed after.
Half of its sentences stand between pieces of real text without digits, where `../shared/data/text` is there. Recall and precision
of ours ask for the right kind; a peer's recall counts any span that covers the number, whatever its kind, and its precision is of
what it found. Peers run in an environment of their own, `.bench-venv/masking`, which this command builds. Speed is MB (1e6) of
UTF-8 in a CPU second, on the real text and on the same text with digits and @ taken out. False spans in real text are counted from
the verdicts of `tests/masking/reviewed_spans.jsonl`. Prints tables and, as its last line, one JSON object, also in
`benchmarks/results/masking.json`.
"""

import json
import os
import re
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from polyglot_lm.languages import languages
from polyglot_lm.masking import mask
from polyglot_lm.masking.evaluation import SETS, Labelled, Score, labelled, score
from polyglot_lm.masking.numbers import MAKERS
from polyglot_lm.pipeline import write_json

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"
DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / "text"
VENV = REPOSITORY / ".bench-venv" / "masking"
PEERS = ("korean_pii", "presidio", "datatrove")
PACKAGES = ("korean-pii==0.2.0", "presidio-analyzer==2.2.366", "datatrove==0.10.1", "setuptools<81")
REPEATS = 20
BYTES_A_LANGUAGE = 3_000_000
SPEED_RUNS = 3
NOT_PLAIN = re.compile(r"[\d@]")


def read_language(code: str) -> list[str]:
    """Return about BYTES_A_LANGUAGE of a language's documents, evenly from its sources; none when there is no data."""
    files = sorted((DATA / code).glob("*.jsonl.zst"))
    texts = []
    for path in files:
        taken = 0
        for line in pa.input_stream(path, compression="zstd").read().splitlines():
            if taken > BYTES_A_LANGUAGE / len(files):
                break
            texts.append(json.loads(line)["text"])
            taken += len(texts[-1].encode())
    return texts


def carriers(texts: Iterable[str]) -> list[str]:
    lines = (line.strip() for text in texts for line in text.splitlines())
    return [line[:200] for line in lines if len(line) >= 20 and not NOT_PLAIN.search(line)][:2000]


def examples(texts: dict[str, list[str]]) -> dict[str, list[Labelled]]:
    by_country = {country: code for code, language in languages().items() for country in language.countries}
    return {
        country: list(labelled(country, SETS[-1], seed=1, repeats=REPEATS, carriers=carriers(texts[by_country[country]])))
        for country in MAKERS
    }


def ours(text: str, country: str) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.kind) for span in mask(text, countries=[country]).spans]


def build_environment() -> Path:
    python = VENV / "bin" / "python"
    built = VENV / "built"
    if not built.exists() or built.read_text(encoding="utf-8") != "\n".join(PACKAGES):
        venv.create(VENV, with_pip=True, clear=True, symlinks=True)
        print("installing the peers (some minutes the first time)", file=sys.stderr)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stderr=subprocess.DEVNULL)
        built.write_text("\n".join(PACKAGES), encoding="utf-8")
    return python


def peer_scores(name: str, python: Path, found: dict[str, list[Labelled]]) -> tuple[dict[tuple[str, str], Score], float]:
    """Return a peer's scores and its MB in a CPU second on the sentences."""
    by_country = {country: code for code, language in languages().items() for country in language.countries}
    items = [example for country in found for example in found[country]]
    lines = (json.dumps({"text": e.text, "country": e.country, "language": by_country[e.country]}) + "\n" for e in items)
    command = [str(python), str(Path(__file__).with_name("peers.py")), name]
    answer = subprocess.run(command, input="".join(lines), check=True, capture_output=True, text=True).stdout.splitlines()
    spans = dict(zip(((e.text, e.country) for e in items), map(json.loads, answer[:-1]), strict=True))
    seconds = json.loads(answer[-1])["cpu_seconds"]
    size = sum(len(example.text.encode()) for example in items)
    return score(lambda text, country: spans[text, country], items, same_kind=False), size / 1e6 / seconds


def speed(texts: Sequence[str], countries: Sequence[str]) -> float:
    """Return the best of some runs, in MB a CPU second."""
    size = sum(len(text.encode()) for text in texts)
    best = float("inf")
    for _ in range(SPEED_RUNS):
        start = time.process_time()
        for text in texts:
            mask(text, countries=countries)
        best = min(best, time.process_time() - start)
    return size / 1e6 / best


def speeds(texts: dict[str, list[str]]) -> dict[str, tuple[float, float]]:
    found = {}
    for code, language in languages().items():
        if texts[code]:
            plain = [NOT_PLAIN.sub("", text) for text in texts[code]]
            found[code] = speed(texts[code], language.countries), speed(plain, language.countries)
    return found


def false_spans() -> dict[str, float]:
    """Return reviewed false spans per 100,000 characters of each language."""
    lines = (REPOSITORY / "tests" / "masking" / "reviewed_spans.jsonl").read_text(encoding="utf-8").splitlines()
    header, *spans = map(json.loads, lines)
    false = Counter(span["lang"] for span in spans if not span["true"])
    return {code: false[code] / num_chars * 100_000 for code, num_chars in header["characters"].items()}


def print_scores(mine: dict[tuple[str, str], Score], peers: dict[str, dict[tuple[str, str], Score]]) -> None:
    names = " ".join(f"{name:>11}" for name in peers)
    print(f"{'country':<8}{'kind':<9}{'labels':>7}{'recall':>8}{'precision':>10}{'destroyed':>10}   recall of any kind: {names}")
    for (country, kind), entry in sorted(mine.items()):
        theirs = " ".join(f"{found.get((country, kind), Score()).recall:>11.3f}" for found in peers.values())
        if entry.labels:
            print(
                f"{country:<8}{kind:<9}{entry.labels:>7}{entry.recall:>8.3f}{entry.precision:>10.3f}{entry.destroyed:>10}"
                f"                       {theirs}"
            )


def total(scores: dict[tuple[str, str], Score], countries: Sequence[str] = tuple(MAKERS)) -> tuple[float, float]:
    """Return recall and precision over all kinds of some countries."""
    chosen = [entry for (country, _), entry in scores.items() if country in countries]
    recall = sum(entry.found for entry in chosen) / sum(entry.labels for entry in chosen)
    spans = sum(entry.spans for entry in chosen)
    return recall, sum(entry.right for entry in chosen) / spans if spans else 1.0


def main() -> None:
    texts = {code: read_language(code) for code in languages()}
    found = examples(texts)
    mine: dict[tuple[str, str], Score] = {}
    for country in found:
        mine |= score(ours, found[country], same_kind=True)
    python = build_environment()
    measured = {name: peer_scores(name, python, found) for name in PEERS}
    peers = {name: scores for name, (scores, _) in measured.items()}
    print_scores(mine, peers)
    figures: dict[str, float] = {}
    for name, kind in (("id", "rrn"), ("phone", "tell"), ("email", "email"), ("card", "card"), ("account", "acc")):
        figures[f"recall_{name}_min"] = min(entry.recall for (_, found_kind), entry in mine.items() if found_kind == kind)
    figures["precision_min"] = min(entry.precision for entry in mine.values())
    figures["recall"], figures["precision"] = total(mine)
    figures["destroyed_per_label"] = sum(e.destroyed for e in mine.values()) / sum(e.labels for e in mine.values())
    for name, (scores, mb_s) in measured.items():
        figures[f"peer_{name}_recall"], figures[f"peer_{name}_precision"] = total(scores)
        figures[f"peer_{name}_mb_s"] = mb_s
    figures["recall_kr"], figures["peer_korean_pii_recall_kr"] = total(mine, ["kr"])[0], total(peers["korean_pii"], ["kr"])[0]
    false = false_spans()
    figures["false_per_100k_max"] = max(false.values())
    fast = speeds(texts)
    print(f"\n{'language':<10}{'MB/s real':>10}{'MB/s plain':>11}{'false spans per 100,000 characters':>37}")
    for code, (real, plain) in fast.items():
        print(f"{code:<10}{real:>10.1f}{plain:>11.1f}{false[code]:>37.3f}")
    if fast:
        figures["mb_s_core_real"] = len(fast) / sum(1 / real for real, _ in fast.values())
        figures["mb_s_core_real_min"] = min(real for real, _ in fast.values())
        figures["mb_s_core_plain"] = len(fast) / sum(1 / plain for _, plain in fast.values())
        figures["mb_s_core_plain_min"] = min(plain for _, plain in fast.values())
    figures = {name: round(value, 4) for name, value in figures.items()}
    table = [
        {"country": country, "kind": kind, "recall": entry.recall, "precision": entry.precision, "labels": entry.labels}
        for (country, kind), entry in sorted(mine.items())
    ]
    command = {"command": "make bench ROOM=masking", "set": SETS[-1]}
    write_json(RESULTS / "masking.json", {**command, "figures": figures, "by_country_and_kind": table})
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
