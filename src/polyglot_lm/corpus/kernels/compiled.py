"""How a kernel is compiled: once, kept on disk, free of the interpreter's lock while it runs.

Kernels have one type per argument (arrays as `batch` has them, int64 for counts and places, uint64 for hashes), so each
is compiled once; numba finds those types itself, so kernels carry no annotations and mypy leaves this folder's unannotated
functions alone. Numba makes float64 of int64 with uint64: hashes meet hashes only.

Numba's cache knows a kernel by the text of its own file and would keep the old machine code when a file changes whose functions
it has taken in. So the cache lies in a folder named after the text of *all* kernels: beside them, or, where that cannot
be written, under ~/.cache; NUMBA_CACHE_DIR goes before both.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from numba import config, njit

Function = TypeVar("Function", bound=Callable[..., object])
HERE = Path(__file__).parent


def cache_folder() -> Path:
    text = b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py")))
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    else:
        base = HERE / "__pycache__" if os.access(HERE, os.W_OK) else Path.home() / ".cache" / "polyglot_lm"
    return base / f"kernels-{hashlib.sha256(text).hexdigest()[:16]}"


CACHE = cache_folder()


def kernel(function: Function) -> Function:
    """Compile on first call, load from the cache afterwards."""
    given = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE)  # read by numba as it decorates
    try:
        return cast(Function, njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)(function))
    finally:
        config.CACHE_DIR = given
