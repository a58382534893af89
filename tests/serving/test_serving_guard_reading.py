"""Streams: whatever pieces a text comes in, what is sent and why is what the whole text says, and nothing offending is begun."""

import itertools
import random

import pytest
from conftest import SENTENCES
from guard_examples import ENTRIES, OFFENCES, guard
from hypothesis import example, given
from hypothesis import strategies as st

from polyglot_lm.masking import mask
from polyglot_lm.masking.evaluation import labelled
from polyglot_lm.masking.numbers import MAKERS
from polyglot_lm.serving.guard.guard import STOPS, Guard
from polyglot_lm.serving.guard.policy import read_policy
from polyglot_lm.serving.guard.segments import HARD_MOST, first_end
from polyglot_lm.serving.guard.verdict import Action, Reason

GUARD = guard()
SPEAK = [
    *SENTENCES.values(),
    *(entry.word for entry in ENTRIES),
    *OFFENCES.values(),
    *"two bad words g r u n k 나 쁜 놈 坏 蛋".split(),
    *("010-1234-5678", "a.b@naver.com", "1", "02", "전화", "tel", "。", ". ", "! ", "\n", " ", "  ", "…", ")", "-"),
]
texts = st.lists(st.sampled_from(SPEAK), max_size=25).map("".join) | st.lists(st.sampled_from(SPEAK), max_size=25).map(" ".join)


def stream(guard: Guard, text: str, cuts: list[int]) -> tuple[str, Action, tuple[Reason, ...]]:
    """Feed the text in pieces until it ends or may not go on."""
    watch, sent, reasons = guard.watch(), "", list[Reason]()
    bounds = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in itertools.pairwise(bounds):
        verdict = watch.feed(text[start:end])
        sent, reasons = sent + verdict.text, [*reasons, *verdict.reasons]
        if verdict.action in STOPS:
            return sent, verdict.action, tuple(reasons)
    verdict = watch.finish()
    return sent + verdict.text, verdict.action, (*reasons, *verdict.reasons)


@given(texts, st.lists(st.integers(0, 10_000), max_size=30))
@example("g r u n k", [1, 2, 3, 4, 5, 6])
@example("fine. 010-1234-5678. Then two bad\nwords", list(range(40)))
def test_a_stream_says_what_the_whole_text_says_up_to_the_first_violation(text: str, cuts: list[int]) -> None:
    whole = GUARD.check(text, "completion")
    sent, action, reasons = stream(GUARD, text, cuts)
    assert (action in STOPS) == (whole.action in STOPS)
    assert whole.reasons[: len(reasons)] == reasons
    if action in STOPS:
        assert whole.text.startswith(sent)
        assert not any(reason.action in STOPS for reason in reasons[:-1]) or reasons[-1].action != Action.ALLOW
    else:
        assert (sent, reasons) == (whole.text, whole.reasons)
    assert stream(GUARD, text, []) == (sent, action, reasons) or action not in STOPS


@given(texts, st.lists(st.integers(0, 10_000), max_size=30))
def test_nothing_that_is_sent_holds_a_listed_word(text: str, cuts: list[int]) -> None:
    sent, _, _ = stream(GUARD, text, cuts)
    assert GUARD.lexicon.read(sent)[0] == []


@pytest.mark.parametrize("text", ["well, two bad words.", "well, g r u n k.", "よしわるものだ", "好坏蛋"])
def test_no_letter_of_an_offending_word_is_sent(text: str) -> None:
    start = GUARD.lexicon.read(text)[0][0].start
    sent, action, _ = stream(GUARD, text, list(range(len(text))))
    assert action == Action.HOLD
    assert len(sent) <= start


def test_an_offensive_sentence_is_not_begun_and_what_stands_before_it_is_sent() -> None:
    text = f"A calm beginning here. Then {OFFENCES['en']} things. More."
    sent, action, reasons = stream(GUARD, text, list(range(len(text))))
    assert sent == "A calm beginning here. "
    assert action == Action.HOLD
    assert [(reason.category, reason.source, reason.language) for reason in reasons] == [("offence", "classifier", "en")]
    assert reasons[0].score >= reasons[0].threshold


def test_nothing_follows_what_was_held_and_the_curator_reads_all_of_it_masked() -> None:
    watch = GUARD.watch()
    assert watch.feed("Fine here. A grunk. Call 010-1234-5678 ").action == Action.HOLD
    after = watch.feed("more 010-8765-4321 text. ")
    assert (after.action, after.text) == (Action.HOLD, "")
    assert watch.finish().text == ""
    assert watch.transcript() == "Fine here. A grunk. Call <|tell|> more <|tell|> text. "


def test_the_stream_lags_by_one_sentence_at_most() -> None:
    text, watch, sent, lags = " ".join(SENTENCES["en"].replace(",", "") for _ in range(40)), GUARD.watch(), 0, []
    for at, letter in enumerate(text):
        sent += len(watch.feed(letter).text)
        lags.append(at + 1 - sent)
    assert max(lags) <= GUARD.policy.hold_back_chars + 1


@pytest.mark.parametrize("mode", ["log", "off"])
def test_other_modes_change_nothing_and_hold_nothing_back(mode: str) -> None:
    text = "A grunk. Call 010-1234-5678. "
    watching = guard(mode).watch()
    verdicts = [watching.feed(letter) for letter in text]
    assert [verdict.text for verdict in verdicts] == list(text)
    found = [reason.source for verdict in (*verdicts, watching.finish()) for reason in verdict.reasons]
    assert found == (["word list", "personal information"] if mode == "log" else [])
    assert guard(mode).check(text, "prompt").text == text


@pytest.mark.parametrize("country", MAKERS)
def test_sentence_by_sentence_masks_as_the_whole_text_does(country: str) -> None:
    """Only a word in the next sentence may speak for a number otherwise; at most one sentence in fifty differs."""
    calm = Guard(read_policy(), "enforce", guard().trained.__class__(classifiers={}, entries=(), sources=()))
    examples = list(labelled(country, "first", seed=4, repeats=2, carriers=list(SENTENCES.values())))
    differ = [
        item.text
        for item in examples
        if stream(calm, item.text, random.Random(item.text).sample(range(500), 20))[0]
        != mask(item.text, countries=calm.policy.countries).text
    ]
    assert len(differ) <= len(examples) / 50, differ


@given(texts, st.integers(16, 120))
def test_segments_fall_alike_in_every_beginning_of_a_text(text: str, most: int) -> None:
    ends, at = [], 0
    while (end := first_end(text, at, most)) != -1:
        assert at < end <= at + HARD_MOST
        ends.append(at := end)
    for size in range(len(text)):
        found, at = [], 0
        while (end := first_end(text[:size], at, most)) != -1:
            found.append(at := end)
        assert found == ends[: len(found)]


@pytest.mark.parametrize("text", ["tel (02). 1234-5678 x", "at 3.14 and 2. 5 or 010- 1234 -5678 now", "a.b@naver.com.more" * 3])
def test_no_segment_ends_inside_what_may_be_an_identifier(text: str) -> None:
    ends, at = [], 0
    while (end := first_end(text, at, 16)) != -1:
        ends.append(at := end)
    assert not any(text[end - 5 : end].strip("-(). ") and any(s.isdigit() for s in text[max(0, end - 5) : end]) for end in ends)


def test_a_text_without_any_place_to_cut_is_cut_in_the_end() -> None:
    assert first_end("x" * HARD_MOST, 0, 96) == -1
    assert first_end("x" * (HARD_MOST + 1), 0, 96) == HARD_MOST
