"""What a training tells about itself: JSON lines, each with its `step`.

Nothing in `metrics.jsonl` differs between two runs of the same training; speed has a file of its own. Lines after the last
checkpoint are written again on resume, so they are dropped first.
"""

import json
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import atomic_text

METRICS_FILE = "metrics.jsonl"


class Metrics:
    """The lines so far, in memory and, where `writes`, on disk."""

    def __init__(self, folder: Path, *, until_step: int, writes: bool, name: str = METRICS_FILE) -> None:
        self.path, self.writes = folder / name, writes
        self.lines = [line for line in read_metrics(folder, name) if line["step"] <= until_step]
        if writes:
            with atomic_text(self.path) as file:
                file.writelines(json.dumps(line) + "\n" for line in self.lines)

    def write(self, **line: Any) -> None:
        self.lines.append(line)
        if self.writes:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def last(self, field: str) -> Any:
        """Return the newest value of a field, None when no line has it."""
        return next((line[field] for line in reversed(self.lines) if field in line), None)


def read_metrics(folder: Path, name: str = METRICS_FILE) -> list[dict[str, Any]]:
    """Return the lines of a training folder; one that was torn by a kill is left out."""
    path = folder / name
    found = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in found if line.endswith("\n")]
