"""The part of the card that tells what the model can do and what it cannot: results, gates, proof, use, limits, citation."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from polyglot_lm.evaluation.published import published_tasks
from polyglot_lm.evaluation.table import comparable
from polyglot_lm.release.card_training import NOT, table

if TYPE_CHECKING:
    from polyglot_lm.release.card import Story

KOBEST = ("kobest_copa", "kobest_hellaswag", "kobest_boolq", "kobest_sentineg", "kobest_wic")
CITATION = """```bibtex
@software{polyglot,
  title = {Polyglot: large language models of well-balanced competence in several languages},
  author = {{The Polyglot developers}},
  year = {2026},
  license = {Apache-2.0}
}
@misc{ko2023polyglotko,
  title = {A Technical Report for {Polyglot-Ko}: Open-Source Large-Scale {Korean} Language Models},
  author = {Hyunwoong Ko and Kichang Yang and Minho Ryu and Taekyoon Choi and Seungmu Yang and Jiwung Hyun and
            Sungho Park and Kyubyong Park},
  year = {2023},
  eprint = {2306.02254},
  archivePrefix = {arXiv}
}
```"""


def result_section(story: "Story") -> Iterator[str]:
    yield from ("## Held-out text", "")
    if story.summary is None:
        yield from (f"Bits per byte: {NOT}.", "")
        return
    yield "Bits per byte, next to `xz -9` given the training text and to token frequencies alone. Bits per byte of different "
    fair = comparable(story.summary)
    yield f"languages are not comparable; the last column, bits for {fair.of} in {fair.unit}, is."
    yield ""
    titles = ("Language", "Held-out bytes", "Bits per byte", "xz -9", "Order 0", fair.unit)
    yield from table(titles, [[*heldout_row(row), fair.written(code)] for code, row in story.summary["languages"].items()])
    yield from (f"![Bits for {fair.of}](plots/balance.svg)", "")


def heldout_row(row: Mapping[str, Any]) -> list[str]:
    bits = (row["bits_per_byte"], row["xz_bits_per_byte"], row["order0_bits_per_byte"])
    return [row["name"], f"{row['heldout_bytes']:,}", *(f"{value:.3f}" for value in bits)]


def task_section(story: "Story") -> Iterator[str]:
    """Tell every score with its interval; KoBEST beside the models of the Polyglot-Ko cards."""
    yield from ("## Tasks", "")
    if not story.scores:
        yield from (f"Downstream tasks: {NOT}.", "")
        return
    titles = ("Task", "Language", "Shots", "n", "Metric", "Score", "95 %", "")
    yield from table(titles, [score_row(score, story.names) for score in story.scores])
    for shots in sorted({score["shots"] for score in story.scores if score["name"] in KOBEST}):
        yield f"### KoBEST, {shots} shots, beside published models"
        yield ""
        own = {score["name"]: score["metrics"][score["metric"]]["value"] for score in story.scores if score["shots"] == shots}
        rows = [kobest_row(f"**{story.title}** (measured)", own)]
        rows += [kobest_row(model, found) for (model, given), found in published_tasks().items() if given == shots]
        yield from table(("Model", *(name.removeprefix("kobest_") for name in KOBEST)), rows)
        yield "Published: the model cards of EleutherAI/polyglot-ko-*, said to be macro-F1; their HellaSwag behaves like acc_norm."
        yield ""


def score_row(score: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    found = score["metrics"][score["metric"]]
    start = score["name"], names.get(score["language"], score["language"]), str(score["shots"]), f"{score['n']:,}", score["metric"]
    interval = f"{found['low']:.3f} to {found['high']:.3f}"
    return [*start, f"{found['value']:.3f}", interval, "at chance" if score["at_chance"] else ""]


def kobest_row(model: str, found: Mapping[str, float]) -> list[str]:
    return [model, *(f"{found[name]:.4f}" if name in found else NOT for name in KOBEST)]


def gate_section(story: "Story") -> Iterator[str]:
    yield from ("## Balance", "")
    if story.balance is None:
        yield from (f"Relative competence and gates: {NOT}.", "")
        return
    for model in story.balance["models"]:
        if found := model["competence"]:
            yield f"Competence relative to monolingual models, {model['name']}: mean ln r {found['mean_ln']:+.3f}, worst ln r "
            yield f"{found['worst_ln']:+.3f} ({found['worst_language']})."
            yield ""
        rows = [(g["name"], f"{g['value']:.4g}", f"≤ {g['bound']:g}", "pass" if g["passed"] else "FAIL") for g in model["gates"]]
        yield from table(("Gate", "Found", "Bound", ""), rows)


def proof_section(story: "Story") -> Iterator[str]:
    yield from ("## This copy", "")
    if story.proof is None:
        yield from (f"Proof against the trained model: {NOT}.", "")
        return
    proof, rows = story.proof, story.proof["languages"].values()
    verdict = "Proved" if proof["passed"] else "**Not proved**"
    yield f"{verdict} against the model that was trained, on real text of {len(rows)} languages, by {proof['program']}: "
    if rows:
        yield f"logits differ by at most {max(row['logits_difference'] for row in rows):.2g}, the likeliest token is the same for "
        yield f"at least {min(row['top1'] for row in rows):.2%} of the tokens ({proof['format']}, {proof['precision']})."
    yield ""


def use_section(story: "Story") -> Iterator[str]:
    """Tell what the model is for and what it is not; nothing here is a measurement."""
    yield from ("## Intended use", "")
    yield "Research on multilingual language models, and a base for further training. It continues text, each document beginning "
    yield "after `<|endoftext|>`; it follows no instructions and is no source of facts."
    yield from ("", "## Privacy", "")
    yield "Identifiers in the formats listed above were masked; names, street addresses and what the rules miss were not and may "
    yield "be reproduced. Whoever publishes output should mask it again (`polyglot mask`)."
    yield from ("", "## Limitations and biases", "")
    yield f"Measured bias and toxicity: {NOT}. The text reflects its sources with their opinions and gaps; held-out text comes "
    yield "from the same sources. The model states falsehoods fluently."
    yield from ("", "## Licence and citation", "")
    yield "Apache-2.0 for the weights and the code; the sources of the text keep their licences (see Data)."
    yield from ("", CITATION)
