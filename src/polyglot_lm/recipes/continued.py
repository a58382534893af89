"""Go on with a model that exists, in its languages or in new ones: any GPT-NeoX folder in the Hugging Face format.

    polyglot run continued --set start=polyglot-ko-1.3b --set languages=ko,id,ms --set source=my_text --set vocab_size=38_144

`vocab_size` above the model's own adds tokens for the languages named, by merging on from where its tokenizer stopped; a text in
them is then fewer tokens, and each new one begins as the mean of those it stands for (`training/adapt.py`). Name the languages to
keep as well: what is not read any more is forgotten, and some per cent of it are enough (Ibrahim et al. 2024, arXiv 2403.08763).
"""

import dataclasses
from pathlib import Path
from typing import Literal

from polyglot_lm.corpus.split import Split
from polyglot_lm.languages import select
from polyglot_lm.masking import KINDS
from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.recipes.corpus import corpora_of, documents_of, mild, source_name
from polyglot_lm.recipes.pretraining import Course, pretraining_step
from polyglot_lm.recipes.quickstart import encode_all, measure_and_release
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.tokenizer.extend import extend_tokenizer

SPLIT = Split(key="continued", control=0.01, select=0.01, test=0.01, min_bytes=100_000, max_share=0.1, max_domain_share=0.05)


def continued(
    *,
    start: str,
    languages: tuple[str, ...],
    source: str,
    source_megabytes: int = 1000,
    agreement: float = 0.72,
    mask_kinds: tuple[str, ...] = KINDS,
    vocab_size: int = 0,
    tokenizer_megabytes: int = 50,
    context: int = 0,
    steps: int = 2000,
    batch_windows: int = 256,
    precision: Literal["bf16", "fp8"] = "bf16",
    learning_rate: float = 0.0,
    seed: int = 1,
) -> Recipe:
    """`start` is the model's folder; 0 keeps its `vocab_size` and `context`, and takes the rule's `learning_rate` for its size.
    `source_megabytes` bounds what is streamed of a hub data set in each language; folders are read whole.
    `tokenizer_megabytes`, English-equivalent and of each language, is what new tokens are learned from.
    """
    from polyglot_lm.model.config import padded_vocab_size
    from polyglot_lm.training.adapt import ModelFolder, adapt_model  # imports torch, which --help must not wait for

    chosen = select(languages)
    given = ModelFolder(path=Path(start).expanduser())
    thresholds = {language.code: mild(language) for language in chosen}
    documents = documents_of(chosen, (source,), thresholds, source_megabytes)
    corpora = corpora_of(chosen, documents, thresholds, agreement, SPLIT, mask_kinds)
    initial = adapt_model.step("start", model=given, tokenizer=None, context=context or None)
    model = dataclasses.replace(given.shape, context=context or given.shape.context)
    if vocab_size:
        tokenizer = extend_tokenizer.step(
            "tokenizer",
            base=initial,
            corpora=corpora,
            byte_premiums={language.code: language.byte_premium for language in chosen},
            vocab_size=vocab_size,
            max_english_bytes=tokenizer_megabytes * 1_000_000,
        )
        initial = adapt_model.step("start-extended", model=initial, tokenizer=tokenizer, context=None)
        model = dataclasses.replace(model, vocab_size=padded_vocab_size(vocab_size))
    tokens = encode_all(chosen, corpora, initial, source_name(source))
    mixture = plan_mixture.step("mixture", tokens=tokens, policy=Uniform(unit="english_bytes"), seed=seed)
    course = Course(
        steps=steps, batch_windows=batch_windows, precision=precision, schedule="wsd", learning_rate=learning_rate, seed=seed
    )
    training = pretraining_step(
        model=model,
        mixture=mixture,
        tokens=tokens,
        tokenizer=initial,
        corpora=corpora,
        course=course,
        initial=initial,
    )
    return measure_and_release(f"{given.path.name}, continued", chosen, corpora, tokens, initial, mixture, training)
