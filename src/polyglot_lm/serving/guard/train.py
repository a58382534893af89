"""Train the guard's classifiers and review its word lists: labelled sentences, lists and neutral text in, one `.npz` out.

A classifier is a logistic regression over distinct character n-grams, each weighed by its log-count ratio (Wang and Manning 2012,
"Baselines and Bigrams"); neutral text, cut into segments, is an example of what is not offensive, since comments alone teach that
formal words are rare. The point that becomes 0.5 is the score of best F1 on sentences scored by classifiers that did not see
them, moved up until of neutral paragraphs, unseen too, at most MOST_REFUSED are refused.

A word stays on the list when it tells by itself (`reviewed`): it stands in no neutral paragraph of any language, most sentences
that have it are offensive, and where a classifier reads too, one at least is: the long tail of the lists refused 1 % of English
paragraphs. Nobody read the lists word by word. What is the same for every held-out fold
(matches, hashed n-grams) is prepared once, so that a rotation through the folds costs little more than one training.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from polyglot_lm.languages import languages
from polyglot_lm.serving.guard.classifier import SHAPE, Classifier, Trained, buckets_of, looking
from polyglot_lm.serving.guard.examples import FOLDS, Paragraph, Sentence, described
from polyglot_lm.serving.guard.lexicon import Entry, Lexicon
from polyglot_lm.serving.guard.segments import first_end

Array = np.ndarray[Any, Any]
SMOOTHING, INVERSE_PENALTY = 1.0, 4.0
MOST_REFUSED = 0.002  # of a language's neutral paragraphs, by one classifier; word lists and other classifiers have the rest of 1 %
LEAST_PRECISION = 0.6
PARAGRAPHS, SEGMENTS = (
    8000,
    2000,
)  # of neutral text, for one language: those that classifiers look at, and those that they learn from
SEGMENT_CHARS = 96
LEAST_OFFENSIVE = 100  # sentences; with 29 the classifier made more mistakes than the word list (docs/guard.md)
SHARED_ALIKE = ("SA", "GPL", "MPL")  # licences of text that no weights are made of; it may still move the point


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """What one classifier learns from: sparse rows of n-grams; of neutral segments also the number of their paragraph."""

    sentences: Any
    labels: Array
    folds: Array
    neutral: Any
    paragraphs: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Examples by language, the neutral paragraphs they are cut from, and counts of listed words by fold [words, FOLDS].

    `calm` counts neutral paragraphs with the word, `seen` sentences, `offending` those of them that are offensive.
    """

    examples: Mapping[str, Examples]
    neutral: Sequence[Paragraph]
    entries: Sequence[Entry]
    calm: Array
    seen: Array
    offending: Array


def prepare(
    sentences: Sequence[Sentence], words: Iterable[Entry], neutral: Sequence[Paragraph], *, least_offensive: int = LEAST_OFFENSIVE
) -> Prepared:
    """Look the words up and hash the n-grams."""
    lexicon = Lexicon(words)
    offensive = Counter(sentence.language for sentence in sentences if sentence.offensive)
    codes = tuple(code for code, count in offensive.items() if count >= least_offensive)
    chosen = [paragraph for code in languages() for paragraph in thinned([each for each in neutral if each.language == code])]
    segments: dict[str, list[tuple[str, int]]] = {code: [] for code in codes}
    for number, paragraph in enumerate(chosen):
        for segment in segments_of(paragraph.text):
            for code in looking(segment, codes):
                segments[code].append((segment, number))
    return Prepared(
        examples={
            code: examples_of([sentence for sentence in sentences if sentence.language == code], segments[code]) for code in codes
        },
        neutral=chosen,
        entries=lexicon.entries,
        calm=counted(lexicon, [(paragraph.text, paragraph.fold) for paragraph in neutral]),
        seen=counted(lexicon, [(sentence.text, sentence.fold) for sentence in sentences]),
        offending=counted(lexicon, [(sentence.text, sentence.fold) for sentence in sentences if sentence.offensive]),
    )


