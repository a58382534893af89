"""The verbs of `polyglot`, each a few lines over a public function; a file a room.

A mistake of the user's ends in one sentence and exit code 2, Ctrl-C in 130; finished work is kept in both. Heavy
imports wait until a verb needs them.
"""

import os
import sys

import typer

from polyglot_lm import __version__
from polyglot_lm.cli import (
    corpus,
    evaluation,
    guard,
    languages,
    masking,
    mixture,
    model,
    release,
    review,
    serving,
    space,
    steps,
    study,
    tokenizer,
    training,
)
from polyglot_lm.cli.arguments import fail
from polyglot_lm.pipeline import UserError

app = typer.Typer(
    help="Make language models of balanced competence in several languages.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
INTERRUPTED = 130


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


def version() -> None:
    """Print the version."""
    print(__version__)


app.command(name="run")(steps.run)
app.command(name="plan")(steps.plan_command)
app.command(name="why")(steps.why_command)
app.command(name="serve")(serving.serve_command)
app.add_typer(serving.keys, name="keys")
app.add_typer(languages.app, name="languages")
app.command(name="evaluate")(evaluation.evaluate)
app.command(name="balance")(evaluation.balance)
app.command(name="generate")(model.generate)
app.command(name="export")(release.export_command)
app.command(name="import")(release.import_command)
app.command(name="card")(release.card_command)
app.command(name="push")(release.push_command)
app.command(name="models")(release.models_command)
app.command(name="space")(space.space_command)
app.command(name="mask")(masking.mask_command)
app.add_typer(guard.app, name="guard")
app.add_typer(corpus.app, name="corpus")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(mixture.app, name="mixture")
app.add_typer(training.app, name="training")
app.add_typer(review.app, name="curators")
app.add_typer(study.app, name="study")
app.command(name="version")(version)
