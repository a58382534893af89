"""Who helps whom: directed transfer between all pairs of languages, from models of one and of two (docs/balance-study.md).

    references (D of one language), 2 D of one, D + D of two ─► G(s→t) = ln(bits of t alone ÷ bits of t with s)

The text, the references and their settings are those of the recipe `balance_study`, and are not made twice.
"""

from polyglot_lm.recipes.balance_study import FLOOR, LANGUAGES, PLACEBO, Source, data_step, protocol_of, references_step
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.study.stage import run_study


def synergy(
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
    """Parameters are those of `balance_study`; the two share what they have in common."""
    data = data_step(Source(text=text, parallel=parallel, flores=flores, benchmarks=benchmarks), languages, vocab_size, floor)
    protocol = protocol_of(languages, size=size, content_megabytes=content_megabytes, seeds=seeds, floor=floor, placebo=placebo)
    references = references_step(data, protocol)
    matrix = run_study.step("study/synergy", data=data, protocol=protocol, stages=("synergy",), before=references)
    return Recipe(results={"references": references, "synergy": matrix})
