"""Three charts as inline SVG: lines over steps, bars by group, and rows of bars where names are long or groups many.

No library: text stays text, so every script renders with the reader's own fonts, and the page is one file. A line of a million
points costs no more than one of a thousand: of the points that share a column of pixels, only the lowest and the highest stay.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 160, 30, 44
ROW_LEFT, ROW_RIGHT, ROW_BAR, ROW_GAP = 122, 66, 13, 12  # of rows of bars
Line = Sequence[tuple[float, float]]
PALETTE = ("#4053d3", "#b51d14", "#00846b", "#a84f00", "#7d3cb5", "#00779c", "#c2247a", "#56606e")


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A linear scale from data to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / ((self.high - self.low) or 1) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Return about five round values inside."""
        step = 10 ** math.floor(math.log10(max(self.high - self.low, 1e-9) / 4))
        step *= next((m for m in (1, 2, 5) if (self.high - self.low) / (step * m) <= 6), 10)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def line_chart(
    series: Mapping[str, Line],
    *,
    x_label: str,
    y_label: str,
    low: float | None = None,
    high: float = math.inf,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Draw named lines, each labelled at its end; values above `high` are drawn at it, and the axis begins at `low` or just below
    the least value. `marks` are places on the x axis, with what happened there."""
    points = [point for line in series.values() for point in line]
    least, high = min(y for _, y in points), max(min(y, high) for _, y in points)
    bottom = max(0, least - 0.05 * (high - least)) if low is None else min(low, least)
    x = Axis(low=0, high=max(x for x, _ in points), start=LEFT, stop=WIDTH - RIGHT)
    y = Axis(low=bottom, high=high, start=HEIGHT - BOTTOM, stop=TOP)
    body = [grid(y), *x_ticks(x, x_label), label(LEFT - 40, TOP - 12, y_label, "start")]
    body += [mark(x(place), story) for place, story in marks]
    ends = spread({name: y(min(line[-1][1], high)) for name, line in series.items()})
    for (name, line), colour in zip(series.items(), colours(len(series)), strict=True):
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in thinned([(x(px), y(min(py, high))) for px, py in line]))
        tip = html.escape(f"{name}: {line[-1][1]:.3f} at the end")
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"><title>{tip}</title></polyline>')
        body.append(label(WIDTH - RIGHT + 8, ends[name] + 4, f"{name}  {written(line[-1][1])}", "start", colour))
    return svg(body, f"{y_label} over {x_label}")


def bar_chart(groups: Mapping[str, Mapping[str, float]], *, y_label: str, digits: int = 2) -> str:
    """Draw a group of bars for each key, one bar a series, with its value above; a legend where there are several."""
    names = list(next(iter(groups.values())))
    y = Axis(low=0, high=1.08 * max(v for g in groups.values() for v in g.values()), start=HEIGHT - BOTTOM, stop=TOP)
    room = (WIDTH - LEFT - 16) / len(groups)
    bar = min(26, (room - 14) / len(names))
    body = [grid(y, WIDTH - 16), label(LEFT - 40, TOP - 12, y_label, "start")]
    for number, (group, values) in enumerate(groups.items()):
        centre = LEFT + room * (number + 0.5)
        body += [label(centre, HEIGHT - BOTTOM + 16 + 14 * n, word, "middle") for n, word in enumerate(group.split(" ", 1))]
        for place, (name, value) in enumerate(values.items()):
            at = centre + bar * (place - len(names) / 2)
            tip = html.escape(f"{group}, {name}: {value:.3f}")
            body.append(
                f'<rect x="{at:.1f}" y="{y(value):.1f}" width="{bar - 2:.1f}" height="{y(0) - y(value):.1f}" '
                f'fill="{colours(len(names))[place]}"><title>{tip}</title></rect>'
            )
            body.append(label(at + bar / 2 - 1, y(value) - 4, f"{value:.{digits}f}", "middle", size=9))
    if len(names) > 1:
        body += legend(dict(zip(names, colours(len(names)), strict=True)))
    return svg(body, y_label)


def row_chart(groups: Mapping[str, Mapping[str, float]], *, title: str, form: str = "{:,.0f}") -> str:
    """Draw a group of horizontal bars for each key, one bar a series, with its value after it; the names on top."""
    names = list(next(iter(groups.values())))
    longest = max(1e-9, *(value for values in groups.values() for value in values.values()))
    step, top = ROW_BAR * len(names) + ROW_GAP, 8 + (18 * len(names) if len(names) > 1 else 0)
    body = [
        rectangle(ROW_LEFT, 8 + 18 * place, 10, place) + label(ROW_LEFT + 16, 17 + 18 * place, name, "start")
        for place, name in enumerate(names)
        if len(names) > 1
    ]
    for order, (group, values) in enumerate(groups.items()):
        y = top + 8 + order * step
        body.append(label(ROW_LEFT - 8, y + ROW_BAR * len(names) / 2 + 4, group, "end"))
        for place, (name, value) in enumerate(values.items()):
            width = (WIDTH - ROW_LEFT - ROW_RIGHT) * value / longest
            tip = html.escape(f"{group}, {name}: {form.format(value)}")
            body.append(rectangle(ROW_LEFT, y + ROW_BAR * place, width, place, f"<title>{tip}</title>"))
            body.append(label(ROW_LEFT + width + 5, y + ROW_BAR * place + 10, form.format(value), "start", size=10))
    return svg(body, title, top + 8 + step * len(groups))


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep of each column of pixels the lowest and the highest point, in their order, and the last of all."""
    if len(points) <= 2 * WIDTH:
        return list(points)
    columns: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        columns.setdefault(int(point[0]), []).append(point)
    ends = ({min(found, key=lambda p: p[1]), max(found, key=lambda p: p[1])} for found in columns.values())
    return [*(point for both in ends for point in sorted(both)), points[-1]]


def written(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def colours(count: int) -> list[str]:
    return [PALETTE[number % len(PALETTE)] for number in range(count)]


def spread(places: Mapping[str, float], gap: float = 14) -> dict[str, float]:
    """Move labels apart so that none overlap, in the order they have, and keep them inside the chart."""
    moved: dict[str, float] = {}
    at = -math.inf
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        at = moved[name] = max(place, at + gap)
    limit = float(HEIGHT - BOTTOM)
    for name in reversed(list(moved)):
        moved[name] = min(moved[name], limit)
        limit = moved[name] - gap
    return moved


def grid(y: Axis, right: float = WIDTH - RIGHT) -> str:
    rows = [
        f'<line x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#8884"/>'
        + label(LEFT - 8, y(tick) + 4, f"{tick:,.0f}" if abs(tick) >= 1000 else f"{tick:g}", "end")
        for tick in y.ticks()
    ]
    return "".join(rows)


def x_ticks(x: Axis, text: str) -> list[str]:
    marks = [label(x(tick), HEIGHT - BOTTOM + 18, f"{tick:g}", "middle") for tick in x.ticks()]
    return [*marks, label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, text, "middle")]


def label(x: float, y: float, text: str, anchor: str, colour: str = "currentColor", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{html.escape(text)}</text>'


def mark(x: float, story: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="currentColor" stroke-dasharray="2 4"'
    return f'{line} opacity=".6"><title>{html.escape(story)}</title></line>'


def rectangle(x: float, y: float, width: float, place: int, inside: str = "") -> str:
    colour = PALETTE[place % len(PALETTE)]
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW_BAR - 3}" fill="{colour}">{inside}</rect>'


def legend(entries: Mapping[str, str]) -> list[str]:
    """Draw the names of the series, each after its colour, from the right end of the top."""
    marks, at = [], WIDTH - 16.0
    for name, colour in reversed(list(entries.items())):
        at -= 7.5 * len(name) + 26
        marks.append(f'<rect x="{at:.1f}" y="{TOP - 14}" width="10" height="10" fill="{colour}"/>')
        marks.append(label(at + 15, TOP - 5, name, "start"))
    return marks


def svg(body: Sequence[str], title: str, height: float = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{html.escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif">{"".join(body)}</svg>'
    )
