"""What a report says of masked identifiers: repetition, and nothing of the text."""

import json
import stat
from multiprocessing import get_context
from pathlib import Path

import pytest

from polyglot_lm.masking import mask, report_key, span_records
from polyglot_lm.pipeline import UserError

TEXT = "전화 010-1234-5678, 다시 ０１０ １２３４ ５６７８, 주민번호 900101-1234567"
KEY = b"k" * 32


def records(text: str, key: bytes) -> list[dict[str, str]]:
    return span_records(text, mask(text, countries=["kr"]).spans, key)


def test_records_name_kind_and_rule_and_hold_nothing_of_the_text() -> None:
    found = records(TEXT, KEY)
    assert [record["kind"] for record in found] == ["tell", "tell", "rrn"]
    assert {record["country"] for record in found} == {"kr"}
    said = json.dumps(found)
    assert not any(part in said for part in ("1234", "5678", "900101", "전화"))


def test_the_same_number_has_one_hash_however_it_is_written_and_another_under_another_key() -> None:
    first, second, third = (record["hash"] for record in records(TEXT, KEY))
    assert first == second != third
    assert records(TEXT, KEY) == records(TEXT, KEY)
    assert not {first, third} & {record["hash"] for record in records(TEXT, b"l" * 32)}


def test_a_key_is_drawn_once_and_read_by_the_owner_alone(tmp_path: Path) -> None:
    with get_context("fork").Pool(4) as pool:
        keys = set(pool.map(report_key, [tmp_path / "runs"] * 16))
    assert keys == {report_key(tmp_path / "runs")}
    (file,) = (tmp_path / "runs").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert report_key(tmp_path / "others") not in keys


def test_a_key_cut_short_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "masking.key").write_bytes(b"short")
    with pytest.raises(UserError, match=r"masking\.key has 5 bytes, not 32; delete it"):
        report_key(tmp_path)