def thinned(paragraphs: Sequence[Paragraph]) -> Sequence[Paragraph]:
    return paragraphs[:: -(-len(paragraphs) // PARAGRAPHS) or 1]


def examples_of(sentences: Sequence[Sentence], segments: Sequence[tuple[str, int]]) -> Examples:
    mixed = sorted(segments, key=lambda segment: xxhash.xxh3_64_intdigest(segment[0].encode("utf-8", "surrogatepass")))
    return Examples(
        sentences=matrix([sentence.text for sentence in sentences]),
        labels=np.array([sentence.offensive for sentence in sentences]),
        folds=np.array([sentence.fold for sentence in sentences]),
        neutral=matrix([segment for segment, _ in mixed]),
        paragraphs=np.array([number for _, number in mixed], np.int64),
    )


def counted(lexicon: Lexicon, texts: Iterable[tuple[str, int]]) -> Array:
    number_of = {entry: number for number, entry in enumerate(lexicon.entries)}
    counts = np.zeros((len(lexicon.entries), FOLDS), np.int64)
    for text, fold in texts:
        for entry in {hit.entry for hit in lexicon.read(text)[0]}:
            counts[number_of[entry], fold] += 1
    return counts


def train(prepared: Prepared, *, held_out: int = 0) -> Trained:
    """Return classifiers and reviewed words that know nothing of the fold `held_out`; needs scikit-learn."""
    classifiers = {code: fit(code, examples, prepared.neutral, held_out) for code, examples in prepared.examples.items()}
    licenses = sorted({paragraph.license for paragraph in prepared.neutral if not is_shared_alike(paragraph)})
    named = [
        *(
            {"name": source["name"], "license": source["license"]}
            for kind in ("sentences", "words")
            for source in described()[kind]
        ),
        *({"name": "neutral text", "license": license} for license in licenses),
    ]
    sources = tuple(source for number, source in enumerate(named) if source not in named[:number])
    return Trained(classifiers=classifiers, entries=tuple(reviewed(prepared, held_out)), sources=sources)


def is_shared_alike(paragraph: Paragraph) -> bool:
    return any(mark in paragraph.license for mark in SHARED_ALIKE)


def reviewed(prepared: Prepared, held_out: int) -> list[Entry]:
    """Return the words that tell by themselves: never in neutral text, mostly in offensive sentences."""
    known = [fold for fold in range(FOLDS) if fold != held_out]
    calm, seen, offending = (counts[:, known].sum(1) for counts in (prepared.calm, prepared.seen, prepared.offending))
    judged = {code for code, examples in prepared.examples.items() if examples.labels.sum() >= LEAST_OFFENSIVE}
    unjudged = np.array([entry.language not in judged for entry in prepared.entries], bool)
    kept = (calm == 0) & (offending >= LEAST_PRECISION * seen) & (unjudged | (offending > 0))
    return [entry for entry, keep in zip(prepared.entries, kept, strict=True) if keep]


def segments_of(text: str) -> list[str]:
    found, at = [], 0
    while (end := first_end(text, at, SEGMENT_CHARS)) != -1:
        found.append(text[at:end])
        at = end
    return [segment for segment in (*found, text[at:]) if segment.strip()]


def fit(code: str, examples: Examples, neutral: Sequence[Paragraph], held_out: int) -> Classifier:
    """Fit one language; out-of-fold scores and unseen neutral paragraphs choose the point, then all sentences train."""
    known = examples.folds != held_out
    calm = examples.neutral[learned_from(examples.paragraphs, neutral, held_out)]
    scores = np.zeros(len(known))
    for fold in {*range(FOLDS)} - {held_out}:
        rest, part = known & (examples.folds != fold), examples.folds == fold
        weights, bias = regress(examples.sentences[rest], examples.labels[rest], calm)
        scores[part] = examples.sentences[part] @ weights + bias
    best = best_point(scores[known], examples.labels[known])
    weights, bias = regress(examples.sentences[known], examples.labels[known], calm)
    bound = refusal_bound(examples.neutral @ weights + bias, examples.paragraphs, neutral, held_out)
    step = float(np.abs(weights).max()) / 127
    facts = {"sentences": int(known.sum()), "offensive": int(examples.labels[known].sum()), "best_f1_at": best, "bound_at": bound}
    quantised = np.round(weights / step).astype(np.int8)
    return Classifier(language=code, weights=quantised, step=step, bias=bias - max(best, bound), facts=facts)


def learned_from(paragraphs: Array, neutral: Sequence[Paragraph], held_out: int) -> list[int]:
    """Return the neutral segments to learn from: SEGMENTS of each language, of even paragraphs, under licences that allow it."""
    taken: Counter[str] = Counter()
    found = []
    for segment, number in enumerate(paragraphs.tolist()):
        paragraph = neutral[number]
        if (
            number % 2 == 0
            and paragraph.fold != held_out
            and not is_shared_alike(paragraph)
            and taken[paragraph.language] < SEGMENTS
        ):
            taken[paragraph.language] += 1
            found.append(segment)
    return found


def refusal_bound(scores: Array, paragraphs: Array, neutral: Sequence[Paragraph], held_out: int) -> float:
    """Return the score that at most MOST_REFUSED of each language's odd paragraphs exceed; -inf where none is looked at."""
    tops = np.full(len(neutral), -np.inf)
    np.maximum.at(tops, paragraphs, scores)
    of = np.array([paragraph.language for paragraph in neutral])
    unseen = (np.arange(len(neutral)) % 2 == 1) & np.array([paragraph.fold != held_out for paragraph in neutral], bool)
    found = [np.quantile(tops[unseen & (of == code)], 1 - MOST_REFUSED, method="higher") for code in set(of[unseen].tolist())]
    return float(max(found, default=-np.inf))


def matrix(texts: Sequence[str]) -> Any:
    """Return texts as rows of distinct n-grams, scaled to length one; scipy's sparse rows [texts, buckets]."""
    from scipy import sparse

    columns, rows = buckets_of(texts)
    counts = np.bincount(rows, minlength=len(texts))
    values = 1 / np.sqrt(np.maximum(counts, 1))[rows]
    return sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape=(len(texts), 1 << SHAPE.bits))


def regress(examples: Any, labels: Array, calm: Any) -> tuple[Array, float]:
    """Return weights and bias: log-count ratios times the coefficients of a balanced logistic regression."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    stacked = sparse.vstack([examples, calm]).tocsr()
    present = np.unique(stacked.indices)  # an n-gram that no example has weighs nothing
    rows = stacked[:, present]
    wanted = np.concatenate([labels, np.zeros(calm.shape[0], bool)])
    counts = [np.asarray(rows[wanted == label].sign().sum(0)).ravel() + SMOOTHING for label in (True, False)]
    ratio = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", solver="liblinear")
    found = model.fit(rows @ sparse.diags(ratio), wanted)
    weights = np.zeros(stacked.shape[1])
    weights[present] = ratio * found.coef_[0]
    return weights, float(found.intercept_[0])


def best_point(scores: Array, labels: Array) -> float:
    """Return the score from which on calling a sentence offensive has the best F1."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + labels.sum())
    return float(scores[order][int(f1.argmax())])
