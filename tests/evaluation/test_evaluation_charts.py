"""Charts: valid XML whatever the names, everything inside the frame, labels that do not overlap."""

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyglot_lm.evaluation.charts import BOTTOM, HEIGHT, TOP, WIDTH, Axis, bar_chart, line_chart, spread

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<b>\"Tom & 'Jerry'\"</b>"
VALUES = st.floats(0, 1e6)
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=10)
SERIES = st.dictionaries(NAMES, st.lists(st.tuples(st.floats(0, 1e6), VALUES), min_size=1, max_size=5), min_size=1, max_size=8)


def parsed(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{page}</div>")


def labels(page: str) -> list[str]:
    return [element.text or "" for element in parsed(page).iter(f"{SVG}text")]


@given(SERIES)
def test_line_charts_are_valid_and_stay_inside_their_frame(series: dict[str, list[tuple[float, float]]]) -> None:
    chart = parsed(line_chart(series, x_label="step", y_label="bits"))
    lines = list(chart.iter(f"{SVG}polyline"))
    assert len(lines) == len(series)
    for line, points in zip(lines, series.values(), strict=True):
        drawn = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        assert len(drawn) == len(points)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)


@given(st.dictionaries(NAMES, st.fixed_dictionaries({"model": VALUES, "xz -9": VALUES}), min_size=1, max_size=8))
def test_bar_charts_are_valid_and_have_a_bar_for_every_value(groups: dict[str, dict[str, float]]) -> None:
    chart = parsed(bar_chart(groups, y_label="bits"))
    bars = [rect for rect in chart.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]  # the others are the legend
    assert len(bars) == 2 * len(groups)
    top = max(value for values in groups.values() for value in values.values()) or 1
    heights = [float(bar.attrib["height"]) for bar in bars]
    values = [value for group in groups.values() for value in group.values()]
    for value, height in zip(values, heights, strict=True):
        assert height == pytest.approx(value / top * max(heights), abs=0.1)


def test_names_are_escaped_and_come_back_as_they_were() -> None:
    lines = line_chart({HOSTILE: [(0, 1.0), (1, 2.0)]}, x_label=HOSTILE, y_label=HOSTILE)
    bars = bar_chart({HOSTILE: {HOSTILE: 1.0, "b": 2.0}}, y_label=HOSTILE)
    for page in (lines, bars):
        assert "<b>" not in page
        assert HOSTILE in parsed(page)[0].attrib["aria-label"]
    assert f"{HOSTILE}  2.00" in labels(lines)
    assert HOSTILE in " ".join(labels(bars))


PLACES = st.dictionaries(NAMES, st.floats(TOP, HEIGHT - BOTTOM), min_size=1, max_size=8)


@given(PLACES)
def test_labels_do_not_overlap_and_keep_their_order(places: dict[str, float]) -> None:
    moved = spread(places)
    assert moved.keys() == places.keys()
    assert all(later - earlier >= 14 - 1e-9 for earlier, later in itertools.pairwise(sorted(moved.values())))
    assert sorted(places, key=moved.__getitem__) == sorted(places, key=lambda name: (places[name], moved[name]))


@given(PLACES)
@example({"first": TOP} | {str(number): HEIGHT - BOTTOM for number in range(7)})  # a crowd below must not push the first out
def test_labels_stay_inside_the_chart(places: dict[str, float]) -> None:
    assert all(TOP - 1e-9 <= place <= HEIGHT - BOTTOM + 1e-9 for place in spread(places).values())


def test_labels_far_apart_stay_where_they_are() -> None:
    assert spread({"a": 100.0, "b": 20.0, "c": 60.0}) == {"a": 100.0, "b": 20.0, "c": 60.0}


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_a_few_round_values_inside(low: float, extent: float) -> None:
    axis = Axis(low=low, high=low + extent, start=0, stop=100)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 8
    slack = 1e-6 * extent + 1e-9 * low
    assert all(low - slack <= tick <= low + extent + slack for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        digit = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(digit - round_value) for round_value in (1, 2, 5)) < 0.01 or low > 1e3 * extent
