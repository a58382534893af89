"""Pages of a mixture: what it gives every source with the first windows, and what a controller decided and why."""

import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyglot_lm.mixture.show import Row, Window
from polyglot_lm.mixture.units import UNIT_NAMES, UNITS, shown
from polyglot_lm.pages import bar_chart, html_page, line_chart, table
from polyglot_lm.pipeline import atomic_text

CONTENT_HEADS = ("source", "language", "content", "%", "bytes", "%", "tokens", "%", "epochs")
WINDOW_HEADS = ("window", "source", "documents", "beginnings")
DECISION_HEADS = ("language", "r", "wanted", "share", "loss after n English-equivalent bytes")
WRAPPED = "td:last-child { white-space: normal; text-align: left; }"


def write_mixture_page(path: Path, rows: Sequence[Row], windows: Sequence[Window]) -> None:
    """Write shares, epochs and content of every source, and the windows of a dry run, if there was one."""
    shares = {row.name: {UNIT_NAMES[unit][-1]: 100 * row.shares[unit] for unit in UNITS} for row in rows}
    sections = [
        "<h2>Shares</h2>" + bar_chart(shares, y_label="% of the reading", digits=0),
        "<h2>Epochs</h2>" + bar_chart({row.name: {"epochs": row.epochs} for row in rows}, y_label="times read"),
        "<h2>Content</h2>" + table(CONTENT_HEADS, [[html.escape(cell) for cell in content_cells(row)] for row in rows]),
    ]
    if windows:
        lines = [[html.escape(cell) for cell in window_cells(window)] for window in windows]
        sections.append("<h2>The first windows</h2>" + table(WINDOW_HEADS, lines))
    write(path, html_page("Mixture", sections, style=WRAPPED if windows else ""))


def content_cells(row: Row) -> list[str]:
    amounts = [(shown(row.content[unit], unit), f"{100 * row.shares[unit]:.1f}") for unit in UNITS]
    return [row.name, row.language, *itertools.chain.from_iterable(amounts), f"{row.epochs:.2f}"]


def window_cells(window: Window) -> list[str]:
    return [str(window.number), window.source, str(window.num_documents), " ⏎ ".join(window.heads)]


def write_controller_page(path: Path, decisions: Sequence[Mapping[str, Any]]) -> None:
    """Draw shares, relative competence and the predicted level of all decisions, and tell the last one and its alarms."""
    last = decisions[-1]
    held = html.escape(", ".join(last["alarm"]) or "none")
    level = [(decision["progress"], decision["target"]) for decision in decisions if decision["target"] is not None]
    cells = [
        [
            html.escape(code),
            f"{r:.3f}",
            f"{last['wanted'][code]:.1%}",
            f"{last['shares'][code]:.1%}",
            curve_cell(last["curves"].get(code)),
        ]
        for code, r in last["competence"].items()
    ]
    sections = [
        f'<p class="note">{len(decisions)} decisions. Held at a bound too often: {held}.</p>',
        "<h2>Shares of content</h2>" + over_reading(decisions, "shares", "share"),
        "<h2>Relative competence: bits per byte over the reference, lower is better</h2>"
        + over_reading(decisions, "competence", "r"),
        f"<h2>The last decision, {html.escape(last['method'])}</h2>" + table(DECISION_HEADS, cells),
    ]
    if level:
        chart = line_chart({"level": level}, x_label="part of the reading", y_label="r")
        sections.insert(3, f"<h2>Worst r that the rest of the reading can reach, as predicted</h2>{chart}")
    write(path, html_page("Controller of the mixture", sections))


def over_reading(decisions: Sequence[Mapping[str, Any]], field: str, y_label: str) -> str:
    series = {code: [(decision["progress"], decision[field][code]) for decision in decisions] for code in decisions[0][field]}
    return line_chart(series, x_label="part of the reading", y_label=y_label)


def curve_cell(curve: Mapping[str, float] | None) -> str:
    return f"{curve['floor']:.3g} + {curve['scale']:.3g}·n^-{curve['decay']:.2f}" if curve else "no fit"


def write(path: Path, page: str) -> None:
    with atomic_text(path) as file:
        file.write(page)
