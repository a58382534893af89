"""The pretraining step of the named recipes: the released shapes, what is published of their training, and a rule for the rest.

Published (model cards of EleutherAI/polyglot-ko-*): shapes, tokens, steps. Inferred: the windows of a step, as the power of two
nearest to tokens ÷ steps ÷ 2,048; that is 1,024 for 1.3B and 3.8B, and 256 for 5.8B and 12.8B, where the published figures then
exceed a round batch by 2.5 and 5.8 %. Not published anywhere: optimizer, learning rate, schedule, warm-up, weight decay.

Learning rate by one rule, 2e-4 · (1.3e9 / parameters)^0.3, which gives the four rates of Brown et al. 2020, table 2.1, for 1.3B to
13B, to two digits; those of Pythia lie within a fifth of it. The rest is what both have in common: AdamW with decay 0.1,
moments 0.9 and 0.95, clipping at 1, and a hundredth of the steps of warm-up.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyglot_lm.languages import Language
from polyglot_lm.mixture.controller import Equaliser
from polyglot_lm.mixture.steering import read_references
from polyglot_lm.model.config import ModelConfig, padded_vocab_size, polyglot_ko
from polyglot_lm.pipeline import Step
from polyglot_lm.recipes.public import Prepared
from polyglot_lm.recipes.quickstart import measure_and_release
from polyglot_lm.recipes.recipe import Recipe

CONTEXT = 2048
DECAY = 0.2  # of the steps, under wsd; a controller rests there under any schedule
Size = Literal["1.3b", "3.8b", "5.8b", "12.8b"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBudget:
    """What the model card of a size says."""

    tokens: int
    steps: int

    @property
    def batch_windows(self) -> int:
        """The power of two nearest to the windows of 2,048 tokens that a step must have had."""
        return int(2 ** round(math.log2(self.tokens / self.steps / CONTEXT)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How long, in which steps and how fast a model learns; `learning_rate` 0 asks the rule above.

    The rate ends at a tenth of its peak by a cosine, as theirs did; with `wsd` at zero after a decay over the last fifth, and the
    training can be made longer later. `references` is a file of bits per byte of monolingual models, by which the controller
    steers the mixture until the decay. `looks` is how often the control text is scored on the way.
    """

    steps: int
    batch_windows: int
    precision: Literal["bf16", "fp8"]
    schedule: Literal["wsd", "cosine"]
    learning_rate: float
    seed: int
    references: str = ""
    looks: int = 100


PUBLISHED: Mapping[str, TokenBudget] = {
    "1.3b": TokenBudget(tokens=213_000_000_000, steps=102_000),
    "3.8b": TokenBudget(tokens=219_000_000_000, steps=105_000),
    "5.8b": TokenBudget(tokens=172_000_000_000, steps=320_000),
    "12.8b": TokenBudget(tokens=167_000_000_000, steps=301_000),
}


def token_budget(size: str) -> TokenBudget:
    """Return what was published of a size; raises UserError that lists the sizes."""
    polyglot_ko(size)
    return PUBLISHED[size]


def shape(size: str, *, vocab_size: int | None = None, context: int = CONTEXT) -> ModelConfig:
    """Return a released shape, with another vocabulary (None: Polyglot-Ko's) and context; raises UserError that lists the sizes."""
    model = polyglot_ko(size)
    return dataclasses.replace(model, vocab_size=padded_vocab_size(vocab_size or model.vocab_size), context=context)


def peak_learning_rate(model: ModelConfig) -> float:
    """Return the rate by the rule above, rounded to two digits."""
    return float(f"{2e-4 * (1.3e9 / model.num_parameters) ** 0.3:.1e}")


def pretraining_step(
    *,
    model: ModelConfig,
    mixture: Step,
    tokens: Mapping[str, Step],
    tokenizer: Step,
    corpora: Mapping[str, Step],
    course: Course,
    initial: Step | None = None,
) -> Step:
    """Return the training of a model on a mixture; `initial` is a model to begin from."""
    from polyglot_lm.training.config import TrainingConfig  # imports torch, which --help must not wait for
    from polyglot_lm.training.loop import train
    from polyglot_lm.training.optim import OptimConfig

    peak = course.learning_rate or peak_learning_rate(model)
    further: dict[str, Any] = {} if initial is None else {"initial": initial}
    if course.references:
        further["controller"] = Equaliser(references=read_references(Path(course.references)), ends=1 - DECAY)
    return train.step(
        "training",
        mixture=mixture,
        tokens=tokens,
        tokenizer=tokenizer,
        corpora=corpora,
        model=model,
        optim=OptimConfig(
            optimizer="adamw",
            learning_rate=peak,
            matrix_learning_rate=peak,
            schedule=course.schedule,
            warmup_steps=course.steps // 100,
            decay_fraction=DECAY,
            final_rate=0.1 if course.schedule == "cosine" else 0.0,
            weight_decay=0.1,
            beta1=0.9,
            beta2=0.95,
            clip_norm=1.0,
        ),
        training=TrainingConfig(
            steps=course.steps,
            batch_windows=course.batch_windows,
            precision=course.precision,
            control_every=max(1, course.steps // course.looks),
            seed=course.seed,
            z_loss=0.0,
            on_spike="rewind",
            milestone_every=max(1, course.steps // 10),
        ),
        **further,  # so that who asks for none keeps the training of before
    )


def trained(title: str, chosen: tuple[Language, ...], prepared: Prepared, model: ModelConfig, course: Course) -> Recipe:
    """Return the recipe that trains, measures and exports a model on text that is prepared."""
    training = pretraining_step(
        model=model,
        mixture=prepared.mixture,
        tokens=prepared.tokens,
        tokenizer=prepared.tokenizer,
        corpora=prepared.corpora,
        course=course,
    )
    released = measure_and_release(title, chosen, prepared.corpora, prepared.tokens, prepared.tokenizer, prepared.mixture, training)
    results = {"tokenizer": prepared.tokenizer, "mixture": prepared.mixture, **released.results}
    return Recipe(results=results, supply=prepared.supply)
