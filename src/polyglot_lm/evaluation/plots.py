"""The charts of the balance report that no other page needs, as inline SVG in the look of `pages.charts`.

A number never stands alone: bars have their interval, points their name, cells their value, and every mark says in its tooltip
what it is.
"""

import html
import math
from collections.abc import Collection, Mapping, Sequence

from polyglot_lm.pages.charts import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Axis, colours, grid, label, svg, x_ticks

ROW, NAME_WIDTH, VALUE_WIDTH = 17, 120, 150
CELL_HEIGHT = 24
Interval = tuple[float, float, float]  # value, low, high


def interval_chart(groups: Mapping[str, Mapping[str, Interval]], *, title: str, centre: float) -> str:
    """Draw a row of points with whiskers for each key, a colour a series, and a line at `centre`."""
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    colour = dict(zip(names, colours(len(names)), strict=True))
    ends = [bound for values in groups.values() for interval in values.values() for bound in interval] + [centre]
    margin = 0.06 * (max(ends) - min(ends) or 1)
    x = Axis(low=min(ends) - margin, high=max(ends) + margin, start=NAME_WIDTH, stop=WIDTH - VALUE_WIDTH)
    top = 26 + (18 * len(names) if len(names) > 1 else 0)
    height = top + sum(ROW * len(values) + 10 for values in groups.values()) + 24
    body = [key(names, colour) if len(names) > 1 else ""]
    body += [vertical(x(tick), top, height - 24) + label(x(tick), height - 8, f"{tick:g}", "middle") for tick in x.ticks()]
    body.append(vertical(x(centre), top - 6, height - 24, "currentColor") + label(x(centre), top - 10, f"{centre:g}", "middle"))
    at = top + 4.0
    for group, values in groups.items():
        body.append(label(NAME_WIDTH - 10, at + ROW * len(values) / 2 + 4, group, "end"))
        for name, (value, low, high) in values.items():
            y, tip = at + ROW / 2, html.escape(f"{group}, {name}: {value:.3f} [{low:.3f}, {high:.3f}]")
            body.append(
                f'<g stroke="{colour[name]}" fill="{colour[name]}"><title>{tip}</title>'
                f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke-width="2"/>'
                f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4"/></g>'
            )
            body.append(label(WIDTH - VALUE_WIDTH + 10, y + 4, f"{value:.3f} [{low:.3f}, {high:.3f}]", "start", size=11))
            at += ROW
        at += 10
    return svg(body, title, height)


def scatter(points: Mapping[str, tuple[float, float]], own: Sequence[str], *, x_label: str, y_label: str) -> str:
    """Draw named points, those of `own` filled; the best corner is at the lower left."""
    xs, ys = zip(*points.values(), strict=True)
    x = Axis(low=min(*xs, 0) - 0.03, high=max(*xs, 0) + 0.03, start=LEFT, stop=WIDTH - 20)
    y = Axis(low=min(*ys, 0) - 0.03, high=max(*ys, 0) + 0.05, start=HEIGHT - BOTTOM, stop=TOP)
    body = [grid(y, WIDTH - 20), *x_ticks(x, x_label), label(LEFT - 40, TOP - 12, y_label, "start")]
    for (name, (px, py)), colour in zip(points.items(), colours(len(points)), strict=True):
        fill = colour if name in own else "none"
        tip = html.escape(f"{name}: {px:+.3f}, {py:+.3f}")
        place = f'cx="{x(px):.1f}" cy="{y(py):.1f}" r="5"'
        body.append(f'<circle {place} stroke="{colour}" stroke-width="2" fill="{fill}"><title>{tip}</title></circle>')
        right = x(px) < (LEFT + WIDTH) / 2
        body.append(label(x(px) + (9 if right else -9), y(py) + 4, name, "start" if right else "end", colour))
    return svg(body, f"{y_label} against {x_label}")


