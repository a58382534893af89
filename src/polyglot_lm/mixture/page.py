"""Pages of a mixture: what it gives every source with the first windows, and what a controller decided and why.

Charts are drawn by functions that the caller hands in, bars by group and lines over a number, so that there is one set of charts
in the house; text stays text, so every script renders with the reader's own fonts.
"""

import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from polyglot_lm.mixture.show import Row, Window
from polyglot_lm.mixture.units import UNIT_NAMES, UNITS, shown
from polyglot_lm.pipeline import atomic_text

META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK KR", "Noto Sans Thai", sans-serif; max-width: 820px;
  margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
.scroll { overflow-x: auto; } svg { width: 100%; height: auto; } .note { color: #777; font-size: .9rem; }
"""


class Bars(Protocol):
    """Draws a group of bars for each key, one bar a series, as SVG."""

    def __call__(self, groups: Mapping[str, Mapping[str, float]], *, y_label: str, digits: int) -> str: ...


class Lines(Protocol):
    """Draws named lines over a number, as SVG."""

    def __call__(self, series: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str) -> str: ...


def write_mixture_page(path: Path, rows: Sequence[Row], windows: Sequence[Window], bars: Bars) -> None:
    """Write shares, epochs and content of every source, and the windows of a dry run, if there was one."""
    shares = {row.name: {UNIT_NAMES[unit][1]: 100 * row.shares[unit] for unit in UNITS} for row in rows}
    epochs = {row.name: {"epochs": row.epochs} for row in rows}
    body = [
        "<h2>Shares</h2>" + bars(shares, y_label="% of the reading", digits=1),
        "<h2>Epochs</h2>" + bars(epochs, y_label="times read", digits=2),
        "<h2>Content</h2>" + table(CONTENT_HEADS, map(content_cells, rows)),
    ]
    if windows:
        body.append("<h2>The first windows</h2>" + table(WINDOW_HEADS, map(window_cells, windows)))
    write(path, "Mixture", body)


def write_controller_page(path: Path, decisions: Sequence[Mapping[str, Any]], lines: Lines) -> None:
    """Draw shares, relative competence and the predicted level of all decisions, and tell the last one and its alarms."""
    codes, last = list(decisions[0]["shares"]), decisions[-1]
    over = {key: {code: [(d["progress"], d[key][code]) for d in decisions] for code in codes} for key in ("shares", "competence")}
    level = [(d["progress"], d["target"]) for d in decisions if d["target"] is not None]
    held = ", ".join(last["alarm"]) or "none"
    rows = (
        (
            code,
            f"{last['competence'][code]:.3f}",
            f"{last['wanted'][code]:.1%}",
            f"{last['shares'][code]:.1%}",
            curve_of(last, code),
        )
        for code in codes
    )
    body = [
        f'<p class="note">{len(decisions)} decisions. Languages held at a bound too often: {html.escape(held)}.</p>',
        "<h2>Shares of content</h2>" + lines(over["shares"], x_label="part of the reading", y_label="share"),
        "<h2>Relative competence (bits per byte over the reference; lower is better)</h2>"
        + lines(over["competence"], x_label="part of the reading", y_label="r"),
        "<h2>Worst r that the rest of the reading can reach, as predicted</h2>"
        + (lines({"level": level}, x_label="part of the reading", y_label="r") if level else "<p>never predicted</p>"),
        f"<h2>The last decision ({html.escape(last['method'])})</h2>" + table(("language", "r", "wanted", "share", "curve"), rows),
    ]
    write(path, "Mixture controller", body)


def curve_of(decision: Mapping[str, Any], code: str) -> str:
    curve = decision["curves"].get(code)
    return f"{curve['floor']:.3g} + {curve['scale']:.3g}·n^-{curve['decay']:.2f}" if curve else ""


CONTENT_HEADS = ("source", "language", "content", "%", "bytes", "%", "tokens", "%", "epochs")
WINDOW_HEADS = ("window", "source", "documents", "beginnings")


def content_cells(row: Row) -> tuple[str, ...]:
    amounts = [(shown(row.content[unit], unit), f"{100 * row.shares[unit]:.1f}") for unit in UNITS]
    return (row.name, row.language, *itertools.chain.from_iterable(amounts), f"{row.epochs:.2f}")


def window_cells(window: Window) -> tuple[str, ...]:
    return (str(window.number), window.source, str(window.num_documents), " ⏎ ".join(window.heads))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def write(path: Path, title: str, body: Sequence[str]) -> None:
    head = f"{META}<title>{title}</title><style>{STYLE}</style>"
    with atomic_text(path) as file:
        file.write(f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{title}</h1>{"".join(body)}</body></html>\n')
