"""How a kernel is compiled: once, kept on disk beside its module, free of the interpreter's lock while it runs.

Kernels have one type per argument (arrays as `batch` has them, int64 for counts and places, uint64 for hashes), so each
is compiled once; numba finds those types itself, so kernels carry no annotations and mypy leaves this folder's unannotated
functions alone. Numba makes float64 of int64 with uint64: hashes meet hashes only.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile on first call, load from the cache afterwards."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)(function))
