"""Pictures that stand alone: SVG files with their own ground and colours, since a page that shows them as images lends them none.

A `Panel` is a rectangle with two axes, linear or logarithmic, that turns data into pixels and collects what is drawn on it; a
picture is a title, some panels and a legend. Everything says in its tooltip what it is; text stays text.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from polyglot_lm.pages.charts import Axis
from polyglot_lm.pages.charts import label as plain_label

WIDTH = 860
INK, QUIET, RULE, GROUND = "#1c1f24", "#5a616b", "#e3e5e9", "#ffffff"
WORSE, BETTER = (181, 29, 20), (0, 132, 107)
TICKS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """One axis in data: bounds, name, whether logarithmic, how ticks are written, and where, if not at round values."""

    low: float
    high: float
    name: str = ""
    log: bool = False
    form: Callable[[float], str] = "{:g}".format
    at: Sequence[float] = ()

    def axis(self, start: float, stop: float) -> Axis:
        return Axis(low=self.of(self.low), high=self.of(self.high), start=start, stop=stop)

    def of(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[float]:
        """Return round values inside the bounds."""
        if self.at:
            return [value for value in self.at if self.low <= value <= self.high]
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [value for power in powers for value in (10.0**power, 3 * 10.0**power) if self.low <= value <= self.high]
        step = 10 ** math.floor(math.log10((self.high - self.low) / TICKS))
        step *= next((m for m in (1, 2, 5) if (self.high - self.low) / (step * m) <= TICKS), 10)
        return [round(n * step, 12) for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def around(
    values: Iterable[float],
    *,
    name: str = "",
    holds: Sequence[float] = (),
    margin: float = 0.08,
    form: Callable[[float], str] = "{:g}".format,
) -> Scale:
    """Return a linear scale that holds all values and `holds`, with a margin."""
    found = [*values, *holds]
    low, high = min(found), max(found)
    room = margin * ((high - low) or abs(high) or 1.0)
    return Scale(low=low - room, high=high + room, name=name, form=form)


@dataclass(slots=True)
class Panel:
    """A plot between pixels (left, top) and (right, bottom)."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale
    title: str = ""
    body: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for tick in self.x.ticks():
            self.body.append(rule(self.px(tick), self.top, self.px(tick), self.bottom))
            self.body.append(label(self.px(tick), self.bottom + 16, self.x.form(tick), "middle", QUIET, 11))
        for tick in self.y.ticks():
            self.body.append(rule(self.left, self.py(tick), self.right, self.py(tick)))
            self.body.append(label(self.left - 6, self.py(tick) + 4, self.y.form(tick), "end", QUIET, 11))
        self.body.append(label((self.left + self.right) / 2, self.bottom + 34, self.x.name, "middle"))
        self.body.append(label(self.left, self.top - 8, self.title or self.y.name, "start"))

    def px(self, value: float) -> float:
        return self.x.axis(self.left, self.right)(self.x.of(value))

    def py(self, value: float) -> float:
        return self.y.axis(self.bottom, self.top)(self.y.of(value))

    def zero(self, *, x: float | None = None, y: float | None = None) -> None:
        """Draw a darker line at a value of either axis that lies inside."""
        if x is not None and self.x.low <= x <= self.x.high:
            self.body.append(rule(self.px(x), self.top, self.px(x), self.bottom, QUIET))
        if y is not None and self.y.low <= y <= self.y.high:
            self.body.append(rule(self.left, self.py(y), self.right, self.py(y), QUIET))

    def band(self, *, low: float, high: float) -> None:
        """Shade a range of x."""
        start, stop = self.px(max(low, self.x.low)), self.px(min(high, self.x.high))
        self.body.insert(
            0, f'<rect x="{start:.1f}" y="{self.top}" width="{stop - start:.1f}" height="{self.bottom - self.top}" fill="#f1f2f5"/>'
        )

    def point(
        self, x: float, y: float, colour: str, tip: str, *, radius: float = 4, hollow: bool = False, faint: bool = False
    ) -> None:
        fill = GROUND if hollow else colour
        look = f'fill="{fill}" stroke="{colour}" stroke-width="1.6"' + (' opacity=".4"' if faint else "")
        self.body.append(
            f'<circle cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="{radius}" {look}><title>{html.escape(tip)}</title></circle>'
        )

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, tip: str, *, dashed: bool = False, width: float = 1.8
    ) -> None:
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        look = f'fill="none" stroke="{colour}" stroke-width="{width}"' + (' stroke-dasharray="4 4"' if dashed else "")
        self.body.append(f'<polyline points="{path}" {look}><title>{html.escape(tip)}</title></polyline>')

    def whisker(self, x: tuple[float, float], y: tuple[float, float], colour: str) -> None:
        """Draw a line between two corners, cut off where the panel ends."""
        x = max(x[0], self.x.low), min(x[1], self.x.high)
        y = max(y[0], self.y.low), min(y[1], self.y.high)
        self.body.append(
            f'<line x1="{self.px(x[0]):.1f}" x2="{self.px(x[1]):.1f}" y1="{self.py(y[0]):.1f}" y2="{self.py(y[1]):.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )

    def name(self, x: float, y: float, text: str, colour: str = INK, *, side: str = "start", size: int = 11) -> None:
        shift = {"start": 8, "end": -8, "middle": 0}[side]
        drop = -8 if side == "middle" else 4
        self.body.append(label(self.px(x) + shift, self.py(y) + drop, text, side, colour, size))


def label(x: float, y: float, text: str, anchor: str, colour: str = INK, size: int = 12) -> str:
    """Write text; a hyphen before a digit becomes the minus that it means."""
    return plain_label(x, y, re.sub(r"-(?=\d)", "−", text), anchor, colour, size)


def rule(x1: float, y1: float, x2: float, y2: float, colour: str = RULE) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def cell(x: float, y: float, width: float, height: float, fill: str, tip: str) -> str:
    box = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{width - 2:.1f}" height="{height - 2:.1f}" rx="2"'
    return f'<rect {box} fill="{fill}"><title>{html.escape(tip)}</title></rect>'


def diverging(value: float, limit: float) -> str:
    """Return a colour for a number around 0: red above, green below, white at 0, full at `limit`."""
    deep = min(1.0, abs(value) / limit) * 0.72
    return "#" + "".join(f"{round(255 + (part - 255) * deep):02x}" for part in (WORSE if value > 0 else BETTER))


def legend(entries: Mapping[str, str], *, left: float, top: float, right: float = WIDTH - 16) -> str:
    """Draw names after their colours, in as many lines as they need."""
    marks, x, y = [], left, top
    for name, colour in entries.items():
        width = 30 + 6.9 * len(name)
        if x > left and x + width > right:
            x, y = left, y + 18
        marks.append(
            f'<circle cx="{x + 5:.1f}" cy="{y - 4:.1f}" r="4.5" fill="{colour}"/>' + label(x + 14, y, name, "start", size=12)
        )
        x += width
    return "".join(marks)


def picture(body: Iterable[str], *, title: str, height: float) -> str:
    """Return a whole SVG file with a title on top."""
    words, size = html.escape(title), f'width="{WIDTH}" height="{height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height:g}" color="{INK}" role="img" '
        f"aria-label=\"{words}\" font-family=\"system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif\">"
        f'<rect {size} rx="6" fill="{GROUND}"/>'
        f'<text x="20" y="28" font-size="15" font-weight="600" fill="{INK}">{words}</text>{"".join(body)}</svg>\n'
    )
