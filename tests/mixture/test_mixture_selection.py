"""Choosing languages: sets that have the text, in the order asked for, and a reason for what is left out."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from polyglot_lm.languages import languages, public_text, syntactic_distance
from polyglot_lm.mixture import Budget
from polyglot_lm.mixture.selection import Ranking, Selection, Synergy, read_synergy, select_sets
from polyglot_lm.mixture.supply import BUDGETS, Text, supply_plan
from polyglot_lm.mixture.units import estimated
from polyglot_lm.pipeline import UserError

ALL = tuple(languages().values())
BILLIONS = Budget(amount=250e9, unit="tokens")


def chosen(
    size: int, *, budget: Budget = BILLIONS, required: tuple[str, ...] = (), by: Ranking = "supply", synergy: Synergy | None = None
) -> Selection:
    return select_sets(ALL, budget, size=size, required=required, rank_by=by, synergy=synergy)


def test_a_language_without_the_text_is_left_out_with_the_reason() -> None:
    """Malay: 34.3 GB are 30.7 GB-eq.; an eighth of 250 B tokens are 125."""
    with pytest.raises(UserError, match=r"only 7 languages have text for a set of 8 \(ms: 34\.3 GB: 4\.1 epochs at"):
        chosen(8)
    found = chosen(7)
    assert found.excluded == {"ms": "34.3 GB: 4.7 epochs at this budget, 4 allowed"}
    assert [set(one.codes) for one in found.sets] == [set(languages()) - {"ms"}]
    assert chosen(8, budget=Budget(amount=240e9, unit="tokens")).excluded == {}


def test_sets_are_all_of_their_size_and_those_with_most_text_come_first() -> None:
    found = chosen(3)
    assert {frozenset(one.codes) for one in found.sets} == {
        frozenset(codes) for codes in itertools.combinations(sorted(set(languages()) - set(found.excluded)), 3)
    }
    assert [one.epochs for one in found.sets] == sorted(one.epochs for one in found.sets)
    assert found.sets[0].codes == ("en", "zh", "ja") and found.sets[0].scarcest == "ja"
    assert found.sets[0].epochs[0] == pytest.approx(250e9 * 4 / 3 / languages()["ja"].supply_english_bytes)


def test_required_languages_are_in_every_set() -> None:
    found = chosen(4, required=("ko", "th"))
    assert found.sets and all({"ko", "th"} <= set(one.codes) for one in found.sets)
    with pytest.raises(UserError, match=r"ms is required but 34\.3 GB: 8\.1 epochs at this budget, 4 allowed; lower the budget"):
        chosen(4, required=("ms",))


def test_near_and_far_are_the_same_sets_the_other_way_round() -> None:
    small = Budget(amount=10e9, unit="tokens")
    near, far = (chosen(2, budget=small, by=by).sets for by in ("near", "far"))
    assert set(near[0].codes) == {"id", "ms"} and near[0].distance == 0.04
    assert set(far[0].codes) == {"ja", "vi"} and far[0].distance == 0.68
    assert [one.distance for one in near] == [one.distance for one in reversed(far)]
    assert (near[0].families, near[0].scripts) == (1, 1) and (far[0].families, far[0].scripts) == (2, 2)


def test_measured_synergy_ranks_by_the_worst_served() -> None:
    """The best set by the sum over pairs (en, zh, ja) leaves English with nothing."""
    gains = {one: {other: 0.01 for other in languages() if other != one} for one in languages()}
    gains["zh"]["ja"] = gains["ja"]["zh"] = 1.0
    gains["ko"]["ja"] = gains["ja"]["ko"] = gains["ko"]["zh"] = gains["zh"]["ko"] = 0.2
    best = chosen(3, by="synergy", synergy=gains).sets[0]
    assert set(best.codes) == {"ko", "zh", "ja"} and best.synergy == pytest.approx(0.4)
    with pytest.raises(UserError, match="cannot be ranked by synergy that was not measured"):
        chosen(3, by="synergy")
    del gains["ko"]
    with pytest.raises(UserError, match="the synergy matrix has no 'ko'"):
        chosen(3, by="synergy", synergy=gains)


def test_a_language_without_features_has_no_distance_and_comes_last() -> None:
    stranger = replace(languages()["ko"], code="xx")
    found = select_sets((*ALL, stranger), BILLIONS, size=2, required=(), rank_by="near", synergy=None)
    assert found.sets[0].distance is not None and found.sets[-1].distance is None
    assert {"xx"} == set.intersection(*({*one.codes} for one in found.sets if one.distance is None)) & {"xx"}


@pytest.mark.parametrize("size", [0, 9])
def test_a_size_outside_is_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"size is {size}; it must lie between 1 and the 8 languages given"):
        chosen(size)


def test_too_many_sets_and_a_budget_in_bytes_are_refused() -> None:
    many = tuple(replace(ALL[0], code=f"x{n}") for n in range(40))
    with pytest.raises(UserError, match=r"there are 137,846,528,820 sets of 20 of 40 languages"):
        select_sets(many, BILLIONS, size=20, required=(), rank_by="supply", synergy=None)
    with pytest.raises(UserError, match="a budget in bytes has no one size"):
        chosen(2, budget=Budget(amount=1e12, unit="bytes"))


def test_a_synergy_file_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "synergy.json"
    path.write_text(json.dumps({"id": {"ms": 0.25}}))
    assert read_synergy(path) == {"id": {"ms": 0.25}}
    for text in ("", "[1]", '{"id": 3}', '{"id": {"ms": "much"}}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"synergy\.json is no synergy matrix"):
            read_synergy(path)


def test_syntactic_distances_are_a_distance() -> None:
    for one, other in itertools.product(languages(), repeat=2):
        distance = syntactic_distance(one, other)
        assert distance is not None and distance == syntactic_distance(other, one)
        assert (distance == 0) == (one == other) and 0 <= distance <= 1
    assert syntactic_distance("ko", "ja") == 0.19 and syntactic_distance("ko", "xx") is None


@pytest.mark.parametrize("code", languages())
def test_public_text_is_licensed_and_agrees_with_the_table(code: str) -> None:
    language = languages()[code]
    texts = {text.name: text for text in public_text(language)}
    assert all(text.license and text.figures for text in texts.values())
    first = texts[language.sources[0].split(":")[0]]
    assert first.num_bytes == language.supply_bytes and first.readable
    assert {source.split(":")[0] for source in language.sources} == {text.name for text in texts.values() if text.readable}


def test_the_plan_of_eight_languages_names_each_shortfall_and_the_largest_uniform_budget() -> None:
    supply = {code: estimated(language.supply_bytes, language.byte_premium) for code, language in languages().items()}
    texts = {code: (Text(name="FineWeb2", license="ODC-By-1.0", amount="", read=True),) for code in supply}
    plan = supply_plan(supply, texts, 4.0, notes=("a note",))
    rows = {row.code: row for row in plan.rows}
    assert BUDGETS == (100e9, 500e9, 1e12)
    assert rows["ms"].epochs == pytest.approx([1.63, 8.15, 16.3], rel=1e-2)  # an eighth, times 4 bytes, of 30.7 GB-eq.
    assert plan.largest_uniform_tokens == pytest.approx(8 * 4 * 34.3e9 / 1.118 / 4)
    note, *short, bound = plan.sentences()
    assert note == "a note"
    assert [sentence.split()[0] for sentence in short] == ["ko", "id", "ms", "vi", "th"]
    assert short[2] == "ms lacks 192 B tokens: it has 7.67 B tokens where 200 B tokens are wanted, which would be 26.1 epochs"
    assert bound == "245 B tokens in all can be shared evenly within 4 epochs; ms sets this bound"
    assert plan.by_source() == {("FineWeb2", "ODC-By-1.0", True): dict.fromkeys(supply, "")}
