"""Arms: the known effects come back inside their intervals, documents move nothing that pairs share, endpoints by hand."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import CODES, SKEW, UNIFORM, World, write_arms
from scipy import stats

from polyglot_lm.study.arms import ENDPOINTS, Arms, mean_of, worst_of
from polyglot_lm.study.arms_text import content_law
from polyglot_lm.study.documents import draw
from polyglot_lm.study.records import Run, document_bits, read_runs


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(folder=tmp_path_factory.mktemp("arms"))
    write_arms(made)
    return made


@pytest.fixture(scope="module")
def runs(world: World) -> tuple[Run, ...]:
    return read_runs(world.folder)


@pytest.fixture(scope="module")
def arms(runs: tuple[Run, ...]) -> Arms:
    return Arms(runs, "27m", CODES)


def truth(world: World, shares: dict[str, float], code: str) -> float:
    """ln bits of a language without noise."""
    silent = World(folder=world.folder, seed_noise=0.0)
    return silent.ln_bits({one: share * 56e6 for one, share in shares.items()}, code, "27m", seed=0, run=0)


@pytest.mark.parametrize("code", CODES)
def test_the_difference_in_a_language_is_the_one_the_runs_were_made_with(arms: Arms, world: World, code: str) -> None:
    found = arms.difference(arms.language(code), "bloom", "uniform")
    assert found is not None and found.seeds == 5
    assert abs(found.mean - (truth(world, SKEW, code) - truth(world, UNIFORM, code))) < 2.5 * found.half_width
    assert found.half_width < 0.02


def test_the_mean_of_an_arm_is_its_mean_over_languages_and_seeds(arms: Arms, runs: tuple[Run, ...]) -> None:
    uniform = [run for run in runs if run.arm == "uniform"]
    by_hand = np.mean(
        [
            math.log(run.bits_per_byte["test"][code] / np.mean([one.bits_per_byte["test"][code] for one in best(runs, code)]))
            for run in uniform
            for code in CODES
        ]
    )
    assert arms.level("uniform", mean_of).mean == pytest.approx(by_hand)
    assert arms.level("uniform", worst_of).mean > by_hand


def best(runs: tuple[Run, ...], code: str) -> list[Run]:
    return [run for run in runs if run.languages == (code,) and run.setting == (8, 1e-3)]


def test_endpoints_are_paired_t_tests_after_holm(world: World, runs: tuple[Run, ...]) -> None:
    arms = Arms(runs, "27m", CODES)
    arms.drawn = None  # seeds alone, as scipy sees them
    found = arms.endpoints()
    assert [each.name for each in found] == ["P1", "P2", "P3"]
    twins = []
    for each in ENDPOINTS:
        sides = [
            [float(each.statistic(arms.values[arms.runs[arm][seed]])) for seed in range(5)] for arm in (each.ours, each.theirs)
        ]
        twins.append(stats.ttest_rel(*sides))
    assert [one.p for one, _ in found.values()] == pytest.approx([twin.pvalue for twin in twins], rel=1e-6)
    ordered = sorted(twin.pvalue for twin in twins)
    assert min(adjusted for _, adjusted in found.values()) == pytest.approx(3 * ordered[0], rel=1e-6)
    assert all(one.verdict(0.01) == "higher" for one, _ in found.values())


def test_an_endpoint_whose_arm_was_not_run_is_absent(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=2)
    runs = [run for run in read_runs(tmp_path) if run.arm != "controller-from-raw"]
    assert [each.name for each in Arms(runs, "27m", CODES).endpoints()] == ["P1", "P2"]


def test_seeds_that_one_arm_lacks_are_no_pairs(runs: tuple[Run, ...]) -> None:
    some = [run for run in runs if not (run.arm == "bloom" and run.seed > 2)]
    arms = Arms(some, "27m", CODES)
    assert arms.seeds_of("bloom", "uniform") == [0, 1, 2]
    found = arms.difference(mean_of, "bloom", "uniform")
    assert found is not None and found.seeds == 3


def test_a_lower_reference_makes_its_language_worst_and_moves_no_mean(arms: Arms) -> None:
    worst, mean, _ = ENDPOINTS
    plain = arms.difference(worst.statistic, worst.ours, worst.theirs)
    assert plain is not None and len(arms.sensitivity(worst)) == 2 * len(CODES)
    assert max(abs(one.mean - plain.mean) for one in arms.sensitivity(worst)) > 0.005
    assert {round(one.mean, 9) for one in arms.sensitivity(mean)} == {round(arms.endpoints()[mean][0].mean, 9)}


def test_the_bootstrap_of_documents_is_a_loop_over_draws(arms: Arms, runs: tuple[Run, ...]) -> None:
    """Draw 300 times with a plain generator; the spread must agree as well as 300 draws can tell."""
    random, found = np.random.default_rng(9), []
    ours, theirs = (list(arms.runs[arm].values()) for arm in ("bloom", "uniform"))
    own = {run: {code: document_bits(run)[code][0] for code in CODES} for run in (*ours, *theirs)}
    alone = {code: [document_bits(run)[code][0] for run in best(runs, code)] for code in CODES}
    for _ in range(300):
        rows = {code: random.integers(0, 60, 60) for code in CODES}

        def worst(run: Run, rows: dict[str, np.ndarray] = rows) -> float:
            return max(
                math.log(own[run][code][rows[code]].sum() / np.mean([bits[rows[code]].sum() for bits in alone[code]]))
                for code in CODES
            )

        found.append(np.mean([worst(run) for run in ours]) - np.mean([worst(run) for run in theirs]))
    assert arms.drawn is not None
    assert arms.drawn.spread(worst_of, ours, theirs)[0] == pytest.approx(np.std(found, ddof=1), rel=0.2)


def test_noise_lifts_the_worst_of_equal_languages(tmp_path: Path) -> None:
    """Eight languages alike, documents noisy: the largest of eight has no reason to be above 0 but noise."""
    world = World(folder=tmp_path, gives=0.0, kin={}, seed_noise=0.0, document_noise=0.5, num_documents=30)
    write_arms(world, seeds=1)
    arms = Arms(read_runs(tmp_path), "27m", CODES)
    assert arms.bias_of_worst("uniform") > 0.01
    assert arms.level("uniform", worst_of).mean > 0.02


def test_without_documents_there_is_no_part_of_theirs(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=2)
    for path in (tmp_path / "arms").glob("*/run.json"):
        path.write_text(path.read_text().replace('"documents.npz"', "null"))
    arms = Arms(read_runs(tmp_path), "27m", CODES)
    assert arms.drawn is None and draw(list(arms.values), arms.references) is None
    assert math.isnan(arms.bias_of_worst("bloom"))
    assert arms.level("bloom", mean_of).documents_error == 0.0


def test_flores_has_its_own_bits(arms: Arms, runs: tuple[Run, ...]) -> None:
    flores = Arms(runs, "27m", CODES, "flores")
    assert flores.drawn is None
    assert flores.level("uniform", mean_of).mean == pytest.approx(arms.level("uniform", mean_of).mean)


def test_content_alone_foretells_where_nobody_helps(tmp_path: Path) -> None:
    world = World(folder=tmp_path, gives=0.0, kin={}, seed_noise=0.0, document_noise=0.001)
    write_arms(world, seeds=1)
    world.write("arms", "placebo", dict(zip(CODES, reversed(SKEW.values()), strict=True)))
    (told,) = content_law(Arms(read_runs(tmp_path), "27m", CODES))
    assert re.search(r"foretells ln r to 0\.00\d \(RMS\).* the placebo to 0\.00\d\.", told)


def test_the_worst_language_is_counted_over_seeds(arms: Arms) -> None:
    counted = arms.worst_languages("bloom")
    assert sum(counted.values()) == 5 and set(counted) <= {"ko", "ja", "ms", "th"}
