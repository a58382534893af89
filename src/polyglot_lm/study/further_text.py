"""What the records say beyond the arms, as Markdown: transfer, ladder, search, and an account of all runs."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from polyglot_lm.study.arms import ARMS, Arms, mean_of, worst_of
from polyglot_lm.study.arms_text import Findings
from polyglot_lm.study.documents import draw
from polyglot_lm.study.ladder import Line, Rung
from polyglot_lm.study.markdown import MARGIN, listed, probability, sentence, signed, table, with_interval
from polyglot_lm.study.records import MAX_SPIKES, Run, pardoned, same_size, sizes
from polyglot_lm.study.search import Law
from polyglot_lm.study.statistics import Estimate, estimate
from polyglot_lm.study.transfer import Floats, Transfer
from polyglot_lm.study.yardstick import all_frozen, counting, ln_r

SHARE_ERROR, MAX_EPOCHS = 0.005, 1.5
Confirmed = Mapping[str, tuple[Estimate, Estimate]]


def transfer_text(transfer: Transfer, correlations: Mapping[str, tuple[float, float]]) -> list[str]:
    codes, gains = transfer.codes, transfer.gains
    places = [(i, j) for i, j in itertools.permutations(range(len(codes)), 2) if not math.isnan(gains[i, j])]
    ranked = sorted(((float(gains[i, j]), codes[i], codes[j]) for i, j in places), reverse=True)
    best, least = ([f"{one} → {other} {signed(gain)}" for gain, one, other in part] for part in (ranked[:4], ranked[-3:]))
    said = [
        "G > 0: beside as much text of the source the target needs fewer bits than alone, at twice the compute. "
        f"Of {len(places)} directed pairs {sum(gain > 0 for gain, *_ in ranked)} help, most {listed(best)}, least {listed(least)}."
    ]
    if not math.isnan(transfer.seed_spread):
        clear = sum(abs(gains[place]) > 2 * transfer.errors[place] for place in places)
        said.append(f"Seeds scatter by {100 * transfer.seed_spread:.2f} %; {clear} pairs lie over two standard errors from 0.")
    if transfer.doubled is not None:
        price = gains - transfer.doubled[None, :]
        said.append(
            f"At equal compute, against twice the target's own text, sharing costs {signed(-float(np.nanmean(price)))} of ln bits "
            f"on average; in {int((price > 0).sum())} pairs the companion is worth more than as much text of one's own."
        )
    said.append(f"Between the two directions of a pair G correlates by {signed(symmetry(gains), 2)}.")
    rows = [[name, signed(r, 2), probability(p)] for name, (r, p) in correlations.items()]
    return ["### Who helps whom", "", " ".join(said), "", *table(["correlation of", "r", "p, all relabellings"], rows)]


def symmetry(gains: Floats) -> float:
    """Return the correlation of G of a pair in one direction and in the other."""
    upper = np.triu(~np.isnan(gains) & ~np.isnan(gains.T), k=1)
    one, other = np.concatenate([gains[upper], gains.T[upper]]), np.concatenate([gains.T[upper], gains[upper]])
    return float(np.corrcoef(one, other)[0, 1])


def ladder_text(ladder: Mapping[str, Sequence[Rung]], lines: Mapping[tuple[str, str], Line], runs: Sequence[Run]) -> list[str]:
    rows = []
    for arm, rung in ((arm, rung) for arm, own in ladder.items() for rung in own):
        worst = max(rung.ln_r, key=lambda code: rung.ln_r[code])
        levels = [signed(rung.mean), signed(rung.worst), worst]
        rows.append(
            [f"{ARMS[arm]}, {rung.size}", f"{rung.parameters / 1e6:.1f} M", str(rung.seeds), *levels, speed(runs, arm, rung.size)]
        )
    heads = ["arm, size", "parameters", "seeds", "mean ln r", "worst ln r", "worst", "MFU"]
    text = ["### The ladder", "", *table(heads, rows)]
    for (arm, goal), fit in lines.items():
        slope, half = fit.per_tenfold
        told = f"± {half:.3f}, p = {probability(fit.p)}" if math.isfinite(half) else "no interval from two sizes"
        verdict = "" if math.isinf(half) else " (resolved)" if abs(slope) > half else " (not resolved)"
        text.append(f"- {ARMS[arm]}, {goal} ln r for ten times the parameters: {signed(slope)} ({told}){verdict}.")
    return [*text, "", "MFU is the median of a run's own; several runs may have shared a card.", ""]


def speed(runs: Sequence[Run], arm: str, size: str) -> str:
    found = [run.mfu for run in runs if (run.arm, run.size) == (arm, size) and run.mfu]
    return f"{100 * float(np.median(found)):.1f} %" if found else "·"


def confirmations(found: Findings, part: str = "test") -> Confirmed:
    """Return mean and worst of mixtures of the search, run again with fresh seeds, less uniform's with the same seeds and size.
    The doubt of documents is in the intervals of the test text alone."""
    fresh = [run for run in counting(found.runs) if run.stage == "search" and run.confirmation and run.bits_per_byte.get(part)]
    result = {}
    for size in sizes(fresh):
        own = same_size(fresh, size, "search")
        references = all_frozen(found.runs, size, found.codes)
        values = {run: np.array(list(ln_r(run, references, part).values())) for run in own}
        uniform = {run.seed: run for run in own if run.arm == "uniform"}
        drawn = draw(own, references) if part == "test" else None
        for arm in sorted({run.arm for run in own} - {"uniform"}):
            pairs = [(run, uniform[run.seed]) for run in own if run.arm == arm and run.seed in uniform]
            both = []
            for statistic in (mean_of, worst_of) if pairs else ():
                error = drawn.spread(statistic, *map(list, zip(*pairs, strict=True)))[0] if drawn else 0.0
                both.append(estimate([float(statistic(values[one]) - statistic(values[other])) for one, other in pairs], error))
            if both:
                result[f"{arm}, {size}"] = both[0], both[1]
    return result


def search_text(law: Law, measured: Floats, found: Findings, confirmed: Confirmed) -> list[str]:
    """Tell how well the law foresees probes, and what became of its proposals."""
    assert law.left_out is not None
    left = law.left_out - measured
    explained = 1 - float((left**2).sum() / ((measured - measured.mean(axis=0)) ** 2).sum())
    off = 100 * float(np.sqrt((left**2).mean()))
    powers = listed([f"{code} {own:.3f}" for code, own in zip(law.codes, law.own, strict=True)])
    text = [
        "### The search",
        "",
        f"{len(measured)} probes. The law of all others foresees one left out to {off:.1f} % of its bits (R² = {explained:.3f} "
        f"over languages and probes). Bits fall with a language's own share by the powers {powers}.",
        "",
    ]
    if not confirmed:
        return [*text, "No mixture was run again with fresh seeds: nothing is confirmed.", ""]
    flores = confirmations(found, "flores")
    rows = [
        [name, str(pair[0].seeds), *(with_interval(one, 4) for one in (*pair, *flores.get(name, ())))]
        for name, pair in confirmed.items()
    ]
    heads = ["mixture", "seeds", "mean ln r", "worst ln r", *(["FLORES mean", "FLORES worst"] if flores else [])]
    text += [*proposed_text(found), "With fresh seeds, less uniform's:", "", *table(heads, rows)]
    for name, pair in confirmed.items():
        text += [f"- {sentence(name, 'uniform', what, one)}." for what, one in zip(("the mean", "the worst"), pair, strict=True)]
    better = [name for name, pair in confirmed.items() if all(one.high < 0 and one.mean <= -MARGIN for one in pair)]
    verdict = f"Better than uniform by 1 % on mean and worst: {listed(better)}." if better else NONE_FOUND
    return [*text, "", verdict, ""]


def proposed_text(found: Findings) -> list[str]:
    """Tell the shares of what the search proposed."""
    planned = {run.arm: run.share_planned for run in found.runs if run.stage == "search" and run.confirmation}
    rows = [[arm, *(f"{100 * planned[arm][code]:.1f}" for code in found.codes)] for arm in sorted(planned)]
    return ["Shares of content, %:", "", *table(["mixture", *found.codes], rows)]


NONE_FOUND = "No mixture was found that is better than uniform by 1 % on the mean and on the worst."


def accounts_text(found: Findings) -> list[str]:
    """Account for all runs: how many of which stage, time, resumed, shares as planned, text read too often."""
    rows = []
    for stage in dict.fromkeys(run.stage for run in found.runs):
        own = [run for run in found.runs if run.stage == stage]
        minutes, again = sum(run.seconds for run in own) / 60, sum(run.resumed > 0 for run in own)
        rows.append([stage, str(len(own)), ", ".join(sizes(own)), f"{minutes:.1f}", str(again)])
    planned = [run for run in found.runs if run.controller_log is None]
    error = max(abs(run.share_realised.get(code, 0.0) - share) for run in planned for code, share in run.share_planned.items())
    held = "within the half point asked for" if error <= SHARE_ERROR else "more than the half point asked for"
    minutes, cards = sum(run.seconds for run in found.runs) / 60, listed(sorted({run.card for run in found.runs}))
    text = [
        "### Account of the runs",
        "",
        *table(["stage", "runs", "sizes", "minutes of training", "begun more than once"], rows),
        f"{len(found.runs)} runs, {minutes:.1f} minutes of training on {cards}, added up over runs side by side. "
        "Realised shares differ from the planned by at most "
        f"{100 * error:.2f} point, {held}; a controller has no plan.",
    ]
    if often := read_often(found.runs):
        text.append(f"Read more than {MAX_EPOCHS} times: {listed(often)}.")
    return [*text, "", *excluded_text(found)]


def excluded_text(found: Findings) -> list[str]:
    """Name the runs that the study's rule takes out, and say what the endpoints are with all of them."""
    out = [run for run in found.runs if run.excluded]
    if not out:
        return ["No run is excluded.", ""]
    shown = Counter(ARMS.get(run.arm, f"{run.arm} {run.languages[0]}") for run in out if in_a_figure(found, run))
    told = [name if count == 1 else f"{name} ({count} runs)" for name, count in shown.items()]
    every = Arms(pardoned(found.runs), found.size, found.codes).endpoints()
    kept = [f"{each.name} {with_interval(one)}" for each, (one, _) in every.items()]
    sweeps = f"{len(out) - shown.total()} runs of sweeps, which choose settings all the same"
    return [
        f"Excluded, since more than {100 * MAX_SPIKES:g} % of the steps were left out as spikes: {listed([*told, sweeps])}. "
        f"With none excluded: {listed(kept)}.",
        "",
    ]


def in_a_figure(found: Findings, run: Run) -> bool:
    """Tell whether a run would count in a figure: an arm, or a reference at its language's setting."""
    if run.stage == "sweep":
        return False
    reference = found.arms.references.get(run.languages[0]) if run.stage == "references" else None
    return reference is None or run.setting == reference.setting


def read_often(runs: Sequence[Run]) -> list[str]:
    """Return which arm read which language more often than the study allows, an arm and language once, with its most."""
    most: dict[tuple[str, str], float] = {}
    for run in runs:
        for code, epochs in run.epochs_read.items():
            if epochs > MAX_EPOCHS:
                most[run.arm, code] = max(epochs, most.get((run.arm, code), 0.0))
    return [f"{code} {epochs:.1f} times ({ARMS.get(arm, arm)})" for (arm, code), epochs in most.items()]
