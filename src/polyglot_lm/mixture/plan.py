"""The mixture step: token shards and a policy, in; `mixture.json`, out, which says what will be read and how often.

A policy weighs languages; a language with several sources reads each in proportion to what it holds. `mixture.json` has the shares
by source with their unit, the stages where they change, what one token of each source holds in every unit, and the supply, so that
anybody can tell epochs. The sampler needs nothing else but the shards. A budget that reads any language too often is refused here.
"""

from collections.abc import Mapping
from pathlib import Path

from polyglot_lm.mixture.policies import Policy, Shares
from polyglot_lm.mixture.schedule import PlannedStage, Schedule, overall, stages_of
from polyglot_lm.mixture.unimax import check_epochs
from polyglot_lm.mixture.units import UNITS, Budget, Unit, normalized
from polyglot_lm.mixture.weights import Occurrences, Repeats, as_json, from_json, occurrences_of, read_in_an_epoch
from polyglot_lm.pipeline import Counters, UserError, read_json, stage, write_json
from polyglot_lm.shards import TokenDataset

MIXTURE_FILE = "mixture.json"


@stage(version=2)
def plan_mixture(
    out: Path,
    *,
    tokens: Mapping[str, Path],
    policy: Policy | Schedule,
    seed: int,
    budget: Budget | None = None,
    repeats: Repeats = Repeats(),
) -> Counters:
    """Write the shares of the policy over the sources.

    Raises UserError where the budget is above its cap on epochs, CorruptFileError for a damaged shard.
    """
    datasets = {name: TokenDataset(folder) for name, folder in tokens.items()}
    if empty := [name for name, dataset in datasets.items() if not len(dataset)]:
        raise UserError(f"sources {empty} have no documents; check their names and filters")
    for dataset in datasets.values():
        dataset.verify()
    descriptions = {name: dataset.description for name, dataset in datasets.items()}
    languages = {name: description["lang"] for name, description in descriptions.items()}
    epoch = {name: read_in_an_epoch(dataset, repeats) for name, dataset in datasets.items()}
    if unread := [name for name, read in epoch.items() if not read["tokens"]]:
        raise UserError(f"the repeats leave no document of {', '.join(unread)}; let some be read")
    per_token = {name: held_by_a_token(read, descriptions[name]["byte_premium"]) for name, read in epoch.items()}
    read, unique = ({name: each[key] for name, each in epoch.items()} for key in ("tokens", "unique_tokens"))
    supply = supply_of(languages, unique, per_token)
    stages = [by_source(stage, languages, read, per_token) for stage in stages_of(policy, supply)]
    whole = overall(tuple(stages), per_token)
    shares = stages[0].shares
    if budget is not None:
        check_budget(whole, budget, languages, per_token, supply)
    mixture = {
        "unit": shares.unit,
        "seed": seed,
        "shares": dict(shares.values),
        "stages": [{"until": stage.until, "shares": dict(stage.shares.values)} for stage in stages],
        "shares_in": {unit: dict(whole.converted(unit, per_token).values) for unit in UNITS},
        "budget": budget and {"amount": budget.amount, "unit": budget.unit, "max_epochs": budget.max_epochs},
        "per_token": per_token,
        "supply_tokens": unique,
        "repeats": as_json(repeats),
        "languages": languages,
        "tokenizer": {name: description["tokenizer"] for name, description in descriptions.items()},
        "vocab_size": max(description["vocab_size"] for description in descriptions.values()),
    }
    write_json(out / MIXTURE_FILE, mixture)
    return {"unit": shares.unit, "shares": dict(shares.values), "supply_tokens": unique}


def held_by_a_token(read: Mapping[str, int], byte_premium: float) -> dict[Unit, float]:
    num_bytes = read["bytes"] / read["tokens"]
    return {"english_bytes": num_bytes / byte_premium, "bytes": num_bytes, "tokens": 1.0}


def supply_of(
    languages: Mapping[str, str], unique: Mapping[str, int], per_token: Mapping[str, Mapping[Unit, float]]
) -> dict[str, dict[Unit, float]]:
    """Add up what the sources of each language hold, in every unit."""
    supply: dict[str, dict[Unit, float]] = {code: dict.fromkeys(UNITS, 0.0) for code in languages.values()}
    for name, code in languages.items():
        for unit in UNITS:
            supply[code][unit] += unique[name] * per_token[name][unit]
    return supply


def by_source(
    stage: PlannedStage, languages: Mapping[str, str], read: Mapping[str, int], per_token: Mapping[str, Mapping[Unit, float]]
) -> PlannedStage:
    """Divide each language's share among its sources, in proportion to what they hold."""
    unit = stage.shares.unit
    held = {name: read[name] * per_token[name][unit] for name in languages}
    total = {code: sum(held[name] for name in held if languages[name] == code) for code in stage.shares.values}
    values = {name: stage.shares.values[code] * held[name] / total[code] for name, code in languages.items()}
    return PlannedStage(until=stage.until, shares=Shares(unit=unit, values=normalized(values)))


def check_budget(
    whole: Shares,
    budget: Budget,
    languages: Mapping[str, str],
    per_token: Mapping[str, Mapping[Unit, float]],
    supply: Mapping[str, Mapping[Unit, float]],
) -> None:
    """Raise UserError where the whole reading is above the budget's cap on epochs for a language."""
    values = whole.converted(budget.unit, per_token).values
    amounts = dict.fromkeys(supply, 0.0)
    for name, share in values.items():
        amounts[languages[name]] += share * budget.amount
    check_epochs(amounts, budget.unit, supply, budget)


def read_shares(mixture: Path) -> tuple[Shares, dict[str, float], int]:
    """Return the shares of the first stage, what one token of each source adds in their unit, and the seed of the order."""
    read = read_json(mixture / MIXTURE_FILE)
    shares = Shares(unit=read["unit"], values=read["shares"])
    return shares, {name: held[shares.unit] for name, held in read["per_token"].items()}, read["seed"]


def read_stages(mixture: Path) -> tuple[PlannedStage, ...]:
    """Return the stages in order; each holds until `until` of all tokens are read."""
    read = read_json(mixture / MIXTURE_FILE)
    return tuple(PlannedStage(until=s["until"], shares=Shares(unit=read["unit"], values=s["shares"])) for s in read["stages"])


def read_occurrences(mixture: Path, datasets: Mapping[str, TokenDataset]) -> dict[str, Occurrences]:
    """Return how often each document of every source is read in an epoch; nothing for a mixture that repeats none."""
    repeats = from_json(read_json(mixture / MIXTURE_FILE)["repeats"])
    return {} if repeats == Repeats() else {name: occurrences_of(dataset, repeats) for name, dataset in datasets.items()}


def read_tokenizers(mixture: Path) -> set[str]:
    """Return the hashes of the tokenizers that wrote the shards: one, unless something is wrong."""
    return set(read_json(mixture / MIXTURE_FILE)["tokenizer"].values())


def epochs(mixture: Path, total_tokens: float) -> dict[str, float]:
    """How often each source is read in `total_tokens`; past about four, repetition stops helping (arXiv 2305.16264)."""
    read = read_json(mixture / MIXTURE_FILE)
    return {name: share * total_tokens / read["supply_tokens"][name] for name, share in read["shares_in"]["tokens"].items()}
