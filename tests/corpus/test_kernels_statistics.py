"""Statistics: every column equals its slow twin, over every script; caps and stop words do what they say."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import SENTENCES
from hypothesis import example, given, settings
from kernel_twins import any_text
from kernel_twins import statistics as slow_statistics

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.lines import MAX_LINES
from polyglot_lm.corpus.kernels.repetition import MAX_UNITS
from polyglot_lm.corpus.kernels.statistics import COUNTS, SHARES, statistics


def columns(*texts: str, words: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    return dict(statistics(TextBatch.from_texts(texts), words))


@settings(max_examples=600, deadline=None)
@given(any_text)
@example("")
@example("\n\n a\n \na\n\na\n \na \n")
@example("one two. One two... one two one two one two one two one two #…\n- x\n• y...\n")
@example("漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字")
def test_every_column_equals_its_twin(text: str) -> None:
    fast, slow = columns(text), slow_statistics(text)
    assert {name: float(column[0]) for name, column in fast.items() if name != "stop_words"} == pytest.approx(slow, rel=1e-6)


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_repeated_is_seen_as_repeated(code: str) -> None:
    once, often = SENTENCES[code], "\n".join([SENTENCES[code]] * 20)
    found = columns(once, often)
    assert found["dup_line_frac"].tolist() == pytest.approx([0, 0.95])
    assert found["dup_5_gram"][0] == 0
    assert found["dup_10_gram"][1] > 0.6
    assert found["letter_share"][0] > 0.9


def test_a_text_does_not_depend_on_its_neighbours() -> None:
    texts = [*SENTENCES.values(), "", "x", "a b " * 300]
    together = columns(*texts)
    for place, text in enumerate(texts):
        alone = columns(text)
        assert {name: column[place] for name, column in together.items()} == {name: column[0] for name, column in alone.items()}


def test_columns_have_the_promised_types() -> None:
    found = columns("a", "b")
    assert list(found) == [*COUNTS, *SHARES]
    assert {found[name].dtype for name in COUNTS} == {np.dtype(np.int32)}
    assert {found[name].dtype for name in SHARES} == {np.dtype(np.float32)}
    assert all(column.shape == (2,) for column in found.values())


def test_a_long_text_is_looked_at_up_to_the_cap() -> None:
    unique = " ".join(f"w{number}" for number in range(MAX_UNITS))
    found = columns(unique + " again and again" * 5_000, unique + "\nx" * (2 * MAX_LINES))
    assert found["num_units"].tolist() == [MAX_UNITS + 15_000, MAX_UNITS + 2 * MAX_LINES]
    assert found["dup_5_gram"].tolist() == [0, 0]
    assert found["num_newlines"][1] == 2 * MAX_LINES
    assert found["num_lines"][1] == MAX_LINES
    assert found["dup_line_frac"][1] == pytest.approx((MAX_LINES - 2) / MAX_LINES)


def test_a_text_of_the_cap_is_measured_whole() -> None:
    text = "yes no " * (MAX_UNITS // 2)
    assert columns(text)["dup_5_gram"][0] == pytest.approx(slow_statistics(text)["dup_5_gram"], rel=1e-6)


@pytest.mark.parametrize(
    ("text", "words", "count"),
    [
        ("the cat and the other", ("the", "and", "of"), 2),
        ("The theatre, band; the", ("the", "and"), 1),
        ("我的书和你的书", ("的", "和", "不是"), 2),
        ("ฉันและเธอ", ("และ", "ที่"), 1),
        ("không thể nào", ("không thể", "thể", "nào x"), 2),
        ("không thểa", ("không thể", "không"), 1),
        ("", ("a",), 0),
        ("a", (), 0),
        ("ab a", ("a",), 1),
        ("그 나라는 그", ("그", "나라"), 1),
    ],
)
def test_stop_words_are_whole_words_where_there_are_words(text: str, words: tuple[str, ...], count: int) -> None:
    assert columns(text, words=words)["stop_words"][0] == count


def test_too_many_stop_words_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 65 stop words"):
        columns("a", words=("a",) * 65)


@settings(max_examples=100, deadline=None)
@given(any_text, any_text)
def test_arrow_strings_are_read_as_they_lie(one: str, other: str) -> None:
    wanted = columns(other, one)
    for kind in (pa.string(), pa.large_string()):
        array = pa.array([one, other, one, other], kind)[1:3]
        found = statistics(TextBatch.of(array))
        assert {name: column.tolist() for name, column in found.items()} == {name: c.tolist() for name, c in wanted.items()}


def test_a_batch_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 texts are missing"):
        TextBatch.of(pa.array(["a", None]))
    with pytest.raises(ValueError, match="texts are int64"):
        TextBatch.of(pa.array([1]))
    with pytest.raises(ValueError, match="offsets float64"):
        TextBatch(np.zeros(1, np.uint8), np.zeros(2))
    assert len(TextBatch.of(pa.array([], pa.string()))) == 0
    assert len(TextBatch.from_texts([])) == 0


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\xe0", b"ok \xf0\x9f", b"\x80\x80 a", b"\xf7\xbf\xbf\xbf", b"\xc3"])
def test_damaged_bytes_are_read_as_something_and_crash_nothing(damage: bytes) -> None:
    data = np.frombuffer(damage, np.uint8)
    found = statistics(TextBatch(data, np.array([0, len(data)])))
    assert 0 < found["num_chars"][0] <= len(damage)
