"""One rank of a distributed step: `torchrun -m polyglot_lm.pipeline.rank CALL COUNTERS`.

Reads the pickled call that `runtime.run_under_torchrun` wrote, runs the stage, and answers with the counters of rank 0, or with the
sentence of whichever rank met a mistake of the user's.
"""

import importlib
import os
import pickle
import sys
from pathlib import Path

from polyglot_lm.pipeline.errors import UserError
from polyglot_lm.pipeline.files import write_json
from polyglot_lm.pipeline.progress import SILENT, Progress
from polyglot_lm.pipeline.runtime import Runtime
from polyglot_lm.pipeline.steps import Stage


def main(order: Path, answer: Path) -> None:
    reference, folder, arguments, settings = pickle.loads(order.read_bytes())
    module, name = reference.split(":")
    stage = getattr(importlib.import_module(module), name)
    if not isinstance(stage, Stage):
        raise TypeError(f"{reference} is not a stage")
    first = os.environ.get("RANK", "0") == "0"
    runtime = Runtime(progress=terminal_progress() if first else SILENT, **settings)
    try:
        counters = stage(folder, **arguments, **({"runtime": runtime} if stage.wants_runtime else {}))
    except UserError as error:
        write_json(answer, {"error": str(error)})
        sys.exit(2)
    if first:
        write_json(answer, {"counters": counters})


def terminal_progress() -> Progress:
    from rich.console import Console

    return Progress(Console(stderr=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
