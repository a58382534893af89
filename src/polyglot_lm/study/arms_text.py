"""What the records say of the arms, as Markdown: every number and every verdict is computed here from runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyglot_lm.study.arms import ARMS, PLACEBO, Arms, Statistic, mean_of, worst_of
from polyglot_lm.study.markdown import (
    MARGIN,
    listed,
    percent,
    probability,
    seeds_interval,
    sentence,
    signed,
    table,
    with_interval,
)
from polyglot_lm.study.records import Run
from polyglot_lm.study.statistics import Estimate

MEANINGS: Mapping[Statistic, str] = {worst_of: "worst ln r", mean_of: "mean ln r"}
CONTRASTS = (
    ("bloom", "uniform"),
    ("xglm", "uniform"),
    ("alpha-0.3", "uniform"),
    ("placebo", "uniform"),
    ("skewed-tokenizer", "uniform"),
    ("raw-bytes", "uniform"),
    ("raw-bytes", "controller-from-raw"),
    ("controller-from-raw", "uniform"),
    ("controller-from-uniform", "uniform"),
    ("bloom-floor-0", "bloom"),
    ("bloom-floor-2", "bloom"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """All runs, and the arms on both test sets; `flores` is None where it was not measured."""

    runs: Sequence[Run]
    size: str
    codes: tuple[str, ...]
    arms: Arms
    flores: Arms | None


def contrasts(arms: Arms) -> dict[str, tuple[Estimate, Estimate]]:
    """Return mean and worst of every contrast whose arms were run."""
    found = {}
    for ours, theirs in CONTRASTS:
        mean, worst = (arms.difference(statistic, ours, theirs) for statistic in (mean_of, worst_of))
        if mean and worst:
            found[f"{ARMS[ours]} − {ARMS[theirs]}"] = mean, worst
    return found


def endpoints_text(found: Findings) -> list[str]:
    rows = []
    for each, (one, adjusted) in found.arms.endpoints().items():
        shifted = found.arms.sensitivity(each)
        reach = f"{signed(min(e.mean for e in shifted))} to {signed(max(e.mean for e in shifted))}"
        what = f"{each.name}: {MEANINGS[each.statistic]}, {ARMS[each.ours]} − {ARMS[each.theirs]}"
        verdict = {"lower": "resolved, below 0", "higher": "resolved, above 0"}.get(one.verdict(MARGIN), one.verdict(MARGIN))
        rows.append([what, with_interval(one), seeds_interval(one), probability(adjusted), str(one.seeds), reach, verdict])
    heads = [
        "endpoint",
        "difference [95 % over seeds and documents]",
        "over seeds alone",
        "p (Holm)",
        "pairs",
        "references ±5 %",
        "verdict",
    ]
    told = [
        f"- {each.name}: {sentence(ARMS[each.ours], ARMS[each.theirs], f'the {MEANINGS[each.statistic]}', one)}."
        for each, (one, _) in found.arms.endpoints().items()
    ]
    return ["### Primary endpoints", "", *table(heads, rows), *told, "", *resolution(found.arms)]


def resolution(arms: Arms) -> list[str]:
    """Say what difference the pairs resolve, and whether that is the 1 % asked for."""
    widths = {name: (mean.half_width, worst.half_width) for name, (mean, worst) in contrasts(arms).items() if mean.seeds > 1}
    if not widths:
        return ["One seed an arm: no difference can be resolved.", ""]
    parts = []
    for place, what in enumerate(("mean", "worst")):
        own = {name: pair[place] for name, pair in widths.items()}
        median, widest = float(np.median(list(own.values()))), max(own, key=own.__getitem__)
        met = "within the 1 % asked for" if own[widest] <= MARGIN else "above the 1 % asked for"
        parts.append(f"in the {what} {median:.4f} (median over contrasts; most {own[widest]:.4f}, {met}: {widest})")
    return [f"The least difference of ln r that the pairs resolve, half of the 95 % interval: {listed(parts)}.", ""]


def arms_text(found: Findings) -> list[str]:
    rows = []
    for arm in sorted(found.arms.runs, key=lambda each: found.arms.level(each, worst_of).mean):
        mean, worst = found.arms.level(arm, mean_of), found.arms.level(arm, worst_of)
        often = ", ".join(f"{code} {count}" for code, count in found.arms.worst_languages(arm).items())
        other = found.flores if found.flores and arm in found.flores.runs else None
        flores = [signed(other.level(arm, statistic).mean if other else math.nan) for statistic in (mean_of, worst_of)]
        flores[1] += f" ({', '.join(other.worst_languages(arm))})" if other else ""
        bias = signed(found.arms.bias_of_worst(arm), 4)
        rows.append([ARMS[arm], str(mean.seeds), with_interval(mean), with_interval(worst), often, bias, *flores])
    levels = ["mean ln r", "worst ln r", "worst: language, seeds", "bias of the worst"]
    heads = ["arm", "seeds", *levels, "FLORES mean", "FLORES worst"]
    note = (
        "Bias of the worst: by how much noise of the test documents lifts the largest of several; it is not taken off. "
        "Intervals of levels are over seeds and documents, with references as they were frozen; on FLORES over seeds alone."
    )
    return ["### Arms", "", *table(heads, rows), note, ""]


def differences_text(found: Findings) -> list[str]:
    """Tell every contrast, on both test sets."""
    flores = contrasts(found.flores) if found.flores else {}
    rows = [
        [name, with_interval(mean), with_interval(worst), *(with_interval(one) for one in flores.get(name, ()))]
        for name, (mean, worst) in contrasts(found.arms).items()
    ]
    heads = ["contrast", "mean ln r", "worst ln r", *(["FLORES mean", "FLORES worst"] if flores else [])]
    return ["### Differences, paired over seeds", "", *table(heads, rows)]


def shared_text(found: Findings) -> list[str]:
    """Tell what sharing one model gives or costs each language under uniform, on both test sets."""
    sets = {"held-out text": found.arms, **({"FLORES devtest": found.flores} if found.flores else {})}
    if any("uniform" not in arms.runs for arms in sets.values()):
        return []
    levels = {name: {code: arms.level("uniform", arms.language(code)) for code in found.codes} for name, arms in sets.items()}
    rows = [[code, *(with_interval(of[code]) for of in levels.values())] for code in found.codes]
    told = []
    for name, of in levels.items():
        helped = [code for code, one in of.items() if one.verdict(MARGIN) == "lower"]
        cost = [code for code, one in of.items() if one.verdict(MARGIN) == "higher"]
        told.append(f"On {name} sharing helps {listed(helped) if helped else 'none'} and costs {listed(cost) if cost else 'none'}.")
    note = "References are taken as frozen: their own doubt is not in the intervals."
    return ["### What sharing gives under uniform", "", *table(["language", *levels], rows), " ".join([*told, note]), ""]


def price_text(found: Findings) -> list[str]:
    """Tell what each language gains and what English pays, BLOOM-like against uniform."""
    unit = found.arms.difference(mean_of, "bloom", "uniform")
    if unit is None:
        return []
    rows, differences = [], {}
    for code in found.codes:
        one = found.arms.difference(found.arms.language(code), "uniform", "bloom")
        other = found.flores.difference(found.flores.language(code), "uniform", "bloom") if found.flores else None
        assert one is not None
        differences[code] = one
        rows.append(
            [
                code,
                f"{1 / max(1e-3, found.arms.content('bloom', code)):.2g}×",
                with_interval(one),
                with_interval(other) if other else "·",
            ]
        )
    pays = [code for code, one in differences.items() if one.verdict(MARGIN) == "higher"]
    gains = [code for code, one in differences.items() if one.verdict(MARGIN) == "lower"]
    said = [f"{code} {percent(differences[code].mean)}" for code in pays]
    text = [f"More bits under uniform than under BLOOM's shares: {listed(said)}."] if pays else []
    if gains:
        ordered = sorted(gains, key=lambda code: -differences[code].mean)
        least, most = ordered[0], ordered[-1]
        reach = f"from {saved(differences[least])} of their bits ({least}) to {saved(differences[most])} ({most})"
        text.append(f"{len(gains)} of {len(found.codes)} gain, {reach}.")
    heads = ["language", "content, uniform over BLOOM-like", "ln r, uniform − BLOOM-like", "on FLORES"]
    return ["### Who gains and who pays", "", *table(heads, rows), " ".join([*text, *content_law(found.arms)]), ""]


def content_law(arms: Arms) -> list[str]:
    """Say how far content alone foretells a language's loss, and whether the placebo follows the same curve."""
    points: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for arm, _, ratio, difference in arms.against_uniform():
        points[arm == PLACEBO].append((math.log(ratio), difference))
    if len(points[False]) < 3:
        return []
    x, y = np.array(points[False]).T
    curve = np.polyfit(x, y, 2)  # more text pays less and less
    off = {which: [value - float(np.polyval(curve, ratio)) for ratio, value in own] for which, own in points.items()}
    told = f"A curve of the content read, the same for all arms and languages, foretells ln r to {rms(off[False])} (RMS)"
    return [f"{told}; drawn without the placebo, it foretells the placebo to {rms(off[True])}." if off[True] else f"{told}."]


def rms(values: Sequence[float]) -> str:
    return f"{math.sqrt(float(np.mean(np.square(values)))):.3f}"


def saved(one: Estimate) -> str:
    return f"{-100 * math.expm1(one.mean):.1f} %"


def controller_text(found: Findings) -> list[str]:
    """Say whether the controller adds to uniform, and what it repairs of a wrong start."""
    lines = []
    for ours, theirs in (
        ("controller-from-uniform", "uniform"),
        ("raw-bytes", "controller-from-raw"),
        ("controller-from-raw", "uniform"),
    ):
        for statistic, what in MEANINGS.items():
            if one := found.arms.difference(statistic, ours, theirs):
                lines.append(f"- {sentence(ARMS[ours], ARMS[theirs], what, one)}: {with_interval(one, 4)}.")
    if not lines:
        return []
    wrong, left = (found.arms.difference(worst_of, arm, "uniform") for arm in ("raw-bytes", "controller-from-raw"))
    if wrong and left and wrong.verdict(MARGIN) == "higher":
        back = f"{100 * (1 - left.mean / wrong.mean):.0f} %"
        lines.append(f"- Of what the wrong start costs in the worst language, the controller takes back {back}.")
    return ["### What the controller adds", "", *lines, ""]
