"""The figures of the arms: where each stands, what it gives every language, differences with their intervals, content, references.

Each function takes computed results and returns one SVG file as text. An arm has the same colour in every figure.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyglot_lm.pages.charts import PALETTE
from polyglot_lm.study.arms import ARMS, PLACEBO, Arms, Statistic, mean_of, worst_of
from polyglot_lm.study.canvas import INK, QUIET, WIDTH, Panel, Scale, around, cell, diverging, label, legend, picture
from polyglot_lm.study.statistics import Estimate
from polyglot_lm.study.yardstick import References

COLOURS: Mapping[str, str] = {
    "uniform": "#00846b",
    "bloom": "#b51d14",
    "xglm": "#d9730d",
    "alpha-0.3": "#7d3cb5",
    "raw-bytes": "#00779c",
    "controller-from-raw": "#4053d3",
    "controller-from-uniform": "#8b9cf7",
    "placebo": "#56606e",
    "skewed-tokenizer": "#c2247a",
    "bloom-floor-0": "#e08a84",
    "bloom-floor-2": "#7c140e",
}
MARGIN = 0.01  # ln r: the difference that the study was made to resolve
CELL = 36


def pareto(arms: Arms) -> str:
    """Draw every arm by mean and worst ln r, its seeds small; the right panel enlarges the surroundings of uniform. An arm that
    never read some language lies far outside and is left out."""
    complete = {arm: own for arm, own in arms.runs.items() if all(len(run.languages) == len(arms.codes) for run in own.values())}
    where = {arm: (arms.level(arm, mean_of), arms.level(arm, worst_of)) for arm in complete}
    seeds = {
        arm: [(float(mean_of(arms.values[run])), float(worst_of(arms.values[run]))) for run in own.values()]
        for arm, own in complete.items()
    }
    all_x, all_y = ([point[axis] for own in seeds.values() for point in own] for axis in (0, 1))
    left = Panel(64, 70, 420, 350, around(all_x, name="mean ln r", holds=[0]), around(all_y, name="worst ln r", holds=[0]))
    near = near_uniform(seeds)
    right = Panel(
        500, 70, WIDTH - 24, 350,
        around([x for arm in near for x, _ in seeds[arm]], name="mean ln r"),
        around([y for arm in near for _, y in seeds[arm]], name="worst ln r"),
        title="enlarged around uniform",
    )  # fmt: skip
    for panel, shown in ((left, list(where)), (right, near)):
        panel.zero(x=0, y=0)
        for arm in shown:
            for x, y in seeds[arm]:
                panel.point(x, y, COLOURS[arm], f"{ARMS[arm]}, a seed: {x:+.4f}, {y:+.4f}", radius=2.5, faint=True)
            mean, worst = where[arm]
            if mean.seeds > 1:
                panel.whisker((mean.low, mean.high), (worst.mean, worst.mean), COLOURS[arm])
                panel.whisker((mean.mean, mean.mean), (worst.low, worst.high), COLOURS[arm])
            panel.point(mean.mean, worst.mean, COLOURS[arm], f"{ARMS[arm]}: mean {mean.mean:+.4f}, worst {worst.mean:+.4f}")
    names = legend({ARMS[arm]: COLOURS[arm] for arm in where}, left=64, top=414)
    title = f"Mean and worst of the languages, {arms.size}: lower left is better"
    return picture([*left.body, *right.body, names], title=title, height=450)


def near_uniform(seeds: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    """Return the arms whose worst ln r lies within 0.04 of uniform's."""
    if "uniform" not in seeds:
        return list(seeds)
    level = np.mean([worst for _, worst in seeds["uniform"]])
    return [arm for arm, points in seeds.items() if abs(np.mean([worst for _, worst in points]) - level) < 4 * MARGIN]


def heat(arms: Arms) -> str:
    """Draw ln r in per cent of every arm and language, with the content that the arm read over uniform's below it."""
    order = sorted(arms.runs, key=lambda arm: arms.level(arm, worst_of).mean)
    columns: dict[str, Statistic] = {**{code: arms.language(code) for code in arms.codes}, "mean": mean_of, "worst": worst_of}
    left, top = 190.0, 92.0
    room = (WIDTH - left - 20 - 14) / len(columns)
    body = []
    for place, name in enumerate(columns):
        x = left + room * place + (14 if place >= len(arms.codes) else 0)
        body.append(label(x + room / 2, top - 10, name, "middle", INK, 12))
        for row, arm in enumerate(order):
            value, y = arms.level(arm, columns[name]).mean, top + CELL * row
            body.append(cell(x, y, room, CELL, diverging(value, 0.2), f"{ARMS[arm]}, {name}: ln r {value:+.4f}"))
            single = name not in arms.codes
            body.append(label(x + room / 2, y + (22 if single else 16), f"{100 * value:+.1f}", "middle", INK, 13))
            if not single:
                colour = INK if abs(value) > 0.1 else QUIET  # on a deep ground
                body.append(label(x + room / 2, y + 29, f"{arms.content(arm, name):.2g}×", "middle", colour, 10))
    body += [label(left - 10, top + CELL * row + 22, ARMS[arm], "end", COLOURS[arm], 12) for row, arm in enumerate(order)]
    note = "100 · ln r against frozen monolingual references; below it, the content read of that language over the uniform arm's"
    body.append(label(20, 50, note, "start", QUIET, 12))
    return picture(body, title="What each arm gives every language", height=top + CELL * len(order) + 20)


