"""Linear and fastText models as scores: each against a slow twin or a model written here, whole and damaged."""

import math
import struct
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyglot_lm.corpus import extra, linear
from polyglot_lm.corpus.extra import FastText
from polyglot_lm.corpus.fasttext_file import labels_in
from polyglot_lm.corpus.lexicon import folded
from polyglot_lm.corpus.linear import LinearModel
from polyglot_lm.corpus.lists import given
from polyglot_lm.pipeline import UserError


def twin_hash(ngram: str, salt: int) -> int:
    mask = (1 << 64) - 1
    h = salt + sum((ord(c) + 1) * pow(0x9E3779B97F4A7C15, j, 1 << 64) for j, c in enumerate(ngram)) & mask
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & mask
    h = (h ^ h >> 27) * 0x94D049BB133111EB & mask
    return h ^ h >> 31


def twin_probability(text: str, stored: dict[str, Any]) -> float:
    text = " ".join(unicodedata.normalize("NFC", text[: stored["max_chars"]].casefold()).split())
    framed, split = f" {text} ", text.split()
    (low, high), (first, last) = stored["char_ngrams"], stored["word_ngrams"]
    orders, word_orders = range(low, high + 1) if high else (), range(first, last + 1) if last else ()
    hashes = [twin_hash(framed[i : i + n], 0) for n in orders for i in range(len(framed) - n + 1) if text]
    hashes += [twin_hash(" ".join(split[i : i + n]), 0xD1B54A32D192ED03) for n in word_orders for i in range(len(split) - n + 1)]
    bits = len(stored["weights"]).bit_length() - 1
    if not hashes:
        return math.nan
    mean = sum(float(stored["weights"][h >> (64 - bits)]) for h in hashes) / len(hashes)
    return 1 / (1 + math.exp(-(stored["bias"] + mean)))


def linear_file(path: Path, **changes: Any) -> dict[str, Any]:
    weights = np.random.default_rng(7).normal(size=1 << 10).astype(np.float32)
    stored = {"weights": weights, "bias": 0.25, "char_ngrams": [2, 4], "word_ngrams": [1, 2], "max_chars": 30, **changes}
    np.savez(path, **stored)
    return stored


@pytest.mark.parametrize("changes", [{}, {"char_ngrams": [0, 0]}, {"word_ngrams": [0, 0]}, {"char_ngrams": [1, 1], "max_chars": 5}])
def test_a_linear_model_gives_what_its_slow_twin_gives(tmp_path: Path, changes: dict[str, Any]) -> None:
    stored = linear_file(tmp_path / "model.npz", **changes)
    texts = [
        "One two  three",
        "",
        "가나다 라마",
        "字" * 50,
        "a",
        " \n",
        "ไทย ไทย",
        "x y z x y z x y z x y z x y z x y z",
        "emoji 😀 É",
    ]
    found = LinearModel(name="l", file=given(tmp_path / "model.npz")).scores(texts, [None] * len(texts))
    np.testing.assert_allclose(found, [twin_probability(text, stored) for text in texts], rtol=1e-5)


def test_a_model_trained_on_these_features_tells_what_it_was_taught(tmp_path: Path) -> None:
    good = ["the cat sits on the mat", "고양이가 앉아 있다", "a dog runs in the park", "개가 공원에서 달린다"] * 3
    bad = ["win money now at the casino", "카지노에서 돈을 벌자", "casino bonus win win", "돈 벌자 카지노 보너스"] * 3
    shape = linear.Shape((2, 3), (1, 1), 1000, 12)
    labels = np.array([0.0] * len(good) + [1.0] * len(bad))
    features = np.zeros((len(labels), 1 << 12))
    for buckets, text_of in linear.hashed([folded(text) for text in good + bad], shape):
        np.add.at(features, (text_of, buckets), 1.0)
    features /= features.sum(axis=1, keepdims=True)
    weights, bias = np.zeros(1 << 12), 0.0
    for _ in range(300):
        error = 1 / (1 + np.exp(-(features @ weights + bias))) - labels
        weights, bias = weights - 50 * features.T @ error / len(labels), bias - error.mean()
    linear_file(
        tmp_path / "m.npz", weights=weights.astype(np.float32), bias=bias, char_ngrams=[2, 3], word_ngrams=[1, 1], max_chars=1000
    )
    found = LinearModel(name="spam", file=given(tmp_path / "m.npz")).scores(
        ["casino money", "카지노 보너스", "the cat runs", "고양이가 달린다"], []
    )
    assert (found > 0.5).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": np.zeros(1000, np.float32)},
        {"weights": np.full(4, np.nan)},
        {"weights": np.zeros((4, 4))},
        {"char_ngrams": [0, 0], "word_ngrams": [0, 0]},
        {"char_ngrams": [3, 2]},
        {"char_ngrams": [1, 2, 3]},
        {"max_chars": 0},
        {"bias": np.array([{}], object)},
    ],
)
def test_a_file_that_is_no_linear_model_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    linear_file(tmp_path / "model.npz", **changes)
    with pytest.raises(UserError, match=r"model\.npz is no linear model"):
        LinearModel(name="l", file=given(tmp_path / "model.npz")).scores([], [])


