"""The guard's own verbs: `guard check`, `guard coverage`, `guard train`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Check text with the demo's guard, say what it covers, train it anew.")
PolicyFile = Annotated[Path | None, typer.Option(help="A policy file; without it the default one.")]
Weights = Annotated[Path | None, typer.Option(help="A file of `guard train`; without it the one shipped.")]


@app.command(name="check")
def check_command(policy: PolicyFile = None, weights: Weights = None, direction: str = "completion") -> None:
    """Judge the text that comes in: the action, each reason, and the text as it may be shown."""
    from polyglot_lm.pipeline import UserError
    from polyglot_lm.serving.guard.guard import load_guard
    from polyglot_lm.serving.guard.policy import DIRECTIONS

    chosen = next((known for known in DIRECTIONS if known == direction), None)
    if chosen is None:
        raise UserError(f"unknown direction {direction!r}; choose of {', '.join(DIRECTIONS)}")
    verdict = load_guard(policy, trained_path=weights).check(sys.stdin.buffer.read().decode("utf-8", "replace"), chosen)
    print(verdict.action.name.lower())
    for reason in verdict.reasons:
        print(f"  {reason.sentence()}")
    print(verdict.text, end="")


@app.command(name="coverage")
def coverage_command(policy: PolicyFile = None, weights: Weights = None) -> None:
    """Say what is checked in each language."""
    from polyglot_lm.serving.guard.guard import load_guard

    for covered in load_guard(policy, trained_path=weights).coverage():
        print(covered.sentence())


@app.command(name="train")
def train_command(
    data: Annotated[Path, typer.Option(help="Folder of labelled sentences and word lists, laid out as docs/guard.md says.")],
    text: Annotated[Path, typer.Option(help="Folder of neutral text, <language>/*.jsonl or *.jsonl.zst.")],
    out: Annotated[Path, typer.Option(help="The file to write, .npz.")],
    paragraphs: Annotated[int, typer.Option(help="Neutral paragraphs of each file of text.")] = 800,
) -> None:
    """Train the classifiers and review the word lists; a fifth of the data is held out. Needs scikit-learn."""
    from polyglot_lm.serving.guard.classifier import write_trained
    from polyglot_lm.serving.guard.examples import read_paragraphs, read_sentences, read_words
    from polyglot_lm.serving.guard.train import prepare, train

    sentences = list(read_sentences(data))
    neutral = list(read_paragraphs(text, per_source=paragraphs))
    trained = train(prepare(sentences, read_words(data), neutral))
    write_trained(out, trained)
    for code, found in trained.classifiers.items():
        print(f"{code}: a classifier from {found.facts['sentences']:,} sentences, {found.facts['offensive']:,} of them offensive")
    print(f"{len(trained.entries):,} words kept; {out} has {out.stat().st_size:,} bytes")
