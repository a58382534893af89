"""The ladder: the line against scipy's, rungs only where size, arm and references are complete."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import CODES, CONTENT, SKEW, UNIFORM, World
from scipy import stats

from polyglot_lm.study.ladder import line, rungs
from polyglot_lm.study.records import read_runs


def write_ladder(world: World) -> None:
    for size in ("10m", "27m", "110m"):
        for arm, shares in (("uniform", UNIFORM), ("bloom", SKEW)):
            world.write("ladder", arm, shares, size=size)
        for code in CODES:
            world.write("references", "reference", {code: 1.0}, size=size, content=CONTENT)


def test_the_line_is_that_of_scipy() -> None:
    points = [(1e7, 0.05), (2.7e7, 0.02), (1.1e8, 0.01), (3.5e8, -0.03)]
    twin = stats.linregress(np.log([size for size, _ in points]), [value for _, value in points])
    found = line(points)
    assert (found.slope, found.level, found.p) == pytest.approx((twin.slope, twin.intercept, twin.pvalue))
    assert found.half_width == pytest.approx(twin.stderr * stats.t.ppf(0.975, 2))
    assert found(1e9) == pytest.approx(twin.intercept + twin.slope * math.log(1e9))
    assert found.per_tenfold[0] == pytest.approx(twin.slope * math.log(10))


def test_two_rungs_have_a_slope_and_no_interval() -> None:
    found = line([(1e7, 0.1), (1e8, 0.0)])
    assert found.per_tenfold[0] == pytest.approx(-0.1)
    assert (found.half_width, found.p) == (math.inf, 1.0)


def test_rungs_are_measured_against_references_of_their_size(tmp_path: Path) -> None:
    """Sharing gains the same at every size of this world, though larger models need fewer bits."""
    world = World(folder=tmp_path, seed_noise=0.0)
    write_ladder(world)
    found = rungs(read_runs(tmp_path), "uniform", CODES)
    assert [rung.size for rung in found] == ["10m", "27m", "110m"]
    assert [rung.mean for rung in found] == pytest.approx([-0.0975] * 3, abs=0.005)  # 7 × 0.01, and 0.07 and 0.04 more for two each
    assert found[0].worst == max(found[0].ln_r.values())


def test_a_size_that_lacks_a_reference_is_no_rung(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_ladder(world)
    shutil.rmtree(next((tmp_path / "references").glob("reference-th-10m*")))
    assert [rung.size for rung in rungs(read_runs(tmp_path), "bloom", CODES)] == ["27m", "110m"]
