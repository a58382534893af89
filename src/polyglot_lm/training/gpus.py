"""The cards we know (`gpus.toml`): what they hold, how fast they compute and copy, and the one that a process runs on."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from polyglot_lm.pipeline import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A card; `gpus.toml` says what each figure means and where it is from."""

    name: str
    matches: tuple[str, ...]
    memory_gib: float
    peak_flops: float
    matmul_flops: float
    fp8_gain: float
    memory_bytes_s: float
    link_bytes_s: float
    network_bytes_s: float


@functools.cache
def gpus() -> Mapping[str, Gpu]:
    read = tomllib.loads((files("polyglot_lm.training") / "gpus.toml").read_text(encoding="utf-8"))
    return {name: Gpu(name=name, **{**row, "matches": tuple(row["matches"])}) for name, row in read.items()}


def gpu_named(name: str) -> Gpu:
    """Raises UserError that lists the cards."""
    if name not in gpus():
        raise UserError(f"no GPU {name!r} in the table; there are {', '.join(gpus())}")
    return gpus()[name]


def gpu_called(driver_name: str) -> Gpu | None:
    """Return the card that the driver calls so, such as `NVIDIA H100 80GB HBM3`; None for one that is not in the table."""
    return next((gpu for gpu in gpus().values() if all(word in driver_name for word in gpu.matches)), None)
