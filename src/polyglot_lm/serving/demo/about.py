"""What stands around the prompt: the head with its warning and the cards, what the guard checks, what became of a review."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from polyglot_lm.languages import languages
from polyglot_lm.pages.page import number, table
from polyglot_lm.release.card import CARD_FILE
from polyglot_lm.serving.demo.panels import KINDS, escaped, notice_box
from polyglot_lm.serving.guard.guard import Coverage
from polyglot_lm.serving.moderation import Guard

LIMITS = (
    "A base model continues a text. It follows no instructions, states falsehoods fluently, and may write what offends; "
    "nothing here is advice."
)
MODES = {
    "off": "The guard is off: nothing is checked.",
    "log": "The guard keeps a log of what it would have done, and changes nothing.",
    "enforce": "The guard reads prompts before the model does, and what the model writes before you do. It misses things.",
}
EVERYWHERE = (
    '<p class="note">Cards, e-mail and IP addresses are found in every language; names and places in none. Where there is no '
    "classifier, no labelled sentences with an open licence were found, and word lists are all there is.</p>"
)
NOT_RELEASED = "Nothing was released under this number: it waits for a curator, was rejected, or its time of keeping is over."


def head(names: Sequence[str], folders: Mapping[str, Path | None]) -> str:
    links = "".join(
        f'<a href="card/{quote(name)}" target="_blank">Model card{f" of {escaped(name)}" if len(names) > 1 else ""}</a>'
        for name in names
        if has_card(folders.get(name))
    )
    title = escaped(names[0]) if len(names) == 1 else "Polyglot"
    return f'<div class="head"><h1>{title}</h1><nav>{links}</nav><p>{LIMITS}</p></div>'


def has_card(folder: Path | None) -> bool:
    return folder is not None and (folder / CARD_FILE).exists()


def guard_note(guard: Guard | None) -> str:
    """Say how the guard stands and what it checks in each language."""
    mode = f"<p>{MODES[guard.mode if guard else 'off']}</p>"
    if guard is None or guard.mode == "off":
        return mode
    rows = table(("", "Listed words", "Classifier", "Personal information"), map(coverage_row, guard.coverage()))
    return f'{mode}<div class="words">{rows}</div>{EVERYWHERE}'


def coverage_row(covered: Coverage) -> tuple[str, ...]:
    learned = f"learned from {number(covered.sentences)} sentences, {number(covered.offensive)} of them offensive"
    return (
        escaped(languages()[covered.language].name),
        number(covered.listed_words),
        f"{', '.join(covered.classifier)}; {learned}" if covered.classifier else "none",
        ", ".join(KINDS[kind] for kind in covered.personal_information) or "–",
    )


def released_note(refusal: str, text: str | None) -> str:
    """Say what became of a review: the text as the curator let it go, or that there is none."""
    if refusal:
        return notice_box("refuse", "Not looked up", escaped(refusal))
    if text is None:
        return notice_box("hold", "Not released", NOT_RELEASED)
    return notice_box("allow", "Released by a curator", f'<p class="released" dir="auto">{escaped(text)}</p>')
