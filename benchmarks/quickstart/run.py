"""Time the quickstart as a newcomer meets it: a fresh root, a second run, one extraction, the help.

    make bench ROOM=quickstart

Prints a table, and as its last line one JSON object: minutes, rerun_seconds, peak_gb, extract_seconds, worst_margin (the smallest
of reference ÷ model bits per byte over languages and references), help_seconds. The peers are `xz -9` and an order-0 model on the
same text, measured in the same run. Figures, languages, machine and versions go to `benchmarks/results/quickstart.json`, the
picture of the README to `quickstart.svg` beside it.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from polyglot_lm.evaluation.report import reference_chart
from polyglot_lm.pipeline import read_json, write_json

SETTINGS = sys.argv[1:]  # such as --set steps=20, to try the script itself; its results are then not kept
POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli"]
RESULTS = Path(__file__).parents[1] / "results"
HELP_RUNS = 5


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def records(root: Path) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in map(read_json, root.rglob("step.json"))}


def measure(root: Path) -> dict[str, float]:
    run = [*POLYGLOT, "run", "quickstart", "--root", str(root), *SETTINGS]
    first, second = seconds(run), seconds(run)
    steps = records(root)
    return {
        "minutes": first / 60,
        "rerun_seconds": second,
        "peak_gb": max(step["measurements"]["peak_bytes"] for step in steps.values()) / 1e9,
        "extract_seconds": steps["source/chromium"]["measurements"]["wall_seconds"],
        "worst_margin": steps["report"]["counters"]["worst_margin"],
        "help_seconds": min(seconds([*POLYGLOT, "--help"]) for _ in range(HELP_RUNS)),
    }


def keep(figures: dict[str, float], root: Path) -> None:
    summary = read_json(root / "quickstart" / "report" / "summary.json")
    measured = records(root)["training"]["measurements"]
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    versions = {name: value for name, value in measured.items() if name in ("commit", "python", "torch", "tokenizers")}
    write_json(
        RESULTS / "quickstart.json",
        {"command": "make bench ROOM=quickstart", "figures": figures, "machine": machine, "versions": versions, "summary": summary},
    )
    picture = reference_chart(summary["languages"]).replace("currentColor", "#222")
    background = '<rect width="100%" height="100%" fill="white"/>'
    (RESULTS / "quickstart.svg").write_text(picture.replace(">", ">" + background, 1) + "\n", encoding="utf-8")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        figures = {name: round(value, 4) for name, value in measure(Path(scratch)).items()}
        if not SETTINGS:
            keep(figures, Path(scratch))
    for name, value in figures.items():
        print(f"{name:<18} {value:8.3f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
