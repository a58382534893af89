"""What holds for any text: nothing outside the spans changes, masking twice changes nothing, and time is bounded."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.masking import KINDS, Masked, engine, mask
from polyglot_lm.masking.numbers import EVERYWHERE, MAKERS
from polyglot_lm.pipeline import UserError

COUNTRIES = tuple(MAKERS)
PIECES = [
    "계좌",
    "주민번호 ",
    "tel ",
    "账号：",
    "口座 普通 ",
    "NIK ",
    "akaun ",
    "STK ",
    "บัญชี ",
    "SSN ",
    " ",
    "-",
    ".",
    "+",
    ",",
    "(",
    "\u200b",
    "<|tell|>",
]
NUMBERS = [
    "010-1234-5678",
    "900101-1234567",
    "+82 10 1234 5678",
    "110-234-567890",
    "๐๘๑-๒๓๔-๕๖๗๘",
    "a.b@naver.com",
    "4111111111111111",
    "203.104.153.27",
]
ANY_TEXT = st.one_of(st.text(), st.text("0123456789０๑-.+() ,@:aX\u200b", max_size=80))
NEAR_MISSES = st.lists(st.one_of(st.sampled_from([*PIECES, *NUMBERS]), ANY_TEXT), max_size=12).map("".join)


def rebuilt(text: str, found: Masked) -> str:
    pieces, at = [], 0
    for span in found.spans:
        assert span.start >= at
        pieces += [text[at : span.start], span.token]
        at = span.end
    return "".join([*pieces, text[at:]])


@settings(deadline=None, max_examples=400)
@given(st.one_of(ANY_TEXT, NEAR_MISSES))
def test_only_spans_change_and_masking_again_changes_nothing(text: str) -> None:
    found = mask(text, countries=COUNTRIES)
    assert rebuilt(text, found) == found.text
    assert mask(found.text, countries=COUNTRIES) == (found.text, ())


@pytest.mark.parametrize(
    "unit",
    ["7", "12 ", "010-1234-5678 ", "계좌 110-234-567890 ", "1.", "a@", "(0", "0\u200b", "๑", "+1 ", "1:", "90 01 01 1 "],
    ids=repr,
)
def test_megabytes_of_digits_take_seconds(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    start = time.process_time()
    mask(text, countries=["kr"])
    assert time.process_time() - start < 20


def test_five_megabytes_of_digits_take_seconds() -> None:
    start = time.process_time()
    assert mask("7" * 5_000_000, countries=COUNTRIES).spans == ()
    assert time.process_time() - start < 60


CHAIN = [*NUMBERS, "11010519491231002X", "(02)123-4567", "0120-123-456", "2400:cb00:2048:1::c629:d7a2", "+82-10-1234-5678"]


@pytest.mark.parametrize("sign", list("/:,=·~+_|; .-\n()"))
def test_masking_one_number_does_not_free_the_next_and_so_on(monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    """Rounds are few even in a chain, or five megabytes of them would take hours."""
    rounds: list[int] = []
    whole = engine.find
    monkeypatch.setattr(engine, "find", lambda *arguments: rounds.append(1) or whole(*arguments))
    for first in CHAIN:
        for second in CHAIN:
            rounds.clear()
            mask(f"{first}{sign}{second}{sign}" * 8, countries=COUNTRIES)
            assert len(rounds) <= 6, first + sign + second


def test_adjacent_identifiers_are_told_apart() -> None:
    found = mask("010-1234-5678,010-2222-3333/900101-1234567 a@naver.com", countries=["kr"])
    assert found.text == "<|tell|>,<|tell|>/<|rrn|> <|email|>"


def test_a_national_part_gives_way_to_the_whole_number() -> None:
    assert mask("热线+86 139 0522 6399，", countries=["cn"]).text == "热线<|tell|>，"
    assert mask("Call +1 617 428 1161 now", countries=["us"]).text == "Call <|tell|> now"


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_switched_off(kind: str) -> None:
    text = "전화 010-1234-5678 주민 900101-1234567 계좌 110-234-567890 a@naver.com 203.104.153.27 4111-1111-1111-1111"
    text += " 여권 M12345678 사업자 124-81-00998"
    assert set(mask(text, countries=["kr"]).counts) == set(KINDS)
    assert kind not in mask(text, countries=["kr"], kinds=[other for other in KINDS if other != kind]).counts


def test_an_unknown_kind_is_said_in_a_sentence() -> None:
    with pytest.raises(UserError, match="unknown kind of identifier 'name'; known are acc"):
        mask("", countries=[], kinds=["name"])


def test_lone_surrogates_are_kept() -> None:
    assert mask("\udcff 전화 010-1234-5678 \udcfe", countries=["kr"]).text == "\udcff 전화 <|tell|> \udcfe"


def test_every_country_makes_every_kind_of_number() -> None:
    assert all({*makers, *EVERYWHERE} == set(KINDS) for makers in MAKERS.values())
