"""The experiment of the project: `study report`, from the records of runs to tables, figures and text."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Does balance pay? Run the study, and tell what its records say.", no_args_is_help=True)


@app.callback()
def study_command() -> None:
    """Does balance pay? Tell what the records of a study say."""


@app.command(name="report")
def report_command(
    records: Annotated[Path, typer.Argument(help="Folder of runs, each with its run.json.")],
    out: Annotated[Path, typer.Option(help="Folder of raw numbers, figures and the synergy matrix.")] = Path("docs/results"),
    page: Annotated[Path, typer.Option(help="Page whose results, between two marks, are written anew.")] = Path(
        "docs/balance-study.md"
    ),
) -> None:
    """Write raw numbers, figures and the results of the study's page from the records of its runs."""
    from polyglot_lm.study.report import write_report

    for line in write_report(records, out, page):
        print(line)
    print(f"wrote  {out}  {page}")
