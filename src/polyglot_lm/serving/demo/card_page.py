"""A model's card as a page of its own, drawn here from the Markdown of its folder.

HTML in the card stays text. Pictures of the model's own folder are put into the page, of others only their words remain: a card
opens without a network, and nobody else learns who reads it.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from polyglot_lm.pages.page import html_page
from polyglot_lm.release.card import CARD_FILE
from polyglot_lm.serving.demo.openings import front_matter

PICTURES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
STYLE = "th, td { text-align: left; white-space: normal; } img { max-width: 100%; } p { overflow-wrap: anywhere; }"


def card_page(folder: Path) -> str:
    """Return the card as HTML; raises FileNotFoundError where the folder has none."""
    card = (folder / CARD_FILE).read_text(encoding="utf-8")
    front = front_matter(card)
    lines = card.splitlines()[len(front) + 2 if front else 0 :]
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse("\n".join(line for line in lines if not line.startswith("<!--")))
    title, rest = split_title(tokens, folder.name)
    for token in rest:
        for inner in token.children or ():
            embed(inner, folder)
    body = markdown.renderer.render(rest, markdown.options, {})
    wide = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return html_page(title, [wide], style=STYLE)


def split_title(tokens: Sequence[Token], otherwise: str) -> tuple[str, list[Token]]:
    """Take the first heading off, since the page has its own."""
    if len(tokens) >= 3 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return tokens[1].content, list(tokens[3:])
    return otherwise, list(tokens)


def embed(token: Token, folder: Path) -> None:
    """Make a picture of the folder part of the page, and of any other its words; links lead away without saying from where."""
    if token.type == "link_open":
        token.attrSet("rel", "noreferrer")
    if token.type != "image":
        return
    path = (folder / str(token.attrGet("src"))).resolve()
    if path.suffix in PICTURES and path.is_relative_to(folder.resolve()) and path.is_file():
        token.attrSet("src", f"data:{PICTURES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}")
    else:
        token.type, token.content, token.children = "text", f"[{token.content}]", []
