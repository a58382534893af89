"""The verbs of `polyglot`, each a few lines over a public function.

A mistake of the user's ends in one sentence and exit code 2, Ctrl-C in 130; finished work is kept in both. Heavy
imports wait until a verb needs them.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglot_lm import __version__
from polyglot_lm.pipeline import (
    CORES,
    MANIFESTS,
    Progress,
    Runtime,
    Step,
    UserError,
    in_order,
    name_results,
    plan,
    read_record,
    run_steps,
    why,
)

if TYPE_CHECKING:
    from polyglot_lm.corpus.estimate import Pilot
    from polyglot_lm.recipes import Recipe

app = typer.Typer(
    help="Make language models of balanced competence in several languages.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A built-in name (quickstart) or FILE.py:FUNCTION.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter of the recipe.")]
INTERRUPTED = 130
QUARANTINED = 3  # everything is done, but some input could not be read
DEFAULT_ROOT = Path("runs")
Root = Annotated[Path, typer.Option(help="Folder of all results.", envvar="POLYGLOT_ROOT")]


def main() -> None:
    """Run the command line; the exit code is 2 for a mistake of the user's and 130 for Ctrl-C."""
    # torch's OpenMP threads otherwise spin while they wait, and beside any other busy program training crawls
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UserError as error:
        code = fail(str(error), 2)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own usage errors have it
            raise
        code = fail(error.format_message(), 2)
    if code == INTERRUPTED:  # typer turns KeyboardInterrupt into this
        fail("interrupted; finished steps are kept, run the same command again to continue", INTERRUPTED)
    sys.exit(code or 0)


def fail(message: str, code: int) -> int:
    print(f"polyglot: {message}", file=sys.stderr)
    return code


def terminal() -> Progress:
    from rich.console import Console

    return Progress(Console(stderr=True))


def recipe_named(name: str, settings: list[str] | None) -> "Recipe":
    from polyglot_lm.recipes import RECIPES, build

    return build(name, settings or [], RECIPES)


