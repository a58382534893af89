"""The parity report: `parity.json` and one page that sets tokenizers side by side on the same sentences.

It draws what `parity` measured and computes nothing of its own.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyglot_lm.languages import languages
from polyglot_lm.pages import html_page, row_chart, table
from polyglot_lm.pipeline import Counters, atomic_text, stage, write_json
from polyglot_lm.tokenizer.parity import CONTEXT, Parallel, measure, read_measurable, read_parallel
from polyglot_lm.tokenizer.policies import ParallelText

FIGURES_FILE, PAGE_FILE = "parity.json", "parity.html"
STYLE = ".scroll svg { min-width: 36rem; }"  # on a telephone one scrolls rather than guess at letters of 6 pixels
LANGUAGE_FIGURES: Mapping[str, tuple[str, str]] = {
    "tokens_per_sentence": ("tokens a sentence", "{:.1f}"),
    "premium": ("premium", "{:.2f}"),
    "bytes_per_token": ("bytes a token", "{:.2f}"),
    "single_byte_share": ("single bytes", "{:.2%}"),
    "partial_share": ("parts of characters", "{:.2%}"),
    "context_english_bytes": (f"English-eq. bytes in {CONTEXT:,} tokens", "{:,.0f}"),
    "vocabulary_used": ("tokens used", "{:,}"),
}
TOKENIZER_FIGURES: Mapping[str, tuple[str, str]] = {
    "vocab_size": ("vocabulary", "{:,}"),
    "mean_tokens_per_sentence": ("tokens a sentence", "{:.2f}"),
    "gini": ("Gini", "{:.4f}"),
    "max_min": ("max/min", "{:.3f}"),
    "vocabulary_used": ("tokens used", "{:,}"),
    "partial_tokens": ("no text alone", "{:,}"),
}


@stage(version=1)
def parity_report(out: Path, *, tokenizer: Path, parallel: ParallelText, languages: tuple[str, ...], reference: str) -> Counters:
    """Write the report of one tokenizer on parallel text."""
    sentences = read_parallel(parallel.path, languages)
    figures = write_parity_report(out, places=[str(tokenizer)], parallel=sentences, reference=reference)
    (measured,) = figures["tokenizers"].values()
    return {key: measured[key] for key in ("mean_tokens_per_sentence", "gini", "max_min")}


def write_parity_report(out: Path, *, places: Sequence[str], parallel: Parallel, reference: str) -> dict[str, Any]:
    """Measure tokenizers (folders, files or hub names) on parallel sentences; write both files and return the figures."""
    named = {name: read_measurable(place) for name, place in names_of(places).items()}
    measured = {name: measure(tokenizer, parallel, reference) for name, tokenizer in named.items()}
    sentences = len(next(iter(parallel.values())))
    figures = {"reference": reference, "sentences": sentences, "context": CONTEXT, "tokenizers": measured}
    write_json(out / FIGURES_FILE, figures)
    with atomic_text(out / PAGE_FILE) as file:
        file.write(page(figures))
    return figures


def names_of(places: Sequence[str]) -> dict[str, str]:
    """Give every tokenizer the shortest end of its path that no other has."""
    places = list(dict.fromkeys(places))
    parts = [place.rstrip("/").removesuffix("/tokenizer.json").split("/") for place in places]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, places, strict=True))


def print_parity(figures: Mapping[str, Any]) -> None:
    """Print the tokenizers, and the tokens of a sentence by language, as a table."""
    from rich.console import Console
    from rich.table import Table

    measured: Mapping[str, Mapping[str, Any]] = figures["tokenizers"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for name in measured:
        table.add_column(name, justify="right")
    for key, (title, form) in TOKENIZER_FIGURES.items():
        table.add_row(title, *(form.format(m[key]) for m in measured.values()))
    for code in next(iter(measured.values()))["languages"]:
        table.add_row(code, *(f"{m['languages'][code]['tokens_per_sentence']:.1f}" for m in measured.values()))
    Console().print(table)


def page(figures: Mapping[str, Any]) -> str:
    measured: Mapping[str, Mapping[str, Any]] = figures["tokenizers"]
    codes = list(next(iter(measured.values()))["languages"])

    def drawn(figure: str) -> str:
        groups = {name_of(code): {name: m["languages"][code][figure] for name, m in measured.items()} for code in codes}
        title, form = LANGUAGE_FIGURES[figure]
        known = all(value is not None for group in groups.values() for value in group.values())
        return f"<h2>{html.escape(title)}</h2>{chart(groups, title, form)}" if known else ""

    sections = [
        f'<p class="note">{figures["sentences"]:,} parallel sentences in {len(codes)} languages. Premium: tokens against '
        f"{html.escape(figures['reference'])}. English-equivalent bytes: the bytes that the same content takes there. Gini and "
        "max/min are of tokens a sentence over the languages.</p>",
        named_table({name: row(m, TOKENIZER_FIGURES) for name, m in measured.items()}, "tokenizer"),
        *(drawn(figure) for figure in ("tokens_per_sentence", "premium", "context_english_bytes")),
        "<h2>vocabulary by script</h2>",
        chart(by_script(measured), "tokens by script", "{:,.0f}"),
        *(f"<h2>{html.escape(name)}</h2>{language_table(m)}" for name, m in measured.items()),
    ]
    return html_page("Tokenizer parity", sections, style=STYLE)


def chart(groups: Mapping[str, Mapping[str, float]], title: str, form: str) -> str:
    return f'<div class="scroll">{row_chart(groups, title=title, form=form)}</div>'


def by_script(measured: Mapping[str, Mapping[str, Any]], largest: int = 12) -> dict[str, dict[str, float]]:
    """Return tokens by script and tokenizer, the scripts with the most tokens first and the rest together."""
    scripts = dict.fromkeys(script for m in measured.values() for script in m["vocabulary_by_script"])
    order = sorted(scripts, key=lambda script: -sum(m["vocabulary_by_script"].get(script, 0) for m in measured.values()))
    groups = {
        script: {name: m["vocabulary_by_script"].get(script, 0) for name, m in measured.items()} for script in order[:largest]
    }
    if rest := order[largest:]:
        groups["other"] = {name: sum(m["vocabulary_by_script"].get(s, 0) for s in rest) for name, m in measured.items()}
    return groups


def language_table(measured: Mapping[str, Any]) -> str:
    return named_table(
        {f"{name_of(code)} {code}": row(language, LANGUAGE_FIGURES) for code, language in measured["languages"].items()}, ""
    )


def name_of(code: str) -> str:
    """Return a language's own name, or the code of one that is not in the table."""
    return languages()[code].name if code in languages() else code


def row(values: Mapping[str, Any], figures: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    return {title: "" if values[key] is None else form.format(values[key]) for key, (title, form) in figures.items()}


def named_table(rows: Mapping[str, Mapping[str, str]], corner: str) -> str:
    titles = (corner, *next(iter(rows.values())))
    lines = [[html.escape(cell) for cell in (name, *values.values())] for name, values in rows.items()]
    return table(map(html.escape, titles), lines)
