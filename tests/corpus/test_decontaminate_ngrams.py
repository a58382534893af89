"""N-grams of equal content: the kernel finds what a slow twin finds, which knows units and weights but no hash and no filter."""

from pathlib import Path

import numpy as np
import pytest
from decontaminate_twin import SHAPE, index_of, slow_hits, slow_units
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from polyglot_lm.corpus.decontaminate import Contamination, NgramShape
from polyglot_lm.corpus.kernels import ngrams as ng
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.scripts import folds, kinds
from polyglot_lm.corpus.kernels.units import read_folded
from polyglot_lm.pipeline import UserError

RULE = ng.rule_of(SHAPE.units, SHAPE.whole_percent)
LETTERS = "aAbB éộ 가나 漢字 かカー ไทย่ ລາ кД عب कि 12 .,-_\n!’́\U0001f600"
ANYTHING = st.text(st.sampled_from(LETTERS), max_size=60)
PIECES = (
    "Red",
    "blue",
    "GREEN ",
    "hill,",
    "river",
    "7",
    "12 ",
    "가을",
    "겨울 ",
    "山川",
    "湖",
    "やま",
    "カワ",
    "ภูเขา",
    "แม่น้ำ",
    "ລາວ",
    "б!",
    "é",
)
LONG = st.lists(st.sampled_from(PIECES), min_size=8, max_size=45).map(lambda pieces: " ".join(pieces))  # about one n-gram, or two
TEXTS = st.one_of(ANYTHING, LONG, LONG)


def read(text: str) -> tuple[list[int], list[int]]:
    data = np.frombuffer(text.encode(), np.uint8)
    units, weights = np.zeros(len(data) + 1, np.uint64), np.zeros(len(data) + 1, np.int64)
    count, _ = ng.read_weighed(data, 0, len(data), kinds(), folds(), RULE.weights, units, weights, 0)
    return units[:count].tolist(), weights[:count].tolist()


@given(TEXTS)
@settings(deadline=None)
def test_units_are_those_of_the_other_kernels(text: str) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    expected = np.zeros(len(data) + 1, np.uint64)
    count, _ = read_folded(data, 0, len(data), kinds(), folds(), expected, 0)
    assert read(text)[0] == expected[:count].tolist()
    assert len(slow_units(text)) == count


@given(st.lists(TEXTS, min_size=1, max_size=5), st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_hits_are_those_of_the_slow_twin(tmp_path_factory: pytest.TempPathFactory, texts: list[str], data: st.DataObject) -> None:
    pieces = st.one_of(st.sampled_from(texts), st.sampled_from(texts).map(str.upper), TEXTS)
    documents = data.draw(st.lists(st.lists(pieces, max_size=4).map(" ".join), min_size=1, max_size=4))
    folder = index_of(tmp_path_factory.mktemp("index"), {"task/test": [{"text": text} for text in texts]})
    hits = Contamination(folder, min_hits=2).hits(TextBatch.from_texts(documents))
    table = Contamination(folder, min_hits=2).texts.to_pylist()
    event(f"{len(hits)} hits")
    found = {
        (document, table[text]["item"]): (count, bool(enough))
        for document, text, count, enough in zip(
            hits.documents.tolist(), hits.texts.tolist(), hits.num_found.tolist(), hits.contaminates.tolist(), strict=True
        )
    }
    assert found == slow_hits(texts, documents, min_hits=2)


def test_thirteen_words_are_an_ngram_and_shares_of_scripts_add_up() -> None:
    def weight(text: str) -> int:
        return sum(read(text)[1])

    for unit, count in (("word ", 13), ("漢", 21), ("ก", 70), ("의 ", 9), ("か", 40), ("7 ", 39), ("ກ", 70)):
        assert weight(unit * count) >= ng.FULL > weight(unit * (count - 1)), unit
    assert weight("漢" * 11 + " word" * 7) >= ng.FULL > weight("漢" * 10 + " word" * 6)


def test_a_document_longer_than_a_block_is_read_as_one(tmp_path: Path) -> None:
    item = " ".join(f"item{k}" for k in range(40))
    contamination = Contamination(index_of(tmp_path, {"task/test": [{"text": item}]}), min_hits=1)
    for before in range(ng.BLOCK_UNITS - 60, ng.BLOCK_UNITS + 20):
        text = " ".join(f"w{k}" for k in range(before)) + " " + item + " end"
        assert contamination.hits(TextBatch.from_texts([text])).num_found.tolist() == [28], before


def test_a_copy_of_the_set_is_read_no_further_and_the_next_document_is(tmp_path: Path) -> None:
    item = " ".join(f"item{k}" for k in range(ng.MAX_TEXT_HITS + 500))
    contamination = Contamination(index_of(tmp_path, {"task/test": [{"text": item}]}), min_hits=1)
    hits = contamination.hits(TextBatch.from_texts([item] * 40 + ["nothing"] + [item]))  # more hits than one call has room for
    assert hits.documents.tolist() == [*range(40), 41]
    assert set(hits.num_found.tolist()) == {ng.MAX_TEXT_HITS}


def test_a_filter_that_says_always_perhaps_changes_no_hit(tmp_path: Path) -> None:
    items = [" ".join(f"x{k}y{n}" for k in range(9 + n)) for n in range(12)]
    contamination = Contamination(index_of(tmp_path, {"task/test": [{"text": text} for text in items]}), min_hits=1)
    batch = TextBatch.from_texts([" ".join(items), "none of them"])
    expected = contamination.hits(batch)
    everything = np.full(1, ~np.uint64(0))
    everything.flags.writeable = False
    contamination.index = contamination.index._replace(filter=everything)
    assert len(expected) == 12
    assert contamination.hits(batch).texts.tolist() == expected.texts.tolist()


@pytest.mark.parametrize(
    ("units", "whole_percent", "said"),
    [
        ({"word": 13, "number": 39, "code_point": 70, "Klingon": 9}, 60, "Klingon"),
        ({"word": 0, "number": 39, "code_point": 70}, 60, "0 units"),
        ({"word": 13, "number": 257, "code_point": 70}, 60, "257"),
        ({"word": 13, "code_point": 70}, 60, "number"),
        ({"word": 13, "number": 39, "code_point": 70}, 0, "whole_percent"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(units: dict[str, int], whole_percent: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        NgramShape(units=units, whole_percent=whole_percent)
