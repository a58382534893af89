"""Mask personal information in text: `mask`."""

import sys
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import comma_separated


def mask_command(
    countries: Annotated[str, typer.Option(help="Whose numbers, by comma.")] = "kr,cn,jp,id,my,vn,th,us",
    kinds: Annotated[str, typer.Option(help="Which kinds, by comma; empty means all.")] = "",
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Show each span, its rule and evidence, and not the text.")] = False,
) -> None:
    """Mask personal information in what comes in; names and street addresses are not masked."""
    from polyglot_lm.masking import KINDS, mask

    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")  # bytes that are no UTF-8 come out as they went in
    chosen = comma_separated(kinds) or KINDS
    masked, spans = mask(text, countries=comma_separated(countries), kinds=chosen)
    lines = (
        f"{s.start}-{s.end}\t{s.kind}\t{s.country}: {s.rule}\t{'; '.join(s.evidence)}\t{text[s.start : s.end]}\n" for s in spans
    )
    sys.stdout.buffer.write(("".join(lines) if explain else masked).encode("utf-8", "surrogateescape"))
