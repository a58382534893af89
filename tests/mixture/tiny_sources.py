"""Eight small sources whose tokens name their source, document and position, so that windows tell what was read."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from polyglot_lm.mixture import Sampler, Shares
from polyglot_lm.shards import EncodedDocument, TokenDataset, write_tokens

CONTEXT = 8
NAMES = tuple("abcdefgh")
SOURCE, DOCUMENT = 1_000_000, 1_000  # a token is SOURCE · source + DOCUMENT · document + position
DESCRIPTION = {"lang": "en", "source": "web", "byte_premium": 1.0, "tokenizer": "t", "upstream": []}


def documents_of(number: int) -> list[list[int]]:
    lengths = [random.Random(f"{number}:{document}").randint(1, 30) for document in range(3 + 4 * number)]
    return [
        [SOURCE * number + DOCUMENT * document + position for position in range(length)] for document, length in enumerate(lengths)
    ]


def write_source(folder: Path, number: int, **description: object) -> TokenDataset:
    rows = (
        EncodedDocument(id=str(document), tokens=tokens, num_bytes=len(tokens), cluster_size=1, quality=None)
        for document, tokens in enumerate(documents_of(number))
    )
    write_tokens(folder, rows, 2**31 - 1, DESCRIPTION | description)
    return TokenDataset(folder)


def shares_of(weights: Sequence[float]) -> Shares:
    total = sum(weights)
    return Shares(unit="english_bytes", values={name: weight / total for name, weight in zip(NAMES, weights, strict=False)})


def sampler_over(
    datasets: Mapping[str, TokenDataset],
    weights: Sequence[float] = (1.0,) * 8,
    held: Sequence[float] = (1.0,) * 8,
    seed: int = 0,
    **others: object,
) -> Sampler:
    """Sample the first sources with these weights, a token of each holding as much as `held` says."""
    names = NAMES[: len(weights)]
    amounts = dict(zip(names, held, strict=False))
    chosen = {name: datasets[name] for name in names}
    return Sampler(chosen, shares_of(weights), amounts, CONTEXT, seed, **others)  # type: ignore[arg-type]
