"""What the guard costs and how well it judges: milliseconds, throughput, precision and recall by language, false refusals.

    python benchmarks/serving/guard.py

Cost is CPU time of one core. A prompt is real text with the content of 512 English bytes (512 x byte premium of UTF-8, about 128
tokens); `guard_ms` is the 95th percentile in the worst language. A stream comes in pieces of the content of 4 English bytes, a
token; `guard_throughput_cost` is what a token costs against the 1/60 s in which an engine writes one, in the worst language.

Labelled sentences are judged by what was trained on the other four fifths: each fold is held out in turn, so every sentence counts
once. `word list` is the reviewed list alone, `raw list` the list as it was published, `guard` list and classifier as they are
shipped; the gain is over the better of the two lists. A classifier that too few sentences trained is measured and not shipped.
False refusals are paragraphs of real text, of documents that the shipped file has not seen (fold 0), held or refused. Needs
`../shared/data`; prints tables and, as its last line, one JSON object.
"""

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from polyglot_lm.languages import languages
from polyglot_lm.serving.guard.examples import FOLDS, Paragraph, Sentence, read_paragraphs, read_sentences, read_words
from polyglot_lm.serving.guard.guard import Guard, load_guard
from polyglot_lm.serving.guard.lexicon import Lexicon
from polyglot_lm.serving.guard.policy import read_policy
from polyglot_lm.serving.guard.train import LEAST_OFFENSIVE, prepare, train
from polyglot_lm.serving.guard.verdict import Action

