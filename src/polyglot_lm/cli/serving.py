"""Serve models: `serve`, and the keys of its API: `keys add`, `keys remove`, `keys list`."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyglot_lm.cli.review import DEFAULT_DATABASE

if TYPE_CHECKING:
    from polyglot_lm.serving.limits import Limits

keys = typer.Typer(help="Keep the keys of the API, stored as hashes.", no_args_is_help=True)
File = Annotated[Path, typer.Option(help="The file of hashes.", envvar="POLYGLOT_KEYS")]
DEFAULT_FILE = Path("keys.json")


def serve_command(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Exported folders or http addresses, or NAME=MODEL.")],
    host: Annotated[
        str, typer.Option(help="The address to listen on; others than this machine's own get a warning.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8000,
    engine: Annotated[
        str,
        typer.Option(
            help="For folders: ctranslate2 (int8 on CPUs), llama (the same, faster for a few people) or transformers (any device)."
        ),
    ] = "ctranslate2",
    guard: Annotated[str, typer.Option(help="off, log (only note) or enforce.")] = "enforce",
    policy: Annotated[Path | None, typer.Option(help="The guard's policy file, if not the built-in one.")] = None,
    reviews: Annotated[
        str, typer.Option(help="The curators' queue; empty for none.", envvar="POLYGLOT_REVIEWS")
    ] = DEFAULT_DATABASE,
    keys: Annotated[
        Path | None, typer.Option(help="Let in only keys of this file (`polyglot keys add`).", envvar="POLYGLOT_KEYS")
    ] = None,
    origin: Annotated[list[str] | None, typer.Option(help="A website whose pages may call the API (CORS).")] = None,
    name: Annotated[list[str] | None, typer.Option(help="A further host name of an open server on this machine.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="A limit, such as places=8 (docs/deploy.md).")
    ] = None,
    *,
    proxy: Annotated[bool, typer.Option("--proxy", help="Believe the addresses that a proxy on this machine reports.")] = False,
    page: Annotated[bool, typer.Option(help="Show the demo page at /.")] = True,
) -> None:
    """Serve models: an OpenAI-compatible API, the demo page, and the curators' pages."""
    from polyglot_lm.serving.assembly import Offer, serve
    from polyglot_lm.serving.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        keys=keys,
        origins=tuple(origin or ()),
        names=tuple(name or ()),
        proxy=proxy,
        limits=limits_of(limit or []),
    )
    serve(Offer(models=tuple(models), engine=engine, guard=guard, policy=policy, reviews=reviews, page=page), settings)


def limits_of(given: list[str]) -> "Limits":
    from polyglot_lm.pipeline import UserError
    from polyglot_lm.serving.limits import Limits

    kinds: dict[str, Any] = {field.name: field.type for field in fields(Limits)}
    chosen: dict[str, Any] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        if name not in kinds:
            raise UserError(f"there is no limit {name!r}; known are {', '.join(kinds)}")
        try:
            chosen[name] = kinds[name](value)
        except ValueError:
            raise UserError(f"--limit is {setting!r}; write NAME=NUMBER, such as places=8") from None
    return Limits(**chosen)


@keys.command(name="add")
def add_command(
    name: Annotated[str, typer.Argument(help="Whose key it is; limits and the log go by this name.")], file: File = DEFAULT_FILE
) -> None:
    """Make a key and print it: it is shown this once."""
    from polyglot_lm.serving.access import add_key

    print(add_key(file, name))


@keys.command(name="remove")
def remove_command(name: Annotated[str, typer.Argument(help="Whose key it is.")], file: File = DEFAULT_FILE) -> None:
    """Delete a key; a running server refuses it from the next request on."""
    from polyglot_lm.serving.access import remove_key

    remove_key(file, name)
    print(f"the key of {name} is removed")


@keys.command(name="list")
def list_command(file: File = DEFAULT_FILE) -> None:
    """List whose keys there are, and since when."""
    from polyglot_lm.serving.access import read_keys

    for name, entry in read_keys(file).items():
        print(f"{name}\t{entry['created']}")
