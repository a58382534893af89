"""Classifiers: scores against a slow twin, who looks at what, the file, and what training learns and holds out."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import SENTENCES
from guard_examples import ENTRIES, trained
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.classifier import (
    SHAPE,
    WEIGHTS,
    Classifier,
    looking,
    probabilities,
    read_trained,
    write_trained,
)
from polyglot_lm.serving.guard.examples import FOLDS, Paragraph, Sentence, fold_of, read_paragraphs, read_sentences, read_words
from polyglot_lm.serving.guard.guard import load_guard
from polyglot_lm.serving.guard.lexicon import Entry
from polyglot_lm.serving.guard.normal import plain
from polyglot_lm.serving.guard.train import prepare, reviewed, train

FACTOR, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


def slow_score(classifier: Classifier, text: str) -> float:
    """Hash each n-gram by the formula in `corpus.linear`, one after another."""
    padded = f" {plain(text).text.strip()} "
    buckets = set()
    for length in range(1, 5):
        for start in range(len(padded) - length + 1):
            value = sum((ord(sign) + 1) * pow(FACTOR, at, 1 << 64) for at, sign in enumerate(padded[start : start + length])) & MASK
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                value = (value ^ value >> shift) * factor & MASK
            buckets.add((value ^ value >> 31) >> 64 - SHAPE.bits)
    if not plain(text).text.strip():
        buckets = set()
    total = sum(int(classifier.weights[bucket]) for bucket in buckets)
    return 1 / (1 + math.exp(-(classifier.bias + classifier.step * total / math.sqrt(max(1, len(buckets))))))


@given(st.lists(st.text(st.sampled_from("ab cd나쁜놈ワﾜ坏蛋 \n"), max_size=20), min_size=1, max_size=4))
def test_scores_are_those_of_a_slow_twin(texts: list[str]) -> None:
    weights = np.random.default_rng(1).integers(-128, 128, 1 << SHAPE.bits).astype(np.int8)
    classifier = Classifier(language="en", weights=weights, step=0.01, bias=-0.3, facts={})
    expected = [slow_score(classifier, text) for text in texts]
    assert probabilities(classifier, texts).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (SENTENCES["ko"], ["ko"]),
        (SENTENCES["zh"], ["zh"]),
        (SENTENCES["ja"], ["ja"]),
        (SENTENCES["en"], ["en"]),
        (SENTENCES["id"], ["en"]),
        (SENTENCES["th"], []),
        ("日本国憲法", ["zh"]),
        ("OK 그래요 좋아요", ["ko"]),
        ("123 !?", []),
    ],
)
def test_which_classifier_looks_follows_from_the_script(text: str, codes: list[str]) -> None:
    assert looking(text, ("ko", "zh", "ja", "en")) == codes


def test_a_file_reads_back_as_it_was_written_and_shows_no_word(tmp_path: Path) -> None:
    write_trained(tmp_path / "guard.npz", trained())
    found = read_trained(tmp_path / "guard.npz")
    assert found.entries == trained().entries
    assert found.sources == trained().sources
    assert found.scores(["so awful"]) == trained().scores(["so awful"])
    assert not any(entry.word.encode() in (tmp_path / "guard.npz").read_bytes() for entry in ENTRIES)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", None])
def test_a_damaged_or_missing_file_says_how_to_train_one(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "guard.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="polyglot guard train"):
        load_guard(trained_path=path)


def test_what_is_shipped_is_small_licensed_and_lets_calm_sentences_through() -> None:
    guard = load_guard()
    assert WEIGHTS.stat().st_size <= 2_000_000
    assert {"MIT", "Apache-2.0", "CC0-1.0"} <= {source["license"] for source in guard.trained.sources}
    assert not any("SA" in source["license"] for source in guard.trained.sources)
    assert all(guard.check(text, "completion").reasons == () for text in SENTENCES.values())
    said = {covered.language: covered.sentence() for covered in guard.coverage()}
    assert all("no classifier" in said[code] and "personal information" in said[code] for code in ("id", "ms", "vi", "th"))
    assert all("a classifier trained on" in said[code] for code in ("ko", "zh", "en"))


def sentences(count: int) -> list[Sentence]:
    """Return invented sentences: those with one of two stems are offensive."""
    stems = ("floop", "snarg", "plain", "quiet")
    return [
        Sentence(f"number {number} is {stems[number % 4]}{'aeiou'[number % 5]} today {number * 7 % 13}", "en", number % 4 < 2)
        for number in range(count)
    ]


def neutral() -> list[Paragraph]:
    return [
        Paragraph(f"{text} {number}", code, "CC0-1.0", number % FOLDS) for number in range(40) for code, text in SENTENCES.items()
    ]


def test_training_learns_what_offends_and_knows_nothing_of_the_held_out_fold() -> None:
    pytest.importorskip("sklearn")
    words = [Entry("floopa", "listed word", "en"), Entry("quieto", "listed word", "en"), Entry("weather", "listed word", "en")]
    examples = sentences(400)
    found = train(prepare(examples, words, neutral(), least_offensive=20))
    held_out = [sentence for sentence in examples if sentence.fold == 0]
    right = [found.scores([sentence.text])[0][1] >= 0.5 for sentence in held_out]  # type: ignore[index]
    assert sum(yes == sentence.offensive for yes, sentence in zip(right, held_out, strict=True)) >= 0.95 * len(held_out)
    assert [entry.word for entry in found.entries] == ["floopa"]
    changed = [Sentence(s.text, s.language, s.offensive != (s.fold == 0)) for s in examples]
    again = train(prepare(changed, words, neutral(), least_offensive=20))
    assert (again.classifiers["en"].weights == found.classifiers["en"].weights).all()
    assert again.entries == found.entries


def test_a_word_of_neutral_text_or_of_kind_sentences_is_struck() -> None:
    words = [Entry(word, "listed word", "en") for word in ("weather", "floopa", "plaino", "unseen")]
    kept = reviewed(prepare(sentences(400), words, neutral(), least_offensive=10**6), 0)
    assert {entry.word for entry in kept} == {"floopa", "unseen"}


def test_folders_are_read_as_they_are_described(tmp_path: Path) -> None:
    (tmp_path / "ko_curse_detection").mkdir()
    (tmp_path / "ko_curse_detection" / "dataset.txt").write_text("나쁜 말|1\n좋은 | 말|0\n", encoding="utf-8")
    (tmp_path / "ja_toxic_inspection_ai").mkdir()
    rows = "text,Not Toxic,Hard to Say,Toxic,Very Toxic\nひどい,0,1,1,1\nふつう,2,0,1,0\nどちらか,1,0,1,0\n"
    (tmp_path / "ja_toxic_inspection_ai" / "subset.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "ours.jsonl").write_text('{"text": "so", "language": "en", "offensive": true}\n', encoding="utf-8")
    (tmp_path / "ldnoobw_v2").mkdir()
    (tmp_path / "ldnoobw_v2" / "en.txt").write_text("grunk\n\n# note\ntwo words\n", encoding="utf-8")
    found = [(sentence.text, sentence.language, sentence.offensive) for sentence in read_sentences(tmp_path)]
    assert found == [
        ("나쁜 말", "ko", True),
        ("좋은 | 말", "ko", False),
        ("ひどい", "ja", True),
        ("ふつう", "ja", False),
        ("so", "en", True),
    ]
    assert [entry.word for entry in read_words(tmp_path)] == ["grunk", "two words"]


def test_neutral_text_is_cut_into_paragraphs_of_one_fold_a_document(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    text = "\\n".join(["word " * 20, "short", "other " * 200])
    (tmp_path / "en" / "one.jsonl").write_text(f'{{"text": "{text}", "license": "CC0-1.0"}}\n' * 2, encoding="utf-8")
    found = list(read_paragraphs(tmp_path, per_source=3))
    assert len(found) == 3
    assert {paragraph.fold for paragraph in found} == {fold_of(text.replace("\\n", "\n"))}
    assert Counter(len(paragraph.text) for paragraph in found).keys() == {99, 600}


@pytest.mark.parametrize(
    ("reader", "sentence"), [(read_sentences, "no labelled sentences"), (read_paragraphs, "no folder of a language")]
)
def test_an_empty_folder_is_a_sentence(tmp_path: Path, reader: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        list(reader(tmp_path) if reader is read_sentences else read_paragraphs(tmp_path, per_source=1))


def test_own_rows_must_be_whole(tmp_path: Path) -> None:
    (tmp_path / "ours.jsonl").write_text('{"text": "so", "language": "xx", "offensive": true}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"ours\.jsonl, line 1: give text, language"):
        list(read_sentences(tmp_path))
