"""The page of models: what each recipe makes and how far it is, read off the records below a root.

A model is as far as its folders say: finished when its training has a record, begun when it has written metrics, published when its
export says where `polyglot push` put it. What no file says is not said.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import Step, atomic_text, read_json, read_record
from polyglot_lm.release.card_training import NOT, table
from polyglot_lm.release.hub import PUSHED_FILE
from polyglot_lm.shards import METRICS_FILE, read_metrics

TITLES = ("Recipe", "Size", "Languages", "Training", "Card", "Checkpoints")
STORY = """# Models

The models that the recipes of this repository make, and how far each of them is. Written by `polyglot models` from the records of
the steps below a root; nothing here is set by hand. How a model comes out and goes in: [release.md](release.md).
"""


def write_status_page(out: Path, models: Mapping[str, Sequence[Step]], root: Path) -> None:
    """Write the page; `models` maps the command that makes a model to its steps."""
    with atomic_text(out) as file:
        file.write("\n".join(status_lines(models, root)))


def status_lines(models: Mapping[str, Sequence[Step]], root: Path) -> Iterator[str]:
    yield STORY
    yield from table(TITLES, [status_row(command, steps, root) for command, steps in models.items()])


def status_row(command: str, steps: Sequence[Step], root: Path) -> list[str]:
    training, export = made_by(steps, "train"), made_by(steps, "export_hf")
    codes = [code for code in languages() if any(step.name.startswith(f"corpus/{code}") for step in steps)]
    size = f"{training.arguments['model'].num_parameters:,}" if training else NOT
    pushed = pushed_to(root / export.address) if export else None
    card = f"[card]({pushed['address']})" if pushed else "not published"
    branches = ", ".join(pushed["branches"]) if pushed else "not published"
    return [f"`polyglot run {command}`", size, " ".join(codes), progress(training, root), card, branches]


def made_by(steps: Sequence[Step], function: str) -> Step | None:
    return next((step for step in steps if step.stage.function.__name__ == function), None)


def progress(training: Step | None, root: Path) -> str:
    """Say how far a training is: its record, else its last line of metrics, else that there is none."""
    if training is None:
        return "no training in the recipe"
    folder = root / training.address
    record = read_record(folder)
    if record is not None:
        return f"finished: {record['counters']['tokens']:,} tokens in {record['counters']['steps']:,} steps"
    lines = read_metrics(folder) if (folder / METRICS_FILE).exists() else []
    return f"in training: step {lines[-1]['step']:,}" if lines else "not begun"


def pushed_to(export: Path) -> Mapping[str, Any] | None:
    return read_json(export / PUSHED_FILE) if (export / PUSHED_FILE).exists() else None
