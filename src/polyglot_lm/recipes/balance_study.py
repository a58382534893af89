"""The balance study: what skewed, uniform and steered mixtures do to the competence of each language (docs/balance-study.md).

    text ─► corpora ─► two tokenizers ─► shards, held-out text ─► one folder ─► sweeps, references, arms

The decisions stand here; the recipes `synergy` and `ladder` go on from the same folder and the same references. The folder of the
step `study-data` (recipe `study_data`) is all that a machine with a GPU needs: `polyglot study run` carries the study out there.

    polyglot run balance_study --set text=FOLDER --set parallel=flores200_dev.jsonl.zst --set flores=flores200_devtest.jsonl.zst
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polyglot_lm.corpus.quality import Thresholds, lenient
from polyglot_lm.corpus.split import Split
from polyglot_lm.languages import Language, select
from polyglot_lm.masking import KINDS
from polyglot_lm.mixture import Explicit, Uniform
from polyglot_lm.mixture.presets import presets
from polyglot_lm.mixture.units import normalized
from polyglot_lm.pipeline import Step, UserError
from polyglot_lm.recipes.corpus import corpora_of, documents_of, index_step, source_name
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.study.gather import Scoring, gather_study
from polyglot_lm.study.protocol import UNIFORM, Arm, Protocol
from polyglot_lm.study.stage import run_study
from polyglot_lm.tokenizer import Parity, check_vocab_size, encode_corpus, train_tokenizer
from polyglot_lm.tokenizer.policies import ParallelText, Weighted

LANGUAGES = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en")
FLOOR, OTHER_FLOORS = 0.01, (0.0, 0.02)  # of languages that BLOOM lacks
PLACEBO = ("zh", "ko", "th", "ms")
SPLIT = Split(key="balance-study", control=0.03, select=0.02, test=0.06, min_bytes=0, max_share=0.06, max_domain_share=0.01)
AGREEMENT = 0.72  # of MinHash signatures, above which documents are near-duplicates
TOKENIZER_ENGLISH_BYTES = 3_000_000  # of each language
SCORING = Scoring(
    splits={"test": 600_000, "select": 250_000, "control": 150_000},
    document_english_bytes=12_000,
    window_english_bytes=1_536,
    key="balance-study",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the text is: a folder as the recipe `corpus` takes it, FLORES dev to steer a tokenizer by, devtest to report on."""

    text: str
    parallel: str
    flores: str
    benchmarks: tuple[str, ...]


def balance_study(
    *,
    text: str,
    parallel: str,
    flores: str,
    benchmarks: tuple[str, ...] = (),
    languages: tuple[str, ...] = LANGUAGES,
    vocab_size: int = 16_384,
    size: str = "27m",
    content_megabytes: float = 6.8,
    seeds: int = 10,
    floor: float = FLOOR,
    placebo: tuple[str, ...] = PLACEBO,
) -> Recipe:
    """`content_megabytes`, English-equivalent, is what the uniform arm reads of each language; `placebo` the languages that get the
    shares of BLOOM's, largest first, in its place (none: no such arm). `benchmarks` are folders of evaluation sets with which no
    text may share n-grams.
    """
    data = data_step(Source(text=text, parallel=parallel, flores=flores, benchmarks=benchmarks), languages, vocab_size, floor)
    protocol = protocol_of(languages, size=size, content_megabytes=content_megabytes, seeds=seeds, floor=floor, placebo=placebo)
    references = references_step(data, protocol)
    arms = run_study.step("study/arms", data=data, protocol=protocol, stages=("arms", "whole-budget"), before=references)
    return Recipe(results={"study-data": data, "references": references, "arms": arms})


def study_data(
    *,
    text: str,
    parallel: str,
    flores: str,
    benchmarks: tuple[str, ...] = (),
    languages: tuple[str, ...] = LANGUAGES,
    vocab_size: int = 16_384,
    floor: float = FLOOR,
) -> Recipe:
    """The text of `balance_study` alone, for a machine without a GPU; what it makes is not made twice."""
    source = Source(text=text, parallel=parallel, flores=flores, benchmarks=benchmarks)
    return Recipe(results={"study-data": data_step(source, languages, vocab_size, floor)})


