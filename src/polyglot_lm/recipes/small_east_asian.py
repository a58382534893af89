"""Polyglot-East-Asian of 110 M parameters: the first model that this system has made (docs/first-model.md).

    text and tokenizer of the balance study ─► the same content of eight languages ─► 110 M parameters ─► bits, report, card

98 M tokens are 42 MB-eq. of each language: four readings of Thai, which is scarcest, the most that still helps (Muennighoff et al.
2023, arXiv 2305.16264), and 1.5 of English. Rate and batch go on from the study's sweeps: there 0.001 was best at 8 k tokens a step
and a width of 384; here a step has four times the tokens and twice the width.
"""

from polyglot_lm.languages import select
from polyglot_lm.mixture import Budget, plan_mixture
from polyglot_lm.recipes.balance_study import FLOOR, LANGUAGES, Source, prepare
from polyglot_lm.recipes.pretraining import Course, pretraining_step
from polyglot_lm.recipes.quickstart import measure_and_release
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.study.protocol import UNIFORM, model_of

MAX_EPOCHS = 4.0


def small_east_asian(
    *,
    text: str,
    parallel: str,
    flores: str,
    benchmarks: tuple[str, ...] = (),
    languages: tuple[str, ...] = LANGUAGES,
    vocab_size: int = 16_384,
    floor: float = FLOOR,
    size: str = "110m",
    context: int = 1024,
    steps: int = 3000,
    batch_windows: int = 32,
    learning_rate: float = 0.001,
    seed: int = 1,
) -> Recipe:
    """Parameters up to `floor` are those of `balance_study`, whose text is not made twice; `size` is a rung of its ladder."""
    chosen = select(languages)
    source = Source(text=text, parallel=parallel, flores=flores, benchmarks=benchmarks)
    prepared = prepare(source, languages, vocab_size, floor)
    tokens, tokenizer = prepared.tokens["parity"], prepared.tokenizers["parity"]
    budget = Budget(amount=float(steps * batch_windows * context), unit="tokens", max_epochs=MAX_EPOCHS)
    mixture = plan_mixture.step("mixture", tokens=tokens, policy=UNIFORM, seed=seed, budget=budget)
    training = pretraining_step(
        model=model_of(size, vocab_size=vocab_size, context=context),
        mixture=mixture,
        tokens=tokens,
        tokenizer=tokenizer,
        corpora=prepared.corpora,
        course=Course(
            steps=steps,
            batch_windows=batch_windows,
            precision="bf16",
            schedule="wsd",
            learning_rate=learning_rate,
            seed=seed,
            looks=10,  # the control text is a third as long as what is read between two
        ),
    )
    title = f"Polyglot-East-Asian {size.upper()}"
    released = measure_and_release(title, chosen, prepared.corpora, tokens, tokenizer, mixture, training)
    return Recipe(results={"tokenizer": tokenizer, "mixture": mixture, **released.results})
