"""Formulas that many documents share leave the index; everything else in it stays."""

from pathlib import Path

import pytest
from decontaminate_twin import index_of

from polyglot_lm.corpus.common_ngrams import drop_common
from polyglot_lm.corpus.decontaminate import Contamination
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import DocumentWriter, part_path

FORMULA = "passed by the national assembly of the republic in its ninth session on the first day"
QUESTION = f"Which of the two laws on fishing boats was {FORMULA} and signed by a minister who had never been at sea?"
OTHER = "Why did the beekeeper of the northern valley paint every second hive yellow before the long winter came again?"


def contaminated(index: Path, texts: list[str]) -> list[int]:
    return Contamination(index, min_hits=2).hits(TextBatch.from_texts(texts)).contaminated.tolist()


def write(folder: Path, texts: list[str]) -> Path:
    with DocumentWriter(part_path(folder, 0)) as writer:
        for number, text in enumerate(texts):
            writer.write({"id": f"{number}", "text": text})
    return folder


def test_a_formula_of_many_documents_condemns_no_more_and_the_rest_of_its_item_does(tmp_path: Path) -> None:
    index = index_of(tmp_path, {"quiz/test": [{"question": QUESTION}, {"question": OTHER}]})
    asked = [f"Law {number}, {FORMULA}, on bees. {FORMULA}" for number in range(3)] + [QUESTION, OTHER]
    assert contaminated(index, asked) == [0, 1, 2, 3, 4]
    laws = write(tmp_path / "documents", [f"Law {number}, {FORMULA}, on bees." for number in range(3)] + ["other", OTHER])
    for most, expected in ((2, [3, 4]), (3, [0, 1, 2, 3, 4])):
        out = tmp_path / f"less-{most}"
        out.mkdir()
        counters = drop_common(out, index=index, documents=(laws,), max_documents=most)
        assert contaminated(out, asked) == expected
        assert counters["documents"] == 5
        assert counters["common_ngrams"] == (4 if most == 2 else 0)  # 16 words of formula


def test_a_bound_of_no_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_documents"):
        drop_common(tmp_path, index=tmp_path, documents=(), max_documents=0)
