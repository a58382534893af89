"""Which languages to train together: sets ranked by what can be known of them, and a reason for every language that is left out.

A set of languages that share a budget evenly needs an equal part of it from each. A language whose text must be read more often for
it than the cap allows is left out, with its figures; sets of the rest are ranked. That similar languages help each other is a
hypothesis and no rule here: families, scripts and syntactic distance are shown, and rank only when asked. Where synergy was
measured, G of source and target, above 0 where the source helps, a set is ranked by what its worst-served language receives.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from polyglot_lm.languages import Language, syntactic_distance
from polyglot_lm.mixture.units import ENGLISH_BYTES_PER_TOKEN, Budget, shown
from polyglot_lm.pipeline import UserError

Ranking = Literal["supply", "near", "far", "synergy"]
Synergy = Mapping[str, Mapping[str, float]]
MAX_SETS = 2_000_000  # that are looked at, some seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A set of languages: epochs of each, most first, what it spans, mean syntactic distance, what its worst-served one gains."""

    codes: tuple[str, ...]
    epochs: tuple[float, ...]
    scarcest: str
    families: int
    scripts: int
    distance: float | None
    synergy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Sets, the best first, and for every language that fits no set of this size the reason."""

    size: int
    sets: tuple[Candidate, ...]
    excluded: Mapping[str, str]


def select_sets(
    languages: Sequence[Language], budget: Budget, *, size: int, required: Sequence[str], rank_by: Ranking, synergy: Synergy | None
) -> Selection:
    """Rank the sets of `size` languages that hold all of `required`.

    Raises UserError where there is none, or where sets are ranked by a synergy that was not measured.
    """
    if rank_by == "synergy" and synergy is None:
        raise UserError("sets cannot be ranked by synergy that was not measured; give --synergy FILE or rank by supply")
    if not 1 <= size <= len(languages):
        raise UserError(f"size is {size}; it must lie between 1 and the {len(languages)} languages given")
    need = english_bytes(budget) / size
    excluded = {
        language.code: reason(language, need, budget.max_epochs)
        for language in languages
        if need / language.supply_english_bytes > budget.max_epochs
    }
    if refused := [code for code in required if code in excluded]:
        raise UserError(f"{refused[0]} is required but {excluded[refused[0]]}; lower the budget or raise max_epochs")
    fitting = [language for language in languages if language.code not in excluded]
    if len(fitting) < size:
        what = "; ".join(f"{code}: {why}" for code, why in excluded.items())
        raise UserError(f"only {len(fitting)} languages have text for a set of {size} ({what}); lower size or the budget")
    free = [language for language in fitting if language.code not in required]
    if (count := math.comb(len(free), size - len(required))) > MAX_SETS:
        raise UserError(f"there are {count:,} sets of {size} of {len(fitting)} languages; require some, or name fewer candidates")
    kept = [language for language in fitting if language.code in required]
    chosen = ((*kept, *more) for more in itertools.combinations(free, size - len(kept)))
    sets = sorted((candidate(one, need, synergy) for one in chosen), key=order_of(rank_by))
    return Selection(size=size, sets=tuple(sets), excluded=excluded)


def english_bytes(budget: Budget) -> float:
    """Return a budget in English-equivalent bytes; raises UserError for bytes, which mean another content in every language."""
    if budget.unit == "bytes":
        raise UserError("a budget in bytes has no one size; give it in tokens or English-equivalent bytes")
    return budget.amount * (ENGLISH_BYTES_PER_TOKEN if budget.unit == "tokens" else 1.0)


def reason(language: Language, need: float, max_epochs: float) -> str:
    epochs = need / language.supply_english_bytes
    return f"{shown(language.supply_bytes, 'bytes')}: {epochs:.1f} epochs at this budget, {max_epochs:g} allowed"


def candidate(languages: Sequence[Language], need: float, synergy: Synergy | None) -> Candidate:
    scarcest = min(languages, key=lambda language: language.supply_english_bytes)
    distances = [syntactic_distance(one.code, other.code) for one, other in itertools.combinations(languages, 2)]
    known = [distance for distance in distances if distance is not None]
    codes = tuple(language.code for language in languages)
    return Candidate(
        codes=codes,
        epochs=tuple(sorted((need / language.supply_english_bytes for language in languages), reverse=True)),
        scarcest=scarcest.code,
        families=len({language.family.split(" (")[0] for language in languages}),
        scripts=len({language.script for language in languages}),
        distance=fmean(known) if known and len(known) == len(distances) else None,
        synergy=worst_served(codes, synergy) if synergy is not None else None,
    )


def worst_served(codes: Sequence[str], synergy: Synergy) -> float:
    """Return what the language that receives least receives from all others; raises UserError where a pair was not measured."""
    try:
        return min(sum(synergy[source][target] for source in codes if source != target) for target in codes)
    except KeyError as error:
        raise UserError(f"the synergy matrix has no {error.args[0]!r} for one of {', '.join(codes)}; measure all pairs") from None


def order_of(rank_by: Ranking) -> Callable[[Candidate], tuple[float, tuple[float, ...], tuple[str, ...]]]:
    """Return the key of a ranking: smallest first, then fewest epochs, then by name; a distance that is not known comes last."""

    def first(one: Candidate) -> float:
        if rank_by == "synergy":
            return -(one.synergy or 0.0)
        if rank_by == "supply":
            return 0.0
        distance = math.inf if one.distance is None else one.distance
        return distance if rank_by == "near" or one.distance is None else -distance

    return lambda one: (first(one), one.epochs, one.codes)


def read_synergy(path: Path) -> dict[str, dict[str, float]]:
    """Read measured synergy: JSON of {source: {target: G}}; raises UserError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {source: {target: float(gain) for target, gain in row.items()} for source, row in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is no synergy matrix ({first_line}); write JSON such as {{'id': {{'ms': 0.1}}}}") from error
