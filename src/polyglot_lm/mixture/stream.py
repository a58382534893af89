"""The endless stream of one source: every epoch all its documents, whole, in that epoch's own order.

Where it stands is a cursor of three numbers, so it can be left, copied and taken up anywhere; what it reads depends on the seed,
the name of the source and its documents, and on nothing that happens to other sources.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt
import xxhash

from polyglot_lm.mixture.batch import Run
from polyglot_lm.mixture.order import walk
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import TokenDataset

Occurrences = npt.NDArray[np.uint8]
ONCE: Occurrences = np.empty(0, np.uint8)  # every document once an epoch
NO_PIECES = np.empty((0, 3), np.int64)


class Stream:
    """One source, its cursor (epoch, place, offset) being its only state."""

    def __init__(self, name: str, dataset: TokenDataset, occurrences: Occurrences, seed: int) -> None:
        if len(occurrences) not in (0, len(dataset)) or (len(occurrences) and not occurrences.any()):
            raise UserError(
                f"source {name!r} has {len(dataset)} documents and {len(occurrences)} numbers of occurrences, the largest "
                f"{occurrences.max(initial=0)}; give one number a document, and one of them above 0"
            )
        self.dataset, self.occurrences = dataset, occurrences
        self.key = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}:{name}".encode()))
        self.most = int(occurrences.max(initial=1))
        self.cursor = np.zeros(3, np.int64)

    def pass_over(self, num_tokens: int) -> None:
        """Move on as if the tokens had been read."""
        self.walk(self.cursor, num_tokens, NO_PIECES)

    def read(self, num_windows: int, context: int) -> Run:
        """Return the next windows; the token after the last of them is read too and stays the next to be read."""
        pieces = np.empty((num_windows * context + 1, 3), np.int64)  # a document has one token at least
        found = self.walk(self.cursor, num_windows * context, pieces)
        found += self.walk(self.cursor.copy(), 1, pieces[found:])
        documents, offsets, lengths = pieces[:found].T
        begins = np.cumsum(lengths) - lengths
        return Run(
            tokens=np.concatenate(self.dataset.pieces(documents, offsets.tolist(), (offsets + lengths).tolist())),
            starts=begins[offsets == 0],
            documents=documents[np.searchsorted(begins, np.arange(0, num_windows * context, context), side="right") - 1],
        )

    def walk(self, cursor: npt.NDArray[np.int64], num_tokens: int, pieces: npt.NDArray[np.int64]) -> int:
        return walk(cursor, self.key, self.dataset.ends, self.occurrences, self.most, num_tokens, pieces)

    @cached_property
    def fingerprint(self) -> str:
        """Name what the order of this source depends on, besides the seed: its shards and how often their documents occur."""
        digest = xxhash.xxh3_64(self.occurrences.data)
        for shard in self.dataset.description["shards"]:
            digest.update(shard["xxh3_128"].encode())
        return digest.hexdigest()
