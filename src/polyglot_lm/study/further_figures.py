"""The figures beyond the arms: who helps whom, what that goes with, how it moves with size, and what a search found."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from polyglot_lm.pages.charts import PALETTE
from polyglot_lm.study.arms import ARMS
from polyglot_lm.study.canvas import INK, QUIET, WIDTH, Panel, Scale, around, cell, diverging, label, legend, picture
from polyglot_lm.study.figures import CELL, COLOURS
from polyglot_lm.study.ladder import Line, Rung
from polyglot_lm.study.transfer import Floats, Transfer, centred, distances, shared_script

SEARCH_COLOUR = PALETTE[0]


def synergy_map(transfer: Transfer) -> str:
    """Draw 100·G of every source and target, grey where it lies within two standard errors of 0, with means at the ends."""
    codes, gains = transfer.codes, 100 * transfer.gains
    left, top = 120.0, 100.0
    room = (WIDTH - left - 40) / (len(codes) + 1.2)
    limit = float(np.nanmax(np.abs(gains)))
    body = [label(left + room * (j + 0.5), top - 12, code, "middle", INK, 13) for j, code in enumerate(codes)]
    body += [
        label(
            20,
            50,
            "100 · ln(bits of the target alone ÷ bits beside as much of the source); grey: within two standard errors of 0",
            "start",
            QUIET,
            12,
        ),
        label(left + room * len(codes) / 2, top - 32, "target: who is helped", "middle", QUIET, 12),
        label(left + room * (len(codes) + 0.7), top - 12, "gives", "middle", QUIET, 12),
        label(left - 12, top + CELL * (len(codes) + 0.2) + 23, "receives", "end", QUIET, 12),
        label(left - 12, top - 12, "source", "end", QUIET, 12),
    ]
    for i, source in enumerate(codes):
        body.append(label(left - 12, top + CELL * i + 23, source, "end", INK, 13))
        for j, target in enumerate(codes):
            if math.isnan(gains[i, j]):
                continue
            unsure = not abs(gains[i, j]) > 200 * transfer.errors[i, j] and not math.isnan(transfer.errors[i, j])
            tip = f"{source} → {target}: {gains[i, j]:+.2f} ± {100 * transfer.errors[i, j]:.2f}"
            body.append(
                cell(left + room * j, top + CELL * i, room, CELL, "#eceef1" if unsure else diverging(-gains[i, j], limit), tip)
            )
            body.append(
                label(left + room * (j + 0.5), top + CELL * i + 23, f"{gains[i, j]:+.1f}", "middle", QUIET if unsure else INK, 13)
            )
    for place, (gives, receives) in enumerate(zip(np.nanmean(gains, axis=1), np.nanmean(gains, axis=0), strict=True)):
        x, y = left + room * (len(codes) + 0.2), top + CELL * (len(codes) + 0.2)
        body.append(
            cell(x, top + CELL * place, room, CELL, diverging(-gives, limit), f"{codes[place]} gives {gives:+.2f} on average")
        )
        body.append(label(x + room / 2, top + CELL * place + 23, f"{gives:+.1f}", "middle", INK, 13))
        body.append(
            cell(left + room * place, y, room, CELL, diverging(-receives, limit), f"{codes[place]} receives {receives:+.2f}")
        )
        body.append(label(left + room * (place + 0.5), y + 23, f"{receives:+.1f}", "middle", INK, 13))
    title = f"Who helps whom: directed transfer, {transfer.size} parameters (green helps, red costs)"
    return picture(body, title=title, height=top + CELL * (len(codes) + 1.2) + 20)


def kinship(transfer: Transfer, correlations: Mapping[str, tuple[float, float]]) -> str:
    """Draw G over syntactic distance, each pair once as the mean of both directions, as measured and without language means."""
    codes, distance, script = transfer.codes, distances(transfer.codes), shared_script(transfer.codes)
    body = []
    for place, (name, gains) in enumerate({"G": transfer.gains, "G without means": centred(transfer.gains)}.items()):
        both = 50 * (gains + gains.T)
        pairs = [(i, j) for i, j in itertools.combinations(range(len(codes)), 2) if not math.isnan(both[i, j] + distance[i, j])]
        r, p = correlations[f"{name} with syntactic distance"]
        what = "as measured" if not place else "less language means"
        left = 52 + 424 * place
        panel = Panel(
            left, 70, left + 364, 350,
            Scale(low=0, high=0.74, name="syntactic distance (URIEL)"),
            around([both[pair] for pair in pairs], holds=[0]),
            title=f"100 · G, {what}: r = {r:+.2f}, p = {p:.2g}",
        )  # fmt: skip
        panel.zero(y=0)
        told: list[tuple[float, float]] = []  # pixels of names: one that would cover another is left to the tooltip
        for i, j in sorted(pairs, key=lambda pair: pair not in notable(pairs, both, distance)):
            colour = PALETTE[0] if script[i, j] else PALETTE[3]
            panel.point(distance[i, j], both[i, j], colour, f"{codes[i]}–{codes[j]}: {both[i, j]:+.2f}", radius=3.5)
            at = panel.px(distance[i, j]), panel.py(both[i, j])
            if (i, j) in notable(pairs, both, distance) and all(abs(at[0] - x) > 56 or abs(at[1] - y) > 11 for x, y in told):
                told.append(at)
                panel.name(
                    distance[i, j], both[i, j], f"{codes[i]}–{codes[j]}", colour, side="start" if distance[i, j] < 0.6 else "end"
                )
        body += panel.body
    names = legend({"script in common": PALETTE[0], "none in common": PALETTE[3]}, left=52, top=418)
    note = label(WIDTH - 20, 418, "p: all relabellings of the languages (Mantel)", "end", QUIET, 12)
    return picture([*body, names, note], title="Does kinship in syntax go with help?", height=436)


def notable(pairs: Sequence[tuple[int, int]], both: Floats, distance: Floats) -> set[tuple[int, int]]:
    """Return the pairs whose names are shown: the four that help most, the three least, and the three nearest."""
    ranked = sorted(pairs, key=lambda pair: both[pair])
    return {*ranked[-4:], *ranked[:3], *sorted(pairs, key=lambda pair: distance[pair])[:3]}


def rungs_figure(ladder: Mapping[str, Sequence[Rung]], lines: Mapping[tuple[str, str], Line]) -> str:
    """Draw mean and worst ln r of arms over parameters with their lines, and every language's under uniform."""
    sizes = sorted({rung.parameters for rungs in ladder.values() for rung in rungs})
    body = []
    for place, goal in enumerate(("mean", "worst")):
        values = [getattr(rung, goal) for rungs in ladder.values() for rung in rungs]
        left = 56 + 276 * place
        panel = Panel(left, 70, left + 220, 330, across(sizes), around(values, holds=[0]), title=f"{goal} ln r")
        panel.zero(y=0)
        for arm, rungs in ladder.items():
            fit = lines.get((arm, goal))
            if fit:
                ends = (sizes[0], sizes[-1])
                panel.line(
                    [(size, fit(size)) for size in ends],
                    COLOURS[arm],
                    f"{ARMS[arm]}: {fit.per_tenfold[0]:+.4f} for ten times",
                    dashed=True,
                )
            for rung in rungs:
                value = getattr(rung, goal)
                panel.point(rung.parameters, value, COLOURS[arm], f"{ARMS[arm]} at {rung.size}: {value:+.4f}, {rung.seeds} seeds")
        body += panel.body
    own = ladder["uniform"]
    panel = Panel(
        608,
        70,
        WIDTH - 50,
        330,
        across(sizes),
        around([v for rung in own for v in rung.ln_r.values()], holds=[0]),
        title="each, under uniform",
    )
    panel.zero(y=0)
    ends_at = []
    for code, tint in zip(own[0].ln_r, PALETTE, strict=False):
        panel.line([(rung.parameters, rung.ln_r[code]) for rung in own], tint, code, width=1.4)
        ends_at.append((panel.py(own[-1].ln_r[code]), code, tint))
    free = -math.inf
    for y, code, tint in sorted(ends_at):
        free = max(y, free + 13)
        panel.body.append(label(WIDTH - 44, free + 4, code, "start", tint, 12))
    names = legend({ARMS[arm]: COLOURS[arm] for arm in ladder}, left=56, top=394)
    return picture([*body, *panel.body, names], title="How synergy and interference move with size", height=412)


