"""The evaluation kit: labels lie on the numbers, check digits are those of python-stdnum, scores count what they say."""

import importlib
import string
from collections.abc import Callable
from random import Random

import pytest

from polyglot_lm.masking import KINDS, checks, mask
from polyglot_lm.masking.engine import chosen_rules
from polyglot_lm.masking.evaluation import SENTENCES, SETS, Label, Labelled, labelled, read_sentences, score
from polyglot_lm.masking.lookalikes import LOOKALIKES
from polyglot_lm.masking.numbers import EVERYWHERE, MAKERS
from polyglot_lm.masking.rules import gate
from polyglot_lm.masking.zones import windows

TWINS = [
    (checks.kr_rrn, "kr.rrn", 13),
    (checks.cn_resident, "cn.ric", 18),
    (checks.cn_credit_code, "cn.uscc", 18),
    (checks.jp_my_number, "jp.in_", 12),
    (checks.vn_tax, "vn.mst", 10),
    (checks.th_pin, "th.pin", 13),
    (checks.us_routing, "us.rtn", 9),
    (checks.luhn, "luhn", 16),
]
WHOLE = ("cn.ric",)  # whose calc_check_digit takes the number with its digit


@pytest.mark.parametrize(("check", "module", "length"), TWINS, ids=[module for _, module, _ in TWINS])
def test_a_check_digit_is_that_of_stdnum(check: Callable[[str], bool], module: str, length: int) -> None:
    calculate = importlib.import_module(f"stdnum.{module}").calc_check_digit
    rng = Random(module)
    for _ in range(300):
        body = "".join(rng.choice("123456789") for _ in range(length - 1))
        right = calculate(body + "0" if module in WHOLE else body)
        for last in "0123456789X" if module.startswith("cn.") else "0123456789":
            assert check(body + last) == (last == right), body + last


def test_a_japanese_corporate_number_is_valid_when_stdnum_says_so() -> None:
    is_valid = importlib.import_module("stdnum.jp.cn").is_valid
    rng = Random("jp.cn")
    numbers = ["".join(rng.choice("123456789") for _ in range(13)) for _ in range(3000)]
    assert [checks.jp_corporate(number) for number in numbers] == [is_valid(number) for number in numbers]


@pytest.mark.parametrize("number", ["124-81-00998", "220-81-62517", "120-81-47521"])
def test_a_korean_business_number_of_a_known_company_is_valid_and_its_neighbours_are_not(number: str) -> None:
    assert [checks.kr_business(number[:-1] + last) for last in "0123456789"].count(True) == 1
    assert checks.kr_business(number)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("country", MAKERS)
def test_sentences_of_a_set_label_every_main_kind_and_hold_lookalikes(name: str, country: str) -> None:
    sentences = read_sentences(name, country)
    fields = [field for sentence in sentences for _, field, _, _ in string.Formatter().parse(sentence) if field]
    assert set(fields) <= {*KINDS, *LOOKALIKES}
    assert set(KINDS) <= set(fields)
    assert len(set(fields) & LOOKALIKES.keys()) >= 8
    assert len(set(sentences)) == len(sentences)


def test_no_sentence_stands_in_two_sets() -> None:
    every = [sentence for name in SETS for country in MAKERS for sentence in read_sentences(name, country)]
    assert len(set(every)) >= 0.98 * len(every)
    assert {path.name for path in SENTENCES.iterdir()} == set(SETS)


@pytest.mark.parametrize("country", MAKERS)
def test_labels_lie_on_the_numbers_and_a_seed_gives_the_same_texts(country: str) -> None:
    made = list(labelled(country, SETS[-1], seed=7, repeats=2, carriers=["이 문장에는 숫자가 없습니다."]))
    assert made == list(labelled(country, SETS[-1], seed=7, repeats=2, carriers=["이 문장에는 숫자가 없습니다."]))
    assert made != list(labelled(country, SETS[-1], seed=8, repeats=2, carriers=["이 문장에는 숫자가 없습니다."]))
    for example in made:
        for label in example.labels:
            number = example.text[label.start : label.end]
            assert number == number.strip() != ""
            assert label.kind in {**MAKERS[country], **EVERYWHERE}


def test_scores_count_labels_spans_and_destroyed_characters() -> None:
    label = Label(start=3, end=16, kind="tell")
    example = Labelled(text="전화 010-1234-5678 끝 12", country="kr", sentence=0, labels=(label,))
    whole, part = (3, 16, "tell"), (3, 11, "tell")
    for span, kind, found, right, destroyed in [
        (whole, "tell", 1, 1, 0),
        (part, "tell", 0, 1, 0),
        ((1, 18, "tell"), "tell", 1, 1, 4),
        ((3, 16, "acc"), "acc", 0, 0, 0),
        ((17, 18, "tell"), "tell", 0, 0, 1),
    ]:
        scores = score(lambda text, country, span=span: [span], [example], same_kind=True)  # type: ignore[misc]
        assert scores["kr", "tell"].found == found
        assert (scores["kr", kind].spans, scores["kr", kind].right, scores["kr", kind].destroyed) == (1, right, destroyed)
    any_kind = score(lambda text, country: [(3, 16, "acc")], [example], same_kind=False)
    assert any_kind["kr", "tell"].recall == 1 and any_kind["kr", "acc"].precision == 1


@pytest.mark.parametrize("country", MAKERS)
def test_one_look_at_a_window_names_the_rules_that_match_in_it(country: str) -> None:
    chosen = chosen_rules((country,), KINDS)
    matching = gate(chosen)
    for example in labelled(country, SETS[0], seed=3, repeats=2):
        for window in windows(example.text):
            slow = [number for number, rule in enumerate(chosen) if rule.pattern.search(window.data)]
            assert sorted(matching.Match(window.data) or ()) == slow


@pytest.mark.parametrize("country", MAKERS)
def test_what_stands_in_front_of_a_text_moves_its_spans_and_changes_nothing_else(country: str) -> None:
    for example in labelled(country, SETS[0], seed=5, repeats=1):
        plain = mask(f"\n\n{example.text}", countries=[country]).spans
        moved = mask(f"é𝟘\u200b\n\n{example.text}", countries=[country]).spans
        assert [(span.start + 3, span.end + 3, span.kind) for span in plain] == [
            (span.start, span.end, span.kind) for span in moved
        ]
