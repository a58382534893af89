"""One rank of several, the first of which wants to save after every step and the others never: clocks differ between processes.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=… python hasty_rank.py ARGUMENTS FOLDER

`ARGUMENTS` is a pickle of the keyword arguments of `train`.
"""

import os
import pickle
import sys
from pathlib import Path

from polyglot_lm.pipeline import Runtime
from polyglot_lm.training.loop import train

if __name__ == "__main__":
    seconds = 0.0 if os.environ["RANK"] == "0" else 1e9
    arguments = pickle.loads(Path(sys.argv[1]).read_bytes())
    train(Path(sys.argv[2]), **arguments, runtime=Runtime(threads=1, device="cpu", checkpoint_seconds=seconds))
