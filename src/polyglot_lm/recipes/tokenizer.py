"""A tokenizer that charges every language the same: clean corpora, parity-aware byte-level BPE on a sample of them, its report.

The corpora are those of the recipe `corpus` with the same settings, and are not made twice. A recipe that trains a model makes
its tokenizer by the same step; this one is for those who want the tokenizer alone, or want to look at it first.
"""

from pathlib import Path
from typing import Literal

from polyglot_lm.languages import Language, select
from polyglot_lm.pipeline import UserError
from polyglot_lm.recipes.corpus import corpus
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.tokenizer import PLAIN_SHARE, Balanced, Natural, ParallelText, Parity, Policy, check_vocab_size, train_tokenizer
from polyglot_lm.tokenizer.parity_page import parity_report


def tokenizer(
    *,
    languages: tuple[str, ...] = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en"),
    sources: tuple[str, ...],
    source_megabytes: int = 1000,
    quality: Literal["calibrated", "lenient"] = "calibrated",
    benchmarks: tuple[str, ...] = (),
    vocab_size: int = 65_536,
    text_megabytes: int = 100,
    policy: Literal["parity", "premiums", "balanced", "natural"] = "parity",
    plain_share: float = PLAIN_SHARE,
    parallel: str = "",
    report_on: str = "",
    reference: str = "en",
    morphemes: tuple[str, ...] = (),
) -> Recipe:
    """`sources`, `source_megabytes`, `quality` and `benchmarks` are those of the recipe `corpus`.

    Parity is steered by the file `parallel`, JSON lines with the same sentence in every language; `premiums` steers by the table's
    byte premiums instead, which on text that is not parallel misses (docs/tokenizer.md). `plain_share` is the share of merges that
    all languages choose together. `report_on` is another such file, on which the report counts; premiums there are against
    `reference`. In the languages of `morphemes` no merge crosses a morpheme.
    """
    chosen = select(languages)
    check_vocab_size(vocab_size)
    if text_megabytes < 1:
        raise UserError(f"text_megabytes is {text_megabytes}; it must be at least 1")
    cleaned = corpus(
        languages=languages, sources=sources, source_megabytes=source_megabytes, quality=quality, benchmarks=benchmarks
    )
    trained = train_tokenizer.step(
        "tokenizer",
        corpora={language.code: cleaned.results[f"corpus-{language.code}"] for language in chosen},
        byte_premiums={language.code: language.byte_premium for language in chosen},
        vocab_size=vocab_size,
        max_english_bytes=english_bytes(chosen, text_megabytes),
        policy=policy_named(policy, parallel, plain_share),
        spread=True,
        morphemes=morphemes,
    )
    if not report_on:
        return Recipe(results={"tokenizer": trained})
    report = parity_report.step(
        "parity",
        tokenizer=trained,
        parallel=parallel_text(report_on),
        languages=tuple(language.code for language in chosen),
        reference=reference,
    )
    return Recipe(results={"tokenizer": trained, "parity": report})


def english_bytes(chosen: tuple[Language, ...], megabytes: int) -> int:
    """Return what equal content of every language may hold, in English-equivalent bytes, for so much text in all."""
    return int(megabytes * 1e6 / sum(language.byte_premium for language in chosen))


def policy_named(name: str, parallel: str, plain_share: float) -> Policy:
    if name == "parity" and not parallel:
        raise UserError(
            "policy is 'parity' and there is no parallel text to steer by; write --set parallel=FILE (the same sentence in every "
            "language, such as FLORES-200 dev) or --set policy=balanced"
        )
    if name in ("parity", "premiums"):
        return Parity(parallel=parallel_text(parallel) if name == "parity" else None, plain_share=plain_share)
    return Balanced() if name == "balanced" else Natural()


def parallel_text(path: str) -> ParallelText:
    return ParallelText(path=Path(path).expanduser())
