"""Drawings of the corpus report as inline SVG: what flowed where, and how large the clusters are.

Numbers in, SVG out, coloured by the page's classes (`kept`, `held`, `refused`, `copies`, `hits`), so that light and dark are the
page's matter. Text stays text. A flow is as thick as its bytes, but never too thin to see; its label tells the truth.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 920
HEIGHT = 170  # of everything that was read
BAR = 12
MIDDLE, RIGHT = 270, 480  # where the second and the third column begin
NOTES = (755, 815, WIDTH)  # where the columns of notes end
THINNEST = 1.5
LINE = 18  # between labels
GROUP_GAP = 12
CHART_WIDTH, CHART_HEIGHT, CHART_FOOT, CHART_HEAD = 280, 120, 18, 26


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """An end of the third column: what its colour is, how much arrived, and what to write beside it."""

    colour: str
    value: int
    label: str
    notes: tuple[str, str, str]
    story: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Flows that part in the second column."""

    label: str
    flows: Sequence[Flow]


def flow_chart(whole: int, label: str, groups: Sequence[Group]) -> str:
    """Draw how `whole` parts into groups and these into their flows, whose values add up to it."""
    scale = HEIGHT / whole
    body = list[str]()
    place, start = 20.0, 20.0  # tops of the next label and of the next flow out of the first bar
    for group in groups:
        heights = [max(THINNEST, flow.value * scale) for flow in group.flows]
        slots = [max(LINE, height + 6) for height in heights]
        top = middle = place + max(
            0.0, (sum(slots) - sum(heights)) / 2 if len(groups) > 1 and place > start else (slots[0] - heights[0]) / 2
        )
        colour = max(group.flows, key=lambda flow: flow.value).colour
        body.append(ribbon(BAR, start, MIDDLE, top, sum(heights), colour))
        start += sum(heights)
        for flow, height, slot in zip(group.flows, heights, slots, strict=True):
            end = place + (slot - height) / 2
            body.append(ribbon(MIDDLE + BAR, middle, RIGHT, end, height, flow.colour, tip(flow)))
            body.append(bar(RIGHT, end, height, flow.colour))
            body.append(text(RIGHT + BAR + 8, place + slot / 2 + 4, flow.label))
            body += [
                text(at, place + slot / 2 + 4, note, anchor="end", kind="quiet") for at, note in zip(NOTES, flow.notes, strict=True)
            ]
            middle += height
            place += slot
        body.append(bar(MIDDLE, top, sum(heights), colour))
        body.append(text(MIDDLE - 8, top + min(sum(heights) / 2, 60) + 4, group.label, anchor="end", kind="over"))
        place += GROUP_GAP
    body.append(f'<rect class="all" x="0" y="20" width="{BAR}" height="{start - 20:.1f}"/>')
    body.append(text(0, 12, label))
    return svg(body, WIDTH, max(place, start) + 4, label)


def tip(flow: Flow) -> str:
    return f"{flow.label}: {', '.join(flow.notes)}" + (f"; {flow.story}" if flow.story else "")


def ribbon(x: float, y: float, to_x: float, to_y: float, height: float, colour: str, title: str = "") -> str:
    """Draw a band of one height that leaves and arrives level."""
    half = (x + to_x) / 2
    path = (
        f"M{x:.1f},{y:.1f} C{half:.1f},{y:.1f} {half:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f} v{height:.1f} "
        f"C{half:.1f},{to_y + height:.1f} {half:.1f},{y + height:.1f} {x:.1f},{y + height:.1f} z"
    )
    return f'<path class="{colour} ribbon" d="{path}">{f"<title>{html.escape(title)}</title>" if title else ""}</path>'


def bar(x: float, y: float, height: float, colour: str) -> str:
    return f'<rect class="{colour}" x="{x:.1f}" y="{y:.1f}" width="{BAR}" height="{height:.1f}"/>'


def histogram(counts: Mapping[int, int], sizes: Sequence[int], most: int, label: str) -> str:
    """Draw documents by size of cluster on a logarithmic scale up to `most`, so that a few copies show beside a million alone."""
    room, foot = CHART_WIDTH / len(sizes), CHART_HEIGHT - CHART_FOOT
    body = [f'<line class="axis" x1="0" x2="{CHART_WIDTH}" y1="{foot}" y2="{foot}"/>']
    for number, size in enumerate(sizes):
        count = counts.get(size, 0)
        height = (foot - CHART_HEAD) * math.log10(1 + count) / math.log10(1 + most)
        at = room * number
        title = html.escape(f"{count:,} documents in clusters of {span(size, sizes)}")
        body.append(
            f'<rect class="{"kept" if size == 1 else "copies"}" x="{at + 2:.1f}" y="{foot - height:.1f}" width="{room - 4:.1f}" '
            f'height="{height:.1f}"><title>{title}</title></rect>'
        )
        body.append(text(at + room / 2, CHART_HEIGHT - 4, span(size, sizes), anchor="middle", size=10))
        if count:
            body.append(text(at + room / 2, foot - height - 4, short(count), anchor="middle", size=10))
    return svg(body, CHART_WIDTH, CHART_HEIGHT, label)


def span(size: int, sizes: Sequence[int]) -> str:
    """Write the sizes that a bucket holds, up to `size`; the last is open."""
    least = size // 2 + 1
    if size == sizes[-1] and size > 2:
        return f"{least}+"
    return str(size) if least >= size else f"{least}–{size}"


def short(count: int) -> str:
    for bound, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= bound:
            return f"{count / (1000 if unit == 'k' else bound):.3g}{unit}"
    return f"{count:,}"


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(words)}</text>'


def svg(body: Sequence[str], width: float, height: float, title: str) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{html.escape(title)}">{"".join(body)}</svg>'
