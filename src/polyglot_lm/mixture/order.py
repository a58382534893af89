"""The two kernels of the order: whose turn it is, and how far a source's stream goes on.

`choose` gives every window to a source. A source's *credit* is what it is owed, in millionths of a window: with each window it
grows by the source's weight, and falls by a million when the window is the source's own, so the credits always sum to zero. Due
are the sources that are owed anything; of these the one takes the turn whose credit would first reach a whole window (earliest
deadline first). So no source is ever a window ahead of its share, or a window behind (Liu and Layland 1973; Tijdeman, "The
chairman assignment problem", 1980). The rule it replaces, largest credit first, lets small sources that come due together
hold up a large one: 1.74 windows behind, by random search over eight shares. Integers, so that no rounding depends on the path.

`walk` moves a cursor over a source's stream of tokens: the documents of each epoch in the order of that epoch's permutation, one
epoch after another. It reads only where documents end, so that a window that another rank reads, or that is passed over on
the way to an index, costs as many steps as it has documents (about 0.2 µs each) and none of its tokens.
"""

import numpy as np
import numpy.typing as npt

from polyglot_lm.mixture.permutation import kernel, mix, permuted, width

Int64s = npt.NDArray[np.int64]


@kernel
def choose(credits: Int64s, weights: Int64s, turns: Int64s) -> None:
    """Fill `turns` with the numbers of the sources that come next; move `credits` on. Ties fall to the first source.

    Weights are above 0 and credits sum to 0, so after their growth one at least is due.
    """
    window = weights.sum()
    for turn in range(len(turns)):
        chosen, earliest = -1, 0
        for source in range(len(weights)):
            credits[source] += weights[source]
            if credits[source] > 0:
                deadline = (window - credits[source] - 1) // weights[source]  # windows until the credit is whole, less one
                if chosen < 0 or deadline < earliest:
                    chosen, earliest = source, deadline
        credits[chosen] -= window
        turns[turn] = chosen


@kernel
def walk(
    cursor: Int64s,
    key: np.uint64,
    ends: Int64s,
    occurrences: npt.NDArray[np.uint8],
    most: int,
    num_tokens: int,
    pieces: Int64s,
) -> int:
    """Move `cursor` over `num_tokens`; write a row (document, offset, length) a piece into `pieces`, if it has any; count them.

    A cursor is the epoch, how many of its places are done, and how many tokens of the document at the next place. `ends` are the
    tokens up to the end of each document. A document stands at `most` places of an epoch, of which it takes the first
    `occurrences[document]` copies and leaves the others empty; no `occurrences` means that each occurs once.
    """
    documents, num_pieces = np.uint64(len(ends)), 0
    size = documents * np.uint64(most)
    bits = width(size)
    epoch, place, offset = cursor
    epoch_key = mix(key + np.uint64(epoch))
    while num_tokens > 0:
        found = permuted(np.uint64(place), size, bits, epoch_key)
        document = np.int64(found % documents)
        length = ends[document] - offset
        if document > 0:
            length -= ends[document - 1]
        if len(occurrences) and np.int64(found // documents) >= occurrences[document]:
            length = 0
        taken = min(length, num_tokens)
        if taken > 0 and len(pieces):
            pieces[num_pieces, 0], pieces[num_pieces, 1], pieces[num_pieces, 2] = document, offset, taken
            num_pieces += 1
        num_tokens -= taken
        offset += taken
        if taken == length:
            offset, place = 0, place + 1
            if np.uint64(place) == size:
                epoch, place = epoch + 1, 0
                epoch_key = mix(key + np.uint64(epoch))
    cursor[0], cursor[1], cursor[2] = epoch, place, offset
    return num_pieces
