"""Invented words and weights for tests of the guard: nothing in them offends."""

from pathlib import Path

import numpy as np
from conftest import SENTENCES

from polyglot_lm.serving.guard.classifier import SHAPE, Classifier, Trained, buckets_of
from polyglot_lm.serving.guard.guard import Guard, Mode
from polyglot_lm.serving.guard.lexicon import Entry
from polyglot_lm.serving.guard.policy import read_policy

WORDS = {
    "en": ("grunk", "two bad words", "zib"),
    "ko": ("나쁜놈", "그렁크"),
    "zh": ("坏蛋", "格朗克"),
    "ja": ("わるもの", "グランク"),
    "th": ("กรังก",),
}
ENTRIES = tuple(Entry(word, "listed word", code) for code, words in WORDS.items() for word in words)
OFFENCES = {"en": "awful", "ko": "끔찍", "ja": "ひどい"}


def classifier(code: str, sign: str) -> Classifier:
    """Return a classifier that gives a segment with `sign` a score above 0.9 and any other one far below 0.5."""
    weights = np.zeros(1 << SHAPE.bits, np.int8)
    told = set(buckets_of([sign])[0]) - set(buckets_of([*SENTENCES.values(), *sign, "a listed"])[0])
    weights[list(told)] = 127
    return Classifier(language=code, weights=weights, step=0.5, bias=-12.0, facts={"sentences": 9, "offensive": 3})


def trained() -> Trained:
    return Trained(
        classifiers={code: classifier(code, sign) for code, sign in OFFENCES.items()},
        entries=ENTRIES,
        sources=({"name": "invented", "license": "CC0-1.0"},),
    )


def guard(mode: Mode = "enforce", policy: Path | None = None) -> Guard:
    return Guard(read_policy(policy), mode, trained())
