"""What a mixture comes to: shares, content and epochs of every source, and the first windows that the model will read.

In: a mixture that was planned, or a policy and the supply that data sets state. Out: rows, which the command line prints and `page`
draws. The dry run takes a sampler and reads; it is handed what decodes tokens, since a mixture knows no tokenizer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.mixture.batch import Batch
from polyglot_lm.mixture.plan import MIXTURE_FILE
from polyglot_lm.mixture.policies import Policy, Shares
from polyglot_lm.mixture.sampler import Sampler
from polyglot_lm.mixture.schedule import Schedule, overall, stages_of
from polyglot_lm.mixture.units import UNITS, Supply, Unit
from polyglot_lm.pipeline import read_json

HEAD_TOKENS = 32
HEADS = 3  # of a window that are shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One source: its shares and content in every unit, and how often it is read."""

    name: str
    language: str
    shares: Mapping[Unit, float]
    content: Mapping[Unit, float]
    epochs: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One window of a dry run: whose it is, how many documents it holds parts of, and how the first of these begin."""

    number: int
    source: str
    language: str
    num_documents: int
    heads: tuple[str, ...]


def planned_rows(mixture: Path, total_tokens: float | None) -> list[Row]:
    """Return the rows of a mixture over `total_tokens`; None means its budget or, without one, the scarcest source read once."""
    read = read_json(mixture / MIXTURE_FILE)
    supply = {
        name: {unit: tokens * read["per_token"][name][unit] for unit in UNITS} for name, tokens in read["supply_tokens"].items()
    }
    whole = Shares(unit="tokens", values=read["shares_in"]["tokens"])
    return rows_of(whole, supply, read["languages"], total_tokens or budget_tokens(read["budget"], whole, supply))


def stated_rows(policy: Policy | Schedule, supply: Supply, total_tokens: float) -> list[Row]:
    """Return the rows that a policy would have over the supply that data sets state, by language."""
    return rows_of(overall(stages_of(policy, supply), supply), supply, {code: code for code in supply}, total_tokens)


def budget_tokens(budget: Mapping[str, Any] | None, whole: Shares, supply: Supply) -> float:
    """Return the budget in tokens; without one, the reading that reads the scarcest source once."""
    if budget is None:
        return min(supply[name]["tokens"] / share for name, share in whole.values.items())
    per_token = sum(share * supply[name][budget["unit"]] / supply[name]["tokens"] for name, share in whole.values.items())
    return float(budget["amount"] / per_token)


def rows_of(whole: Shares, supply: Supply, languages: Mapping[str, str], total_tokens: float) -> list[Row]:
    shares = {unit: whole.converted(unit, supply).values for unit in UNITS}
    rows = []
    for name, share in whole.values.items():
        epochs = share * total_tokens / supply[name]["tokens"]
        rows.append(
            Row(
                name=name,
                language=languages[name],
                shares={unit: shares[unit][name] for unit in UNITS},
                content={unit: epochs * supply[name][unit] for unit in UNITS},
                epochs=epochs,
            )
        )
    return rows


def dry_run(sampler: Sampler, languages: Mapping[str, str], count: int, decode: Callable[[list[int]], str]) -> list[Window]:
    """Read the next `count` windows; documents are told apart by where they start."""
    batch = sampler.next_batch(count)
    return [
        Window(
            number=number,
            source=source,
            language=languages[source],
            num_documents=len(pieces),
            heads=tuple(decode(piece[:HEAD_TOKENS].tolist()) for piece in pieces[:HEADS]),
        )
        for number, (source, pieces) in enumerate(
            zip(sources_of(sampler, batch), map(cut, batch.tokens, batch.starts), strict=True)
        )
    ]


def sources_of(sampler: Sampler, batch: Batch) -> list[str]:
    return [sampler.names[source] for source in batch.sources]


def cut(tokens: npt.NDArray[np.int64], starts: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Cut a window where documents start; its last token is the next window's first."""
    pieces = np.split(tokens[:-1], np.flatnonzero(starts[:-1]))
    return [piece for piece in pieces if len(piece)]
