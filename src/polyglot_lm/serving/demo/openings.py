"""An opening per language to try a model with, and in which languages a model is.

The openings are data (`openings.toml`) and say the same in every language. A model's languages come from its card (`language:`
in the front matter of README.md), else from the proof of its export; where neither says, all of the table are shown.
"""

import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import read_json
from polyglot_lm.release.card import CARD_FILE
from polyglot_lm.release.proof import PROOF_FILE

OPENINGS = Path(__file__).with_name("openings.toml")
FENCE = "---"


@functools.cache
def openings() -> dict[str, str]:
    """Return the openings that say the same, by language in the order of the table."""
    found = tomllib.loads(OPENINGS.read_text(encoding="utf-8"))
    return {code: found[code] for code in languages() if code in found}


def example(code: str) -> str:
    """Return the text to try a language with."""
    return openings().get(code) or languages()[code].prompt


def shown_languages(folders: Iterable[Path | None]) -> list[str]:
    """Return the languages of the table that any of the models has, in the table's order."""
    wanted = set[str]()
    for folder in folders:
        wanted |= set(languages_of(folder)) if folder else set()
    return [code for code in languages() if code in wanted] or list(languages())


def languages_of(folder: Path) -> list[str]:
    """Return the languages of a model's folder, as its card or else its export's proof names them; none where neither does."""
    if (folder / CARD_FILE).exists() and (named := card_languages((folder / CARD_FILE).read_text(encoding="utf-8"))):
        return named
    return list(read_json(folder / PROOF_FILE).get("languages", {})) if (folder / PROOF_FILE).exists() else []


def card_languages(card: str) -> list[str]:
    """Return the items of `language:` in a card's front matter, a list of YAML or one code; the hub writes it in both ways."""
    lines = iter(front_matter(card))
    for line in lines:
        if line.startswith("language:"):
            if value := line.removeprefix("language:").strip(" []"):
                return [code.strip(" '\"") for code in value.split(",")]
            break
    listed = []
    for line in lines:
        if not line.lstrip().startswith("- "):
            break
        listed.append(line.strip(" -'\""))
    return listed


def front_matter(card: str) -> list[str]:
    """Return the lines between the two fences at a card's head, none where it has no such head."""
    first, *lines = card.splitlines() or [""]
    return lines[: lines.index(FENCE)] if first == FENCE and FENCE in lines else []
