"""The goals beside what was measured, and whether batches smaller than those of the sweeps change it, as Markdown.

The sweeps ended at the smallest batch, in arms and references alike, and a smaller one of the arms makes every ln r better, one of
the references worse. So both were tried further at the size of the goals, and what has the fewest selection bits of all counts. Of
these runs none is excluded: with so few windows a step, a change of document looks like a spike.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from polyglot_lm.study.arms import mean_of, worst_of
from polyglot_lm.study.arms_text import Findings
from polyglot_lm.study.ladder import rungs
from polyglot_lm.study.markdown import listed, signed, table, with_interval
from polyglot_lm.study.records import FINER, Run, same_size
from polyglot_lm.study.statistics import estimate
from polyglot_lm.study.yardstick import References, alone, best_setting, counting, frozen, ln_r

SIZE = "110m"
GOALS = (("mean", "test", -0.10), ("worst", "test", -0.06), ("worst", "flores", -0.02))
STATISTICS = {"mean": mean_of, "worst": worst_of}


def goals_text(found: Findings) -> list[str]:
    """Set the goals beside uniform of the ladder and, where both were swept further, uniform of that."""
    further = swept_further(found)
    rows = []
    for what, part, goal in GOALS:
        scored = [run for run in found.runs if run.bits_per_byte.get(part)]
        rung = next((one for one in rungs(scored, "uniform", found.codes, part) if one.size == SIZE), None)
        values = [getattr(rung, what) if rung else math.nan]
        if further:
            uniform, references = further
            values.append(float(np.mean([STATISTICS[what](levels(run, references, part)) for run in uniform])))
        where = {"test": "held-out text", "flores": "FLORES devtest"}[part]
        rows.append([f"{what} ln r on {where}, uniform at {SIZE}", signed(goal, 2), *(against(value, goal) for value in values)])
    heads = ["goal", "at most", "measured", *(["with smaller batches"] if further else [])]
    return ["### Goals", "", *table(heads, rows), *(finer_text(found, *further) if further else [])]


def against(value: float, goal: float) -> str:
    return "not measured" if math.isnan(value) else f"{signed(value)}, {'met' if value <= goal else 'missed'}"


def levels(run: Run, references: References, part: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(list(ln_r(run, references, part).values()))


def swept_further(found: Findings) -> tuple[list[Run], References] | None:
    """Return uniform and the references, each at the best of all its settings; None where nothing was tried further."""
    tried = uniform_settings(found)
    if not tried or not same_size(found.runs, SIZE, FINER):
        return None
    own = {code: settings_alone(found, code) for code in found.codes}
    return best_of(tried), {code: best_setting(code, runs) for code, runs in own.items()}


def settings_alone(found: Findings, code: str) -> list[Run]:
    return [run for stage in ("references", FINER) for run in alone(found.runs, SIZE, code, stage=stage)]


def uniform_settings(found: Findings) -> dict[tuple[int, float], list[Run]]:
    """Return the runs of uniform by batch and rate, with all seeds."""
    tried = [run for run in same_size(found.runs, SIZE, "ladder", "sweep", FINER) if run.arm == "uniform"]
    settings: dict[tuple[int, float], dict[int, Run]] = {}
    for run in tried:  # a seed of the sweep is also one of the ladder
        settings.setdefault(run.setting, {})[run.seed] = run
    return {setting: list(seeds.values()) for setting, seeds in settings.items()}


def best_of(settings: Mapping[tuple[int, float], Sequence[Run]]) -> list[Run]:
    """Return the seeds at the setting with the fewest selection bits with the first seed."""
    best = min(settings, key=lambda setting: selected(settings[setting]))
    return counting(settings[best]) or list(settings[best])


def selected(seeds: Sequence[Run]) -> float:
    """Return the mean of ln bits of the selection text, of the first seed."""
    first = min(seeds, key=lambda run: run.seed)
    return float(np.mean(np.log(list(first.bits_per_byte["select"].values()))))


def finer_text(found: Findings, uniform: Sequence[Run], references: References) -> list[str]:
    """Tell what each smaller batch gained, and the levels with neither, one and both swept further."""
    usual = frozen(found.runs, SIZE, found.codes)
    ladder = counting([run for run in same_size(found.runs, SIZE, "ladder") if run.arm == "uniform"])
    rows = []
    for runs, against_, words in (
        (ladder, usual, "as swept"),
        (uniform, usual, "uniform further"),
        (uniform, references, "both further"),
    ):
        cells = [
            with_interval(estimate([float(statistic(levels(run, against_, part))) for run in runs]))
            for part in ("test", "flores")
            for statistic in (mean_of, worst_of)
        ]
        rows.append([words, str(runs[0].batch_windows), batches(against_), *cells])
    heads = ["swept", "uniform's windows", "references' windows", "mean ln r", "worst ln r", "FLORES mean", "FLORES worst"]
    return [
        "Smaller batches than those of the sweeps: selection bits of the best rate of each batch, against the largest batch, %:",
        "",
        *gains_table(found),
        "Uniform, over seeds:",
        "",
        *table(heads, rows),
        *languages_table(found.codes, (ladder, usual), (uniform, references)),
    ]


def languages_table(codes: Sequence[str], *swept: tuple[Sequence[Run], References]) -> list[str]:
    """Tabulate ln r of each language, the mean over seeds, as swept and with both swept further."""
    means = [
        np.mean([levels(run, references, part) for run in runs], axis=0)
        for part in ("test", "flores")
        for runs, references in swept
    ]
    rows = [[code, *map(signed, row)] for code, row in zip(codes, np.array(means).T.tolist(), strict=True)]
    return table(["language", "as swept", "both further", "FLORES, as swept", "FLORES, both further"], rows)


def batches(references: References) -> str:
    return listed([str(batch) for batch in sorted({one.setting[0] for one in references.values()})])


def gains_table(found: Findings) -> list[str]:
    """Tabulate what a smaller batch gains uniform and each reference."""
    own = {"uniform": {setting: selected(runs) for setting, runs in uniform_settings(found).items()}}
    for code in found.codes:
        sweep = best_setting(code, settings_alone(found, code)).sweep
        own[code] = {setting: math.log(bits) for setting, bits in sweep.items()}
    best = {
        name: {
            batch: min(value for (other, _), value in tried.items() if other == batch) for batch in {batch for batch, _ in tried}
        }
        for name, tried in own.items()
    }
    columns = sorted({batch for row in best.values() for batch in row}, reverse=True)
    rows = [
        [name, *(signed(100 * (row[batch] - row[max(row)]), 1) if batch in row else "·" for batch in columns)]
        for name, row in best.items()
    ]
    return table(["", *(f"{batch} windows" for batch in columns)], rows)
