"""The balance report as a table for the terminal, and what of it may be compared between languages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from polyglot_lm.pipeline import read_json

SUMMARY_FILE = "summary.json"
UNIT_NAMES = {"english_bytes": "English-equivalent bytes", "bytes": "UTF-8 bytes", "tokens": "tokens"}
LEGEND = (
    "model, xz -9, ord-0: bits per held-out byte. tok/B: tokens per byte.\n"
    "share: of the reading, in English-equivalent bytes.\n"
    "{unit}: the model's bits for {of}; languages may be compared."
)


def read_summary(report: Path) -> dict[str, Any]:
    return read_json(report / SUMMARY_FILE)


def summary_table(summary: Mapping[str, Any]) -> Table:
    """Return the languages with what they got and what came of it."""
    fair = comparable(summary)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("language", no_wrap=True)
    for column in ("docs", "MB", "tok/B", "share", "model", "xz -9", "ord-0", fair.unit):
        table.add_column(column, justify="right", no_wrap=True)
    for code, row in summary["languages"].items():
        table.add_row(
            f"{code} {row['name']}",
            f"{row['documents']:,}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['tokens_per_byte']:.3f}",
            f"{100 * row['share']['english_bytes']:.1f} %",
            f"[bold]{row['bits_per_byte']:.3f}[/bold]",
            f"{row['xz_bits_per_byte']:.3f}",
            f"{row['order0_bits_per_byte']:.3f}",
            fair.written(code),
        )
    return table


@dataclass(frozen=True, slots=True)
class Comparable:
    """A figure of every language that may be compared between them, with what it is of, its unit, and the digits it deserves."""

    of: str
    unit: str
    values: Mapping[str, float]
    digits: int

    def written(self, code: str) -> str:
        return f"{self.values[code]:,.{self.digits}f}"


def comparable(summary: Mapping[str, Any]) -> Comparable:
    """Return bits of the held-out documents that say the same in all languages, or, where there are none, bits of content."""
    rows = summary["languages"]
    if count := summary["parallel_documents"]:
        kilobits = {code: row["parallel_bits"] / 1000 for code, row in rows.items()}
        return Comparable(f"the same {count:,} documents", "kbit", kilobits, 1)
    return Comparable(
        "held-out text (roughly: the texts differ)",
        "bits/B-eq",
        {code: row["bits_per_english_byte"] for code, row in rows.items()},
        3,
    )
