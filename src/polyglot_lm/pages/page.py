"""What every report page shares: the head, one look in light and dark, tables, large figures, and how numbers are written.

A page is a title and sections of HTML; `html_page` adds the rest. Cells and sections are HTML already: who puts text of others into
them escapes it (`html.escape`). Titles are text. No script, no font, no picture comes from elsewhere, so a page opens from a disk
without a network and looks the same in ten years.
"""

import html
from collections.abc import Iterable, Sequence

NOTHING = '<td class="zero">·</td>'
META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
STYLE = """
:root { color-scheme: light dark; --text: #1c1f24; --quiet: #6a717c; --line: #8883; --ground: #fff; --raised: #f6f7f9;
  --warn: #b8402f; --accent: #4a515c; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --quiet: #98a1ad; --line: #fff2; --ground: #15181c;
  --raised: #1e2227; --warn: #df6a58; --accent: #aab2bd; } }
body { font: 15px/1.55 system-ui, "Noto Sans", "Noto Sans CJK KR", "Noto Sans Thai", sans-serif; color: var(--text);
  background: var(--ground); max-width: 960px; margin: 3rem auto 6rem; padding: 0 1.2rem; }
h1 { font-size: 1.75rem; font-weight: 650; letter-spacing: -.01em; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; font-weight: 650; margin: 2.8rem 0 .4rem; }
h3 { font-size: 1.05rem; font-weight: 650; margin: 2.6rem 0 .6rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
h3 small { font-weight: 400; color: var(--quiet); margin-left: .5rem; }
p { max-width: 46rem; margin: .3rem 0 1rem; } .quiet { color: var(--quiet); fill: var(--quiet); }
.note { color: var(--quiet); font-size: .9rem; } .warn { color: var(--warn); font-weight: 650; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; font-variant-numeric: tabular-nums; margin: .6rem 0 1rem; }
th { font-weight: 500; color: var(--quiet); } td b { font-weight: 650; }
th, td { padding: .34rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
td.zero { color: var(--quiet); opacity: .55; } .scroll { overflow-x: auto; }
svg { width: 100%; height: auto; display: block; fill: currentColor; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 1.2rem; margin: 1.8rem 0; }
.figures div { border-left: 3px solid var(--c, var(--accent)); padding-left: .8rem; line-height: 1.35; }
.figures b { display: block; font-size: 1.35rem; font-weight: 650; }
.figures div > span { display: block; color: var(--quiet); font-size: .85rem; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--quiet); } summary b { color: var(--text); font-weight: 600; }
@media print { details { break-inside: avoid; } }
"""


def html_page(title: str, sections: Iterable[str], *, style: str = "") -> str:
    """Return the whole page; `style` adds CSS of its own to what all pages share."""
    words = html.escape(title)
    head = f"{META}<title>{words}</title><style>{STYLE}{style}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head><body><h1>{words}</h1>{''.join(sections)}</body></html>\n"


def table(titles: Iterable[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; one that begins with `<td` brings its own."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(cell if cell.startswith('<td') else f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figures(found: Iterable[str]) -> str:
    """Set several `figure`s side by side."""
    return f'<div class="figures">{"".join(found)}</div>'


def figure(value: str, *about: str, kind: str = "") -> str:
    """Return one large figure with small lines below it; `kind` is a CSS class, whose `--c` colours its edge."""
    named = f' class="{kind}"' if kind else ""
    return f"<div{named}><b>{value}</b>{''.join(f'<span>{line}</span>' for line in about)}</div>"


def number(count: int) -> str:
    return f"{count:,}"


def share(part: float, whole: float) -> str:
    """Write a percentage; what is not nothing never reads as nothing, and what is not all never as all."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{min(percent, 99.9) if part < whole else percent:.1f} %"


def size(num_bytes: float) -> str:
    for unit, bound in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= bound:
            return f"{num_bytes / bound:,.1f} {unit}"
    return f"{num_bytes:,.0f} B"
