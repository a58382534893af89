"""Polyglot-Ko from public text: the sizes and tokens of the four released models, and text that anybody can get.

The released models read 863 GB, cleaned from 1.2 TB of blogs, news and licensed corpora that were never given out (TUNiB). FineWeb2
has 229 GB of Korean: at the about 3.4 English-equivalent bytes a token of the original, four epochs are 225 B tokens, enough for
each size; folders of yours (`own`) take the place of repetition.
"""

from typing import Literal

from polyglot_lm.languages import select
from polyglot_lm.mixture import Budget, Repeats
from polyglot_lm.mixture.weights import FINEWEB2
from polyglot_lm.recipes.pretraining import Course, Size, shape, token_budget, trained
from polyglot_lm.recipes.public import PublicSources, Reading, premiums_of, prepare
from polyglot_lm.recipes.recipe import Recipe

ENGLISH_BYTES_PER_TOKEN = 3.4  # 863 GB ÷ 1.199 ÷ 213 B tokens, if the 1.3B model read all once
NOTE = "the released models read 863 GB of Korean, cleaned from 1.2 TB that were never given out; own=FOLDER adds text of yours"


def polyglot_ko(
    *,
    size: Size = "1.3b",
    datasets: tuple[str, ...] = ("wikimedia/wikipedia", "HuggingFaceFW/fineweb-2"),
    own: tuple[str, ...] = (),
    revision: str = "main",
    max_epochs: float = 4.0,
    headroom: float = 2.0,
    rehydrate: bool = False,
    benchmarks: tuple[str, ...] = (),
    vocab_size: int = 30_080,
    tokenizer_megabytes: int = 1000,
    morphemes: bool = False,
    steps: int = 0,
    batch_windows: int = 0,
    precision: Literal["bf16", "fp8"] = "bf16",
    schedule: Literal["wsd", "cosine"] = "cosine",
    learning_rate: float = 0.0,
    seed: int = 1,
) -> Recipe:
    """`own` are folders, ko/*.jsonl and the like. `morphemes` keeps the tokenizer's merges within morphemes, as the released one's
    are (needs polyglot-lm[morphemes]). `rehydrate` reads documents of larger clusters of near-duplicates more often, as FineWeb2.
    0 takes `steps` and `batch_windows` as published for the size, and the `learning_rate` of the rule (`recipes/pretraining.py`).
    """
    chosen, published = select(("ko",)), token_budget(size)
    prepared = prepare(
        chosen,
        PublicSources(datasets=datasets, own=own, revision=revision),
        Reading(
            policy="unimax",
            unit="english_bytes",
            floor=0.0,
            budget=Budget(amount=published.tokens, unit="tokens", max_epochs=max_epochs),
            headroom=headroom,
            english_bytes_per_token=ENGLISH_BYTES_PER_TOKEN,
            repeats=FINEWEB2 if rehydrate else Repeats(),
        ),
        benchmarks=benchmarks,
        byte_premiums=premiums_of(chosen, ""),
        vocab_size=vocab_size,
        tokenizer_megabytes=tokenizer_megabytes,
        morphemes=("ko",) if morphemes else (),
        seed=seed,
        notes=(NOTE,),
    )
    course = Course(
        steps=steps or published.steps,
        batch_windows=batch_windows or published.batch_windows,
        precision=precision,
        schedule=schedule,
        learning_rate=learning_rate,
        seed=seed,
    )
    return trained(f"Polyglot-Ko {size}, from public text", chosen, prepared, shape(size, vocab_size=vocab_size), course)
