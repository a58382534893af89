"""Whether a fastText model file is whole, told without fastText, which on a truncated one hangs, crashes or asks for terabytes.

The format (version 12, `.bin` and quantized `.ftz`) is a header, a dictionary of words and labels, and two matrices, each of which
says how long it is: what is said must end where the file ends.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

MAGIC, VERSION, SUPERVISED = 793712314, 12, 3
CENTROIDS = 256
MAX_NAME_BYTES = 1 << 16


class Walk:
    """A place in the bytes of a model; raises ValueError when something would lie behind their end."""

    def __init__(self, data: Any) -> None:
        self.data, self.place = data, 0

    def read(self, layout: str) -> tuple[Any, ...]:
        start = self.place
        self.skip(struct.calcsize("<" + layout))
        return struct.unpack("<" + layout, self.data[start : self.place])

    def skip(self, num_bytes: int) -> None:
        if num_bytes < 0 or self.place + num_bytes > len(self.data):
            raise ValueError("it ends in the middle")
        self.place += num_bytes

    def name(self) -> str:
        end = self.data.find(b"\0", self.place, self.place + MAX_NAME_BYTES)
        if end < 0:
            raise ValueError("a word has no end")
        start, self.place = self.place, end + 1
        return str(self.data[start:end], "utf-8", "replace")


def labels_in(path: Path) -> list[str]:
    """Return the labels of a supervised model; raises ValueError for a file that is not a whole one, OSError for none."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walk = Walk(data)
        if walk.read("ii") != (MAGIC, VERSION):
            raise ValueError("it does not begin as a fastText model of version 12")
        dim, *_, model, bucket, _, _, _, _ = walk.read("12id")
        if model != SUPERVISED:
            raise ValueError("it is no classifier but vectors of words")
        size, num_words, num_labels, _, pruned = walk.read("iiiqq")
        if size != num_words + num_labels or min(dim, num_words, num_labels) < 0 or num_labels == 0:
            raise ValueError("its dictionary does not add up")
        labels = list[str]()
        for _ in range(size):
            word = walk.name()
            if walk.read("qb")[1] == 1:
                labels.append(word)
        walk.skip(8 * max(0, pruned))
        quantized = walk.read("?")[0]
        inputs = matrix(walk, quantized=quantized)
        outputs = matrix(walk, quantized=walk.read("?")[0] and quantized)
        rows = num_words + (pruned if pruned >= 0 else bucket)
        if inputs != (rows, dim) or outputs != (num_labels, dim) or len(labels) != num_labels:
            raise ValueError("its matrices do not fit its dictionary")
        if walk.place != len(data):
            raise ValueError("more follows its end")
        return labels


def matrix(walk: Walk, *, quantized: bool) -> tuple[int, int]:
    """Go over a matrix and return its shape."""
    if not quantized:
        rows, columns = walk.read("qq")
        check_shape(rows, columns)
        walk.skip(4 * rows * columns)
        return rows, columns
    with_norms, rows, columns, num_codes = walk.read("?qqi")
    check_shape(rows, columns)
    walk.skip(num_codes)
    quantizer(walk)
    if with_norms:
        walk.skip(rows)
        quantizer(walk)
    return rows, columns


def check_shape(rows: int, columns: int) -> None:
    if rows < 0 or columns < 0:
        raise ValueError("a matrix has a negative size")


def quantizer(walk: Walk) -> None:
    dim, *_ = walk.read("4i")
    walk.skip(4 * dim * CENTROIDS)
