"""A batch of texts as the kernels read it: one run of UTF-8 bytes and where each text begins.

Arrow keeps strings in this very form, so a record batch of a Parquet file is read without a copy of its bytes (32-bit
offsets are widened, 8 bytes a document). The bytes are never written to, and are marked so: numba compiles a kernel once for
arrays that may be written and once more for those that may not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]
Scalar = TypeVar("Scalar", bound=np.generic)


def read_only(array: np.ndarray[Any, np.dtype[Scalar]]) -> np.ndarray[Any, np.dtype[Scalar]]:
    """Return a view of contiguous memory that may not be written: the one kind of input that kernels are compiled for."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Text `i` is `data[offsets[i]:offsets[i + 1]]`; `len()` counts texts."""

    data: Bytes
    offsets: Offsets

    def __post_init__(self) -> None:
        if self.data.dtype != np.uint8 or self.offsets.dtype != np.int64 or len(self.offsets) < 1:
            raise ValueError(
                f"data is {self.data.dtype}, offsets {self.offsets.dtype}; give uint8 and int64, one offset more than texts"
            )
        object.__setattr__(self, "data", read_only(self.data))
        object.__setattr__(self, "offsets", read_only(self.offsets))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_bytes(self) -> int:
        return int(self.offsets[-1] - self.offsets[0])

    @classmethod
    def of(cls, texts: pa.StringArray | pa.LargeStringArray) -> Self:
        """Look at an Arrow array of strings; raises ValueError for other types and for missing texts."""
        if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
            raise ValueError(f"texts are {texts.type}; give an Arrow array of strings, one chunk")
        if texts.null_count:
            raise ValueError(f"{texts.null_count} of {len(texts)} texts are missing; fill or drop them first")
        _, offsets, data = texts.buffers()
        if offsets is None or not len(texts):
            return cls(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        width = np.int32 if pa.types.is_string(texts.type) else np.int64
        bounds = np.frombuffer(offsets, dtype=width)[texts.offset : texts.offset + len(texts) + 1]
        return cls(np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8), bounds.astype(np.int64, copy=False))

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> Self:
        encoded = [text.encode() for text in texts]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)
