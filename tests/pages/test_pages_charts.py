"""Charts: valid XML whatever the names, everything inside the frame, labels that do not overlap."""

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyglot_lm.pages.charts import BOTTOM, HEIGHT, TOP, WIDTH, Axis, bar_chart, line_chart, row_chart, spread, thinned

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
    rows = row_chart({HOSTILE: {HOSTILE: 1.0, "b": 2.0}}, title=HOSTILE)
    for page in (lines, bars, rows):
        assert "<b>" not in page
        assert HOSTILE in parsed(page)[0].attrib["aria-label"]
    assert f"{HOSTILE}  2.00" in labels(lines)
    assert HOSTILE in " ".join(labels(bars))
    assert HOSTILE in labels(rows)


@given(st.dictionaries(NAMES, st.fixed_dictionaries({"ours": VALUES, "theirs": VALUES}), min_size=1, max_size=8))
def test_rows_of_bars_are_valid_and_as_long_as_their_values(groups: dict[str, dict[str, float]]) -> None:
    drawn = [rect for rect in parsed(row_chart(groups, title="tokens")).iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    values = [value for group in groups.values() for value in group.values()]
    longest, widths = max(values) or 1, [float(rect.attrib["width"]) for rect in drawn]
    assert widths == pytest.approx([value / longest * max(widths) for value in values], abs=0.1)


def test_a_long_line_is_drawn_with_few_points_and_keeps_its_extremes() -> None:
    points = [(step / 100, math.sin(step / 37) + (40.0 if step == 54_321 else 0.0)) for step in range(WIDTH * 100)]
    few = thinned(points)
    assert len(few) <= 2 * WIDTH + 1
    assert max(y for _, y in few) == max(y for _, y in points)
    assert (few[0][0], few[-1]) == (pytest.approx(0, abs=1), points[-1])
    assert few == sorted(few, key=lambda point: point[0])
    assert thinned(points[:9]) == points[:9]


def test_values_above_the_bound_are_drawn_at_it_and_marks_tell_what_happened() -> None:
    chart = line_chart({"loss": [(0, 11.0), (1, 3.0), (2, 2.0)]}, x_label="x", y_label="y", high=4.0, marks=[(1, "skipped <1>")])
    (line,) = parsed(chart).iter(f"{SVG}polyline")
    heights = [float(pair.split(",")[1]) for pair in line.attrib["points"].split()]
    assert heights[0] == TOP and heights[1] > TOP
    assert "skipped <1>" in [title.text for title in parsed(chart).iter(f"{SVG}title")]


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
