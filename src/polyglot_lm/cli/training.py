"""Look into a training: `training report`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look into a training, and plan one.", no_args_is_help=True)


@app.command(name="report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a training, done or under way.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default training.html in the folder.")] = None,
) -> None:
    """Draw losses, bits per byte by language, speed and memory as one page."""
    from polyglot_lm.training.report import write_training_report

    print(f"report  {write_training_report(folder, out)}")
