"""What the sampler hands out: windows, where in them documents begin, and where the windows come from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Windows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """Windows of one source in a row: tokens [n·context + 1], where in these documents begin, and each window's document."""

    tokens: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows and where they come from, row by row.

    `tokens` int64 [n, context + 1]: the last of a row is the first of its source's next window. `starts` bool [n, context + 1]:
    true where a document begins. `sources` [n]: the place of the row's source in `Sampler.names`. `documents` [n]: the number
    of the document that the row begins in.
    """

    tokens: Windows
    starts: npt.NDArray[np.bool_]
    sources: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]

    def write(self, rows: npt.NDArray[np.int64], source: int, run: Run) -> None:
        """Write a run into rows, one a window."""
        context = self.tokens.shape[1] - 1
        for window, row in enumerate(rows.tolist()):
            self.tokens[row] = run.tokens[window * context : (window + 1) * context + 1]
        windows, places = np.divmod(run.starts, context)
        first, last = windows < len(rows), (places == 0) & (windows > 0)  # the token between two windows is in both
        self.starts[rows[windows[first]], places[first]] = True
        self.starts[rows[windows[last] - 1], context] = True
        self.sources[rows] = source
        self.documents[rows] = run.documents