def references_step(data: Step, protocol: Protocol) -> Step:
    return run_study.step("study/references", data=data, protocol=protocol, stages=("sweep", "references"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Cleaned text of each language, tokenizers by name, and the shards of each."""

    corpora: Mapping[str, Step]
    tokenizers: Mapping[str, Step]
    tokens: Mapping[str, Mapping[str, Step]]


def data_step(source: Source, languages: tuple[str, ...], vocab_size: int, floor: float) -> Step:
    """Return the step that brings all text together, encoded by a tokenizer of equal costs and by one of skewed text."""
    prepared = prepare(source, languages, vocab_size, floor)
    return gather_study.step(
        "study-data",
        corpora=prepared.corpora,
        tokenizers=prepared.tokenizers,
        tokens=prepared.tokens,
        parallel=ParallelText(path=Path(source.flores).expanduser()),
        byte_premiums={language.code: language.byte_premium for language in select(languages)},
        scoring=SCORING,
    )


def prepare(source: Source, languages: tuple[str, ...], vocab_size: int, floor: float) -> Prepared:
    """Return the steps from text to shards."""
    chosen = select(languages)
    check_vocab_size(vocab_size)
    thresholds = {language.code: open_door(language) for language in chosen}
    documents = documents_of(chosen, (source.text,), thresholds, 1000)
    contamination = index_step(source.benchmarks) if source.benchmarks else None
    corpora = corpora_of(chosen, documents, thresholds, AGREEMENT, SPLIT, KINDS, contamination)
    premiums = {language.code: language.byte_premium for language in chosen}
    policies = {
        "parity": Parity(parallel=ParallelText(path=Path(source.parallel).expanduser()), plain_share=0.6),
        "skewed": Weighted(weights=bloom(chosen, floor)),
    }
    tokenizers = {
        name: train_tokenizer.step(
            f"tokenizer/{name}",
            corpora=corpora,
            byte_premiums=premiums,
            vocab_size=vocab_size,
            max_english_bytes=TOKENIZER_ENGLISH_BYTES,
            spread=True,
            policy=policy,
        )
        for name, policy in policies.items()
    }
    tokens = {
        name: {
            code: encode_corpus.step(
                f"tokens/{name}/{code}",
                corpus=corpus,
                tokenizer=tokenizer,
                language=code,
                source=source_name(source.text),
                byte_premium=premiums[code],
            )
            for code, corpus in corpora.items()
        }
        for name, tokenizer in tokenizers.items()
    }
    return Prepared(corpora=corpora, tokenizers=tokenizers, tokens=tokens)


def open_door(language: Language) -> Thresholds:
    """Length, letters and language: calibrated thresholds take statutes and manuals, most of this text, for bad web pages."""
    return lenient(
        language,
        min_chars=50,
        max_chars=400_000,
        min_letter_share=0.5,
        min_script_share=0.5,
        min_signature_share=0.05,
        min_language_confidence=0.3,
    )


def protocol_of(
    languages: tuple[str, ...],
    *,
    size: str,
    content_megabytes: float,
    seeds: int,
    floor: float = FLOOR,
    placebo: tuple[str, ...] = PLACEBO,
) -> Protocol:
    """Return the decisions that docs/balance-study.md explains; those of the recipes that go on are the same."""
    return Protocol(
        languages=languages,
        size=size,
        context=512,
        content=content_megabytes * 1e6,
        max_epochs=1.5,
        arms=arms_of(select(languages), floor, placebo),
        seeds=seeds,
        arm_batches=(16, 32, 64),
        batches=(4, 8, 16),
        rates=(0.001, 0.002, 0.004),
        full_sweeps=(size,),
        carried={"350m": "110m"},
        reference_seeds=3,
        whole_budget=tuple(code for code in ("en", "zh") if code in languages),
        synergy_size=size,
        synergy_seeds=2,
        ladder=("10m", "27m", "110m", "350m"),
        ladder_seeds=3,
        probes=32,
        probe_size="10m",
        confirm_size="110m",
        confirm_seeds=5,
        finer_batches=(4, 8),
        finer_reference_batches=(2,),
    )


def arms_of(chosen: tuple[Language, ...], floor: float, placebo: tuple[str, ...]) -> dict[str, Arm]:
    """Return the arms, those of the primary endpoints first."""
    sizes = {language.code: (language.supply_bytes / language.byte_premium) ** 0.3 for language in chosen}
    raw, absent = Uniform(unit="bytes"), any(language.code not in presets()["bloom"]["weights"] for language in chosen)
    return {
        "bloom": weighted(bloom(chosen, floor)),
        "uniform": Arm(policy=UNIFORM),
        "raw-bytes": Arm(policy=raw),
        "controller-from-raw": Arm(policy=raw, steered=True),
        "controller-from-uniform": Arm(policy=UNIFORM, steered=True),
        "xglm": weighted(with_floor(presets()["xglm"]["weights"], chosen, floor)),
        "alpha-0.3": weighted(normalized(sizes)),
        **({"placebo": weighted(dealt(bloom(chosen, floor), placebo))} if placebo else {}),
        "skewed-tokenizer": Arm(policy=Uniform(unit="tokens"), tokenizer="skewed"),
        **{f"bloom-floor-{100 * other:.0f}": weighted(bloom(chosen, other)) for other in OTHER_FLOORS if absent},
    }


def weighted(shares: Mapping[str, float]) -> Arm:
    """Return the arm of these shares; it reads no language that has none."""
    read = tuple(code for code, share in shares.items() if share)
    return Arm(policy=Explicit(unit="english_bytes", weights=shares), languages=read if len(read) < len(shares) else ())


def bloom(chosen: tuple[Language, ...], floor: float) -> dict[str, float]:
    """Return the shares of ROOTS in content: its bytes over the premiums."""
    published = presets()["bloom"]["weights"]
    contents = {
        language.code: published[language.code] / language.byte_premium for language in chosen if language.code in published
    }
    return with_floor(contents, chosen, floor)


def with_floor(weights: Mapping[str, float], chosen: tuple[Language, ...], floor: float) -> dict[str, float]:
    """Return shares; a language without a weight gets `floor`."""
    known = {language.code: weights[language.code] for language in chosen if language.code in weights}
    left = 1 - floor * (len(chosen) - len(known))
    shares = {code: left * share for code, share in normalized(known).items()}
    return {language.code: shares.get(language.code, floor) for language in chosen}


def dealt(shares: Mapping[str, float], receivers: tuple[str, ...]) -> dict[str, float]:
    """Deal shares out anew: the largest to the receivers in their order, the rest to the others."""
    if unknown := [code for code in receivers if code not in shares]:
        raise UserError(f"placebo names {unknown[0]!r}, which is not among the languages; name some of {', '.join(shares)}")
    order = [*receivers, *(code for code in shares if code not in receivers)]
    return dict(zip(order, sorted(shares.values(), reverse=True), strict=True))
