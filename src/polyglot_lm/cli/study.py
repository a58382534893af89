"""The balance study: `study run` on a machine that has gathered text but no corpus, `study report` on what its records say."""

import time
from pathlib import Path
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import comma_separated

app = typer.Typer(help="Train the arms of the balance study, and tell what they say.", no_args_is_help=True)


@app.callback()
def study() -> None:
    pass


@app.command(name="run")
def run_command(
    data: Annotated[Path, typer.Argument(help="Folder of the step study-data.")],
    records: Annotated[Path, typer.Argument(help="Folder of records; what it has is not trained again.")],
    stages: Annotated[
        str, typer.Option(help="Stages in order, with commas between.")
    ] = "arms,whole-budget,synergy,ladder,search,carried,finer",
    minutes: Annotated[float, typer.Option(help="Begin no training that would end after so long.")] = float("inf"),
    lanes: Annotated[int | None, typer.Option(min=1, help="Trainings at once on each device; by their size.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    size: Annotated[str, typer.Option(help="Size of the arms' models.")] = "27m",
    content_megabytes: Annotated[float, typer.Option(help="What uniform reads of each language, English-equivalent.")] = 6.8,
    seeds: Annotated[int, typer.Option(min=1, help="Paired seeds of each arm.")] = 10,
    placebo: Annotated[
        str, typer.Option(help="Languages that get BLOOM's shares in the placebo; none: no placebo.")
    ] = "zh,ko,th,ms",
) -> int:
    """Train what stages lack, most important first, on all GPUs of this machine."""
    from polyglot_lm.recipes.balance_study import protocol_of
    from polyglot_lm.study.gather import StudyData
    from polyglot_lm.study.runner import Study, devices_of

    until = time.monotonic() + 60 * minutes
    gathered = StudyData(data)
    dealt = comma_separated(placebo)
    protocol = protocol_of(gathered.languages, size=size, content_megabytes=content_megabytes, seeds=seeds, placebo=dealt)
    study = Study(protocol=protocol, data=gathered, out=records, devices=devices_of(device), lanes=lanes, deadline=until)
    study.carry_out(comma_separated(stages))
    return 0


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
