"""Monolingual references of a recipe: for each of its languages a model of the same size, tokenizer and text, of that alone.

The base recipe is built, not repeated: its training step is taken and given one language's shards. `content` 1 reads as much
of a language as the multilingual model did (an equal share of its tokens), an eighth of the compute for eight languages; 8
costs the same compute. Few steps of large batches would starve a small run and flatter the multilingual model, so a batch
is `batch_divisor` times smaller and there are as many more of them.

    polyglot run references --set base_settings=steps=400 --set content=0.25,1,4
"""

import dataclasses

from polyglot_lm.evaluation.monolingual import gather_references
from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.pipeline import Step, UserError, in_order
from polyglot_lm.recipes.recipe import Recipe, build


def references(
    *,
    base: str = "quickstart",
    base_settings: tuple[str, ...] = (),
    languages: tuple[str, ...] = (),
    content: tuple[float, ...] = (1.0,),
    rates: tuple[float, ...] = (1.0,),
    batch_divisor: int = 4,
) -> Recipe:
    """`languages`: of the base recipe, all if none is named; `rates`: learning rates to try, as multiples of the base's."""
    from polyglot_lm.recipes import RECIPES

    steps = in_order(build(base, base_settings, RECIPES).targets)
    joint, measured = only(steps, "train", base), only(steps, "evaluate_heldout", base)
    by_language: dict[str, dict[str, Step]] = {}
    for source, step in joint.arguments["tokens"].items():
        by_language.setdefault(step.arguments["language"], {})[source] = step
    if unknown := set(languages) - by_language.keys():
        raise UserError(f"recipe {base!r} has no language {min(unknown)!r}; it has {', '.join(by_language)}")
    trainings: dict[str, Step] = {}
    heldouts: dict[str, Step] = {}
    asked = [(code, part, rate) for code in languages or by_language for part in content for rate in rates]
    for code, part, rate in asked:
        key = f"{code}-{part:g}-{rate:g}"
        trainings[key] = monolingual(key, joint, code, by_language[code], part / len(by_language), rate, batch_divisor)
        heldouts[key] = measured.stage.step(
            f"reference-heldout/{key}", **{**measured.arguments, **alone(measured, code, trainings[key])}
        )
    return Recipe(
        results={
            "references": gather_references.step(
                "monolingual",
                trainings=trainings,
                heldouts=heldouts,
                languages={key: code for key, (code, _, _) in zip(trainings, asked, strict=True)},
                contents={key: part for key, (_, part, _) in zip(trainings, asked, strict=True)},
                rates={key: rate for key, (_, _, rate) in zip(trainings, asked, strict=True)},
            )
        }
    )


def only(steps: list[Step], function: str, base: str) -> Step:
    found = [step for step in steps if step.stage.function.__name__ == function]
    if len(found) != 1:
        raise UserError(f"recipe {base!r} has {len(found)} steps that {function}; references need a recipe with one")
    return found[0]


def monolingual(key: str, joint: Step, code: str, tokens: dict[str, Step], part: float, rate: float, batch_divisor: int) -> Step:
    """Return the training of one language alone for `part` of the joint training's tokens."""
    config, optim = joint.arguments["training"], joint.arguments["optim"]
    if config.batch_windows % batch_divisor:
        raise UserError(f"batch_divisor is {batch_divisor}; it must divide the base recipe's {config.batch_windows} windows a step")
    num_steps = max(1, round(config.steps * part * batch_divisor))
    mixture = plan_mixture.step(f"reference-mixture/{code}", tokens=tokens, policy=Uniform(unit="english_bytes"), seed=config.seed)
    return joint.stage.step(
        f"reference-training/{key}",
        **{
            **joint.arguments,
            "mixture": mixture,
            "tokens": tokens,
            "corpora": {code: joint.arguments["corpora"][code]},
            "optim": dataclasses.replace(
                optim,
                learning_rate=optim.learning_rate * rate,
                matrix_learning_rate=optim.matrix_learning_rate * rate,
                warmup_steps=min(optim.warmup_steps, max(1, num_steps // 10)),
            ),
            "training": dataclasses.replace(
                config, steps=num_steps, batch_windows=config.batch_windows // batch_divisor, control_every=max(1, num_steps // 10)
            ),
        },
    )


def alone(measured: Step, code: str, training: Step) -> dict[str, object]:
    """Return what the measuring of one language's reference has of its own."""
    return {
        "model": training,
        "corpora": {code: measured.arguments["corpora"][code]},
        "byte_premiums": {code: measured.arguments["byte_premiums"][code]},
    }