@app.command()
def run(
    recipe: RecipeName,
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
    workers: Annotated[int, typer.Option(help="Processes inside a step.")] = CORES,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = CORES,
    processes: Annotated[int, typer.Option(help="Training processes, started by torchrun.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    cluster: Annotated[str | None, typer.Option(help="Ray cluster for tasks: ray://HOST:PORT, auto or local.")] = None,
    checkpoint_seconds: Annotated[float, typer.Option(help="How often training saves its state.")] = 20.0,
) -> int:
    """Carry a recipe out: skip what is done, resume what was cut. Exit code 3: done, but some input could not be read."""
    built = recipe_named(recipe, settings)
    runtime = Runtime(
        root=root,
        workers=workers,
        threads=threads,
        processes=processes,
        device=device,
        cluster=cluster,
        checkpoint_seconds=checkpoint_seconds,
        progress=terminal(),
    )
    run_steps(built.targets, runtime)
    named = name_results(root, recipe.rpartition(":")[2], {name: root / step.address for name, step in built.results.items()})
    if {"report", "model"} <= built.results.keys():
        given = [f"--set {setting}" for setting in settings or ()] + ([] if root == DEFAULT_ROOT else [f"--root {root}"])
        show(named, " ".join([recipe, *given]))
    else:
        print("\n".join(f"{name:<12} {named / name}" for name in built.results))
    return quarantined(in_order(built.targets), root)


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

    from polyglot_lm.evaluation.table import LEGEND, read_summary, summary_table
    from polyglot_lm.languages import languages

    console = Console()
    console.print(summary_table(results / "report"))
    console.print(LEGEND, style="dim", highlight=False)
    summary = read_summary(results / "report")
    prompt = languages()[next(iter(summary["languages"]))].prompt
    program = "polyglot" if shutil.which("polyglot") else os.path.relpath(sys.argv[0])
    console.print(f"\nreport  {results / 'report' / 'report.html'}\nmodel   {results / 'model'}\n\nnext", highlight=False)
    for line in (
        f"{program} generate {results / 'model'} --prompt '{prompt}'",
        f"{program} run {same} --set steps={2 * summary['steps']}",
        f"{program} plan {same} --set width=256",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


@app.command(name="plan")
def plan_command(
    recipe: RecipeName,
    settings: Settings = None,
    root: Root = DEFAULT_ROOT,
    pilot: Annotated[
        float | None, typer.Option(help="Run the corpus steps on this share of the text and estimate the whole.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --pilot: so many processes would work.")] = CORES,
    core_hour_price: Annotated[float | None, typer.Option(min=0, help="With --pilot: dollars for a core-hour.")] = None,
) -> None:
    """Print what is done and what would run, with what it took when it last ran or, with a pilot, what it would take."""
    from rich.console import Console
    from rich.table import Table

    built = recipe_named(recipe, settings)
    if pilot is not None:
        from polyglot_lm.corpus.estimate import run_pilot

        found = run_pilot(built.targets, pilot, terminal())
        show_pilot(found, workers, core_hour_price)
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


@app.command(name="why")
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


@app.command(name="languages")
def languages_command() -> None:
    """Show the table of languages."""
    from rich.console import Console
    from rich.table import Table

    from polyglot_lm.languages import languages

    table = Table("code", "key", "language", "", "family", "speakers", "unit", "byte premium", "supply", "English-eq.")
    for language in languages().values():
        table.add_row(
            language.code,
            f"{language.iso639_3}_{language.script}",
            language.name,
            language.english_name,
            language.family,
            f"{language.speakers_millions:,} M",
            language.writing_unit,
            f"{language.byte_premium:.3f}",
            f"{language.supply_bytes / 1e9:,.0f} GB",
            f"{language.supply_english_bytes / 1e9:,.0f} GB",
        )
    Console().print(table)


@app.command()
def generate(
    model: Annotated[Path, typer.Argument(help="Folder of an exported model.")],
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Stop after so many tokens.")] = 100,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens of this total probability.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="Draw from so many likeliest tokens; 0 from all.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> None:
    """Continue a prompt, streaming the text."""
    from polyglot_lm.model.generate import Sampling, stream_text
    from polyglot_lm.model.generate import generate as new_tokens
    from polyglot_lm.model.hf import load_hf
    from polyglot_lm.tokenizer import Tokenizer

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    network, tokenizer = load_hf(model), Tokenizer(model)
    tokens = new_tokens(
        network,
        tokenizer.encode(prompt, parse_special=False),
        max_tokens=max_tokens,
        end_id=tokenizer.end_id,
        allowed=tokenizer.vocab_size,
        sampling=sampling,
    )
    sys.stdout.write(prompt)
    for text in stream_text(tokenizer.token_bytes[token] for token in tokens):
        sys.stdout.write(text)
        sys.stdout.flush()
    sys.stdout.write("\n")


@app.command(name="mask")
def mask_command(
    countries: Annotated[str, typer.Option(help="Whose numbers, by comma.")] = "kr,cn,jp,id,my,vn,th,us",
    kinds: Annotated[str, typer.Option(help="Which kinds, by comma; empty means all.")] = "",
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Show each span, its rule and evidence, and not the text.")] = False,
) -> None:
    """Mask personal information in what comes in; names and street addresses are not masked."""
    from polyglot_lm.masking import KINDS, mask

    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")  # bytes that are no UTF-8 come out as they went in
    chosen = tuple(filter(None, kinds.split(","))) or KINDS
    masked, spans = mask(text, countries=tuple(filter(None, countries.split(","))), kinds=chosen)
    lines = (
        f"{s.start}-{s.end}\t{s.kind}\t{s.country}: {s.rule}\t{'; '.join(s.evidence)}\t{text[s.start : s.end]}\n" for s in spans
    )
    sys.stdout.buffer.write(("".join(lines) if explain else masked).encode("utf-8", "surrogateescape"))


corpus_app = typer.Typer(help="Look into a corpus that a recipe made.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")


@corpus_app.command(name="inspect")
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


@corpus_app.command(name="costs")
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


tokenizer_app = typer.Typer(help="Look into tokenizers.", no_args_is_help=True)
app.add_typer(tokenizer_app, name="tokenizer")


@tokenizer_app.command(name="report")
def tokenizer_report_command(
    tokenizers: Annotated[list[str], typer.Argument(metavar="TOKENIZER...", help="Folders, tokenizer.json files, or hub names.")],
    parallel: Annotated[Path, typer.Option(help="JSON lines (.zst, .gz) with the same sentence in every language.")],
    languages: Annotated[str, typer.Option(help="Which of them, by comma; empty means all in the file.")] = "",
    reference: Annotated[str, typer.Option(help="The language that premiums are measured against.")] = "en",
    out: Annotated[Path, typer.Option(help="Folder for parity.json and parity.html.")] = Path("tokenizer-report"),
) -> None:
    """Compare what a sentence costs in every language, tokenizers side by side."""
    from polyglot_lm.tokenizer.parity import read_parallel
    from polyglot_lm.tokenizer.parity_page import print_parity, write_parity_report

    sentences = read_parallel(parallel, tuple(filter(None, languages.split(","))))
    print_parity(write_parity_report(out, places=tokenizers, parallel=sentences, reference=reference))
    print(f"report  {out / 'parity.html'}")


@tokenizer_app.command(name="megatron")
def megatron_command(tokens: Annotated[Path, typer.Argument(help="Folder of token shards.")]) -> None:
    """Write the index that Megatron-LM reads beside every token shard."""
    from polyglot_lm.tokenizer.megatron import write_megatron_index

    print("\n".join(map(str, write_megatron_index(tokens))))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


if __name__ == "__main__":
    main()
