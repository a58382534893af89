"""docs/masking.md is true: its table of evasions, its kinds and its commands."""

import re
from pathlib import Path

import pytest

from polyglot_lm.languages import languages
from polyglot_lm.masking import KINDS, TOKENS, mask
from polyglot_lm.tokenizer.special import ALIASES

PAGE = (Path(__file__).parents[2] / "docs" / "masking.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.*)` \| (.*) \| (yes|no) \|$", PAGE, re.MULTILINE)
COUNTRIES = tuple(country for language in languages().values() for country in language.countries)


def unescaped(text: str) -> str:
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text).replace("\\n", "\n")


@pytest.mark.parametrize(("written", "how", "found"), ROWS, ids=[how for _, how, _ in ROWS])
def test_the_table_of_evasions_is_true(written: str, how: str, found: str) -> None:
    masked, spans = mask(unescaped(written), countries=COUNTRIES)
    left = sum(letter.isdigit() for letter in masked)
    assert (spans != () and left == 0) == (found == "yes"), masked


def test_the_table_has_both_kinds_of_rows() -> None:
    assert {found for _, _, found in ROWS} == {"yes", "no"}
    assert len(ROWS) >= 20


def test_the_page_names_every_token_and_kind() -> None:
    page = PAGE.replace("\\|", "|")
    assert all(f"`{token}`" in page for token in (*TOKENS.values(), *ALIASES.values()))
    assert all(f"`{kind}`" in page for kind in KINDS)
    assert "Names and street addresses are not masked" in PAGE
