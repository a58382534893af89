"""Measure the demo server: speed of the engines, cost and quality of the guard, half an hour of mixed load.

    make bench ROOM=serving                       all parts
    python benchmarks/serving/run.py speed        one of them: speed, guard, load

Each part is a program that prints a table and, as its last line, one JSON object; here the objects become one, also kept in
`benchmarks/results/serving.json`. A part that fails is named and leaves its keys out.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import read_json, write_json

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "serving.json"
PARTS = ("speed", "guard", "load")


def main() -> None:
    asked = sys.argv[1:]
    figures: dict[str, Any] = read_json(RESULTS)["figures"] if asked and RESULTS.exists() else {}
    failed = []
    for name in asked or PARTS:
        print(f"--- {name}", flush=True)
        found = run_part(name)
        figures |= found
        if not found:
            failed.append(name)
    machine = {"cores": os.cpu_count(), "machine": platform.machine()}
    write_json(RESULTS, {"command": "make bench ROOM=serving", "figures": figures, "machine": machine})
    print(json.dumps(figures))
    if failed:
        raise SystemExit(f"no figures of {', '.join(failed)}")


def run_part(name: str) -> dict[str, Any]:
    """Run a part, pass its table on, and return its last line; nothing when it fails."""
    process = subprocess.Popen([sys.executable, str(HERE / f"{name}.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    last = ""
    for line in process.stdout:
        if last:
            print(last, end="", flush=True)
        last = line
    if process.wait():
        print(last, end="")
        return {}
    found: dict[str, Any] = json.loads(last)
    return found


if __name__ == "__main__":
    main()
