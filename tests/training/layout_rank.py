"""One rank of several that trains under one layout after another, since starting a process costs more than all of them.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 python layout_rank.py CASES

`CASES` is a pickle of a list of cases; each has a port of its own for the ranks to meet.
"""

import os
import pickle
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import Layout, Runtime
from polyglot_lm.training import loop


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training, perhaps from another's checkpoint."""

    folder: Path
    arguments: Mapping[str, Any]
    layout: Layout
    port: int
    checkpoint: Path | None = None


def begin(case: Case) -> None:
    """Lay the checkpoint to start from into the case's folder."""
    checkpoints = case.folder / "checkpoints"
    checkpoints.mkdir(parents=True)
    if case.checkpoint is not None:
        shutil.copytree(case.checkpoint, checkpoints / case.checkpoint.name)


def main(cases: list[Case]) -> None:
    loop.LOG_EVERY = 1
    for case in cases:
        os.environ["MASTER_PORT"] = str(case.port)
        if os.environ["RANK"] == "0":
            begin(case)
        loop.train(
            case.folder, **case.arguments, runtime=Runtime(threads=1, device="cpu", layout=case.layout, checkpoint_seconds=0)
        )


if __name__ == "__main__":
    main(pickle.loads(Path(sys.argv[1]).read_bytes()))
