"""From public text to a mixture: what the recipes of real models begin with.

Every language reads the data sets of the hub that have it (`languages/supply.toml`) and the user's own folders. The budget decides
how much is streamed: what the policy gives a language, once, and `headroom` times of it, since cleaning and deduplication take
about half. Sizes are those that data sets and files state, so that shares, epochs and shortfalls are known before anything is
read; the mixture is planned again from what the tokenizer counted. Building looks nothing up: `revision` is a branch or commit.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from polyglot_lm.corpus.hub import PREFIX
from polyglot_lm.corpus.quality import thresholds_of
from polyglot_lm.corpus.sources import belongs, find_files
from polyglot_lm.corpus.split import Split
from polyglot_lm.languages import Language, PublicText, languages, public_text
from polyglot_lm.masking import KINDS
from polyglot_lm.mixture import Budget, Repeats, Schedule, Unit, plan_mixture, schedule_named
from polyglot_lm.mixture.policies import Policy
from polyglot_lm.mixture.schedule import overall, stages_of
from polyglot_lm.mixture.supply import SupplyPlan, Text, supply_plan
from polyglot_lm.mixture.unimax import check_epochs
from polyglot_lm.mixture.units import ENGLISH_BYTES_PER_TOKEN, Supply, estimated, shown
from polyglot_lm.pipeline import Step, UserError
from polyglot_lm.recipes.corpus import corpora_of, documents_of, index_step
from polyglot_lm.tokenizer import check_vocab_size, encode_corpus, train_tokenizer

SPLIT = Split(key="polyglot", control=0.001, select=0.001, test=0.001, min_bytes=1_000_000, max_share=0.1, max_domain_share=0.01)
AGREEMENT = 0.72  # of MinHash signatures, above which documents are near-duplicates


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicSources:
    """Which text a recipe reads: data sets of the hub by name, at a revision, and folders of the user's."""

    datasets: tuple[str, ...]
    own: tuple[str, ...]
    revision: str

    def __post_init__(self) -> None:
        known = dict.fromkeys(text.name for language in languages().values() for text in public_text(language) if text.readable)
        for name in self.datasets:
            if name not in known:
                raise UserError(f"no public data set {name!r}; there are {', '.join(known)}, and folders of yours as own=FOLDER")

    def texts(self, language: Language) -> tuple[Text, ...]:
        """List all public text of a language, that which is read first, and the user's own."""
        public = sorted(public_text(language), key=lambda text: text.name not in self.datasets)
        found = [
            Text(name=t.name, license=t.license, amount=amount_of(t), read=t.name in self.datasets and t.readable) for t in public
        ]
        mine = [
            Text(name=folder, license="yours", amount=shown(size, "bytes"), read=True)
            for folder in self.own
            if (size := own_bytes(folder, language))
        ]
        return (*mine, *found)

    def addresses(self, language: Language) -> tuple[str, ...]:
        """Return what the corpus reads for a language, the most trusted first."""
        readable = {text.name for text in public_text(language) if text.readable}
        mine = [folder for folder in self.own if own_bytes(folder, language)]
        return (*mine, *(f"{PREFIX}{name}@{self.revision}" for name in self.datasets if name in readable))

    def stated_bytes(self, language: Language) -> float:
        """Add up the sizes that sources state; raises UserError where none does."""
        stated = sum(text.num_bytes or 0 for text in public_text(language) if text.readable and text.name in self.datasets)
        if not (total := stated + sum(own_bytes(folder, language) for folder in self.own)):
            raise UserError(
                f"no source states how much text of {language.code!r} it has; add a data set that does, such as "
                f"{language.sources[0].split(':')[0]}, or a folder of yours"
            )
        return total


def amount_of(text: PublicText) -> str:
    if text.num_bytes is not None:
        return shown(text.num_bytes, "bytes")
    return shown(text.num_tokens, "tokens") if text.num_tokens is not None else ""