def across(sizes: Sequence[int]) -> Scale:
    return Scale(
        low=sizes[0] / 1.5, high=sizes[-1] * 1.5, name="parameters", log=True, at=sizes, form=lambda count: f"{count / 1e6:.0f}M"
    )


def search_figure(
    probes: Mapping[str, tuple[float, float]],
    predicted: Sequence[tuple[float, float]],
    confirmed: Mapping[str, tuple[float, float]],
) -> str:
    """Draw probes by change of mean and worst ln r from uniform, with confirmations; and what the law said of probes left out."""
    points = [*probes.values(), *confirmed.values()]
    xs, ys = zip(*points, strict=True)
    left = Panel(
        60, 70, 420, 350, around(xs, name="mean, less uniform's", holds=[0]), around(ys, holds=[0]), title="worst, less uniform's"
    )
    left.zero(x=0, y=0)
    for name, (x, y) in probes.items():
        left.point(x, y, PALETTE[7], f"{name}: {x:+.4f}, {y:+.4f}", radius=3, hollow=True)
    for (name, (x, y)), tint in zip(confirmed.items(), PALETTE, strict=False):
        left.point(x, y, tint, f"{name}: {x:+.4f}, {y:+.4f}", radius=5)
    both = [value for pair in predicted for value in pair]
    scale = around(both, name="predicted by the law of all others")
    right = Panel(500, 70, WIDTH - 24, 350, scale, around(both), title="mean ln bits of a probe, measured")
    right.line([(scale.low, scale.low), (scale.high, scale.high)], QUIET, "as predicted", dashed=True, width=1)
    for told, measured in predicted:
        right.point(told, measured, SEARCH_COLOUR, f"predicted {told:+.4f}, measured {measured:+.4f}", radius=3)
    names = legend({"probe": PALETTE[7], **dict(zip(confirmed, PALETTE, strict=False))}, left=60, top=412)
    return picture([*left.body, *right.body, names], title="A search for a mixture that beats uniform", height=430)