def test_a_truncated_linear_model_is_refused(tmp_path: Path) -> None:
    linear_file(tmp_path / "whole.npz")
    (tmp_path / "model.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    with pytest.raises(UserError, match=r"model\.npz is no linear model"):
        LinearModel(name="l", file=given(tmp_path / "model.npz")).scores([], [])


def fasttext_bytes(words: list[str], labels: list[str], inputs: list[list[float]], outputs: list[list[float]]) -> bytes:
    """Write a supervised model with softmax as fastText does: header, dictionary, two dense matrices."""
    dim = len(inputs[0])
    whole = struct.pack("<ii12id", 793712314, 12, dim, 5, 5, 1, 5, 1, 3, 3, 0, 0, 0, 100, 1e-4)
    whole += struct.pack("<iiiqq", len(words) + len(labels), len(words), len(labels), 10, -1)
    for name, kind in [*((word, 0) for word in words), *((label, 1) for label in labels)]:
        whole += name.encode() + b"\0" + struct.pack("<qb", 5, kind)
    for matrix in (inputs, outputs):
        whole += b"\0" + struct.pack(f"<qq{len(matrix) * dim}f", len(matrix), dim, *(value for row in matrix for value in row))
    return whole


MODEL = fasttext_bytes(
    ["</s>", "good", "bad", "나쁜"], ["__label__yes", "__label__no"], [[0, 0], [3, 0], [0, 3], [0, 3]], [[3, -3], [-3, 3]]
)


def test_fasttext_gives_the_probability_of_the_label(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    (tmp_path / "m.bin").write_bytes(MODEL)
    texts = ["good", "bad\nbad", "나쁜", "", "good\nbad"]
    found = FastText(name="f", file=given(tmp_path / "m.bin"), label="yes").scores(texts, [None] * 5)
    mean = [(0, 0, 1), (1, 0, 2), (0, 1, 2)]  # good, bad, and the end of line that fastText counts as a word
    assert found[0] == pytest.approx(1 / (1 + math.exp(-18 * mean[1][0] / mean[1][2])), abs=2e-4)
    assert found[1] == found[1] < 0.01
    assert found[2] < 0.01
    assert math.isnan(found[3])
    assert found[4] == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(UserError, match="no label 'maybe'; it has yes, no"):
        FastText(name="f", file=given(tmp_path / "m.bin"), label="maybe").scores([], [])


def test_a_fasttext_model_that_is_not_whole_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    for damaged in (
        *(MODEL[:length] for length in range(len(MODEL))),
        MODEL + b"x",
        b"\0" + MODEL[1:],
        MODEL.replace(b"\3\0\0\0", b"\1\0\0\0"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            labels_in(path)
    path.write_bytes(MODEL[:-1])
    pytest.importorskip("fasttext")
    with pytest.raises(UserError, match=r"m\.bin is no fastText model \(it ends in the middle\)"):
        FastText(name="f", file=given(path), label="yes").scores([], [])


def test_without_fasttext_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    extra.predictor_of.cache_clear()
    (tmp_path / "m.bin").write_bytes(MODEL)
    with pytest.raises(UserError, match=r"install polyglot-lm\[fasttext\]"):
        FastText(name="f", file=given(tmp_path / "m.bin"), label="yes").scores([], [])