def own_bytes(folder: str, language: Language) -> int:
    """Return the size of a folder's files of a language, as they lie there."""

    def wanted(path: PurePosixPath) -> bool:
        return belongs(path, language.code)

    return sum(file.size for file in find_files(folder, wanted))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How much is read of what: a policy (or stages) over a budget of tokens."""

    policy: str
    unit: Unit
    floor: float
    budget: Budget
    headroom: float
    repeats: Repeats
    english_bytes_per_token: float = ENGLISH_BYTES_PER_TOKEN

    def __post_init__(self) -> None:
        if not 1 <= self.headroom < math.inf:
            raise ValueError(f"headroom is {self.headroom}; it must be 1 or more: how often the text that is needed is streamed")

    def schedule(self) -> Policy | Schedule:
        return schedule_named(self.policy, unit=self.unit, budget=self.budget, floor=self.floor)

    def megabytes(self, supply: Supply) -> dict[str, int]:
        """Return what to stream of each language; raises UserError where the budget is above the cap on epochs."""
        whole = overall(stages_of(self.schedule(), supply), supply)
        check_epochs({code: share * self.budget.amount for code, share in whole.values.items()}, "tokens", supply, self.budget)
        once = {
            code: min(self.budget.amount * share, supply[code]["tokens"]) / supply[code]["tokens"]
            for code, share in whole.values.items()
        }
        return {code: math.ceil(self.headroom * part * supply[code]["bytes"] / 1e6) for code, part in once.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The steps up to the mixture, by language where there is one a language, and what the plan lacks."""

    corpora: Mapping[str, Step]
    tokenizer: Step
    tokens: Mapping[str, Step]
    mixture: Step
    supply: SupplyPlan


def prepare(
    chosen: Sequence[Language],
    sources: PublicSources,
    reading: Reading,
    *,
    benchmarks: tuple[str, ...],
    byte_premiums: Mapping[str, float],
    vocab_size: int,
    tokenizer_megabytes: int,
    seed: int,
    morphemes: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Prepared:
    """Build the steps from sources to mixture; raises UserError for what cannot be read or is above the cap on epochs."""
    check_vocab_size(vocab_size)
    supply = {
        language.code: estimated(sources.stated_bytes(language), byte_premiums[language.code], reading.english_bytes_per_token)
        for language in chosen
    }
    megabytes = reading.megabytes(supply)
    thresholds = {language.code: thresholds_of(language.code) for language in chosen}
    documents = {
        language.code: documents_of((language,), sources.addresses(language), thresholds, megabytes[language.code])[language.code]
        for language in chosen
    }
    contamination = index_step(benchmarks) if benchmarks else None
    corpora = corpora_of(tuple(chosen), documents, thresholds, AGREEMENT, SPLIT, KINDS, contamination)
    tokenizer = train_tokenizer.step(
        "tokenizer",
        corpora=corpora,
        byte_premiums=byte_premiums,
        vocab_size=vocab_size,
        max_english_bytes=int(tokenizer_megabytes * 1e6 / sum(byte_premiums.values())),
        spread=True,
        morphemes=morphemes,
    )
    tokens = {
        code: encode_corpus.step(
            f"tokens/{code}/public",
            corpus=corpus,
            tokenizer=tokenizer,
            language=code,
            source="public",
            byte_premium=byte_premiums[code],
        )
        for code, corpus in corpora.items()
    }
    policy, repeats = reading.schedule(), reading.repeats
    mixture = plan_mixture.step("mixture", tokens=tokens, policy=policy, seed=seed, budget=reading.budget, repeats=repeats)
    texts = {language.code: sources.texts(language) for language in chosen}
    lacks = supply_plan(supply, texts, reading.budget.max_epochs, notes)
    return Prepared(corpora=corpora, tokenizer=tokenizer, tokens=tokens, mixture=mixture, supply=lacks)


def premiums_of(chosen: Sequence[Language], measured: str) -> dict[str, float]:
    """Return byte premiums of the table, those that `polyglot languages premium --out` measured in their place.

    Raises UserError where the file is no such thing.
    """
    premiums = {language.code: language.byte_premium for language in chosen}
    if not measured:
        return premiums
    try:
        found = {code: float(value) for code, value in json.loads(Path(measured).read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{measured} holds no byte premiums; write it with polyglot languages premium --out {measured}") from error
    if wrong := [code for code in premiums if not 0 < found.get(code, 1.0) < math.inf]:
        raise UserError(f"{measured} has the byte premium {found[wrong[0]]} for {wrong[0]}; it must be positive and finite")
    return {code: found.get(code, premium) for code, premium in premiums.items()}
