"""The training report: one page of curves from what a training wrote about itself.

It reads `metrics.jsonl` and `speed.jsonl` of a folder, whole or still being written, and changes nothing. Curves are over tokens
where the lines say them, so that trainings of different batch sizes can be laid side by side; what happened to the run (a step left
out, a way back, other shares) is a dotted mark in every curve, and a table.
"""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyglot_lm.languages import languages
from polyglot_lm.pages import figure, figures, html_page, line_chart, share, table
from polyglot_lm.pipeline import UserError, atomic_text
from polyglot_lm.shards import METRICS_FILE, read_metrics
from polyglot_lm.training.logs import SPEED_FILE, story_of

PAGE_FILE = "training.html"
SETTLED = 0.03  # of the steps: what comes before may leave the chart through its top
SMOOTHED = 200  # windows over which a noisy curve is averaged
Lines = Sequence[Mapping[str, Any]]
Place = Callable[[Mapping[str, Any]], float]
SPEEDS = {
    "tokens_s": ("Tokens a second, all ranks", "tokens/s", 1.0),
    "mfu": ("Model FLOPs utilization", "%", 100.0),
    "memory_gib": ("Peak memory of the first rank", "GiB", 1.0),
    "data_wait": ("Time spent waiting for data", "%", 100.0),
}
FACTS = {
    "gradient_norm": ("Gradient norm before clipping", "norm"),
    "rate_factor": ("Learning rate, of its peak", "share"),
}


def write_training_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a training folder beside its figures, or to `out`; raises UserError when there is nothing to draw."""
    lines = read_metrics(folder)
    if not any("loss" in line for line in lines):
        raise UserError(f"no losses in {str(folder / METRICS_FILE)!r}; give the folder of a training that has begun")
    page = out or folder / PAGE_FILE
    page.parent.mkdir(parents=True, exist_ok=True)
    with atomic_text(page) as file:
        file.write(training_page(folder.name, lines, read_metrics(folder, SPEED_FILE)))
    return page


def training_page(title: str, lines: Lines, speeds: Lines) -> str:
    place, unit = axis(lines)
    events = [(line, story) for line in lines if (story := story_of(line))]
    lines = [line for line in lines if not story_of(line)]  # the loss of a step that was left out belongs to no curve
    marks = [(place(line), story) for line, story in events]

    def chart(
        heading: str, y_label: str, drawn: Mapping[str, list[tuple[float, float]]], *, noisy: bool = False, low: float | None = None
    ) -> str:
        drawn = {name: points for name, points in drawn.items() if points}
        if not drawn:
            return ""
        shown = {name: smooth(points) for name, points in drawn.items()} if noisy else drawn
        return f"<h2>{heading}</h2>" + line_chart(
            shown, x_label=unit, y_label=y_label, low=low, high=settled_high(shown), marks=marks
        )

    sections = [
        summary(lines, speeds),
        chart("Training loss", "nats per token", {"loss": points_of(lines, "loss", place)}, noisy=True),
        chart("Held-out bits per byte (control text)", "bits per byte", by_language(lines, "control_bits_per_byte", place)),
        chart("Held-out loss (control text)", "nats per token", by_language(lines, "control_loss", place)),
        *(
            chart(heading, label, {name.replace("_", " "): points_of(lines, name, place)}, noisy=name == "gradient_norm", low=0)
            for name, (heading, label) in FACTS.items()
        ),
        *(
            chart(heading, label, {label: [(x, factor * y) for x, y in points_of(speeds, name, place)]}, noisy=True, low=0)
            for name, (heading, label, factor) in SPEEDS.items()
        ),
        happened(events),
    ]
    return html_page(f"Training {title}", sections)


def summary(lines: Lines, speeds: Lines) -> str:
    """Where the training stands, large."""
    loss = newest(lines, "loss")
    found = [
        figure(f"{newest(lines, 'step'):,}", "steps"),
        figure(f"{loss:.3f}", "loss", f"perplexity {math.exp(min(loss, 99)):,.1f}"),
    ]
    if (tokens := newest(lines, "tokens")) is not None:
        found.insert(1, figure(f"{tokens / 1e9:,.2f} B" if tokens >= 1e9 else f"{tokens / 1e6:,.1f} M", "tokens read"))
    if control := newest(lines, "control_bits_per_byte"):
        worst = max(control, key=control.__getitem__)
        mean = math.fsum(control.values()) / len(control)
        found.append(figure(f"{mean:.3f}", "bits per byte, mean", f"most {control[worst]:.3f}: {name_of(worst)}"))
    if (tokens_s := newest(speeds, "tokens_s")) is not None:
        found.append(figure(f"{tokens_s:,.0f}", "tokens/s", f"{share(newest(speeds, 'data_wait'), 1)} waiting for data"))
    if (mfu := newest(speeds, "mfu")) is not None:
        found.append(figure(f"{mfu:.1%}", "MFU", f"causal {newest(speeds, 'mfu_causal'):.1%}"))
    if (saving := newest(speeds, "save_seconds")) is not None:
        found.append(figure(f"{saving:.1f} s", "stood still to save"))
    if (ceiling := newest(speeds, "of_ceiling")) is not None:
        found.append(figure(f"{ceiling:.1%}", "of a product measured there"))
    return figures(found)


def happened(events: Sequence[tuple[Mapping[str, Any], str]]) -> str:
    if not events:
        return ""
    rows = [(f"{line['step']:,}", f'<td style="text-align:left">{html.escape(story)}</td>') for line, story in events]
    return "<h2>What happened</h2>" + table(("step", ""), rows)


def axis(lines: Lines) -> tuple[Place, str]:
    """Return where a line stands on the x axis and what is counted there: tokens when the lines know them, else steps."""
    last = next((line for line in reversed(lines) if "tokens" in line), None)
    if last is None or not last["step"]:
        return (lambda line: float(line["step"])), "step"
    per_step = last["tokens"] / last["step"]  # for lines that do not say, such as those of a look at control text
    units = {1e9: "billion tokens", 1e6: "million tokens", 1: "tokens"}
    unit = next(unit for unit in units if last["tokens"] > 2 * unit or unit == 1)
    return (lambda line: line.get("tokens", line["step"] * per_step) / unit), units[unit]


def points_of(lines: Lines, field: str, place: Place) -> list[tuple[float, float]]:
    """Return the points of a field, non-finite ones left out: they have no place on a page."""
    return [(place(line), line[field]) for line in lines if math.isfinite(line.get(field, math.inf))]


def by_language(lines: Lines, field: str, place: Place) -> dict[str, list[tuple[float, float]]]:
    looks = [line for line in lines if field in line]
    codes = list(dict.fromkeys(code for line in looks for code in line[field]))
    return {name_of(code): [(place(line), line[field][code]) for line in looks if code in line[field]] for code in codes}


def name_of(code: str) -> str:
    return languages()[code].name if code in languages() else code


def smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average a long curve over windows of equal length, so that its course is seen and not its noise."""
    width = len(points) // SMOOTHED
    if width < 2:
        return points
    groups = (points[first : first + width] for first in range(0, len(points), width))
    return [(group[-1][0], math.fsum(y for _, y in group) / len(group)) for group in groups]


def settled_high(drawn: Mapping[str, list[tuple[float, float]]]) -> float:
    """Return the top of the chart: the most that any curve has after its first few steps."""
    return max((y for points in drawn.values() for _, y in points[int(SETTLED * len(points)) :]), default=math.inf)


def newest(lines: Iterable[Mapping[str, Any]], field: str) -> Any:
    return next((line[field] for line in reversed(list(lines)) if field in line), None)