def lorenz(costs: Mapping[str, Sequence[float]]) -> str:
    """Draw, for each series, the share of all tokens that the cheapest share of the languages takes."""
    x = Axis(low=0, high=1, start=LEFT, stop=WIDTH - 160)
    y = Axis(low=0, high=1, start=HEIGHT - BOTTOM, stop=TOP)
    body = [
        grid(y),
        *x_ticks(x, "share of the languages, cheapest first"),
        label(LEFT - 40, TOP - 12, "share of the tokens", "start"),
    ]
    body.append(f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" stroke="currentColor" stroke-dasharray="3 4"/>')
    names = list(costs)
    for place, (values, colour) in enumerate(zip(costs.values(), colours(len(costs)), strict=True)):
        ordered = sorted(values)
        points = [(n / len(ordered), sum(ordered[:n]) / sum(ordered)) for n in range(len(ordered) + 1)]
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body.append(label(WIDTH - 152, TOP + 14 * place + 10, names[place], "start", colour))
    return svg(body, "Lorenz curve of token cost")


def log_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    points: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
) -> str:
    """Draw lines and points on logarithmic axes; a point has the colour of the line of its name."""
    both = [pair for found in (series, points) for line in found.values() for pair in line]
    x = Axis(low=math.log10(min(a for a, _ in both)), high=math.log10(max(a for a, _ in both)), start=LEFT, stop=WIDTH - 160)
    y = Axis(low=math.log10(min(b for _, b in both)), high=math.log10(max(b for _, b in both)), start=HEIGHT - BOTTOM, stop=TOP)
    names = list(dict.fromkeys([*series, *points]))
    colour = dict(zip(names, colours(len(names)), strict=True))
    body = [label(LEFT - 40, TOP - 12, y_label, "start"), label((LEFT + WIDTH - 160) / 2, HEIGHT - 4, x_label, "middle")]
    body += [level(y, value) for value in round_values(10**y.low, 10**y.high)]
    body += [label(x(math.log10(v)), HEIGHT - BOTTOM + 18, short(v), "middle") for v in round_values(10**x.low, 10**x.high)]
    for place, name in enumerate(names):
        path = " ".join(f"{x(math.log10(a)):.1f},{y(math.log10(b)):.1f}" for a, b in series.get(name, ()))
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour[name]}" stroke-width="2"/>')
        for a, b in points.get(name, ()):
            at, tip = f'cx="{x(math.log10(a)):.1f}" cy="{y(math.log10(b)):.1f}"', f"{html.escape(name)}: {b:.3f} at {short(a)}"
            body.append(f'<circle {at} r="4" fill="none" stroke="{colour[name]}" stroke-width="2"><title>{tip}</title></circle>')
        body.append(label(WIDTH - 152, TOP + 16 * place + 10, name, "start", colour[name]))
    return svg(body, f"{y_label} over {x_label}")


def heat_map(
    rows: Mapping[str, Mapping[str, float]], columns: Mapping[str, str], *, title: str, pale: Collection[tuple[str, str]] = ()
) -> str:
    """Draw a cell for each value, deeper the further from 0, without colour for those of `pale`; an empty cell was not measured.

    `columns` maps keys to names.
    """
    left, height = 150, 44 + CELL_HEIGHT * len(rows)
    room = (WIDTH - left - 10) / len(columns)
    body = [
        label(left + room * (place + 0.5), 14 + 14 * line, word, "middle", size=11)
        for place, name in enumerate(columns.values())
        for line, word in enumerate(name.split(" ", 1))
    ]
    for line, (row, values) in enumerate(rows.items()):
        y = 40 + CELL_HEIGHT * line
        body.append(label(left - 8, y + 16, row, "end"))
        for place, (code, name) in enumerate(columns.items()):
            x = left + room * place
            if code not in values:
                body.append(label(x + room / 2, y + 16, "·", "middle", "#8888"))
                continue
            deep = 0.0 if (row, code) in pale else min(1.0, abs(values[code])) * 0.75
            fill = f"rgba(0,132,107,{deep:.2f})" if values[code] >= 0 else f"rgba(181,29,20,{deep:.2f})"
            tip = html.escape(f"{row}, {name}: {values[code]:+.3f}")
            box = f'x="{x + 1:.1f}" y="{y}" width="{room - 2:.1f}" height="{CELL_HEIGHT - 2}"'
            body.append(f'<rect {box} fill="{fill}"><title>{tip}</title></rect>')
            body.append(label(x + room / 2, y + 16, f"{values[code]:+.2f}", "middle", size=11))
    return svg(body, title, height)


def key(names: Sequence[str], colour: Mapping[str, str]) -> str:
    return "".join(
        f'<circle cx="{NAME_WIDTH + 5}" cy="{12 + 18 * place}" r="4" fill="{colour[name]}"/>'
        + label(NAME_WIDTH + 16, 16 + 18 * place, name, "start")
        for place, name in enumerate(names)
    )


def vertical(x: float, top: float, bottom: float, colour: str = "#8884") -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{colour}"/>'


def level(y: Axis, value: float) -> str:
    at = y(math.log10(value))
    return f'<line x1="{LEFT}" x2="{WIDTH - 160}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8884"/>' + label(
        LEFT - 8, at + 4, short(value), "end"
    )


def round_values(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two bounds."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [first * 10.0**power for power in powers for first in (1, 2, 5) if low <= first * 10.0**power <= high]


def short(value: float) -> str:
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= bound:
            return f"{value / bound:g} {unit}"
    return f"{value:g}"
