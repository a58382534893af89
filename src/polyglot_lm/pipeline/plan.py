"""Say what a recipe would do before it does it, and why a step is not done.

`plan` reads records only; `why` compares a step's specification with the nearest finished folder of the same name and
names the fields that differ, following parents down to the first cause.
"""

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyglot_lm.pipeline.identity import differences
from polyglot_lm.pipeline.record import RECORD, is_done, read_record
from polyglot_lm.pipeline.steps import Step, in_order

State = Literal["done", "resumes", "runs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStep:
    """A step, its state, and what it cost: measured when done, that of its nearest finished relative otherwise."""

    step: Step
    state: State
    measurements: Mapping[str, Any]


def plan(targets: Iterable[Step], root: Path) -> list[PlannedStep]:
    planned = []
    for step in in_order(targets):
        done = is_done(step, root)
        begun = step.stage.resumable and (root / step.address).is_dir()
        record = read_record(root / step.address) if done else nearest_record(step, root)
        state: State = "done" if done else "resumes" if begun else "runs"
        planned.append(PlannedStep(step=step, state=state, measurements=record["measurements"] if record else {}))
    return planned


def why(step: Step, root: Path) -> list[str]:
    """Explain in sentences why a step is done or must run."""
    if is_done(step, root):
        return [f"{step.name} is done in {root / step.address}"]
    relative = nearest_record(step, root)
    if relative is None:
        return [f"{step.name} must run: no finished folder of that name is under {root}"]
    lines = [f"{step.name} must run: nearest finished is {relative['address']}, which differs in"]
    parents = {parent.address: parent for parent in step.parents}
    for field, old, new in differences(relative["specification"], step.specification):
        parent = parents.get(new) if isinstance(new, str) else None
        lines.append(f"  {field.removeprefix('arguments.')}: {show(old)} -> {show(new)}")
        if parent is not None and not is_done(parent, root):
            lines += [f"    {line}" for line in why(parent, root)]
    return lines


def show(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest_record(step: Step, root: Path) -> dict[str, Any] | None:
    """Return the record of the finished folder of the same name whose specification differs in the fewest fields."""
    folder = (root / step.name).parent
    records = []
    for path in sorted(folder.glob(f"{glob.escape(Path(step.name).name)}-????????/{RECORD}")):
        record = read_record(path.parent)
        if record is not None and record["name"] == step.name:
            records.append(record)
    return min(records, key=lambda record: distance(record, step), default=None)


def distance(record: Mapping[str, Any], step: Step) -> tuple[int, str]:
    newest_first = "".join(chr(0x10FFFF - ord(letter)) for letter in record["measurements"]["started"])
    return len(differences(record["specification"], step.specification)), newest_first