def forest(contrasts: Mapping[str, tuple[Estimate, Estimate]]) -> str:
    """Draw differences of arms with their 95 % intervals, one panel for the mean and one for the worst."""
    top = 88
    bottom = top + 26 * len(contrasts)
    body = []
    for which, (start, stop, name) in enumerate(((340, 580, "mean ln r"), (604, WIDTH - 20, "worst ln r"))):
        found = [pair[which] for pair in contrasts.values()]
        ends = [end for one in found for end in (one.low, one.high) if math.isfinite(end)] or [one.mean for one in found]
        panel = Panel(start, top, stop, bottom, around(ends, holds=[0, -MARGIN, MARGIN]), Scale(low=0, high=1, at=[9]), title=name)
        panel.band(low=-MARGIN, high=MARGIN)
        panel.zero(x=0)
        for row, (title, one) in enumerate(zip(contrasts, found, strict=True)):
            y = 1 - (row + 0.5) / len(contrasts)
            colour = PALETTE[1] if one.low > 0 else PALETTE[2] if one.high < 0 else PALETTE[7]
            panel.whisker((one.low, one.high), (y, y), colour)
            panel.point(
                one.mean, y, colour, f"{title}, {name}: {one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}], {one.seeds} seeds"
            )
            if not which:
                panel.body.append(label(start - 12, panel.py(y) + 4, title, "end", INK, 12))
        body += panel.body
    note = (
        "paired over seeds, 95 % intervals over seeds and documents; the band is ±1 %; green: the first is better, red: the second"
    )
    body.append(label(20, 50, note, "start", QUIET, 12))
    return picture(body, title="Differences between arms", height=bottom + 40)


def content_and_loss(arms: Arms) -> str:
    """Draw what a language's ln r does when an arm reads more or less of it than uniform does."""
    points = arms.against_uniform()
    ratios = [ratio for *_, ratio, _ in points]
    low, high = min(*ratios, 0.5) / 1.25, max(*ratios, 2) * 1.25
    scale = Scale(low=low, high=high, name="content read, over the uniform arm's", log=True, form="{:g}×".format, at=RATIOS)
    differences = around([difference for *_, difference in points], name="ln r less the uniform arm's", holds=[0])
    panel = Panel(64, 70, WIDTH - 150, 390, scale, differences)
    panel.zero(x=1, y=0)
    tint = dict(zip(arms.codes, PALETTE, strict=False))
    for arm, code, ratio, difference in points:
        tip = f"{code} in {ARMS[arm]}: {ratio:.2f}× the content, ln r {difference:+.4f}"
        panel.point(ratio, difference, tint[code], tip, hollow=arm == PLACEBO)
    column = [legend({code: tint[code]}, left=WIDTH - 130, top=90 + 20 * row) for row, code in enumerate(arms.codes)]
    column.append(label(WIDTH - 130, 90 + 20 * len(arms.codes) + 8, "hollow: placebo", "start", QUIET, 11))
    return picture([*panel.body, *column], title="What becomes of a language by the content read of it", height=446)


RATIOS = (0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def sweeps(references: References) -> str:
    """Draw the selection bits of every setting of the references over the best, a panel a language and a line a batch."""
    batches = sorted({batch for one in references.values() for batch, _ in one.sweep})
    rates = sorted({rate for one in references.values() for _, rate in one.sweep})
    tint = dict(zip(batches, PALETTE, strict=False))
    note = "selection bits over the best setting's, %, by learning rate; a line a batch; ringed: chosen"
    body = [label(20, 50, note, "start", QUIET, 12)]
    rows = math.ceil(len(references) / 4)
    for number, (code, one) in enumerate(references.items()):
        left, top = 52 + 204 * (number % 4), 86 + 190 * (number // 4)
        scale = Scale(low=rates[0] / 1.3, high=rates[-1] * 1.3, log=True)
        panel = Panel(left, top, left + 172, top + 128, scale, Scale(low=-0.4, high=10, at=[0, 2, 4, 6, 8]), title=code)
        best = one.sweep[one.setting]
        for batch in batches:
            points = [
                (rate, min(10.0, 100 * math.log(bits / best))) for (own, rate), bits in sorted(one.sweep.items()) if own == batch
            ]
            if points:
                panel.line(points, tint[batch], f"{code}, batch {batch}", width=1.4)
            for rate, excess in points:
                panel.point(rate, excess, tint[batch], f"{code}, batch {batch}, rate {rate:g}: {excess:+.2f} %", radius=2.5)
        panel.point(
            one.setting[1], 0.0, INK, f"{code}: chosen batch {one.setting[0]}, rate {one.setting[1]:g}", radius=6, hollow=True
        )
        panel.point(one.setting[1], 0.0, tint[one.setting[0]], f"{code}: chosen", radius=2.5)
        body += panel.body
    names = legend({f"batch of {batch} windows": tint[batch] for batch in batches}, left=52, top=86 + 190 * rows - 8)
    return picture([*body, names], title="References: each language's own sweep", height=86 + 190 * rows + 16)


def controllers(decisions: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Draw the shares over the reading that a controller decided, a panel an arm; `decisions` are lines of its log."""
    body, width = [], (WIDTH - 40) / len(decisions)
    codes = list(next(iter(decisions.values()))[0]["shares"])
    tint = dict(zip(codes, PALETTE, strict=False))
    highest = max(100 * value for log in decisions.values() for line in log for value in line["shares"].values())
    across, up = Scale(low=0, high=1, name="part of the reading", at=[0, 0.25, 0.5, 0.75, 1]), Scale(low=0, high=highest * 1.08)
    for number, (title, log) in enumerate(decisions.items()):
        left = 60 + width * number
        panel = Panel(left, 70, left + width - 60, 320, across, up, title=f"{title}: share of content, %")
        for code in codes:
            points = [(line["progress"], 100 * line["shares"][code]) for line in log]
            panel.line(points, tint[code], f"{code}: ends at {points[-1][1]:.1f} %")
        body += panel.body
    return picture([*body, legend(tint, left=60, top=384)], title="What the controllers did", height=404)
