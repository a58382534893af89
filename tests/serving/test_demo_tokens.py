"""The token view: pieces that are the text, premiums that are arithmetic, and no HTML but its own."""

import html
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.languages import languages
from polyglot_lm.serving.demo.openings import openings
from polyglot_lm.serving.demo.token_view import Cost, cost, language_of, measured_premium, openings_table, pieces, token_view


def cut(text: str, places: list[int]) -> list[str]:
    """Cut the bytes of a text as a byte-level tokenizer would, and say each token as an engine does."""
    raw = text.encode()
    ends = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end].decode(errors="replace") for start, end in itertools.pairwise(ends)]


@given(st.text(alphabet="가나 ab水,é🙂", max_size=30), st.lists(st.integers(0, 200), max_size=40))
def test_pieces_hold_every_token_and_spell_the_text_or_show_the_tokens(text: str, places: list[int]) -> None:
    tokens = cut(text, places)
    found = pieces(text, tokens)
    assert sum(piece.num_tokens for piece in found) == len(tokens)
    assert "".join(piece.text for piece in found) in (text, "".join(tokens))


@pytest.mark.parametrize("code", openings())
@pytest.mark.parametrize("step", [1, 2, 4, 5])
def test_openings_are_spelled_however_their_bytes_are_cut(code: str, step: int) -> None:
    text = openings()[code]
    tokens = cut(text, list(range(0, len(text.encode()), step)))
    assert "".join(piece.text for piece in pieces(text, tokens)) == text


def test_characters_that_share_tokens_are_one_piece() -> None:
    tokens = cut("a水b", [1, 2, 3, 4])
    assert [(piece.text, piece.num_tokens) for piece in pieces("a水b", tokens)] == [("a", 1), ("水", 3), ("b", 1)]


def test_whole_letters_inside_broken_tokens_are_not_taken_for_the_next_token() -> None:
    assert [piece.text for piece in pieces("水aa", ["\ufffd", "\ufffda", "a"])] == ["水a", "a"]


def test_tokens_that_do_not_spell_the_text_are_shown_as_they_are() -> None:
    assert [piece.text for piece in pieces("Été", ["e", "te"])] == ["e", "te"]


def test_measured_premium_is_the_ratio_of_tokens_of_the_same_content() -> None:
    costs = {"en": Cost(num_tokens=40, num_bytes=136), "th": Cost(num_tokens=90, num_bytes=320)}
    assert measured_premium(costs, "th") == 2.25
    assert measured_premium(costs, "ko") is None
    assert measured_premium({"th": costs["th"]}, "th") is None
    assert "2.25 ×" in openings_table(costs)


def test_an_opening_is_measured_and_a_text_of_the_reader_estimated() -> None:
    costs = {"en": Cost(num_tokens=34, num_bytes=136), "ko": cost(openings()["ko"], list(openings()["ko"]))}
    shown = token_view(openings()["ko"], list(openings()["ko"]), costs)
    assert f"{len(openings()['ko']) / 34:.2f} ×" in shown
    assert "premium, measured" in shown
    own = "오늘은 날씨가 좋아서 산책을 했다"
    shown = token_view(own, list(own), costs)
    english = len(own.encode()) / languages()["ko"].byte_premium / 4  # the English example takes a token for 136 / 34 bytes
    assert f"{len(own) / english:.2f} ×" in shown
    assert "premium, estimated" in shown


def test_a_text_of_no_language_is_compared_with_none() -> None:
    assert language_of("12345") is None
    assert "is open" in token_view("12345", list("12345"), {"en": Cost(num_tokens=1, num_bytes=4)})


@given(st.text(alphabet="<>&\"'/ab{}$`", max_size=20))
def test_nothing_of_the_text_becomes_html_or_a_template(text: str) -> None:
    shown = token_view(text, list(text), {})
    inside = "".join(re.findall(r'<span class="t\d" title="[^"]*">([^<]*)</span>', shown))
    assert html.unescape(inside) == text
    assert not set(inside) & set("<>\"'{}$`")
