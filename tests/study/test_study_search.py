"""The law of mixtures: ridge against scikit-learn, the best mixture against scipy, the truth from made-up probes."""

import math
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import CODES, CONTENT, World, write_arms
from scipy import optimize
from sklearn.linear_model import Ridge
from test_study_transfer import write_pairs

from polyglot_lm.pipeline import UserError
from polyglot_lm.study.records import read_runs
from polyglot_lm.study.search import (
    Law,
    best_mixture,
    fitted_law,
    main_size,
    minimise,
    probe_law,
    proposals,
    ridge,
    synergy_law,
    uniform_level,
)


def write_probes(world: World, count: int = 48) -> None:
    random = np.random.default_rng(3)
    for number in range(count):
        drawn = 0.02 + 0.84 * random.dirichlet(np.full(8, 3.0))
        world.write("search", f"probe-{number:03}", dict(zip(CODES, map(float, drawn), strict=True)), documents=False)


def test_ridge_is_that_of_scikit_learn_left_out_one_by_one() -> None:
    random = np.random.default_rng(0)
    columns = random.normal(0, [1, 10, 0.1], (20, 3))
    values = columns @ [1, 0.2, -3] + random.normal(0, 0.5, 20)
    intercept, slopes, left_out = ridge(columns, values)
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    errors = {}
    for strength in 10.0 ** np.arange(-4, 2.5, 0.5):
        rows = [np.delete(np.arange(20), row) for row in range(20)]
        fits = [Ridge(alpha=strength).fit(scaled[kept], values[kept]) for kept in rows]
        errors[strength] = np.array([fit.predict(scaled[[row]])[0] for row, fit in enumerate(fits)])
    best = min(errors, key=lambda strength: float(((errors[strength] - values) ** 2).sum()))
    twin = Ridge(alpha=best).fit(scaled, values)
    assert columns @ slopes + intercept == pytest.approx(twin.predict(scaled), rel=1e-6)
    # the twin centres columns anew without the row that is left out, which costs the penalty a hair
    assert left_out == pytest.approx(errors[best], abs=0.02)


def test_the_law_comes_back_from_probes(tmp_path: Path) -> None:
    world = World(folder=tmp_path, seed_noise=0.0005)
    write_probes(world)
    law = probe_law(read_runs(tmp_path))
    assert law.own == pytest.approx(np.full(8, world.own), abs=0.02)
    at = {code: place for place, code in enumerate(law.codes)}
    kin, other = (law.cross[at["id"], at[target]] - law.cross[at["th"], at[target]] for target in ("ms", "en"))
    assert kin == pytest.approx(8 * (0.08 - 0.01), abs=0.12) and other == pytest.approx(0, abs=0.12)


def test_too_few_probes_are_refused() -> None:
    with pytest.raises(UserError, match="10 probes cannot carry a law of 8 languages; run at least 11"):
        fitted_law(CODES, np.full((10, 8), 0.125), np.zeros((10, 8)))


def test_a_study_without_probes_says_so(tmp_path: Path) -> None:
    World(folder=tmp_path).write("arms", "uniform", dict.fromkeys(CODES, 0.125))
    with pytest.raises(UserError, match="the search has no probes in which every language has a share"):
        probe_law(read_runs(tmp_path))


def test_the_best_mixture_is_that_of_scipy() -> None:
    random = np.random.default_rng(1)
    cross = random.uniform(0, 0.3, (4, 4)) * (1 - np.eye(4))
    law = Law(codes=tuple("abcd"), level=np.zeros(4), own=random.uniform(0.05, 0.2, 4), cross=cross)
    start, low, high = random.normal(0, 0.02, 4), np.full(4, 0.05), np.full(4, 0.6)

    def objective(shares: np.ndarray) -> float:
        changed = start + law.change(shares[None])[0]
        return float(max(changed.mean() - start.mean(), changed.max() - start.max()))

    found = np.array(list(best_mixture(law, start, low, high).values()))
    twin = optimize.differential_evolution(
        lambda free: objective(np.append(free, 1 - free.sum())) if 0.05 <= 1 - free.sum() <= 0.6 else 9.0,
        [(0.05, 0.6)] * 3,
        seed=0,
        tol=1e-10,
        maxiter=400,
    )
    assert found.sum() == pytest.approx(1) and (found >= 0.05).all() and (found <= 0.6).all()
    assert objective(found) == pytest.approx(twin.fun, abs=2e-4)


def test_uniform_stays_where_nothing_is_better() -> None:
    found = minimise(lambda shares: ((shares - 0.25) ** 2).sum(axis=1), np.full(4, 0.01), np.full(4, 0.9))
    assert found == pytest.approx(np.full(4, 0.25), abs=1e-6)


def test_proposals_hold_what_they_promise_in_their_own_world(tmp_path: Path) -> None:
    """Indonesian and Malay teach each other, so both need less: what they free makes the worst of the others better."""
    world = World(folder=tmp_path, seed_noise=0.0002)
    write_arms(world, seeds=1)
    write_probes(world)
    write_pairs(world)
    runs = read_runs(tmp_path)
    assert main_size(runs) == "27m"
    found, start = proposals(runs), uniform_level(runs, CODES)
    assert set(found) == {"regression", "synergy"}

    def truth(shares: dict[str, float]) -> list[float]:
        content = {code: share * 8 * CONTENT for code, share in shares.items()}
        even = dict.fromkeys(CODES, CONTENT)
        kept = {"size": "27m", "seed": 0, "run": 0}
        return [world.ln_bits(content, code, **kept) - world.ln_bits(even, code, **kept) for code in CODES]

    for shares in found.values():
        assert sum(shares.values()) == pytest.approx(1) and set(shares) == set(CODES)
        assert np.mean(truth(shares)) < -0.0005
        assert max(start + truth(shares)) < max(start)


def test_the_law_of_pairs_is_the_truth_of_its_world(tmp_path: Path) -> None:
    world = World(folder=tmp_path, seed_noise=0.0)
    write_pairs(world)
    law = synergy_law(read_runs(tmp_path))
    assert law.own == pytest.approx(np.full(8, world.own), abs=0.01)
    shares = np.array([[0.2 if code in ("id", "ms") else 0.1 for code in law.codes]])
    change = dict(zip(law.codes, law.change(shares)[0], strict=True))
    assert change["id"] == pytest.approx(-world.own * math.log(1.6) - 0.6 * 0.08 + 6 * 0.2 * world.gives, abs=0.02)
