"""The balance report as a table for the terminal."""

from pathlib import Path
from typing import Any

from rich.table import Table

from polyglot_lm.pipeline import read_json

SUMMARY_FILE = "summary.json"
UNIT_NAMES = {"english_bytes": "English-equivalent bytes", "bytes": "UTF-8 bytes", "tokens": "tokens"}
LEGEND = (
    "model, xz -9, ord-0: bits per held-out byte. tok/B: tokens per byte.\n"
    "share: of the reading, in English-equivalent bytes.\n"
    "kbit: the model's total for held-out documents parallel in all languages."
)


def read_summary(report: Path) -> dict[str, Any]:
    return read_json(report / SUMMARY_FILE)


def summary_table(report: Path) -> Table:
    """Return the languages with what they got and what came of it; `report` is the folder of the balance report."""
    summary = read_summary(report)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("language", no_wrap=True)
    for column in ("docs", "MB", "tok/B", "share", "model", "xz -9", "ord-0", "kbit"):
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
            f"{row['parallel_bits'] / 1000:.1f}",
        )
    return table
