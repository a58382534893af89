"""The test documents drawn again, the same draws for every run and every reference: how much of a figure is this test set's luck.

Draws of different languages are independent, since their documents are. A statistic is computed inside each replicate; its spread
there is the test set's part of the standard error, and how far its mean lies above the observed value is the bias that the
largest of several noisy numbers has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyglot_lm.evaluation.bootstrap import drawn_sums
from polyglot_lm.pipeline import UserError
from polyglot_lm.study.records import Run, document_bits
from polyglot_lm.study.yardstick import References

REPLICATES = 2000  # a standard error is then known to 1.6 %
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """ln r of every run in every replicate, [runs, replicates, languages]; the observed one is `observed` [runs, languages]."""

    place: dict[Run, int]
    replicates: Floats
    observed: Floats

    def spread(self, statistic: Callable[[Floats], Floats], ours: Sequence[Run], theirs: Sequence[Run] = ()) -> tuple[float, float]:
        """Return the standard error of a statistic over documents, and its bias.

        `statistic` maps ln r [..., languages] to [...]; it is averaged over `ours`, less its average over `theirs`.
        """

        def contrast(values: Floats) -> Floats:
            sides = [statistic(values[[self.place[run] for run in runs]]).mean(axis=0) for runs in (ours, theirs) if runs]
            return np.asarray(sides[0] - sides[1] if len(sides) > 1 else sides[0])

        drawn = contrast(self.replicates)
        return float(drawn.std(ddof=1)), float(drawn.mean() - contrast(self.observed))


def draw(runs: Sequence[Run], references: References, seed: int = 0) -> Drawn | None:
    """Draw documents for all runs and references at once; None where a run or reference kept no bits of documents.

    Raises UserError for runs that scored other documents than the rest.
    """
    logs, observed = [], []
    for number, (code, reference) in enumerate(references.items()):
        both = [*runs, *reference.runs]
        found = [document_bits(run).get(code) for run in both]
        if any(one is None for one in found):
            return None
        kept = [one for one in found if one is not None]
        num_bytes = kept[0][1]
        for run, (_, own) in zip(both, kept, strict=True):
            if not np.array_equal(own, num_bytes):
                raise UserError(f"{run.folder} scored other test documents in {code!r} than {both[0].folder}; score it again")
        columns = np.stack([bits for bits, _ in kept], axis=1)
        columns = np.concatenate([columns[:, : len(runs)], columns[:, len(runs) :].mean(axis=1, keepdims=True)], axis=1)
        sums = np.log(drawn_sums(columns, REPLICATES, seed=1000 * seed + number))  # bytes are the same on both sides
        logs.append(sums[:, :-1] - sums[:, -1:])
        whole = np.log(columns.sum(axis=0))
        observed.append(whole[:-1] - whole[-1])
    return Drawn({run: at for at, run in enumerate(runs)}, np.stack(logs, axis=2).transpose(1, 0, 2), np.stack(observed, axis=1))
