"""A training of the tiny shape as a process of its own, so that it can be killed: `python tiny_run.py ARGUMENTS FOLDER SECONDS`.

`ARGUMENTS` is a pickle of the keyword arguments of `train`; `SECONDS` say how often it saves.
"""

import pickle
import sys
from pathlib import Path

from polyglot_lm.pipeline import Runtime, UserError
from polyglot_lm.training import loop

if __name__ == "__main__":
    loop.LOG_EVERY = 1
    arguments = pickle.loads(Path(sys.argv[1]).read_bytes())
    runtime = Runtime(threads=1, device="cpu", checkpoint_seconds=float(sys.argv[3]))
    try:
        loop.train(Path(sys.argv[2]), **arguments, runtime=runtime)
    except UserError as error:
        sys.exit(f"polyglot: {error}")
