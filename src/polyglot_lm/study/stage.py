"""Stages of a study as a step of a recipe: the folder of gathered text in, records out.

Imports torch only when it runs, so that a recipe is built without it.
"""

import os
import shutil
from pathlib import Path

from polyglot_lm.pipeline import Counters, Runtime, stage
from polyglot_lm.study.protocol import Protocol


@stage(version=1, resumable=True)
def run_study(
    out: Path,
    *,
    data: Path,
    protocol: Protocol,
    stages: tuple[str, ...],
    before: Path | None = None,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Carry stages out; `before` holds the records that they build on. Raises UserError where an arm lacks text."""
    import torch

    from polyglot_lm.study.gather import StudyData
    from polyglot_lm.study.runner import Study, devices_of

    torch.set_num_threads(runtime.threads)
    if before is not None:
        inherit(before, out)
    study = Study(protocol=protocol, data=StudyData(data), out=out, devices=devices_of(runtime.device), say=runtime.progress.say)
    study.carry_out(stages)
    records = [record for (found, _), record in study.done.items() if found in stages]
    return {"trainings": len(records), "seconds": sum(record["seconds_in_all"] for record in records)}


def inherit(before: Path, out: Path) -> None:
    """Give the records of earlier stages a second name here: what follows is planned by them."""
    for path in sorted(before.rglob("*")):
        target = out / path.relative_to(before)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.name != "step.json" and not target.exists():
            try:
                os.link(path, target)
            except OSError:  # another file system
                shutil.copyfile(path, target)
