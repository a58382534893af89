"""Korean identifiers: what is found, what is left alone, and that nothing else changes. All numbers are invented."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglot_lm.masking import TOKENS, countries_with_rules, mask, rules
from polyglot_lm.pipeline import UserError

HANGUL = st.text("가나다라마바사이오우 ,!?\n", max_size=12)
PHONES = (
    "010-1234-5678 010.1234.5678 01012345678 016-123-4567 02-123-4567 02-1234-5678 031-123-4567 (064)123-4567 070-1234-5678 "
    "0505-123-4567 1588-9999 1577-1577 1666-0000 +82-10-1234-5678 +821012345678 +82-2-123-4567 +82(0)10-1234-5678"
).split()
PHONES += ["010 1234 5678", "02) 123-4567", "+82 10 1234 5678"]
RESIDENTS = "900101-1234567 9001011234567 000229-3000000 991231-2987654 850615-5123456 120731-8999999".split()
RESIDENTS += ["900101 1234567"]
ACCOUNTS = (
    "110-234-567890 123456-78-901234 1002-123-456789 123-456789-01234 302-1234-5678-91 3333-01-1234567 1000-1234-5678 "
    "123-456789-01-234 123-20-456789"
).split()


def masked(text: str) -> str:
    return mask(text, countries=["kr"]).text


def masked_and_counts(text: str) -> tuple[str, dict[str, int]]:
    found = mask(text, countries=["kr"])
    return found.text, found.counts


@pytest.mark.parametrize("number", PHONES)
def test_a_telephone_number_is_masked(number: str) -> None:
    assert masked_and_counts(f"연락처{number}로 주세요") == ("연락처<|tell|>로 주세요", {"tell": 1})
    assert masked(number) == "<|tell|>"


@pytest.mark.parametrize("number", RESIDENTS)
def test_a_resident_registration_number_is_masked(number: str) -> None:
    assert masked_and_counts(f"주민번호는{number}입니다.") == ("주민번호는<|rrn|>입니다.", {"rrn": 1})


@pytest.mark.parametrize("number", ACCOUNTS)
@pytest.mark.parametrize("before", ["계좌번호: ", "신한은행 ", "예금주 홍길동 "])
def test_an_account_is_masked_near_a_word_for_it(before: str, number: str) -> None:
    assert masked_and_counts(f"{before}{number}으로") == (f"{before}<|acc|>으로", {"acc": 1})


@pytest.mark.parametrize("number", ["9002-1234-5678-9", "508-12-345678-9"])
def test_an_account_that_ends_in_one_check_digit_is_masked(number: str) -> None:
    assert masked(f"새마을금고 {number}으로") == "새마을금고 <|acc|>으로"


def test_an_account_without_separators_needs_the_word_itself() -> None:
    assert masked("계좌 11023456789012 입니다") == "계좌 <|acc|> 입니다"
    assert masked("은행 고객번호 11023456789012 입니다") == "은행 고객번호 11023456789012 입니다"


@pytest.mark.parametrize(
    "text",
    [
        "2022-09-18에 은행에서 만나요",
        "계좌 개설일 2022-09-18",
        "2022-09-18 02:12:34",
        "1,234-567-890",
        "입금액 1,234-567-890",
        "버전 1.2.3.4와 10.15.7, v2.0.1-3",
        "가격은 1,012,345,678원, 12,345원입니다",
        "주민번호 901301-1234567",
        "주민번호 900132-1234567",
        "주민번호 900101-9234567",
        "주문번호 1234-567-890123",
        "운송장 110-234-567890",
        "주문번호 20220918-001234",
        "학번 2022123456",
        "우편번호 06236, 12345-678",
        "번호 12010-1234-5678, 010-1234-56789",
        "IPv4 192.168.0.1",
        "",
    ],
)
def test_what_is_no_identifier_is_left_alone(text: str) -> None:
    assert masked_and_counts(text) == (text, {})


@pytest.mark.parametrize("text", ["임진왜란(1592-1598)", "정약용은 1762-1836년을 살았다", "1899-1945년의 역사"])
def test_a_span_of_years_is_no_telephone_number(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("text", ["값은 0.0212345678이다", "3.01012345678", "버전 1.02.123.4567"])
def test_the_decimals_of_a_number_are_no_telephone_number(text: str) -> None:
    assert masked(text) == text


def test_an_account_is_not_half_eaten_by_the_rule_for_telephones() -> None:
    for number in ("110-234-567890", "302-0212-3456-78", "3333-01-0123456"):
        assert masked(f"송금은 {number}") == "송금은 <|acc|>"


def test_several_identifiers_in_one_document_are_counted() -> None:
    text = "홍길동 900101-1234567\n전화 010-1234-5678, 02-123-4567\n국민은행 123456-78-901234, 계좌 110-234-567890 "
    expected = "홍길동 <|rrn|>\n전화 <|tell|>, <|tell|>\n국민은행 <|acc|>, 계좌 <|acc|> "
    assert masked_and_counts(text) == (expected, {"acc": 2, "rrn": 1, "tell": 2})


@settings(deadline=None, max_examples=80)
@given(before=HANGUL, number=st.sampled_from([*PHONES, *RESIDENTS]), after=HANGUL)
def test_the_text_around_an_identifier_is_kept(before: str, number: str, after: str) -> None:
    found = masked(f"{before}{number}{after}")
    token = TOKENS["rrn" if number in RESIDENTS else "tell"]
    assert found == f"{before}{token}{after}"


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(HANGUL, st.sampled_from([*PHONES, *RESIDENTS, "1,234", "2022-09-18", *(f"계좌 {n}" for n in ACCOUNTS)]))))
def test_masked_text_has_nothing_left_to_mask(pieces: list[tuple[str, str]]) -> None:
    once = masked(" ".join(f"{words} {number}" for words, number in pieces))
    assert masked_and_counts(once) == (once, {})


def test_a_token_that_is_shorter_than_its_number_brings_no_word_nearer() -> None:
    once = masked("계좌 문의는 010-1234-5678 이니까요 110-234-567890")
    assert masked(once) == once


@settings(deadline=None, max_examples=80)
@given(st.text("가나010-9 .,()+계좌은행", max_size=60))
def test_whatever_the_text_what_is_not_replaced_stays_in_order(text: str) -> None:
    found, counts = masked_and_counts(text)
    pieces = re.split("|".join(map(re.escape, TOKENS.values())), found)
    at = 0
    for piece in pieces:
        at = text.index(piece, at) + len(piece)
    assert text.startswith(pieces[0])
    assert text.endswith(pieces[-1])
    assert len(pieces) - 1 == sum(counts.values())


def test_a_country_without_rules_is_said_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"no masking rules for 'atlantis'; there are rules for .*kr"):
        mask("글", countries=["atlantis"])
    assert countries_with_rules(("atlantis", "kr")) == ("kr",)
    assert {rule.kind for rule in (*rules("kr"), *rules("any"))} == TOKENS.keys()
