"""Polyglot-East-Asian: eight languages of equal content from public text.

Malay is the scarcest: FineWeb2 has 34 GB of it, against 2.7 TB of Chinese, so a plain uniform mixture ends at about 245 B tokens,
four epochs of Malay; UniMax goes on, with Malay held at its cap. `polyglot plan east_asian` shows what is there and what lacks.
"""

from typing import Literal

from polyglot_lm.languages import select
from polyglot_lm.mixture import Budget, Repeats, Unit
from polyglot_lm.mixture.weights import FINEWEB2
from polyglot_lm.recipes.pretraining import CONTEXT, Course, Size, shape, trained
from polyglot_lm.recipes.public import PublicSources, Reading, premiums_of, prepare
from polyglot_lm.recipes.recipe import Recipe


def east_asian(
    *,
    size: Size = "1.3b",
    languages: tuple[str, ...] = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en"),
    datasets: tuple[str, ...] = ("wikimedia/wikipedia", "HuggingFaceFW/fineweb-2", "HuggingFaceFW/fineweb"),
    own: tuple[str, ...] = (),
    revision: str = "main",
    tokens_billions: float = 500,
    policy: str = "unimax",
    unit: Unit = "english_bytes",
    floor: float = 0.01,
    max_epochs: float = 4.0,
    headroom: float = 2.0,
    rehydrate: bool = False,
    byte_premiums: str = "",
    benchmarks: tuple[str, ...] = (),
    vocab_size: int = 131_072,
    tokenizer_megabytes: int = 100,
    batch_windows: int = 1024,
    precision: Literal["bf16", "fp8"] = "bf16",
    schedule: Literal["wsd", "cosine"] = "wsd",
    learning_rate: float = 0.0,
    references: str = "",
    seed: int = 1,
) -> Recipe:
    """`policy` is a name (`polyglot mixture policies`), weights `ko:2,en:1`, or stages `uniform@0.9 natural@1`; `floor` the share
    of a language that a published mixture lacks. `own` are folders, <code>/*.jsonl and the like. `rehydrate` reads documents of
    larger clusters more often, as FineWeb2. `byte_premiums`: what `polyglot languages premium` wrote. `learning_rate` 0: by rule.
    `references`: bits per byte of monolingual models, by which the controller steers the mixture.
    """
    chosen = select(languages)
    prepared = prepare(
        chosen,
        PublicSources(datasets=datasets, own=own, revision=revision),
        Reading(
            policy=policy,
            unit=unit,
            floor=floor,
            budget=Budget(amount=tokens_billions * 1e9, unit="tokens", max_epochs=max_epochs),
            headroom=headroom,
            repeats=FINEWEB2 if rehydrate else Repeats(),
        ),
        benchmarks=benchmarks,
        byte_premiums=premiums_of(chosen, byte_premiums),
        vocab_size=vocab_size,
        tokenizer_megabytes=tokenizer_megabytes,
        seed=seed,
    )
    course = Course(
        steps=max(1, round(tokens_billions * 1e9 / (batch_windows * CONTEXT))),
        batch_windows=batch_windows,
        precision=precision,
        schedule=schedule,
        learning_rate=learning_rate,
        seed=seed,
        references=references,
    )
    return trained(f"Polyglot-East-Asian {size}", chosen, prepared, shape(size, vocab_size=vocab_size), course)
