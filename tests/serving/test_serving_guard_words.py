"""Word lists: what is found however it is written, what is not, and where a text that goes on is settled."""

import re
import unicodedata

import pytest
from guard_examples import ENTRIES
from hypothesis import example, given
from hypothesis import strategies as st

from polyglot_lm.serving.guard.lexicon import Entry, Lexicon
from polyglot_lm.serving.guard.normal import may_be_disguised, plain, uncovered

LEXICON = Lexicon(ENTRIES)

WRITTEN = {  # the table of docs/guard.md
    "a grunk!": "grunk",
    "GRUNK": "grunk",
    "ｇｒｕｎｋ": "grunk",
    "gr\u200bu\u00adnk": "grunk",
    "grrruuunk": "grunk",
    "g r u n k": "grunk",
    "g.r.u-n_k": "grunk",
    "grunк": "grunk",
    "z1b and": "zib",
    "z!b and": "zib",
    "tw0 b@d w0rd5": "two bad words",
    "two  bad\twords": "two bad words",
    "나쁜놈아": "나쁜놈",
    "나 쁜 놈": "나쁜놈",
    "나1쁜*놈": "나쁜놈",
    "ㄴㅏ쁜놈": "나쁜놈",
    "나ㅃㅡㄴ놈": "나쁜놈",
    unicodedata.normalize("NFD", "나쁜놈"): "나쁜놈",
    "他是坏*蛋": "坏蛋",
    "坏 蛋": "坏蛋",
    "ワルモノだ": "わるもの",
    "ﾜﾙﾓﾉ": "わるもの",
    "ｸﾞﾗﾝｸ": "グランク",
    "คนกรังกนี้": "กรังก",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_listed_word_is_found_however_it_is_written(text: str) -> None:
    assert [hit.entry.word for hit in LEXICON.read(text)[0]] == [WRITTEN[text]]


@pytest.mark.parametrize(
    "text", ["grunkel", "a grun", "그나쁜놈", "他真坏，蛋坏了", "わるも", "กรังกิ", "a b c d", "don't", "z and b", ""]
)
def test_what_only_resembles_a_listed_word_is_not_found(text: str) -> None:
    assert LEXICON.read(text)[0] == []


def test_a_hit_says_where_the_word_stands_in_the_text_as_it_was_written() -> None:
    text = "so, g.r.u.n.k and ﾜﾙﾓﾉ or ㄴㅏ쁜놈!"
    assert [text[hit.start : hit.end] for hit in LEXICON.read(text)[0]] == ["g.r.u.n.k", "ﾜﾙﾓﾉ", "ㄴㅏ쁜놈"]


def test_of_overlapping_words_the_first_and_longest_is_kept() -> None:
    lexicon = Lexicon([Entry(word, "c", "en") for word in ("bad", "bad words", "words of ill")])
    assert [hit.entry.word for hit in lexicon.read("bad words of ill")[0]] == ["bad words"]


@pytest.mark.parametrize(
    ("text", "settled"),
    [("so two bad ", 3), ("so two ", 3), ("so tw", 5), ("他坏", 1), ("hm g r u ", 3), ("fine ", 5), ("two. ", 5), ("", 0)],
)
def test_a_text_is_settled_up_to_where_a_word_could_still_be_completed(text: str, settled: int) -> None:
    assert LEXICON.read(text)[1] == settled


@given(st.text(st.sampled_from("grunk two bad words 坏蛋 나쁜놈ㄴㅏ ワﾜ゛.*1ﾞ\u0301\u200b\n"), max_size=30))
def test_views_lead_every_letter_back_to_its_place(text: str) -> None:
    for view in (plain(text), uncovered(text)):
        assert len(view.text) == len(view.starts) == len(view.ends)
        assert all(0 <= start <= end <= len(text) for start, end in zip(view.starts, view.ends, strict=True))
        assert list(view.starts) == sorted(view.starts)


@given(st.text(st.sampled_from("ab zib 坏蛋나쁜ㅏ.,，*$éＡA\u0301"), max_size=12))
@example("aaＡ")
def test_a_text_that_is_not_taken_for_disguised_says_the_same_uncovered(text: str) -> None:
    first = plain(text)
    if not may_be_disguised(first):
        words = [re.findall(r"[^\W\d_]+", view.text) for view in (first, uncovered(text))]
        assert words[0] == words[1]


@given(st.text(max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    hits, settled = LEXICON.read(text)
    assert 0 <= settled <= len(text)
    assert all(0 <= hit.start < hit.end <= len(text) for hit in hits)
