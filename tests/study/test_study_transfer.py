"""Directed transfer: known gains come back, Mantel against a loop over permutations, the file that selection reads."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import CODES, CONTENT, World
from scipy import stats

from polyglot_lm.mixture.selection import read_synergy, worst_served
from polyglot_lm.pipeline import UserError
from polyglot_lm.study.records import read_runs
from polyglot_lm.study.transfer import centred, correlates, distances, mantel, matrix, shared_script


def write_pairs(world: World, *, codes: tuple[str, ...] = CODES, seeds: int = 2, doubled: bool = True) -> None:
    for code, seed in itertools.product(codes, range(seeds)):
        world.write("synergy", "mono", {code: 1.0}, seed=seed, content=CONTENT, documents=False)
        if doubled:
            world.write("synergy", "mono", {code: 1.0}, seed=seed, content=2 * CONTENT, documents=False)
    for pair in itertools.combinations(codes, 2):
        world.write("synergy", "pair", dict.fromkeys(pair, 0.5), content=2 * CONTENT, documents=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(folder=tmp_path_factory.mktemp("pairs"))
    write_pairs(made)
    return made


def test_gains_are_those_that_the_runs_were_made_with(world: World) -> None:
    found = matrix(read_runs(world.folder))
    assert set(found.codes) == set(CODES)
    for (i, source), (j, target) in itertools.permutations(enumerate(found.codes), 2):
        truth = world.kin.get(frozenset((source, target)), world.gives)
        assert abs(found.gains[i, j] - truth) < 5 * found.errors[i, j]
    assert np.isnan(np.diag(found.gains)).all()
    assert found.doubled is not None and found.doubled == pytest.approx(np.full(8, world.own * math.log(2)), abs=0.01)
    assert found.seed_spread == pytest.approx(world.seed_noise, rel=0.6)
    assert found.errors[0, 1] == pytest.approx(found.seed_spread * math.sqrt(1 + 1 / 2))


def test_errors_are_unknown_without_a_second_seed(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_pairs(world, codes=("id", "ms", "ko"), seeds=1, doubled=False)
    found = matrix(read_runs(tmp_path))
    assert found.codes == ("ko", "id", "ms") and found.doubled is None
    assert np.isnan(found.errors).all() and not np.isnan(found.gains[0, 1])


def test_what_was_not_trained_alone_is_named(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    world.write("synergy", "mono", {"id": 1.0}, content=CONTENT)
    world.write("synergy", "pair", {"id": 0.5, "ms": 0.5}, content=2 * CONTENT)
    with pytest.raises(UserError, match="'ms' stands in a pair but was not trained alone"):
        matrix(read_runs(tmp_path))


def test_references_of_the_same_content_stand_for_models_of_one_language(tmp_path: Path) -> None:
    """Each at the best setting of its sweep: a bad one would make every companion look helpful."""
    world = World(folder=tmp_path, seed_noise=0.0)
    world.write("synergy", "pair", {"id": 0.5, "ms": 0.5}, content=2 * CONTENT, documents=False)
    for code, penalty in itertools.product(("id", "ms"), (0.0, 0.2)):
        setting = (8, 1e-3 + penalty)
        world.write("references", "reference", {code: 1.0}, content=CONTENT, setting=setting, penalty=penalty, documents=False)
    assert matrix(read_runs(tmp_path)).gains[0, 1] == pytest.approx(0.08)


def test_a_study_without_pairs_says_so(tmp_path: Path) -> None:
    World(folder=tmp_path).write("synergy", "mono", {"id": 1.0}, content=CONTENT)
    with pytest.raises(UserError, match="no pair of languages is among the runs; run the stage 'synergy'"):
        matrix(read_runs(tmp_path))


def test_selection_reads_the_matrix(world: World, tmp_path: Path) -> None:
    found = matrix(read_runs(world.folder))
    (tmp_path / "synergy.json").write_text(json.dumps(found.as_json()))
    read = read_synergy(tmp_path / "synergy.json")
    assert read["id"]["ms"] == pytest.approx(0.08, abs=0.015) and "id" not in read["id"]
    assert worst_served(("id", "ms"), read) > worst_served(("id", "en"), read)


def test_means_of_source_and_target_are_gone_and_only_they() -> None:
    random = np.random.default_rng(0)
    kinship = random.normal(0, 1, (6, 6))
    np.fill_diagonal(kinship, np.nan)
    gives, receives = random.normal(0, 5, (6, 1)), random.normal(0, 5, (1, 6))
    left = centred(kinship + gives + receives)
    assert left == pytest.approx(centred(kinship), nan_ok=True)
    assert np.nansum(left, axis=0) == pytest.approx(np.zeros(6), abs=1e-9)
    assert np.nansum(left, axis=1) == pytest.approx(np.zeros(6), abs=1e-9)


def plain_mantel(gains: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Relabel in a loop, correlate by scipy."""
    cells = [(i, j) for i, j in itertools.permutations(range(len(gains)), 2)]
    ours = [gains[cell] for cell in cells]
    found = [
        stats.pearsonr(ours, [other[order[i], order[j]] for i, j in cells]).statistic
        for order in itertools.permutations(range(len(gains)))
    ]
    return found[0], float(np.mean([abs(one) >= abs(found[0]) - 1e-12 for one in found]))


@pytest.mark.parametrize("seed", range(3))
def test_mantel_is_a_loop_over_all_relabellings(seed: int) -> None:
    random = np.random.default_rng(seed)
    gains, other = random.normal(0, 1, (2, 5, 5))
    np.fill_diagonal(gains, np.nan)
    assert mantel(gains, other + other.T) == pytest.approx(plain_mantel(gains, other + other.T))


def test_the_p_of_mantel_is_even_where_there_is_nothing() -> None:
    """Under no relation p below 0.1 comes in a tenth of 400 worlds, although cells share their languages' luck."""
    random, small = np.random.default_rng(5), 0
    distance = distances(CODES)[:6, :6]
    for _ in range(400):
        small += mantel(random.normal(0, 1, (6, 6)) + random.normal(0, 2, (1, 6)), distance)[1] <= 0.1
    assert small / 400 == pytest.approx(0.1, abs=0.045)


def test_kinship_of_near_languages_is_found(world: World) -> None:
    found = correlates(matrix(read_runs(world.folder)))
    correlation, p = found["G without means with syntactic distance"]
    assert correlation < -0.3 and p < 0.05


def test_scripts_are_shared_by_latin_and_by_han() -> None:
    shared = shared_script(("en", "ko", "ja", "zh", "id", "th"))
    assert shared[0, 4] == shared[2, 3] == 1
    assert shared[1, 3] == shared[1, 4] == shared[5, 0] == 0
