"""Tokens become text: whole characters, no stop string, however the text was cut into tokens."""

import itertools
from collections.abc import Sequence

from conftest import SENTENCES
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.serving.engines.engine import Piece, Sampling
from polyglot_lm.serving.engines.writing import Writing

END = 0
TEXTS = st.one_of(st.sampled_from(list(SENTENCES.values())), st.text(max_size=30), st.text("ab", max_size=30))


def written(chunks: Sequence[bytes], sampling: Sampling) -> list[Piece]:
    """Feed the chunks as tokens 1, 2, ... and the end; return the pieces up to the last."""
    writing, pieces = Writing([b"", *chunks], END, sampling), []
    for token in [*range(1, len(chunks) + 1), END]:
        if piece := writing.add(token):
            pieces.append(piece)
            if piece.finish:
                break
    return pieces


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    text = draw(TEXTS)
    raw = text.encode()
    places = sorted({0, len(raw), *draw(st.lists(st.integers(0, len(raw)), max_size=12))})
    return text, [raw[begin:end] for begin, end in itertools.pairwise(places)]


@given(cut_texts())
def test_text_arrives_whole_whatever_its_tokens_cut(cut: tuple[str, list[bytes]]) -> None:
    text, chunks = cut
    pieces = written(chunks, Sampling(max_tokens=100))
    assert text_of(pieces) == text and all("\ufffd" not in piece.text for piece in pieces if "\ufffd" not in text)
    assert [token.text for piece in pieces for token in piece.tokens] == [chunk.decode("utf-8", "replace") for chunk in chunks]
    assert [piece.finish for piece in pieces] == [None] * (len(pieces) - 1) + ["stop"]


@given(cut_texts(), st.data())
def test_a_stop_string_ends_the_text_before_it_across_tokens(cut: tuple[str, list[bytes]], data: st.DataObject) -> None:
    text, chunks = cut
    slices = st.tuples(st.integers(0, max(0, len(text) - 1)), st.integers(1, 4)).map(lambda at: text[at[0] : at[0] + at[1]])
    stops = tuple(stop for stop in data.draw(st.lists(st.one_of(slices, st.text("abc", min_size=1)), max_size=4)) if stop)
    pieces = written(chunks, Sampling(max_tokens=100, stop=stops))
    found = text_of(pieces)
    assert not any(stop in found for stop in stops)
    assert text.startswith(found) and (found == text) == (not any(stop in text for stop in stops))
    whole = written([text.encode()] if text else [], Sampling(max_tokens=100, stop=stops))
    assert found == text_of(whole)  # a stop is the same however the text is cut


@given(cut_texts(), st.lists(st.text("ab가", min_size=1, max_size=3), min_size=1, max_size=4))
def test_no_more_is_held_back_than_a_stop_string_may_need(cut: tuple[str, list[bytes]], stops: list[str]) -> None:
    _, chunks = cut
    writing, sent, fed = Writing([b"", *chunks], END, Sampling(max_tokens=100, stop=tuple(stops))), "", b""
    for token, chunk in enumerate(chunks, 1):
        piece, fed = writing.add(token), fed + chunk
        sent += piece.text if piece else ""
        if piece and piece.finish:
            break
        whole = fed.decode("utf-8", "ignore")
        held = whole[len(sent) :]
        assert whole == sent + held and (not held or any(stop.startswith(held) for stop in stops))


def test_half_a_character_at_the_end_is_left_out() -> None:
    pieces = written(["가".encode(), "나".encode()[:2]], Sampling(max_tokens=2))
    assert text_of(pieces) == "가" and pieces[-1].finish == "length"
    assert [token.text for piece in pieces for token in piece.tokens] == ["가", "\ufffd"]


def test_bytes_that_are_no_text_show_as_such_and_do_not_stay() -> None:
    assert text_of(written([b"a", b"\xff", b"b"], Sampling(max_tokens=9))) == "a\ufffdb"


def test_tokens_of_a_stop_string_are_not_told() -> None:
    pieces = written([b"good", b" E", b"N", b"D more"], Sampling(max_tokens=9, stop=("END",)))
    assert text_of(pieces) == "good " and [token.text for piece in pieces for token in piece.tokens] == ["good", " E"]
