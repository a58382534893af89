"""From raw text to a talking model in eight languages, on a laptop.

Every decision of the experiment stands here. The text is Chromium's localisation catalogue, strictly parallel, so all languages
have the same content; `source` takes a folder of yours or a hub data set instead.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from polyglot_lm.corpus.chromium import CATALOGUE
from polyglot_lm.corpus.split import Split
from polyglot_lm.languages import Language, select
from polyglot_lm.masking import KINDS
from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.mixture.steering import read_references
from polyglot_lm.model.config import neox
from polyglot_lm.pipeline import Step
from polyglot_lm.recipes.corpus import corpora_of, documents_of, mild, source_name
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.tokenizer import check_vocab_size, encode_corpus, train_tokenizer

if TYPE_CHECKING:
    from polyglot_lm.training.config import TrainingConfig
    from polyglot_lm.training.optim import OptimConfig

DECAY = 0.4  # of the steps
WINDOW_ENGLISH_BYTES = 512  # of held-out text; about what 256 tokens hold
SPLIT = Split(key="quickstart", control=0.02, select=0.02, test=0.08, min_bytes=0, max_share=0.08, max_domain_share=0.01)


def quickstart(
    *,
    languages: tuple[str, ...] = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en"),
    source: str = CATALOGUE,
    source_megabytes: int = 4,
    agreement: float = 0.72,
    mask_kinds: tuple[str, ...] = KINDS,
    vocab_size: int = 12_288,
    layers: int = 2,
    width: int = 128,
    heads: int = 4,
    context: int = 256,
    steps: int = 1200,
    batch_windows: int = 8,
    optimizer: Literal["adamw", "muon"] = "muon",
    learning_rate: float = 0.008,
    matrix_learning_rate: float = 0.01,
    references: str = "",
    seed: int = 1,
) -> Recipe:
    """`source_megabytes` bounds what is streamed of a hub data set, in each language; folders are read whole.
    `references` is a file of bits per byte of monolingual models, by which the controller steers the mixture.
    """
    from polyglot_lm.training.loop import train  # imports torch, which --help must not wait for

    chosen = select(languages)
    check_vocab_size(vocab_size)
    thresholds = {language.code: mild(language) for language in chosen}
    documents = documents_of(chosen, (source,), thresholds, source_megabytes)
    corpora = corpora_of(chosen, documents, thresholds, agreement, SPLIT, mask_kinds)
    premiums = {language.code: language.byte_premium for language in chosen}
    tokenizer = train_tokenizer.step(
        "tokenizer", corpora=corpora, byte_premiums=premiums, vocab_size=vocab_size, max_english_bytes=10_000_000
    )
    tokens = encode_all(chosen, corpora, tokenizer, source_name(source))
    mixture = plan_mixture.step("mixture", tokens=tokens, policy=Uniform(unit="english_bytes"), seed=seed)
    rotary_dims = width // max(1, heads) // 2
    steered = {"controller": Equaliser(references=read_references(Path(references)), ends=1 - DECAY)} if references else {}
    training = train.step(
        "training",
        mixture=mixture,
        tokens=tokens,
        tokenizer=tokenizer,
        corpora=corpora,
        model=neox(
            vocab_size=vocab_size, context=context, num_layers=layers, width=width, num_heads=heads, rotary_dims=rotary_dims
        ),
        optim=optimization(optimizer, steps, learning_rate, matrix_learning_rate),
        training=length(steps, batch_windows, seed),
        **steered,  # so that who asks for none keeps the training of before
    )
    return measure_and_release("Polyglot quickstart", chosen, corpora, tokens, tokenizer, mixture, training)


def optimization(
    optimizer: Literal["adamw", "muon"], steps: int, learning_rate: float, matrix_learning_rate: float
) -> "OptimConfig":
    from polyglot_lm.training.optim import OptimConfig

    return OptimConfig(
        optimizer=optimizer,
        learning_rate=learning_rate,
        matrix_learning_rate=matrix_learning_rate,
        schedule="wsd",
        warmup_steps=min(50, steps // 10),
        decay_fraction=DECAY,
        final_rate=0.0,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.98,
        clip_norm=1.0,
    )


def length(steps: int, batch_windows: int, seed: int) -> "TrainingConfig":
    from polyglot_lm.training.config import TrainingConfig

    return TrainingConfig(
        steps=steps,
        batch_windows=batch_windows,
        precision="fp32",
        control_every=max(1, steps // 10),
        seed=seed,
        z_loss=0.0,
        on_spike="skip",
        milestone_every=None,
    )


def encode_all(chosen: tuple[Language, ...], corpora: Mapping[str, Step], tokenizer: Step, source: str) -> dict[str, Step]:
    return {
        language.code: encode_corpus.step(
            f"tokens/{language.code}/{source}",
            corpus=corpora[language.code],
            tokenizer=tokenizer,
            language=language.code,
            source=source,
            byte_premium=language.byte_premium,
        )
        for language in chosen
    }


def measure_and_release(
    title: str,
    chosen: tuple[Language, ...],
    corpora: Mapping[str, Step],
    tokens: Mapping[str, Step],
    tokenizer: Step,
    mixture: Step,
    training: Step,
) -> Recipe:
    """Held-out bits against two references, the balance report, and the export with its card."""
    from polyglot_lm.evaluation.heldout import evaluate_heldout
    from polyglot_lm.evaluation.references import measure_references
    from polyglot_lm.evaluation.report import balance_report
    from polyglot_lm.release.export import export_hf

    names = {language.code: language.name for language in chosen}
    premiums = {language.code: language.byte_premium for language in chosen}
    folders = {code: (step,) for code, step in tokens.items()}
    references = measure_references.step(
        "references", corpora=corpora, tokens=folders, tokenizer=tokenizer, max_train_bytes=32_000_000
    )
    heldout = evaluate_heldout.step(
        "heldout",
        model=training,
        tokenizer=tokenizer,
        corpora=corpora,
        byte_premiums=premiums,
        window_english_bytes=WINDOW_ENGLISH_BYTES,
    )
    report = balance_report.step(
        "report",
        names=names,
        corpora=corpora,
        tokens=folders,
        mixture=mixture,
        training=training,
        references=references,
        heldout=heldout,
    )
    export = export_hf.step(
        "model",
        title=title,
        names=names,
        training=training,
        tokenizer=tokenizer,
        corpora=corpora,
        report=report,
    )
    return Recipe(results={"training": training, "report": report, "model": export})
