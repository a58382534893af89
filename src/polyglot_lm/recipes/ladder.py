"""How balance pays at other sizes, and a search for a mixture that beats it (docs/balance-study.md).

    10 M, 27 M, 110 M parameters: a sweep, references, uniform and bloom at each ─► ln r over size
    350 M: the same with one seed, in the settings of 110 M
    110 M again: batches below those of the sweeps, of uniform and of the references
    random mixtures on the smallest ─► a law of mixtures ─► what it proposes, with fresh seeds

The text and the references are those of the recipe `balance_study`, and are not made twice.
"""

from polyglot_lm.recipes.balance_study import FLOOR, LANGUAGES, PLACEBO, Source, data_step, protocol_of, references_step
from polyglot_lm.recipes.recipe import Recipe
from polyglot_lm.study.stage import run_study


def ladder(
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
    sizes = run_study.step("study/ladder", data=data, protocol=protocol, stages=("ladder",), before=references)
    search = run_study.step("study/search", data=data, protocol=protocol, stages=("search", "carried", "finer"), before=sizes)
    return Recipe(results={"references": references, "ladder": sizes, "search": search})
