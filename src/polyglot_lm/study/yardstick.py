"""References, chosen and frozen: for each language the monolingual model that the arms are measured against, and ln r of any run.

Every setting of batch and learning rate was tried on one seed; the one with the fewest bits on the *selection* split is the
language's, and the reference is the mean on the *test* split over its seeds, those that count. The arms take no part in it. r = 1
is a model that read the same of that language and nothing else; with `multiple` 8 one that had the whole budget.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyglot_lm.pipeline import UserError
from polyglot_lm.study.records import Run, same_size


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The frozen reference of a language; `sweep` has the selection bits of every (batch, learning rate) that was tried."""

    language: str
    setting: tuple[int, float]
    runs: tuple[Run, ...]
    sweep: Mapping[tuple[int, float], float]

    def bits(self, part: str) -> float:
        """Return bits per byte, the mean over seeds; raises UserError where the part was not measured."""
        try:
            return float(np.mean([run.bits_per_byte[part][self.language] for run in self.runs]))
        except KeyError:
            raise UserError(f"{self.runs[0].folder} has no bits of {part} text in {self.language!r}; measure it again") from None

    @property
    def seeds_spread(self) -> float:
        """Standard deviation of ln bits over seeds."""
        logs = [math.log(run.bits_per_byte["test"][self.language]) for run in self.runs]
        return float(np.std(logs, ddof=1)) if len(logs) > 1 else math.nan

    @property
    def edges(self) -> list[str]:
        """Say at which ends of the sweep the best setting lies, beyond which a better one may be."""
        batches, rates = ({setting[place] for setting in self.sweep} for place in (0, 1))
        batch, rate = self.setting
        ends = [("smallest batch", batches, batch == min(batches)), ("largest batch", batches, batch == max(batches))]
        ends += [("lowest rate", rates, rate == min(rates)), ("highest rate", rates, rate == max(rates))]
        return [end for end, tried, at_it in ends if at_it and len(tried) > 1]


References = Mapping[str, Reference]


def content_each(runs: Sequence[Run], size: str) -> float:
    """Return what the uniform arm reads of a language, in English-equivalent bytes; raises UserError where no such arm ran."""
    arms = [run for run in same_size(runs, size, "arms", "ladder") if run.arm == "uniform"]
    if not arms:
        raise UserError(f"no uniform arm of size {size} is among the runs; content has no measure without it")
    return float(np.mean([run.content / len(run.languages) for run in arms]))


def frozen(runs: Sequence[Run], size: str, codes: Sequence[str], multiple: float = 1) -> dict[str, Reference]:
    """Choose the references of a size that read `multiple` times the uniform arm's content of a language, where there are any."""
    own = {code: alone(runs, size, code, multiple) for code in codes}
    return {code: best_setting(code, fitting) for code, fitting in own.items() if fitting}


def alone(runs: Sequence[Run], size: str, code: str, multiple: float = 1, stage: str = "references") -> list[Run]:
    """Return the runs of one language that read `multiple` times the uniform arm's content of it, by powers of two."""
    unit = content_each(runs, size)
    own = [run for run in same_size(runs, size, stage) if run.languages == (code,)]
    return [run for run in own if round(math.log2(run.content / unit)) == round(math.log2(multiple))]


def all_frozen(runs: Sequence[Run], size: str, codes: Sequence[str]) -> dict[str, Reference]:
    """Choose the references of the same content; raises UserError for a language without one."""
    found = frozen(runs, size, codes)
    if missing := [code for code in codes if code not in found]:
        raise UserError(
            f"no reference of {missing[0]!r} with the content of the uniform arm is among the runs of size {size}; run it"
        )
    return found


def best_setting(code: str, runs: Sequence[Run]) -> Reference:
    """Take the setting with the fewest selection bits on the seed that most settings have; ties go to the smaller batch."""
    sweep_seed = Counter(run.seed for run in runs).most_common(1)[0][0]
    sweep = {run.setting: run.bits_per_byte["select"][code] for run in runs if run.seed == sweep_seed}
    setting = min(sorted(sweep), key=lambda one: sweep[one])
    own = [run for run in runs if run.setting == setting]
    return Reference(language=code, setting=setting, runs=tuple(counting(own) or own), sweep=sweep)


def counting(runs: Iterable[Run]) -> list[Run]:
    """Return the runs that are not excluded."""
    return [run for run in runs if not run.excluded]


def ln_r(run: Run, references: References, part: str = "test") -> dict[str, float]:
    """Return ln of a run's bits over the reference's, by language."""
    found = run.bits_per_byte.get(part, {})
    return {code: math.log(found[code] / reference.bits(part)) for code, reference in references.items() if code in found}
