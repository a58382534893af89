"""Draw what scaling.py measured beside what it had predicted: one bar a run, a ring where the prediction lay; SVG by hand.

python benchmarks/training/scaling.py RESULT.json plot FIGURE.svg
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, TOP, BAR = 980, 345, 220, 30, 64, 16
INK, SOFT, COLOURS = "#1d2433", "#6b7280", {"bf16": "#3b6ea5", "fp8": "#c07830"}
LAYOUTS = {"fsdp": "FSDP2", "copies": "a copy each"}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write the figure of all runs that were measured: MFU across, its attention counted in full, over the bf16 peak."""
    runs = {name: run for name, run in result["measured"].items() if "mfu" in run}
    most = max(max(run["mfu"], result["predicted"][name]["mfu"]) for name, run in runs.items())
    limit = (int(most * 10) + 1) / 10
    height = TOP + ROW * len(runs) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(16, 24, f"MFU of a training step, {result['card']}", weight=600, size=16),
        text(16, 44, "bar: measured, blue in bf16, brown in FP8; ring: predicted before; MFU is over the bf16 peak", colour=SOFT),
    ]
    for tenth in range(round(limit * 10) + 1):
        x = across(tenth / 10, limit)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 34}" stroke="#e5e7eb"/>')
        parts.append(text(x, height - 16, f"{tenth * 10} %", anchor="middle", colour=SOFT))
    for row, (name, run) in enumerate(sorted(runs.items(), key=lambda each: order(each[0]))):
        parts += drawn_run(name, run, result["predicted"][name], TOP + row * ROW, limit)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def drawn_run(name: str, run: Mapping[str, Any], expected: Mapping[str, Any], y: float, limit: float) -> list[str]:
    size, precision, gpus, layout, micro_batch, *_, recompute = name.split(":")
    cards = "1 GPU" if gpus == "1" else f"{gpus} GPUs, {LAYOUTS.get(layout, layout)}"
    title = f"{size.upper()} {precision.upper() if precision == 'fp8' else precision}, {cards}, {micro_batch} windows"
    title += "" if recompute == "none" else f", {recompute}"
    middle, start, end = y + BAR / 2, across(0, limit), across(run["mfu"], limit)
    return [
        text(LEFT - 10, middle + 4, title, anchor="end"),
        f'<rect x="{start}" y="{y}" width="{end - start:.1f}" height="{BAR}" rx="2" fill="{COLOURS[precision]}"/>',
        f'<circle cx="{across(expected["mfu"], limit):.1f}" cy="{middle}" r="5" fill="white" stroke="{INK}" stroke-width="2"/>',
        text(WIDTH - RIGHT + 16, middle + 4, f"{run['mfu']:.1%}   {run['tokens_s_gpu']:,} tokens/s a GPU"),
    ]


def order(name: str) -> tuple[float, str, int, str]:
    size, precision, gpus, rest = name.split(":", 3)
    return float(size.removesuffix("b")), precision, int(gpus), rest


def across(mfu: float, limit: float) -> float:
    return LEFT + mfu / limit * (WIDTH - LEFT - RIGHT)


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, weight: int = 400, size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}" font-size="{size}">'
        f"{escape(words)}</text>"
    )
