"""Carry a recipe out, say what would run, say why: `run`, `plan`, `why`."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from polyglot_lm.cli.arguments import DEFAULT_ROOT, RecipeName, Root, Settings, fail, recipe_named, terminal
from polyglot_lm.pipeline import (
    CORES,
    MANIFESTS,
    Layout,
    Nodes,
    Runtime,
    Step,
    UserError,
    follow_steps,
    in_order,
    name_results,
    plan,
    read_record,
    run_steps,
    why,
)

if TYPE_CHECKING:
    from polyglot_lm.corpus.estimate import Pilot
    from polyglot_lm.mixture.supply import SupplyPlan

QUARANTINED = 3  # everything is done, but some input could not be read


def run(
    recipe: RecipeName,
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
    workers: Annotated[int, typer.Option(help="Processes inside a step.")] = CORES,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = CORES,
    cluster: Annotated[str | None, typer.Option(help="Ray cluster for tasks: ray://HOST:PORT, auto or local.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    processes: Annotated[int, typer.Option(help="Training processes on this machine, started by torchrun.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together, each running this command.")] = 1,
    node_rank: Annotated[int, typer.Option(min=0, help="With --nodes: which of them this is, from 0.")] = 0,
    rendezvous: Annotated[str, typer.Option(help="With --nodes: HOST:PORT of the first.")] = "",
    shards: Annotated[int | None, typer.Option(min=1, help="Training processes that share a copy of the model; all.")] = None,
    tensor: Annotated[int, typer.Option(min=1, help="Training processes that split every matrix.")] = 1,
    micro_batch: Annotated[int | None, typer.Option(min=1, help="Windows a training process computes at once; all.")] = None,
    recompute: Annotated[Literal["none", "selective", "full"], typer.Option(help="Save memory of training for time.")] = "none",
    *,
    deterministic: Annotated[bool, typer.Option(help="On a GPU: the same bits again, slower.")] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="How often training saves its state.")] = 20.0,
    keep_checkpoints: Annotated[int, typer.Option(min=1, help="How many of the newest stay while training.")] = 2,
    tracker: Annotated[list[str] | None, typer.Option(help="Tell the training's figures to wandb too; offline by default.")] = None,
) -> int:
    """Carry a recipe out: skip what is done, resume what was cut. Exit code 3: done, but some input could not be read."""
    built = recipe_named(recipe, settings)
    runtime = Runtime(
        root=root,
        workers=workers,
        threads=threads,
        cluster=cluster,
        device=device,
        processes=processes,
        nodes=Nodes(count=nodes, rank=node_rank, address=rendezvous),
        layout=Layout(shards=shards, tensor=tensor, micro_batch_windows=micro_batch, recompute=recompute),
        deterministic=deterministic,
        checkpoint_seconds=checkpoint_seconds,
        keep_checkpoints=keep_checkpoints,
        trackers=tuple(tracker or ()),
        progress=terminal(),
    )
    if not runtime.nodes.first:
        follow_steps(built.targets, runtime)
        return 0
    run_steps(built.targets, runtime)
    tell(recipe, built.results, settings or [], root)
    return quarantined(in_order(built.targets), root)


def tell(recipe: str, results: Mapping[str, Step], settings: list[str], root: Path) -> None:
    """Name the results and print where they are."""
    named = name_results(root, recipe.rpartition(":")[2], {name: root / step.address for name, step in results.items()})
    if {"report", "model"} <= results.keys():
        given = [f"--set {setting}" for setting in settings] + ([] if root == DEFAULT_ROOT else [f"--root {root}"])
        show(named, " ".join([recipe, *given]))
    else:
        print("\n".join(f"{name:<12} {named / name}" for name in results))


def quarantined(steps: list[Step], root: Path) -> int:
    """Tell what could not be read, and return the exit code that says so."""
    counted = {step.address: (read_record(root / step.address) or {"counters": {}})["counters"] for step in steps}
    code = 0
    for address, counters in counted.items():
        documents, slices = counters.get("documents_quarantined", 0), counters.get("slices_lost", 0)
        if documents or slices:
            where = root / address / ("quarantine" if documents else MANIFESTS)
            code = fail(
                f"{documents} documents and {slices} slices could not be read and were left out; reasons in {where}", QUARANTINED
            )
    return code


def show(results: Path, same: str) -> None:
    """Print the languages' table and the next commands to try; `results` holds `report` and `model`, `same` repeats the recipe."""
    from rich.console import Console

    from polyglot_lm.evaluation.table import LEGEND, comparable, read_summary, summary_table
    from polyglot_lm.languages import languages

    console = Console()
    summary = read_summary(results / "report")
    console.print(summary_table(summary))
    fair = comparable(summary)
    console.print(LEGEND.format(unit=fair.unit, of=fair.of), style="dim", highlight=False)
    prompt = languages()[next(iter(summary["languages"]))].prompt
    program = "polyglot" if shutil.which("polyglot") else os.path.relpath(sys.argv[0])
    console.print(f"\nreport  {results / 'report' / 'report.html'}\nmodel   {results / 'model'}\n\nnext", highlight=False)
    for line in (
        f"{program} generate {results / 'model'} --prompt '{prompt}'",
        f"{program} run {same} --set steps={2 * summary['steps']}",
        f"{program} plan {same} --set width=256",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def plan_command(
    recipe: RecipeName,
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
    pilot: Annotated[
        float | None, typer.Option(help="Run the corpus steps on this share of the text and estimate the whole.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --pilot: so many processes would work.")] = CORES,
    core_hour_price: Annotated[float | None, typer.Option(min=0, help="With --pilot: dollars for a core-hour.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Plan the training for this card: h100, h200, b200, a100, a100-40gb.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="With --gpu: how many of them.")] = 8,
    gpu_hour_price: Annotated[float | None, typer.Option(min=0, help="With --gpu: dollars for an hour of one.")] = None,
) -> None:
    """Print what is done and what would run, with what it took when it last ran or, with a pilot or a card, what it would take."""
    from rich.console import Console
    from rich.table import Table

    built = recipe_named(recipe, settings)
    if pilot is not None:
        from polyglot_lm.corpus.estimate import run_pilot

        found = run_pilot(built.targets, pilot, terminal())
        show_pilot(found, workers, core_hour_price)
        return
    if gpu is not None:
        from polyglot_lm.cli.training import show_recipe

        show_recipe(in_order(built.targets), gpu, gpus, gpu_hour_price)
        return
    table = Table("step", "state", "time", "memory", "on disk", "folder")
    for planned in plan(built.targets, root):
        measured = planned.measurements
        about = "" if planned.state == "done" else "~"
        table.add_row(
            planned.step.name,
            {"done": "[green]done[/green]", "resumes": "[yellow]resumes[/yellow]"}.get(planned.state, "runs"),
            f"{about}{measured['wall_seconds']:.1f} s" if measured else "",
            f"{about}{measured['peak_bytes'] / 1e9:.2f} GB" if measured else "",
            f"{about}{measured['bytes_on_disk'] / 1e6:.1f} MB" if measured else "",
            planned.step.address,
        )
    Console().print(table)
    if built.supply is not None:
        show_supply(built.supply)


def show_supply(plan: "SupplyPlan") -> None:
    """Print each language's text, its epochs at budgets shared evenly, what is lacking, and every source with its licence."""
    from rich.console import Console
    from rich.table import Table

    from polyglot_lm.mixture.supply import BUDGETS
    from polyglot_lm.mixture.units import shown

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    budgets = (f"at {shown(budget, 'tokens').removesuffix(' tokens')}" for budget in BUDGETS)
    for head in ("epochs", "text", "content", "about", *budgets):
        table.add_column(head, justify="left" if head == "epochs" else "right", no_wrap=True)
    for row in plan.rows:
        held = (shown(row.held[unit], unit) for unit in ("bytes", "english_bytes", "tokens"))
        table.add_row(row.code, *held, *(f"{epochs:.2f}" for epochs in row.epochs))
    console = Console()
    console.print(table)
    for (name, license_name, read), amounts in plan.by_source().items():
        sizes = ", ".join(f"{code} {amount or 'size not stated'}" for code, amount in amounts.items())
        print(f"\n{'reads' if read else 'there is also'} {name}, licence {license_name}\n  {sizes}")
    print("\n" + "\n".join(plan.sentences()))


def show_pilot(found: "Pilot", workers: int, price: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("step", no_wrap=True)
    for column in ("text", "core-hours", "±", "moved", "disk", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    for step in found.steps:
        error = "" if step.error is None else f"{step.error:.0%}"
        sizes = (f"{value / 1e9:,.2f} GB" for value in (step.moved_bytes, step.disk_bytes, step.peak_bytes))
        table.add_row(step.name, f"{step.text_bytes / 1e9:,.2f} GB", f"{step.core_hours:,.3g}", error, *sizes)
    Console().print(table)
    moved = sum(step.moved_bytes for step in found.steps)
    hours = found.core_hours / workers + found.start_seconds / 3600
    print(f"\nsample     {found.fraction:.2%} of the text")
    error = "" if found.error is None else f" ± {found.error:.0%} (pieces differ)"
    print(f"core-hours {found.core_hours:,.3g}{error}, and {found.start_seconds:.0f} s to start a worker")
    print(f"wall hours {hours:,.3g} with {workers} workers always busy")
    print(f"moved      {moved / 1e9:,.2f} GB read and written")
    print(f"disk       {found.disk_bytes / 1e9:,.2f} GB, the largest temporary files included")
    if price is not None:
        print(f"price      ${found.core_hours * price:,.2f} at ${price:g} a core-hour")


def why_command(
    step: Annotated[str, typer.Argument(help="A step's name, such as training or corpus/ko.")],
    recipe: Annotated[str, typer.Option(help="The recipe it belongs to.")] = "quickstart",
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Explain why a step is done or must run: print the fields that changed."""
    steps = in_order(recipe_named(recipe, settings).targets)
    print("\n".join(why(step_named(step, steps), root)))


def step_named(name: str, steps: list[Step]) -> Step:
    for step in steps:
        if name in (step.name, step.address):
            return step
    raise UserError(f"the recipe has no step {name!r}; its steps are {', '.join(step.name for step in steps)}")
