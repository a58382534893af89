"""The views of word lists against their slow twin: letter by letter, as the rules are said."""

import itertools
from collections.abc import Iterable

import pytest
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.serving.guard.normal import SPACE, Letter, View, bare, joined, letters, plain, uncovered, view

SIGNS = "  \n\tabÀß. .½²፩11ﾞｶﾊﾟกก่่ำู้นา坏나ㄴㅏﾡ\u1100\u1161\u11a8\u200b\u0301\u0323e\0ﬁİ\u3164$@!_,*"
TEXT = st.text(st.one_of(st.sampled_from(SIGNS), st.characters()), max_size=30)


def slow_letters(text: str) -> list[Letter]:
    found = list[Letter]()
    for letter in letters(text):
        if letter[0] != SPACE or (found and found[-1][0] != SPACE):
            found.append(letter)
    return found


def slow_shortened(found: Iterable[Letter], kept: int) -> View:
    listed = list[Letter]()
    for sign, group in itertools.groupby(found, lambda letter: letter[0]):
        run = list(group)
        short = len(run) < 3 or sign.isdigit()
        listed += run if short else [*run[: kept - 1], (sign, run[kept - 1][1], run[-1][2])]
    return view(listed)


def slow_uncovered(text: str) -> View:
    words = [list(word) for space, word in itertools.groupby(slow_letters(text), lambda letter: letter[0] == SPACE) if not space]
    return slow_shortened(itertools.chain.from_iterable(joined([bare(word) for word in words], 3)), 1)


def parts(of: View) -> tuple[str, list[int], list[int]]:
    return of.text, list(of.starts), list(of.ends)


@settings(max_examples=500)
@given(TEXT)
def test_views_are_those_of_the_slow_twin(text: str) -> None:
    assert parts(plain(text)) == parts(slow_shortened(slow_letters(text), 2))
    assert parts(uncovered(text)) == parts(slow_uncovered(text))


@pytest.mark.parametrize("text", [*SENTENCES.values(), "ﾡ\u0301", "  ก่กกกก  น้ำำำ"])
def test_views_of_sentences_are_those_of_the_slow_twin(text: str) -> None:
    assert parts(plain(text)) == parts(slow_shortened(slow_letters(text), 2))
    assert parts(uncovered(text)) == parts(slow_uncovered(text))
