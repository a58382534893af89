"""The mixture step: token shards and a policy, in; `mixture.json`, out, which says what will be read and how often.

`mixture.json` holds the shares with their unit and in the other two, what one token of each source holds in every unit,
and the epochs each source is read at the planned budget. The sampler needs nothing else but the shards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.mixture.policies import UNITS, Shares, Uniform, Unit
from polyglot_lm.pipeline import Counters, UserError, read_json, stage, write_json
from polyglot_lm.shards import TokenDataset

MIXTURE_FILE = "mixture.json"


@stage(version=1)
def plan_mixture(out: Path, *, tokens: Mapping[str, Path], policy: Uniform, seed: int) -> Counters:
    """Write the shares of the policy over the sources; raises CorruptFileError for a damaged shard."""
    datasets = {name: TokenDataset(folder) for name, folder in tokens.items()}
    if empty := [name for name, dataset in datasets.items() if not len(dataset)]:
        raise UserError(f"sources {empty} have no documents; check their names and filters")
    for dataset in datasets.values():
        dataset.verify()
    per_token = {name: held_by_a_token(dataset.description) for name, dataset in datasets.items()}
    shares = policy.shares(tuple(tokens))
    mixture = {
        "unit": shares.unit,
        "seed": seed,
        "shares": dict(shares.values),
        "shares_in": {unit: dict(shares.converted(unit, per_token).values) for unit in UNITS},
        "per_token": per_token,
        "supply_tokens": {name: dataset.description["tokens"] for name, dataset in datasets.items()},
        "languages": {name: dataset.description["lang"] for name, dataset in datasets.items()},
        "tokenizer": {name: dataset.description["tokenizer"] for name, dataset in datasets.items()},
        "vocab_size": max(dataset.description["vocab_size"] for dataset in datasets.values()),
    }
    write_json(out / MIXTURE_FILE, mixture)
    return {"unit": shares.unit, "shares": dict(shares.values), "supply_tokens": mixture["supply_tokens"]}


def held_by_a_token(description: Mapping[str, Any]) -> dict[Unit, float]:
    return {
        "english_bytes": description["english_bytes_per_token"],
        "bytes": description["bytes_per_token"],
        "tokens": 1.0,
    }


def read_shares(mixture: Path) -> tuple[Shares, dict[str, float], int]:
    """Return the shares, what one token of each source adds in their unit, and the seed of the order."""
    read = read_json(mixture / MIXTURE_FILE)
    shares = Shares(unit=read["unit"], values=read["shares"])
    return shares, {name: held[shares.unit] for name, held in read["per_token"].items()}, read["seed"]


def read_tokenizers(mixture: Path) -> set[str]:
    """Return the hashes of the tokenizers that wrote the shards: one, unless something is wrong."""
    return set(read_json(mixture / MIXTURE_FILE)["tokenizer"].values())


def epochs(mixture: Path, total_tokens: int) -> dict[str, float]:
    """How often each source is read in `total_tokens`; past about four, repetition stops helping (arXiv 2305.16264)."""
    read = read_json(mixture / MIXTURE_FILE)
    return {name: share * total_tokens / read["supply_tokens"][name] for name, share in read["shares_in"]["tokens"].items()}
