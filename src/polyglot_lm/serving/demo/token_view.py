"""How a tokenizer cut a text: its pieces in colours, what it cost, and what the same content would cost in English.

In: a text and the tokens an engine made of it. Out: HTML. Two premiums are shown and never mixed. *Measured*: tokens of the
opening in a language over tokens of the English one that says the same. *Estimated*, for a text of the reader's own, where nobody
knows its English: its bytes over the language's byte premium (the table's, of FLORES-200) are the English bytes of the same
content, and these cost as many tokens a byte as the English opening does.

Tokens of byte-level tokenizers may end inside a character. Such a token has no text of its own (U+FFFD): the characters it
shares with its neighbours are shown as one piece with the number of tokens they took.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyglot_lm.corpus.identify import count_scripts, identify_batch
from polyglot_lm.languages import languages
from polyglot_lm.pages.page import figure, figures, number, table
from polyglot_lm.serving.demo.openings import openings
from polyglot_lm.serving.demo.panels import escaped

REFERENCE = "en"  # what the table's byte premiums are against
COLOURS = 6
BROKEN = "\ufffd"
MAX_PIECES = 600  # shown; figures are of the whole text


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of whole characters and the number of tokens it took, more than one where tokens end inside a character."""

    text: str
    num_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a text costs a model to read."""

    num_tokens: int
    num_bytes: int

    @property
    def bytes_per_token(self) -> float:
        return self.num_bytes / max(1, self.num_tokens)


def cost(text: str, tokens: Sequence[str]) -> Cost:
    return Cost(num_tokens=len(tokens), num_bytes=len(text.encode()))


def pieces(text: str, tokens: Sequence[str]) -> list[Piece]:
    """Join tokens that share characters, so that all pieces together are the text.

    The characters of broken tokens reach to the next whole token, past one at least and past the whole ones that they hold. Where
    the tokens do not spell the text (a tokenizer that normalises it), they are shown as they are.
    """
    found, at, broken, whole = list[Piece](), 0, 0, 0
    for token in tokens:
        if BROKEN in token:
            broken, whole = broken + 1, whole + len(token.replace(BROKEN, ""))
            continue
        start = text.find(token, at + 1 + whole) if broken else at
        if start < 0 or not text.startswith(token, start):
            return [Piece(token, 1) for token in tokens]
        found += [Piece(text[at:start], broken)] if broken else []
        found.append(Piece(token, 1))
        at, broken, whole = start + len(token), 0, 0
    if broken and at < len(text):
        found.append(Piece(text[at:], broken))
        at = len(text)
    return found if at == len(text) else [Piece(token, 1) for token in tokens]


def measured_premium(costs: Mapping[str, Cost], code: str) -> float | None:
    """Return the tokens of the opening in a language over those in English, or None where one was not measured."""
    if code not in costs or REFERENCE not in costs:
        return None
    return costs[code].num_tokens / costs[REFERENCE].num_tokens


def english_tokens(spent: Cost, code: str, english: Cost) -> float:
    """Return how many tokens English of the same content would cost, estimated by bytes."""
    return spent.num_bytes / languages()[code].byte_premium / english.bytes_per_token


def language_of(text: str) -> str | None:
    """Return the language of the table that a text is in, None where that is open."""
    (code,), _ = identify_batch([text], count_scripts([text]))
    return code if code in languages() else None


def token_view(text: str, tokens: Sequence[str], costs: Mapping[str, Cost]) -> str:
    """Draw one text as this tokenizer cut it; `costs` are those of the openings, by language."""
    spent = cost(text, tokens)
    premium, story = premium_of(text, spent, costs)
    parts = [
        figure(number(spent.num_tokens), "tokens"),
        figure(number(spent.num_bytes), "bytes of UTF-8"),
        figure(f"{spent.bytes_per_token:.2f}", "bytes a token"),
        figure(*premium),
    ]
    return f'{figures(parts)}{drawn(pieces(text, tokens))}<p class="note">{story}</p>'


def premium_of(text: str, spent: Cost, costs: Mapping[str, Cost]) -> tuple[tuple[str, str], str]:
    """Return the premium with its name, and in a sentence how it was found."""
    opening = next((code for code, known in openings().items() if known == text), "")
    if premium := measured_premium(costs, opening):
        english_count = number(costs[REFERENCE].num_tokens)
        story = f"Measured: {number(spent.num_tokens)} tokens here, {english_count} for the English example, which says the same."
        return (f"{premium:.2f} ×", "premium, measured"), story
    code = language_of(text)
    if code is None or REFERENCE not in costs:
        return ("–", "premium"), "The language of this text is open, so it is compared with none."
    if code == REFERENCE:
        return ("–", "premium"), "The premium of a text is against English, and this is."
    language, english = languages()[code], english_tokens(spent, code, costs[REFERENCE])
    same = spent.num_bytes / language.byte_premium
    story = (
        f"Estimated: {number(spent.num_bytes)} bytes of {language.english_name} say about what {same:,.0f} bytes of English say "
        f"(byte premium {language.byte_premium:g}, of FLORES-200); these would take {english:,.0f} tokens, at the "
        f"{costs[REFERENCE].bytes_per_token:.2f} bytes a token of the English example."
    )
    return (f"{spent.num_tokens / english:.2f} ×", "premium, estimated"), story


def drawn(cut: Sequence[Piece]) -> str:
    """Draw pieces as coloured marks; what took several tokens says how many."""
    marks = "".join(mark(place, piece) for place, piece in enumerate(cut[:MAX_PIECES]))
    rest = f'<p class="note">… and {number(len(cut) - MAX_PIECES)} more pieces</p>' if len(cut) > MAX_PIECES else ""
    return f'<div class="pieces" translate="no">{marks}</div>{rest}'


def mark(place: int, piece: Piece) -> str:
    several = f"<sub>{piece.num_tokens}</sub>" if piece.num_tokens > 1 else ""
    title = f"{piece.num_tokens} token{'s' * (piece.num_tokens > 1)}, {len(piece.text.encode())} bytes"
    shown = escaped(piece.text).replace("\n", "↵<br>")
    return f'<span class="t{place % COLOURS}" title="{title}">{shown}{several}</span>'


def openings_table(costs: Mapping[str, Cost]) -> str:
    """Draw what the same opening costs in every language, with the measured premium as a bar."""
    dearest = max((cost.num_tokens for cost in costs.values()), default=1)
    rows = [
        (
            f'<span title="{html.escape(languages()[code].english_name)}">{html.escape(languages()[code].name)}</span>',
            number(found.num_tokens),
            f"{found.bytes_per_token:.2f}",
            f"{premium:.2f} ×" if (premium := measured_premium(costs, code)) else "–",
            f'<td class="bar"><i style="width:{100 * found.num_tokens / dearest:.0f}%"></i></td>',
        )
        for code, found in costs.items()
    ]
    story = "<h4>The same opening in every language</h4>"
    hint = '<p class="note">Measured on this one text; <code>polyglot tokenizer report</code> measures on your own.</p>'
    return f'{story}<div class="costs">{table(("", "Tokens", "Bytes a token", "Premium", ""), rows)}</div>{hint}'
