"""The table of languages: complete, consistent, and its byte premiums as FLORES-200 has them."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import SENTENCES

from polyglot_lm.languages import language, languages, select
from polyglot_lm.languages.table import read_entry
from polyglot_lm.pipeline import UserError

FLORES = Path(__file__).parents[3] / "shared" / "data" / "parallel"
PARTS = ("flores200_dev.jsonl.zst", "flores200_devtest.jsonl.zst")


def test_the_table_has_the_eight_languages() -> None:
    assert languages().keys() == SENTENCES.keys()
    assert languages()["ko"].name == "한국어"
    assert len({f"{entry.iso639_3}_{entry.script}" for entry in languages().values()}) == 8


@pytest.mark.parametrize("code", SENTENCES)
def test_an_entry_fits_the_others(code: str) -> None:
    entry = language(code)
    assert entry.code == code
    assert entry.byte_premium > 0
    assert entry.supply_bytes > 0
    assert entry.supply_english_bytes == pytest.approx(entry.supply_bytes / entry.byte_premium)
    assert set(entry.signature) <= set(entry.scripts)
    assert all(set(language(rival).scripts) & set(entry.scripts) for rival in entry.rivals)
    assert code not in entry.rivals
    assert entry.prompt


def test_a_premium_that_is_not_positive_is_refused() -> None:
    fields = {name: getattr(language("ko"), name) for name in type(language("ko")).__slots__ if name != "code"}
    assert read_entry("ko", fields) == language("ko")
    with pytest.raises(ValueError, match="byte_premium is 0; it must be positive"):
        read_entry("ko", {**fields, "byte_premium": 0})


def test_languages_are_selected_in_the_order_given() -> None:
    assert [entry.code for entry in select(["th", "en", "ko"])] == ["th", "en", "ko"]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (["ko", "kor"], r"unknown language 'kor' \(did you mean ko\?\); known are .*vi"),
        (["xx"], "unknown language 'xx'; known are"),
        (["ko", "en", "ko"], "language 'ko' is given twice"),
        ([], "no language given; choose from .*ko"),
    ],
)
def test_a_wrong_choice_is_said_in_a_sentence(codes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        select(codes)


@pytest.mark.skipif(not all((FLORES / part).exists() for part in PARTS), reason="FLORES-200 is not here")
def test_byte_premiums_are_those_of_flores() -> None:
    total = dict.fromkeys(SENTENCES, 0)
    for part in PARTS:
        with pa.input_stream(str(FLORES / part), compression="zstd") as stream:
            for line in stream.read().splitlines():
                row = json.loads(line)
                for code in total:
                    total[code] += len(row[code].encode())
    for code, entry in languages().items():
        assert entry.byte_premium == pytest.approx(total[code] / total["en"], abs=0.002)
