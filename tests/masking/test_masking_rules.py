"""The rule files: every example in them is found, whole and as its kind, and every counter-example left alone."""

import re

import pytest

from polyglot_lm.languages import languages
from polyglot_lm.masking import KINDS, mask, rules
from polyglot_lm.masking.rules import EVERYWHERE, RULES, Rule

COUNTRIES = sorted(path.stem for path in RULES.glob("*.toml"))
ALL = [rule for country in COUNTRIES for rule in rules(country)]
EXAMPLES = [(rule, text) for rule in ALL for text in rule.yes]
COUNTER_EXAMPLES = [(rule, text) for rule in ALL for text in rule.no]
OPEN_REPEAT = re.compile(r"(?<!\\)[*+](?![^\[]*\])|\{\d*,\}")


def country_of(rule: Rule) -> list[str]:
    return [rule.country] if rule.country != EVERYWHERE else []


@pytest.mark.parametrize(("rule", "marked"), EXAMPLES, ids=lambda value: getattr(value, "name", value))
def test_an_example_is_found_by_its_rule(rule: Rule, marked: str) -> None:
    text = marked.replace("《", "").replace("》", "")
    found = mask(text, countries=country_of(rule))
    assert [(span.start, span.end) for span in found.spans] == [(marked.index("《"), marked.index("》") - 1)]
    assert found.spans[0].kind == rule.kind


@pytest.mark.parametrize(("rule", "text"), COUNTER_EXAMPLES, ids=lambda value: getattr(value, "name", value))
def test_a_counter_example_is_not_taken_by_its_rule(rule: Rule, text: str) -> None:
    assert rule.name not in [span.rule for span in mask(text, countries=country_of(rule)).spans]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: f"{rule.country}: {rule.name}")
def test_a_rule_is_bounded_has_examples_and_a_known_kind(rule: Rule) -> None:
    assert not OPEN_REPEAT.search(rule.source.decode().replace(r"\+", ""))
    assert rule.kind in KINDS
    assert rule.yes and rule.no
    assert "context" not in rule.needs or rule.words
    assert rule.needs <= {"context", "beside"} | {name for name, _, _ in (*rule.must, *rule.may)}


def test_every_language_has_the_rules_of_its_countries() -> None:
    assert {country for language in languages().values() for country in language.countries} | {EVERYWHERE} == set(COUNTRIES)


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_country_knows_every_number_it_has(country: str) -> None:
    kinds = {rule.kind for rule in (*rules(country), *rules(EVERYWHERE))}
    assert kinds == set(KINDS) or country == EVERYWHERE
