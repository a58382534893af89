"""The balance report as a table for the terminal."""

from pathlib import Path
from typing import Any

from rich.table import Table

from polyglot_lm.pipeline import read_json

SUMMARY_FILE = "summary.json"


def read_summary(report: Path) -> dict[str, Any]:
    return read_json(report / SUMMARY_FILE)


def summary_table(report: Path) -> Table:
    """Return the languages with what they got and what came of it; `report` is the folder of the balance report."""
    summary = read_summary(report)
    table = Table(title=f"{summary['parameters']:,} parameters, {summary['tokens']:,} tokens", title_justify="left")
    table.add_column("language", no_wrap=True)
    for title in ("documents", "MB", "tokens/byte", "share", "bits/byte", "xz -9", "order 0", "parallel kbit"):
        table.add_column(title, justify="right")
    for code, row in summary["languages"].items():
        table.add_row(
            f"{code} {row['name']}",
            f"{row['documents']:,}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['tokens_per_byte']:.3f}",
            f"{row['share']['english_bytes']:.1%}",
            f"[bold]{row['bits_per_byte']:.3f}[/bold]",
            f"{row['xz_bits_per_byte']:.3f}",
            f"{row['order0_bits_per_byte']:.3f}",
            f"{row['parallel_bits'] / 1000:.1f}",
        )
    return table
