"""The corpus report as one page: the summary in, HTML out, with nothing to load from anywhere.

Samples are hostile by nature. Every text is escaped, control characters are shown as pictures, and each sample is a block of its
own direction that clips what it cannot hold, so neither a script nor right-to-left marks nor a tower of accents leaves its box.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from polyglot_lm.corpus.flows import Flow, Group, flow_chart, histogram
from polyglot_lm.pages import NOTHING, figure, figures, html_page, number, share, size, table

Row = Mapping[str, Any]
COPIES = ("exact_duplicate", "near_duplicate")
HITS = ("contaminated",)
BLANK = re.compile(r"\n\s*\n")
MOST_REASONS = 8  # drawn one by one; the others together
MOST_FOUND = 12  # columns of the language table
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
STYLE = """
:root { --kept: #1b7f68; --held: #2b7fa8; --refused: #b8402f; --copies: #b97a1c; --hits: #7d4bb0; }
@media (prefers-color-scheme: dark) { :root { --kept: #35a98c; --held: #4fa3cc; --refused: #df6a58; --copies: #d79b41;
  --hits: #a97fd6; } }
.bar { display: flex; height: 12px; width: 100%; min-width: 240px; margin-top: .35rem; border-radius: 2px; overflow: hidden; }
.bar i { display: block; height: 100%; } td.wide { width: 46%; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; color: var(--quiet); font-size: .85rem; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: .4rem; }
.kept { fill: var(--kept); --c: var(--kept); } .held { fill: var(--held); --c: var(--held); } .all { fill: var(--accent); }
.refused { fill: var(--refused); --c: var(--refused); } .copies { fill: var(--copies); --c: var(--copies); }
.hits { fill: var(--hits); --c: var(--hits); } i.kept, i.held, i.refused, i.copies, i.hits { background: var(--c); }
.over { paint-order: stroke; stroke: color-mix(in srgb, var(--ground) 55%, transparent); stroke-width: 3px; }
.ribbon { opacity: .28; } .axis { stroke: var(--line); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 1rem 1.8rem; margin-top: 1rem; }
.charts p { margin: 0; font-size: .9rem; }
.sample { background: var(--raised); border-radius: 5px; padding: .6rem .8rem; margin: .5rem 0; overflow: hidden; contain: paint; }
.sample p { margin: 0; max-width: none; font-size: .9rem; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate;
  display: -webkit-box; -webkit-line-clamp: 6; -webkit-box-orient: vertical; overflow: hidden; line-height: 1.5; }
.sample .about { color: var(--quiet); font-size: .78rem; margin-bottom: .25rem; white-space: normal; }
"""


def page(summary: Row) -> str:
    """Return the whole page for what `corpus_report` found."""
    rows, total = summary["languages"], summary["total"]
    codes = list(rows)
    intro = (
        f"<p>{len(codes)} language{'s' * (len(codes) != 1)}, {number(total['read']['documents'])} documents, "
        f"{size(total['read']['bytes'])} of text. Bytes are UTF-8 as read; what masking changed is not counted as lost.</p>"
    )
    sections = [
        intro,
        totals(total),
        "<h2>From read to kept</h2>",
        overview(rows),
        "<h2>What was removed, by reason</h2>",
        reasons(rows, summary["stories"]),
        "<h2>Supply against the budget</h2>",
        supply(summary),
        "<h2>Languages found</h2>",
        confusion(rows),
        "<h2>Sizes of duplicate clusters</h2>",
        clusters(rows),
        "<h2>Identifiers masked</h2>",
        counts(rows, "masked"),
        "<h2>Evaluation sets met</h2>",
        counts(rows, "hits"),
        "<h2>Language by language</h2>",
        *(language(code, row, summary["stories"]) for code, row in rows.items()),
        "<h2>Costs</h2><p>Times and memory differ from run to run, and this page does not. "
        "<code>polyglot corpus costs</code> prints them, by step.</p>",
    ]
    return html_page("Corpus report", sections, style=STYLE)


def totals(total: Row) -> str:
    """The totals, large."""
    read = total["read"]["bytes"]
    lost = {label: sum(amount["bytes"] for amount in reasons.values()) for label, reasons in stages(total).items()}
    cells = [("kept", "kept", total["kept_as_read"]), *((STAGES[label], label, value) for label, value in lost.items())]
    found = [figure(html.escape(share(value, read)), label, size(value), kind=kind) for kind, label, value in cells]
    found.append(figure(number(sum(total["quarantined"].values())), "unreadable records"))
    if total["slices_lost"]:
        found.append(figure(f'<span class="warn">{number(total["slices_lost"])}</span>', "slices lost", kind="refused"))
    return figures(found)


STAGES = {"refused by rules": "refused", "duplicates": "copies", "contaminated": "hits"}


def stages(row: Row) -> dict[str, dict[str, Row]]:
    """Part the reasons into those of rules, of duplicates, and of evaluation sets."""
    parted: dict[str, dict[str, Row]] = {label: {} for label in STAGES}
    for reason, amount in row["removed"].items():
        label = "duplicates" if reason in COPIES else "contaminated" if reason in HITS else "refused by rules"
        parted[label][reason] = amount
    return parted


def overview(rows: Mapping[str, Row]) -> str:
    """One bar a language: which share of its bytes went where."""
    lines = []
    for row in rows.values():
        read, ends = row["read"]["bytes"], stages(row)
        lost = {colour: sum(amount["bytes"] for amount in ends[label].values()) for label, colour in STAGES.items()}
        held = held_out(row)
        parts = {"kept": row["kept_as_read"] - held, "held": held, **lost}
        pieces = "".join(
            f'<i class="{colour}" style="width:{100 * value / read:.3f}%"></i>' for colour, value in parts.items() if value and read
        )
        lines.append(
            [
                name_of(row),
                size(read),
                number(row["read"]["documents"]),
                f'<td class="wide"><div class="bar">{pieces}</div></td>',
                f"<b>{part_of(row['kept_as_read'], read)}</b>" if row["kept_as_read"] else NOTHING,
                *(part_of(value, read) for value in lost.values()),
            ]
        )
    names = {"kept": "train", "held": "held out", "refused": "refused by rules", "copies": "duplicates", "hits": "contaminated"}
    legend = "".join(f'<span><i class="{colour}"></i>{label}</span>' for colour, label in names.items())
    titles = ("language", "read", "documents", "", "kept", "refused", "dupl.", "cont.")
    return f'<div class="legend">{legend}</div>{table(titles, lines)}'


def held_out(row: Row) -> int:
    return sum(amount["bytes"] for split, amount in row["kept"].items() if split != "train")


def reasons(rows: Mapping[str, Row], stories: Mapping[str, str]) -> str:
    """Reasons by language: shares of the bytes read."""
    total: dict[str, int] = {}
    for row in rows.values():
        for reason, amount in row["removed"].items():
            total[reason] = total.get(reason, 0) + amount["bytes"]
    if not total:
        return "<p>Nothing was removed.</p>"
    lines = []
    for reason in sorted(total, key=lambda reason: (-total[reason], reason)):
        cells = []
        for row in rows.values():
            lost, read = row["removed"].get(reason, {"bytes": 0})["bytes"], row["read"]["bytes"]
            cells.append(shaded(html.escape(share(lost, read)), lost / read) if lost else NOTHING)
        name = f'<td title="{html.escape(stories.get(reason, ""))}">{words(reason)}</td>'
        lines.append([name, *cells])
    story = "<p>Shares of the bytes read of each language. The first rule that a document fails names the reason.</p>"
    return story + table(("reason", *map(html.escape, rows)), lines)


def words(reason: str) -> str:
    return html.escape(reason.replace("_", " "))


def supply(summary: Row) -> str:
    """How often each language would be read, here and with all public text."""
    most = summary["max_epochs"]
    lines = []
    for row in summary["languages"].values():
        lines.append(
            [
                name_of(row),
                share(row["share"], 1),
                f"{row['byte_premium']:.3f}",
                size(row["budget_bytes"]),
                size(row["train_bytes"]),
                epochs(row["epochs"], most),
                size(row["supply_bytes"]),
                epochs(row["supply_epochs"], most),
            ]
        )
    titles = ("language", "share", "byte premium", "budget", "in this corpus", "epochs", "public supply", "epochs of it")
    story = (
        f"<p>A budget of {size(summary['budget_english_bytes'])} in English-equivalent bytes, shared as the table says: a language "
        "reads its share times its byte premium, the bytes that it needs for the content of one English byte. "
        f'<span class="warn">More than {most} epochs</span> are worth less than new text. With this corpus every language stays '
        f"within {most} up to {size(summary['balanced_english_bytes'])}.</p>"
    )
    return story + table(titles, lines)


def epochs(value: float | None, most: float) -> str:
    if value is None:
        return '<span class="warn">no text</span>'
    written = f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.01 else "&lt;0.01"
    return f'<span class="warn">{written}</span>' if value > most else written


def confusion(rows: Mapping[str, Row]) -> str:
    """Documents by the language they were filed under and the one they were found to be."""
    others: dict[str, int] = {}
    for row in rows.values():
        for code, amount in row["found"].items():
            if code not in rows:
                others[code] = others.get(code, 0) + amount["documents"]
    more = sorted(others, key=lambda code: (-others[code], code))
    shown = [*rows, *more[: max(0, MOST_FOUND - len(rows))]]
    rest = [code for code in more if code not in shown]
    lines = []
    for code, row in rows.items():
        counts = {found: amount["documents"] for found, amount in row["found"].items()}
        counts["other"] = sum(counts.get(found, 0) for found in rest)
        cells = []
        for found in [*shown, *(["other"] if rest else [])]:
            count = counts.get(found, 0)
            wrong = shaded(number(count), count / row["read"]["documents"]) if count else NOTHING
            cells.append(f"<b>{number(count)}</b>" if found == code else wrong)
        lines.append([name_of(row), *cells])
    titles = ("filed under", *(html.escape(code) for code in shown), *(["other"] if rest else []))
    return "<p>Rows: the language a document was filed under. Columns: what identification made of it.</p>" + table(titles, lines)


def shaded(content: str, part: float) -> str:
    """A cell the redder the larger a part of the whole it shows."""
    return f'<td style="background:color-mix(in srgb, var(--refused) {min(60, 6 + 300 * part):.0f}%, transparent)">{content}</td>'


def clusters(rows: Mapping[str, Row]) -> str:
    counts = {code: {int(size): found for size, found in row["clusters"].items()} for code, row in rows.items()}
    most = max((n for found in counts.values() for n in found.values()), default=0)
    largest = max((size for found in counts.values() for size in found), default=1)
    sizes = [1 << power for power in range(max(largest, 8).bit_length())]
    charts = [
        f"<div><p>{name_of(row)}</p>{histogram(counts[code], sizes, max(most, 1), f'cluster sizes, {code}')}</div>"
        for code, row in rows.items()
    ]
    story = "<p>Documents by the size of the cluster of copies that they belong to, on a logarithmic scale.</p>"
    return f'{story}<div class="charts">{"".join(charts)}</div>'


def counts(rows: Mapping[str, Row], key: str) -> str:
    kinds = sorted({kind for row in rows.values() for kind in row[key]})
    if not kinds:
        return "<p>None were found.</p>"
    lines = [[name_of(row), *(count_cell(row[key].get(kind, 0)) for kind in kinds)] for row in rows.values()]
    return table(("language", *(html.escape(kind) for kind in kinds)), lines)


def count_cell(count: int) -> str:
    return number(count) if count else NOTHING


def language(code: str, row: Row, stories: Mapping[str, str]) -> str:
    """One language: where its bytes went, by reason and by source, and what was thrown away."""
    read = row["read"]["bytes"]
    title = f'<h3 id="{html.escape(code)}">{html.escape(row["name"])}<small>{html.escape(row["english_name"])}</small></h3>'
    if not row["read"]["documents"]:
        return f"{title}<p>Nothing was read.</p>{unreadable(row)}"
    nothing_left = "" if row["kept_as_read"] else '<p class="warn">Nothing is left of this language.</p>'
    chart = (
        flow_chart(read, f"read: {size(read)} in {number(row['read']['documents'])} documents", groups_of(row, stories))
        if read
        else ""
    )
    samples = "".join(sample_list(reason, found, row, stories) for reason, found in row["samples"].items())
    heading = (
        "<p class='quiet'>What was thrown away, by reason (a few of each; identifiers masked, names are not):</p>"
        if samples
        else ""
    )
    return f"{title}{nothing_left}{chart}{source_table(row)}{unreadable(row)}{heading}{samples}"


def groups_of(row: Row, stories: Mapping[str, str]) -> list[Group]:
    read = row["read"]["bytes"]

    def flow(colour: str, label: str, amount: Row, story: str = "") -> Flow:
        notes = (size(amount["bytes"]), share(amount["bytes"], read), f"{amount['documents']:,} doc.")
        return Flow(colour=colour, value=amount["bytes"], label=label.replace("_", " "), notes=notes, story=story)

    groups = []
    if row["kept"]:
        kept = [flow("kept" if split == "train" else "held", split, amount) for split, amount in row["kept"].items()]
        groups.append(Group(label=f"kept {share(row['kept_as_read'], read)}", flows=kept))
    for label, reasons in stages(row).items():
        if not reasons:
            continue
        ranked = sorted(reasons, key=lambda reason: (-reasons[reason]["bytes"], reason))
        flows = [flow(STAGES[label], reason, reasons[reason], stories.get(reason, "")) for reason in ranked[:MOST_REASONS]]
        if rest := ranked[MOST_REASONS:]:
            together = {unit: sum(reasons[reason][unit] for reason in rest) for unit in ("documents", "bytes")}
            flows.append(flow(STAGES[label], f"{len(rest)} other rules", together))
        lost = sum(amount["bytes"] for amount in reasons.values())
        groups.append(Group(label=f"{label} {share(lost, read)}", flows=flows))
    return groups


def source_table(row: Row) -> str:
    """Sources by what was kept and lost of each; the reasons of the language as a table beside its chart's rounding."""
    lines = []
    for name, source in [*row["sources"].items(), *([("all", row)] if len(row["sources"]) > 1 else [])]:
        lost = [sum(amount["bytes"] for amount in reasons.values()) for reasons in stages(source).values()]
        read = source["read"]["bytes"]
        unread = sum(source["quarantined"].values())
        lines.append(
            [
                html.escape(name),
                number(source["read"]["documents"]),
                size(read),
                *(part_of(value, read) for value in lost),
                f"<b>{size(source['kept_as_read'])}</b>",
                part_of(source["kept_as_read"], read),
                count_cell(unread),
            ]
        )
    return table(("source", "documents", "read", "refused", "duplicates", "contaminated", "kept", "", "unreadable"), lines)


def unreadable(row: Row) -> str:
    found = [f"{html.escape(reason)} ({number(count)})" for reason, count in row["quarantined"].items()]
    lost = f'<p class="warn">{number(row["slices_lost"])} slices were lost.</p>' if row["slices_lost"] else ""
    return (f"<p>Unreadable: {', '.join(found)}.</p>" if found else "") + lost


def sample_list(reason: str, samples: Sequence[Row], row: Row, stories: Mapping[str, str]) -> str:
    amount = row["removed"][reason]
    lost = f"{size(amount['bytes'])} in {number(amount['documents'])} document{'s' * (amount['documents'] != 1)}"
    head = f"<b>{words(reason)}</b> · {lost} · {html.escape(stories.get(reason, ''))}"
    return f"<details><summary>{head}</summary>{''.join(map(sample, samples))}</details>"


def sample(found: Row) -> str:
    about = [found["source"], found["domain"], f"{found['bytes']:,} bytes", found["because"]]
    if found["cluster_size"] and found["cluster_size"] > 1:
        about.append(f"one of {found['cluster_size']:,}")
    line = " · ".join(shown(word) for word in [*about, found["id"]] if word)
    text = BLANK.sub("\n", found["text"])
    return f'<div class="sample"><p class="about">{line}</p><p dir="auto">{shown(text)}</p></div>'


def shown(text: str) -> str:
    """Escape a text, with pictures for characters that would act instead of being seen."""
    return html.escape(CONTROL.sub(lambda match: chr(0x2400 + ord(match[0])) if ord(match[0]) < 0x20 else "\ufffd", text))


def name_of(row: Row) -> str:
    return f"{html.escape(row['name'])}"


def part_of(part: float, whole: float) -> str:
    """A cell with a percentage; nothing is quiet."""
    return html.escape(share(part, whole)) if part else NOTHING
