"""Look into a corpus: `corpus inspect`, `corpus costs`."""

from pathlib import Path
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import DEFAULT_ROOT

app = typer.Typer(help="Look into a corpus that a recipe made.", no_args_is_help=True)


@app.command(name="inspect")
def inspect_command(
    place: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of all results, or of one corpus.")] = DEFAULT_ROOT,
    key: Annotated[str | None, typer.Option("--id", help="The document of this id.")] = None,
    text_contains: Annotated[str | None, typer.Option(help="Documents with these words, letter for letter.")] = None,
    reason: Annotated[str | None, typer.Option(help="Documents removed for this reason, such as near_duplicate.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 3,
) -> None:
    """Show documents: scores, fate with the rule and bound, cluster, and the text, shortened and masked."""
    from polyglot_lm.corpus.inspect import Wanted, inspect_documents, lines_of

    found = inspect_documents(place, Wanted(id=key, text_contains=text_contains, reason=reason), limit)
    print("\n\n".join("\n".join(lines_of(finding)) for finding in found))


@app.command(name="costs")
def costs_command(root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of all results.")] = DEFAULT_ROOT) -> None:
    """Print what the corpus steps took when they ran."""
    from rich.console import Console
    from rich.table import Table

    from polyglot_lm.corpus.costs import costs

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("step", no_wrap=True)
    for column in ("text MB", "CPU s", "MB/s/core", "wall s", "memory GB", "disk MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for cost in costs(root):
        speed = "" if cost.mb_s_core is None else f"{cost.mb_s_core:,.1f}"
        seconds = (f"{cost.cpu_seconds:,.2f}", speed, f"{cost.wall_seconds:,.1f}")
        table.add_row(
            cost.name, f"{cost.text_bytes / 1e6:,.1f}", *seconds, f"{cost.peak_bytes / 1e9:.2f}", f"{cost.disk_bytes / 1e6:,.1f}"
        )
    Console().print(table)
