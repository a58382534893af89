"""The table of languages, sets of them, and what they cost in bytes: `languages`, `languages select`, `languages premium`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from polyglot_lm.cli.arguments import comma_separated

app = typer.Typer(help="Show the table of languages, choose among them, measure byte premiums.", invoke_without_command=True)


@app.callback()
def languages_command(context: typer.Context) -> None:
    """Show the table of languages; choose sets of them, measure byte premiums."""
    if context.invoked_subcommand:
        return
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


@app.command(name="select")
def select_command(
    tokens_billions: Annotated[float, typer.Option(help="Tokens that the set shares evenly.")] = 500,
    size: Annotated[int, typer.Option(min=1, help="Languages in a set.")] = 4,
    candidates: Annotated[str, typer.Option(help="Which languages, by comma; empty means all of the table.")] = "",
    required: Annotated[str, typer.Option(help="Languages that every set holds, by comma.")] = "",
    max_epochs: Annotated[float, typer.Option(help="How often a language may be read.")] = 4.0,
    rank_by: Annotated[
        Literal["supply", "near", "far", "synergy"], typer.Option(help="Text, syntactic distance either way, or measured synergy.")
    ] = "supply",
    synergy: Annotated[
        Path | None, typer.Option(help="JSON of what each language gives the others: {source: {target: G}}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many sets.")] = 10,
) -> None:
    """Rank sets of languages by their text for a budget, and say why a language is left out."""
    from rich.console import Console
    from rich.table import Table

    from polyglot_lm.languages import languages, select
    from polyglot_lm.mixture import Budget
    from polyglot_lm.mixture.selection import read_synergy, select_sets
    from polyglot_lm.pipeline import UserError

    chosen = select(comma_separated(candidates) or languages())
    kept = tuple(language.code for language in select(comma_separated(required))) if required else ()
    try:
        budget = Budget(amount=tokens_billions * 1e9, unit="tokens", max_epochs=max_epochs)
    except ValueError as error:
        raise UserError(str(error)) from error
    matrix = read_synergy(synergy) if synergy else None
    found = select_sets(chosen, budget, size=size, required=kept, rank_by=rank_by, synergy=matrix)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("languages", "scarcest", "epochs", "families", "scripts", "distance", *(["worst served"] if matrix else [])):
        table.add_column(head, no_wrap=True)
    for one in found.sets[:limit]:
        distance = "" if one.distance is None else f"{one.distance:.2f}"
        served = [] if one.synergy is None else [f"{one.synergy:+.3f}"]
        shown = (" ".join(one.codes), one.scarcest, f"{one.epochs[0]:.2f}", str(one.families), str(one.scripts), distance)
        table.add_row(*shown, *served)
    Console().print(table)
    print(f"\n{len(found.sets)} sets of {found.size}, by {rank_by}; distance is of syntax: whether near helps is to be measured")
    for code, why in found.excluded.items():
        print(f"left out  {code}  {why}")


@app.command(name="premium")
def premium_command(
    parallel: Annotated[Path, typer.Argument(help="JSON lines (.zst, .gz) with the same sentence in every language.")],
    languages: Annotated[str, typer.Option(help="Which of them, by comma; empty means all in the file.")] = "",
    reference: Annotated[str, typer.Option(help="The language whose bytes are 1.")] = "en",
    out: Annotated[Path | None, typer.Option(help="Write the premiums as JSON, for a recipe's byte_premiums.")] = None,
) -> None:
    """Measure byte premiums on parallel text, beside those of the table."""
    from polyglot_lm.languages import languages as known
    from polyglot_lm.mixture.units import byte_premiums
    from polyglot_lm.pipeline import write_json
    from polyglot_lm.tokenizer.parity import read_parallel

    measured = byte_premiums(read_parallel(parallel, comma_separated(languages)), reference)
    for code, premium in measured.items():
        table = f"table {known()[code].byte_premium:.3f}" if code in known() else "not in the table"
        print(f"{code}  {premium:.3f}  {table}")
    if out:
        write_json(out, measured)
        print(f"wrote  {out}")
