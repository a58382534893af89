"""Openings for every language, and the languages of a model from its card or proof."""

from pathlib import Path

import pytest

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import write_json
from polyglot_lm.serving.demo.openings import card_languages, example, front_matter, languages_of, openings, shown_languages
from polyglot_lm.serving.demo.token_view import language_of


@pytest.mark.parametrize("code", languages())
def test_every_language_has_an_opening_in_itself_that_waits_to_be_continued(code: str) -> None:
    assert language_of(openings()[code]) == code
    assert example(code) == openings()[code]
    assert openings()[code].strip() == openings()[code]
    assert openings()[code][-1] not in ".。!?"


@pytest.mark.parametrize(
    ("card", "codes"),
    [
        ("---\nlanguage:\n- ko\n- en\nlicense: mit\n---\n# A\n", ["ko", "en"]),
        ("---\nlanguage:\n  - ko\n  - 'ja'\n---\n", ["ko", "ja"]),
        ("---\nlicense: mit\nlanguage: [ko, th]\n---\n", ["ko", "th"]),
        ("---\nlanguage: vi\n---\n", ["vi"]),
        ("---\nlicense: mit\ntags:\n- ko\n---\n", []),
        ("# No front matter\nlanguage: ko\n", []),
        ("---\nlanguage: ko\n", []),
        ("", []),
    ],
)
def test_languages_of_a_card(card: str, codes: list[str]) -> None:
    assert card_languages(card) == codes


def test_front_matter_ends_at_its_fence() -> None:
    assert front_matter("---\na: 1\n---\nb: 2\n---\n") == ["a: 1"]


def test_a_model_without_card_is_in_the_languages_it_was_proved_in(tmp_path: Path) -> None:
    write_json(tmp_path / "proof.json", {"languages": {"th": {}, "xx": {}, "ko": {}}})
    assert languages_of(tmp_path) == ["th", "xx", "ko"]
    assert shown_languages([tmp_path, None]) == ["ko", "th"]
    (tmp_path / "README.md").write_text("---\nlanguage:\n- ja\n---\n", encoding="utf-8")
    assert shown_languages([tmp_path]) == ["ja"]


def test_all_languages_are_shown_where_nothing_is_known(tmp_path: Path) -> None:
    assert shown_languages([None, tmp_path]) == list(languages())
