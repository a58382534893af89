"""The balance report: one JSON and one page that show what every language got and what came of it.

It reads what the other steps wrote (records, mixture, metrics, references, held-out bits) and computes nothing that they did not
measure, so the page is the same on every run that made the same model.
"""

import html
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.evaluation.heldout import HELDOUT_FILE
from polyglot_lm.evaluation.references import REFERENCES_FILE
from polyglot_lm.evaluation.table import SUMMARY_FILE, UNIT_NAMES, Comparable, comparable
from polyglot_lm.mixture import MIXTURE_FILE, epochs
from polyglot_lm.pages import bar_chart, html_page, line_chart, table
from polyglot_lm.pipeline import Counters, atomic_text, read_json, read_record, stage, write_json
from polyglot_lm.shards import read_metrics

PAGE_FILE = "report.html"
TABLE_NOTE = (
    "share: of the reading, in English-equivalent bytes. bits/B: the model on held-out text. Last: its bits for {}, in {}, "
    "which may be compared between languages."
)


@stage(version=1)
def balance_report(
    out: Path,
    *,
    names: Mapping[str, str],
    corpora: Mapping[str, Path],
    tokens: Mapping[str, tuple[Path, ...]],
    mixture: Path,
    training: Path,
    references: Path,
    heldout: Path,
) -> Counters:
    """Write `summary.json` and `report.html`; `names` maps a language's code to its name in itself."""
    summary = summarize(names, corpora, tokens, mixture, training, references, heldout)
    metrics = read_metrics(training)
    write_json(out / SUMMARY_FILE, summary)
    with atomic_text(out / PAGE_FILE) as file:
        file.write(page(summary, metrics, names))
    return {key: summary[key] for key in ("mean_bits_per_english_byte", "worst_margin")}


def summarize(
    names: Mapping[str, str],
    corpora: Mapping[str, Path],
    tokens: Mapping[str, tuple[Path, ...]],
    mixture: Path,
    training: Path,
    references: Path,
    heldout: Path,
) -> dict[str, Any]:
    trained, planned = counters(training), read_json(mixture / MIXTURE_FILE)
    found, reference = read_json(heldout / HELDOUT_FILE), read_json(references / REFERENCES_FILE)
    read_epochs = epochs(mixture, trained["tokens"])
    rows = {}
    for code, name in names.items():
        corpus, measured = counters(corpora[code]), found["languages"][code]
        datasets = [counters(folder) for folder in tokens[code]]
        sources = [source for source, language in planned["languages"].items() if language == code]
        num_tokens, num_bytes = (sum(dataset[key] for dataset in datasets) for key in ("tokens", "bytes"))
        rows[code] = {
            "name": name,
            "documents": corpus["documents"],
            "bytes": num_bytes,
            "tokens": num_tokens,
            "tokens_per_byte": num_tokens / num_bytes,
            "share": {unit: sum(shares[s] for s in sources) for unit, shares in planned["shares_in"].items()},
            "epochs": max(read_epochs[source] for source in sources),
            "heldout_bytes": measured["bytes"],
            "bits_per_byte": measured["bits_per_byte"],
            "bits_per_english_byte": measured["bits_per_english_byte"],
            "xz_bits_per_byte": reference[code]["xz"],
            "order0_bits_per_byte": reference[code]["order0"],
            "parallel_bits": measured["parallel_bits"],
        }
    margins = {code: min(row["xz_bits_per_byte"], row["order0_bits_per_byte"]) / row["bits_per_byte"] for code, row in rows.items()}
    return {
        "parameters": trained["parameters"],
        "steps": trained["steps"],
        "tokens": trained["tokens"],
        "unit": planned["unit"],
        "mean_bits_per_english_byte": math.fsum(r["bits_per_english_byte"] for r in rows.values()) / len(rows),
        "worst_margin": min(margins.values()),
        "worst_margin_language": min(margins, key=margins.__getitem__),
        "parallel_documents": found["parallel_documents"],
        "languages": rows,
    }


def counters(folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    if record is None:
        raise FileNotFoundError(f"{folder} has no record of a finished step")
    return dict(record["counters"])


def page(summary: Mapping[str, Any], metrics: list[dict[str, Any]], names: Mapping[str, str]) -> str:
    rows = summary["languages"]
    loss = {"loss": [(line["tokens"] / 1e6, line["loss"]) for line in metrics if {"tokens", "loss"} <= line.keys()]}
    looks = [line for line in metrics if "control_bits_per_byte" in line]
    by_language = {name: [(line["step"], line["control_bits_per_byte"][code]) for line in looks] for code, name in names.items()}
    fair = comparable(summary)
    bars = {row["name"]: {fair.unit: fair.values[code]} for code, row in rows.items()}
    sections = [
        f"<p>{summary['parameters']:,} parameters, {summary['tokens']:,} tokens read in {summary['steps']:,} steps; the languages "
        f"share the reading by {UNIT_NAMES[summary['unit']]}. Smallest margin over the references: "
        f"<b>{summary['worst_margin']:.3f}</b> ({html.escape(rows[summary['worst_margin_language']]['name'])}).</p>",
        "<h2>Languages</h2>" + language_table(rows, fair) + f'<p class="note">{TABLE_NOTE.format(fair.of, fair.unit)}</p>',
        "<h2>Held-out bits per byte, against two references on the same text</h2>"
        + reference_chart(rows)
        + '<p class="note">xz -9 has seen the training text of that language; order 0 knows how often each token is used. '
        "Bits per byte of different languages are not comparable: a byte holds less in Thai than in Chinese.</p>",
        f"<h2>Bits by content: {fair.of}</h2>" + bar_chart(bars, y_label=fair.unit, digits=fair.digits),
        "<h2>Bits per byte while training (control text)</h2>" + line_chart(by_language, x_label="step", y_label="bits per byte"),
        "<h2>Training loss</h2>" + line_chart(loss, x_label="million tokens", y_label="nats per token"),
    ]
    return html_page("Balance report", sections)


def reference_chart(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw each language's bits per byte beside those of the references, as SVG."""
    shown = {"model": "bits_per_byte", "xz -9": "xz_bits_per_byte", "order 0": "order0_bits_per_byte"}
    bars = {row["name"]: {title: row[field] for title, field in shown.items()} for row in rows.values()}
    return bar_chart(bars, y_label="bits per held-out byte")


def language_table(rows: Mapping[str, Mapping[str, Any]], fair: Comparable) -> str:
    titles = ("language", "docs", "MB", "tokens/B", "share", "epochs", "bits/B", "xz -9", "order 0", fair.unit)
    lines = [
        [
            html.escape(row["name"]),
            f"{row['documents']:,}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['tokens_per_byte']:.3f}",
            f"{row['share']['english_bytes']:.1%}",
            f"{row['epochs']:.2f}",
            f"<b>{row['bits_per_byte']:.3f}</b>",
            f"{row['xz_bits_per_byte']:.3f}",
            f"{row['order0_bits_per_byte']:.3f}",
            fair.written(code),
        ]
        for code, row in rows.items()
    ]
    return table(titles, lines)
