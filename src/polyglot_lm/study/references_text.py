"""What the records say of the references, as Markdown: how each was chosen, if it was starved, and what other yardsticks say."""

import math

import numpy as np

from polyglot_lm.evaluation.competence import equivalent_data
from polyglot_lm.study.arms import ARMS
from polyglot_lm.study.arms_text import Findings
from polyglot_lm.study.markdown import listed, signed, table
from polyglot_lm.study.plan import FOURFOLD
from polyglot_lm.study.records import Run, same_size
from polyglot_lm.study.yardstick import best_setting, content_each, frozen


def references_text(found: Findings) -> list[str]:
    batch = next(iter(found.arms.runs["uniform"].values())).batch_windows if "uniform" in found.arms.runs else 0
    rows = []
    for code, one in found.arms.references.items():
        at_arms = [bits for (own, _), bits in one.sweep.items() if own == batch]
        starved = signed(100 * math.log(min(at_arms) / one.sweep[one.setting]), 1) if at_arms else "·"
        tried = f"{len(one.sweep)}"
        spread = f"{100 * one.seeds_spread:.2f}" if len(one.runs) > 1 else "·"
        edges = listed(one.edges) if one.edges else "none"
        rows.append(
            [
                code,
                str(one.setting[0]),
                f"{one.setting[1]:g}",
                tried,
                str(len(one.runs)),
                f"{one.bits('test'):.4f}",
                spread,
                starved,
                edges,
            ]
        )
    heads = [
        "language",
        "batch, windows",
        "rate",
        "settings",
        "seeds",
        "bits/byte",
        "SD over seeds, %",
        f"at the arms' batch ({batch}), %",
        "at an edge of its sweep",
    ]
    return ["### References", "", *table(heads, rows), *equal_compute(found), *equivalent(found)]


def equal_compute(found: Findings) -> list[str]:
    """Tell r against one language with the whole budget, and with four times the content, where they were trained."""
    words = {
        len(found.codes): "ln r at equal compute, against a model that spent the whole budget on that language:",
        FOURFOLD: "ln r against a model that read four times the content of that language:",
    }
    return [line for multiple, told in words.items() for line in against_more(found, multiple, told)]


def against_more(found: Findings, multiple: int, words: str) -> list[str]:
    """Tell r against references that read several times the content."""
    rows = []
    for code, reference in frozen(found.runs, found.size, found.codes, multiple=multiple).items():
        own = [
            float(np.mean([math.log(run.bits_per_byte["test"][code] / reference.bits("test")) for run in runs.values()]))
            for runs in found.arms.runs.values()
        ]
        epochs = max(run.epochs_read.get(code, 0.0) for run in reference.runs)
        rows.append([code, str(reference.setting[0]), f"{epochs:.1f}", *map(signed, own)])
    heads = ["language", "batch, windows", "times read", *(ARMS[arm] for arm in found.arms.runs)]
    return [words, "", *table(heads, rows)] if rows else []


def equivalent(found: Findings) -> list[str]:
    """Tell the monolingual text that each arm's bits are worth, where a language was trained alone on three amounts or more."""
    unit, rows = content_each(found.runs, found.size), []
    for code in found.codes:
        curve = curve_alone(found, code)
        worth = {
            arm: equivalent_data(math.exp(np.mean([math.log(r.bits_per_byte["test"][code]) for r in own.values()])), curve)
            for arm, own in found.arms.runs.items()
        }
        if any(worth.values()):
            read = {arm: unit * found.arms.content(arm, code) for arm in worth}
            cells = (f"{value / read[arm]:.2f}" if value and read[arm] else "·" for arm, value in worth.items())
            rows.append([code, ", ".join(f"{amount / unit:.2g}×" for amount, _ in curve), *cells])
    if not rows:
        return []
    heads = ["language", "alone, in uniform's content", *(ARMS[arm] for arm in found.arms.runs)]
    note = "Equivalent monolingual text over the text read of that language; above 1 the others helped, below 1 they cost:"
    return [note, "", *table(heads, rows)]


def curve_alone(found: Findings, code: str) -> list[tuple[float, float]]:
    """Return (content, bits) of a language alone at every amount it was trained on, at the best setting of each."""
    amounts: dict[int, list[Run]] = {}
    for run in same_size(found.runs, found.size, "references", "synergy"):
        if run.languages == (code,):
            amounts.setdefault(round(2 * math.log2(run.content)), []).append(run)
    best = [best_setting(code, own) for _, own in sorted(amounts.items())]
    return [(float(np.mean([run.content for run in one.runs])), one.bits("test")) for one in best]