DATA = Path(os.environ.get("POLYGLOT_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
PER_SOURCE = 3000  # as the shipped file was trained
TIMED, WARM = 200, 20
PROMPT_BYTES, TOKEN_BYTES, ENGINE_TOKENS_S = 512, 4, 60
FEWEST = 20  # offensive sentences with which a classifier is at least tried
RULERS = ("raw list", "word list", "classifier", "guard")


def main() -> None:
    """Measure, print tables and the object."""
    if not (DATA / "safety").is_dir():
        sys.exit(f"no folder {DATA / 'safety'}; set POLYGLOT_SHARED_DATA")
    paragraphs = list(read_paragraphs(DATA / "text", per_source=PER_SOURCE))
    shipped = load_guard()
    costs = {code: cost(shipped, code, [each.text for each in paragraphs if each.language == code]) for code in languages()}
    print(f"{'':4}{'ms a prompt':>14}{'p95':>8}{'ms a token':>12}{'of an engine of 60 tokens/s':>30}")
    for code, (median, late, token) in costs.items():
        print(f"{code:4}{median * 1e3:14.2f}{late * 1e3:8.2f}{token * 1e3:12.3f}{token * ENGINE_TOKENS_S:30.1%}")
    refused = refusals(shipped, [each for each in paragraphs if each.fold == 0])
    gains = quality(paragraphs)
    figures = {
        "guard_ms": round(max(late for _, late, _ in costs.values()) * 1e3, 3),
        "guard_throughput_cost": round(max(token for _, _, token in costs.values()) * ENGINE_TOKENS_S, 4),
        "guard_f1_gain_min": round(min(gains.values()), 4),
        "guard_f1_gain_min_of": sorted(gains),
        "guard_f1_gain_without_classifier": sorted(code for code in gains if code not in shipped.trained.classifiers),
        "false_refusal_max": round(max(refused.values()), 5),
        "guard_f1_gain": {code: round(gain, 4) for code, gain in gains.items()},
        "false_refusal": {code: round(share, 5) for code, share in refused.items()},
    }
    print(json.dumps(figures))


def cost(guard: Guard, code: str, texts: Sequence[str]) -> tuple[float, float, float]:
    """Return CPU seconds of a prompt (median and 95th percentile) and of a streamed token."""
    premium = languages()[code].byte_premium
    joined = "\n".join(texts).encode()
    size = int(PROMPT_BYTES * premium)
    prompts = [joined[start : start + size].decode("utf-8", "ignore") for start in range(0, size * (TIMED + WARM), size)]
    seconds = [timed(lambda prompt=prompt: guard.check(prompt, "prompt")) for prompt in prompts][WARM:]  # type: ignore[misc]
    chars = max(1, round(TOKEN_BYTES * premium * len(prompts[0]) / size))
    tokens, spent = 0, 0.0
    for prompt in prompts[WARM:]:
        pieces = [prompt[at : at + chars] for at in range(0, len(prompt), chars)]
        spent += timed(lambda pieces=pieces: streamed(guard, pieces))  # type: ignore[misc]
        tokens += len(pieces)
    return statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1], spent / tokens


def timed(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def streamed(guard: Guard, pieces: Sequence[str]) -> None:
    watch = guard.watch()
    for piece in pieces:
        watch.feed(piece)
    watch.finish()


def refusals(guard: Guard, paragraphs: Sequence[Paragraph]) -> dict[str, float]:
    """Print and return the share of neutral paragraphs held or refused, by language, and by what."""
    judged, held, why = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for each in paragraphs:
        verdict = guard.check(each.text, "prompt")
        judged[each.language] += 1
        held[each.language] += verdict.action >= Action.HOLD
        why.update({(each.language, reason.source) for reason in verdict.reasons if reason.action >= Action.HOLD})
    print(f"\n{'':4}{'paragraphs':>12}{'refused':>10}{'by word list':>14}{'by classifier':>15}")
    for code, count in judged.items():
        shares = [held[code], why[code, "word list"], why[code, "classifier"]]
        print(f"{code:4}{count:12,}{shares[0] / count:10.2%}{shares[1] / count:14.2%}{shares[2] / count:15.2%}")
    return {code: held[code] / count for code, count in judged.items()}


def quality(paragraphs: Sequence[Paragraph]) -> dict[str, float]:
    """Print precision, recall and F1 of each ruler on sentences it has not seen; return the guard's gain by language."""
    sentences, words = list(read_sentences(DATA / "safety")), list(read_words(DATA / "safety"))
    prepared = prepare(sentences, words, paragraphs, least_offensive=FEWEST)
    raw = Lexicon(words)
    counts = Counter[tuple[str, str, bool, bool]]()
    for fold in range(FOLDS):
        guard = Guard(read_policy(), "enforce", train(prepared, held_out=fold))
        for sentence in sentences:
            if sentence.fold == fold:
                for ruler, found in ruled(sentence, raw, guard).items():
                    counts[sentence.language, ruler, found, sentence.offensive] += 1
    print(f"\n{'':4}{'':12}{'sentences':>10}{'offensive':>10}{'precision':>10}{'recall':>8}{'F1':>8}")
    gains = {}
    for code in prepared.examples:
        f1 = {}
        for ruler in RULERS:
            hits, false, missed = (counts[code, ruler, *case] for case in ((True, True), (True, False), (False, True)))
            f1[ruler] = 2 * hits / max(1, 2 * hits + false + missed)
            total = sum(counts[code, ruler, found, label] for found in (True, False) for label in (True, False))
            rates = f"{hits / max(1, hits + false):10.3f}{hits / max(1, hits + missed):8.3f}{f1[ruler]:8.3f}"
            print(f"{code:4}{ruler:12}{total:10,}{hits + missed:10,}{rates}")
        gains[code] = f1["guard"] - max(f1["raw list"], f1["word list"])
    return gains


def ruled(sentence: Sentence, raw: Lexicon, guard: Guard) -> dict[str, bool]:
    """Return who calls a sentence offensive; the guard has no classifier where too few sentences trained it."""
    whole = guard.check(sentence.text, "prompt").reasons
    by = {reason.source for reason in whole if reason.action >= Action.HOLD}
    facts = guard.trained.classifiers[sentence.language].facts
    is_shipped = facts["offensive"] >= LEAST_OFFENSIVE * (FOLDS - 1) / FOLDS
    return {
        "raw list": bool(raw.read(sentence.text)[0]),
        "word list": "word list" in by,
        "classifier": "classifier" in by,
        "guard": "word list" in by or (is_shipped and "classifier" in by),
    }


if __name__ == "__main__":
    main()
