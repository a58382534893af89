"""Look into mixtures: `mixture show`, `mixture policies`, `mixture controller`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglot_lm.cli.arguments import DEFAULT_ROOT, RecipeName, Root, Settings, recipe_named
from polyglot_lm.pipeline import Step, UserError, in_order, read_record

if TYPE_CHECKING:
    from polyglot_lm.mixture.show import Row, Window

app = typer.Typer(help="Look into mixtures of languages.", no_args_is_help=True)


@app.command(name="show")
def show_command(
    recipe: RecipeName,
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
    tokens_billions: Annotated[float | None, typer.Option(help="Hold the supply against so many tokens.")] = None,
    windows: Annotated[int, typer.Option(min=0, help="Windows of the dry run.")] = 16,
    context: Annotated[int, typer.Option(min=1, help="Tokens of a window.")] = 2048,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("mixture.html"),
) -> None:
    """Show shares, content and epochs of a recipe's mixture and, where its tokens are there, the first windows."""
    from polyglot_lm.mixture import plan_mixture
    from polyglot_lm.mixture.page import write_mixture_page
    from polyglot_lm.mixture.show import planned_rows, stated_rows

    built = recipe_named(recipe, settings)
    step = next((step for step in in_order(built.targets) if step.stage is plan_mixture), None)
    if step is None:
        raise UserError(f"recipe {recipe!r} has no mixture; choose another, such as quickstart")
    tokens = tokens_billions * 1e9 if tokens_billions else None
    done = read_record(root / step.address) is not None
    if not done and built.supply is None:
        raise UserError(f"the mixture of {recipe!r} is not made yet; bring it about with polyglot run {recipe}")
    if done:
        rows = planned_rows(root / step.address, tokens)
    else:
        assert built.supply is not None
        supply = {row.code: row.held for row in built.supply.rows}
        rows = stated_rows(step.arguments["policy"], supply, tokens or step.arguments["budget"].amount)
        print("by the sizes that data sets state, since no tokens are there yet\n")
    seen = first_windows(step, root, windows, context) if done else []
    print_rows(rows)
    print_windows(seen)
    write_mixture_page(out, rows, seen)
    print(f"\npage  {out}")


def first_windows(step: Step, root: Path, count: int, context: int) -> list["Window"]:
    """Read the first windows of a mixture that is made, as a training would."""
    from polyglot_lm.mixture import Sampler, read_occurrences, read_shares
    from polyglot_lm.mixture.show import dry_run
    from polyglot_lm.shards import TokenDataset
    from polyglot_lm.tokenizer import Tokenizer

    shares, held, seed = read_shares(root / step.address)
    sources: dict[str, Step] = step.arguments["tokens"]
    datasets = {name: TokenDataset(root / source.address) for name, source in sources.items()}
    languages = {name: dataset.description["lang"] for name, dataset in datasets.items()}
    tokenizer = Tokenizer(root / next(iter(sources.values())).arguments["tokenizer"].address)
    repeats = read_occurrences(root / step.address, datasets)
    sampler = Sampler(datasets, shares, held, context, seed, occurrences=repeats)
    return dry_run(sampler, languages, count, lambda ids: tokenizer.decode_bytes(ids).decode("utf-8", "replace"))


def print_rows(rows: list["Row"]) -> None:
    from rich.console import Console
    from rich.table import Table

    from polyglot_lm.mixture.page import CONTENT_HEADS, content_cells

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in CONTENT_HEADS:
        table.add_column(head, no_wrap=True, justify="left" if head in ("source", "language") else "right")
    for row in rows:
        table.add_row(*content_cells(row))
    Console().print(table)


def print_windows(windows: list["Window"]) -> None:
    for window in windows:
        heads = " | ".join(" ".join(head.split())[:40] for head in window.heads)
        print(f"{window.number:>4}  {window.source:<8} {window.num_documents:>3} documents  {heads}")


@app.command(name="policies")
def policies_command() -> None:
    """List the policies by name and where the published ones were read."""
    from polyglot_lm.mixture.presets import presets

    print("uniform  the same amount of every language")
    print("unimax   as uniform as the supply allows, no language read more often than the cap")
    for name, preset in presets().items():
        what = f"sizes in {preset['unit']} to the power {preset['alpha']}" if "alpha" in preset else f"weights in {preset['unit']}"
        print(f"{name:<8} {what}; {preset['source']}")


@app.command(name="controller")
def controller_command(
    recipe: RecipeName,
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("controller.html"),
) -> None:
    """Draw what the controller of a recipe's mixture decided while it trained, and why."""
    from polyglot_lm.mixture.page import write_controller_page
    from polyglot_lm.shards import read_metrics

    steps = in_order(recipe_named(recipe, settings).targets)
    lines = [line for step in steps for line in read_metrics(root / step.address)]
    decisions = [line["decision"] for line in lines if line.get("decision")]
    if not decisions:
        raise UserError(f"no training of {recipe!r} under {root} had a controller; give it references and run it")
    write_controller_page(out, decisions)
    shares = ", ".join(f"{code} {share:.1%}" for code, share in decisions[-1]["shares"].items())
    print(f"{len(decisions)} decisions; the last gives {shares}\npage  {out}")
