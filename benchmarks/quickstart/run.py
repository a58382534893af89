"""Time the quickstart as a newcomer meets it: a fresh root, a second run, one extraction, the help.

    make bench ROOM=quickstart

Prints a table, and as its last line one JSON object: minutes, rerun_seconds, peak_gb, extract_seconds, worst_margin (the smallest
of reference ÷ model bits per byte over languages and references), help_seconds. The peers are `xz -9` and an order-0 model on the
same text, measured in the same run.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SETTINGS = sys.argv[1:]  # such as --set steps=20, to try the script itself
POLYGLOT = [sys.executable, "-m", "polyglot_lm.cli"]
HELP_RUNS = 5


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def records(root: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in root.rglob("step.json")]
    return {record["name"]: record for record in found}


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


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch))
    for name, value in figures.items():
        print(f"{name:<18} {value:8.3f}")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
