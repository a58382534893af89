"""Curators' accounts and their queue: `curators add`, `list`, `password`, `remove`, `export`, `expire`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polyglot_lm.serving.review import Accounts

app = typer.Typer(help="Keep curators' accounts, and the queue they decide.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The curator's name.")]
Database = Annotated[str, typer.Option(help="The queue's file.", envvar="POLYGLOT_REVIEWS")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
DEFAULT_DATABASE = "sqlite:///reviews.db"


@app.command(name="add")
def add_command(
    name: Name,
    role: Annotated[str, typer.Option(help="curator (decides) or admin (also history and export).")] = "curator",
    *,
    password_stdin: PasswordStdin = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Make an account; the password is asked for."""
    accounts_at(database).add(name, password(given=password_stdin), role)
    print(f"{name} may sign in at /curator as {role}")


@app.command(name="password")
def password_command(name: Name, *, password_stdin: PasswordStdin = False, database: Database = DEFAULT_DATABASE) -> None:
    """Give an account another password, and sign it out everywhere."""
    accounts_at(database).change_password(name, password(given=password_stdin))
    print(f"{name} has another password and is signed out everywhere")


@app.command(name="remove")
def remove_command(name: Name, *, database: Database = DEFAULT_DATABASE) -> None:
    """Delete an account; what it decided stays."""
    accounts_at(database).remove(name)
    print(f"{name} is removed and signed out everywhere")


@app.command(name="list")
def list_command(*, database: Database = DEFAULT_DATABASE) -> None:
    """List the accounts, and how many items there are of each status."""
    from polyglot_lm.serving.review import Reviews

    for account in accounts_at(database).all():
        print(f"{account.name}\t{account.role}")
    print(", ".join(f"{count:,} {status}" for status, count in Reviews(database).counts().items()))


@app.command(name="export")
def export_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File of JSON lines.")], *, database: Database = DEFAULT_DATABASE
) -> None:
    """Write what was decided as training data for the guard: text, labels, language, decision."""
    from polyglot_lm.serving.review import Reviews
    from polyglot_lm.serving.review.accounts import SHELL

    print(f"{Reviews(database).export(out, SHELL):,} rows in {out}")


@app.command(name="expire")
def expire_command(
    days: Annotated[float, typer.Option(help="Delete items older than this.")], *, database: Database = DEFAULT_DATABASE
) -> None:
    """Delete old items with all their text now; a running server does so every hour."""
    from polyglot_lm.serving.review import Reviews

    print(f"{Reviews(database, retention_days=days).expire():,} items deleted")


def accounts_at(database: str) -> "Accounts":
    from polyglot_lm.serving.review import Accounts

    return Accounts(database)


def password(*, given: bool) -> str:
    """Read a password: from standard input, or twice from the terminal without showing it."""
    if given:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
