"""Look into a training, and plan one: `training report`, `training plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from polyglot_lm.pipeline import Step, UserError

if TYPE_CHECKING:
    from polyglot_lm.training.planner import Plan, Wish

app = typer.Typer(help="Look into a training, and plan one.", no_args_is_help=True)
GpuName = Annotated[str, typer.Option(help="h100, h200, b200, a100 or a100-40gb.")]
Gpus = Annotated[int, typer.Option(min=1, help="How many of them.")]
Price = Annotated[float | None, typer.Option(min=0, help="Dollars for an hour of one GPU.")]


@app.command(name="report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a training, done or under way.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default training.html in the folder.")] = None,
) -> None:
    """Draw losses, bits per byte by language, speed and memory as one page."""
    from polyglot_lm.training.report import write_training_report

    print(f"report  {write_training_report(folder, out)}")


@app.command(name="plan")
def plan_command(
    size: Annotated[str, typer.Argument(help="A released shape: 1.3b, 3.8b, 5.8b or 12.8b.")],
    gpu: GpuName = "h100",
    gpus: Gpus = 8,
    tokens: Annotated[float | None, typer.Option(help="Tokens to read; by default as published for the size.")] = None,
    batch_windows: Annotated[int | None, typer.Option(help="Windows of a step; by default as published.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Tokens of the tokenizer; by default Polyglot-Ko's.")] = None,
    context: Annotated[int, typer.Option(help="Tokens of a window.")] = 2048,
    precision: Annotated[Literal["bf16", "fp8"], typer.Option(help="What blocks are computed in.")] = "bf16",
    micro_batch: Annotated[int | None, typer.Option(help="Windows computed at once; by default the fastest.")] = None,
    recompute: Annotated[Literal["none", "selective", "full"] | None, typer.Option(help="By default the fastest.")] = None,
    shards: Annotated[int | None, typer.Option(help="GPUs that share a copy; by default the fastest.")] = None,
    gpu_hour_price: Price = None,
) -> None:
    """Say what a training will need: memory by component, speed, days, GPU-hours, cost; and what to change if it does not fit."""
    from polyglot_lm.recipes.pretraining import shape, token_budget
    from polyglot_lm.training.gpus import gpu_named
    from polyglot_lm.training.planner import Wish

    budget = token_budget(size)
    wish = Wish(
        model=shape(size, vocab_size=vocab_size, context=context),
        gpu=gpu_named(gpu),
        gpus=gpus,
        batch_windows=batch_windows or budget.batch_windows,
        tokens=int(tokens or budget.tokens),
        precision=precision,
        micro_batch=micro_batch,
        recompute=recompute,
        shards=shards,
    )
    show(wish, gpu_hour_price)


def wish_of(step: Step, gpu: str, gpus: int) -> "Wish":
    """Return what a training step of a recipe asks for."""
    from polyglot_lm.training.gpus import gpu_named
    from polyglot_lm.training.planner import Wish

    model, training = step.arguments["model"], step.arguments["training"]
    return Wish(
        model=model,
        gpu=gpu_named(gpu),
        gpus=gpus,
        batch_windows=training.batch_windows,
        tokens=training.steps * training.batch_windows * model.context,
        precision="fp8" if training.precision == "fp8" else "bf16",
    )


def show_recipe(steps: list[Step], gpu: str, gpus: int, price: float | None) -> None:
    """Plan the trainings of a recipe; raises UserError when it has none."""
    trainings = [step for step in steps if step.stage.reference == "polyglot_lm.training.loop:train"]
    if not trainings:
        raise UserError("the recipe trains no model; leave --gpu out")
    for step in trainings:
        print(f"\n{step.name}")
        show(wish_of(step, gpu, gpus), price)


def show(wish: "Wish", price: float | None) -> None:
    from polyglot_lm.training.memory import ERROR as MEMORY_ERROR
    from polyglot_lm.training.memory import SPARE
    from polyglot_lm.training.planner import SPEED_ERROR, measured_runs, plan_training

    plan, change = plan_training(wish)
    print(f"model      {wish.model.num_parameters:,} parameters, context {wish.model.context:,}")
    print(f"reads      {wish.tokens / 1e9:,.1f} billion tokens, {wish.batch_windows:,} windows a step")
    describe(plan, price)
    if not plan.fits:
        print(f"\n{plan.memory_gib:,.1f} GiB do not fit into {wish.gpu.memory_gib:g} with {SPARE:.0%} to spare.", end=" ")
        if change is None:
            print("No number of these GPUs helps: choose larger ones, or a smaller batch.")
            return
        print(f"Smallest change that fits: {', '.join(plan.changes(change))}\n")
        describe(change, price)
    runs = sum(run["gpu"] == wish.gpu.name for run in measured_runs())
    basis = f"{runs} runs on this card" if runs else "data sheets: no run on this card was measured"
    print(f"\nestimated from {basis}; over all runs, memory was met within {MEMORY_ERROR:.0%} and speed within {SPEED_ERROR:.0%}")


def describe(plan: "Plan", price: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    wish, placement = plan.wish, plan.placement
    shared = "each holds the whole model" if placement.shards == 1 else f"{placement.shards} share a copy of the model (FSDP)"
    again = "nothing computed twice" if placement.recompute == "none" else f"{placement.recompute} recomputation"
    print(f"on         {wish.gpus} {wish.gpu.name}, {shared}")
    print(f"each       {placement.accumulated} x {placement.micro_batch} windows a step; {again}; {placement.precision}")
    table = Table("GiB of a GPU", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[1].justify = "right"
    for name, held in sorted(plan.memory.items(), key=lambda item: -item[1]):
        table.add_row(f"  {name}", f"{held:,.1f}")
    table.add_row("  at the fullest moment", f"{plan.memory_gib:,.1f} of {wish.gpu.memory_gib:g}")
    Console().print(table)
    rates = f"{plan.tokens_s:,.0f} tokens/s, {plan.tokens_s / wish.gpus:,.0f} a GPU"
    print(f"speed      {rates}; MFU {plan.mfu:.1%}, causal {plan.mfu_causal:.1%}")
    print(f"takes      {plan.days:,.1f} days, {plan.gpu_hours:,.0f} GPU-hours")
    if price is not None:
        print(f"costs      ${plan.gpu_hours * price:,.0f} at ${price:g} a GPU-hour")
    print(f"run with   --shards {placement.shards} --micro-batch {placement.micro_batch} --recompute {placement.recompute}")
