"""The words that tell languages apart: enough of them, in lower case, and no marker that its rival uses."""

import pytest

from polyglot_lm.languages import Words, languages, words


@pytest.mark.parametrize("code", [code for code, entry in languages().items() if entry.rivals])
def test_languages_with_rivals_have_function_words(code: str) -> None:
    assert len(words(code).common) >= 40
    assert all(word == word.lower() and word.isalpha() for word in words(code).common)


@pytest.mark.parametrize(("one", "other"), [("id", "ms"), ("ja", "zh")])
def test_markers_belong_to_one_language_alone(one: str, other: str) -> None:
    assert not words(one).markers & words(other).markers
    assert min(len(words(one).markers), len(words(other).markers)) >= 75
    assert all(marker == marker.lower() for marker in words(one).markers | words(other).markers)


@pytest.mark.parametrize("code", ["ja", "zh"])
def test_markers_of_languages_without_spaces_are_characters(code: str) -> None:
    assert all(len(marker) == 1 for marker in words(code).markers)


def test_a_language_without_words_has_none() -> None:
    assert words("ko") == words("xx") == Words()
