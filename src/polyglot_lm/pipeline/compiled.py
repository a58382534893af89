"""How a kernel is compiled: once, kept on disk, free of the interpreter's lock while it runs.

Kernels have one type per argument (int64 for counts and places, uint64 for hashes), so each is compiled once; numba finds
those types itself, so kernels carry no annotations. Numba makes float64 of int64 with uint64: hashes meet hashes only.

Numba's cache knows a kernel by the text of its own file and would keep the old machine code when a file changes whose functions
it has taken in. So the cache lies in a folder named after the text of *all* files of kernels that may take each other in: beside
them, or, where that cannot be written, under ~/.cache; NUMBA_CACHE_DIR goes before both.

Numba takes a second to load: import this module, and those with kernels, where they are needed and not at the head of a room.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from numba import config, njit

Function = TypeVar("Function", bound=Callable[..., object])


class Kernels:
    """Compiles, on their first call, the functions it decorates; `files` holds them all."""

    def __init__(self, files: Sequence[Path]) -> None:
        text = b"".join(path.read_bytes() for path in files)
        beside = files[0].parent
        if config.CACHE_DIR:
            base = Path(config.CACHE_DIR)
        else:
            base = beside / "__pycache__" if os.access(beside, os.W_OK) else Path.home() / ".cache" / "polyglot_lm"
        self.cache = base / f"kernels-{hashlib.sha256(text).hexdigest()[:16]}"

    def __call__(self, function: Function) -> Function:
        given = config.CACHE_DIR
        config.CACHE_DIR = str(self.cache)  # read by numba as it decorates
        try:
            return cast(Function, njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)(function))
        finally:
            config.CACHE_DIR = given
