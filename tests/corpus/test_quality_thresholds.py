"""Threshold files: every language of the table has a whole one; a damaged one is refused with a sentence."""

import re
import tomllib
from pathlib import Path

import pytest

from polyglot_lm.corpus.quality import ESTIMATES, MEASURES, RULES, THRESHOLDS, Bound, Thresholds, read_thresholds, thresholds_of
from polyglot_lm.languages import language, languages
from polyglot_lm.pipeline import UserError
from polyglot_lm.pipeline.identity import fingerprint

ORACLE = [rule for rule in RULES if rule.measure not in ("num_visible", "num_chars", "letter_share", "script_share")]
ORACLE = [rule for rule in ORACLE if rule.measure not in ("signature_share", "language_confidence")]


@pytest.mark.parametrize("code", languages())
def test_a_language_has_a_bound_for_every_measure(code: str) -> None:
    thresholds = thresholds_of(code)
    assert set(thresholds.bounds) == set(MEASURES)
    assert set(thresholds.weights) == set(ESTIMATES)
    assert thresholds.scripts == language(code).scripts
    assert thresholds.signature == language(code).signature
    assert 2 <= len(thresholds.stop_words) == len(set(thresholds.stop_words)) <= 64
    assert all(weight > 0 for weights in thresholds.weights.values() for weight in weights.values())


@pytest.mark.parametrize("code", languages())
def test_both_bounds_and_the_agreement_stand_in_the_file(code: str) -> None:
    fields = tomllib.loads((THRESHOLDS / f"{code}.toml").read_text(encoding="utf-8"))
    for rule in ORACLE:
        told = fields["rules"][rule.measure]
        assert rule.side in told
        assert 0 <= told["oracle"][rule.side]["agreement"] <= 1
        assert all(0 <= share <= 1 for share in told["oracle"][rule.side]["removes"])
        assert told["oracle"][rule.side]["bound"] >= 0
    assert 0.9 < fields["oracle"]["agreement"] <= 1
    assert 0 <= fields["oracle"]["removes"] <= 1
    assert fields["oracle"]["documents"] >= 500


def test_thresholds_have_an_identity() -> None:
    from polyglot_lm.pipeline.identity import canonical

    seen = {fingerprint(canonical(thresholds_of(code), code)) for code in languages()}
    assert len(seen) == len(languages())


GOOD = """
stop_words = ["the", "of"]
[weights.tokens]
spaced_words = 1
[weights.alphabetic]
spaced_words = 1
[weights.words]
spaced_words = 1
[rules.words]
least = 50
oracle.least = { bound = 50 }
"""


def read(folder: Path, text: str) -> Thresholds:
    path = folder / "en.toml"
    path.write_text(text, encoding="utf-8")
    return read_thresholds(path, language("en"))


def test_a_small_file_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.bounds == {"words": Bound(least=50)}
    assert found.stop_words == ("the", "of")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[rules.words]", "[rules.wrods]", "unknown bound 'wrods'"),
        ("\nleast = 50", "\nlaest = 50", "unknown key 'laest'"),
        ("\nleast = 50", '\nleast = "50"', "bound of words is '50'; give a number"),
        ("\nleast = 50", "\nleast = true", "bound of words is True"),
        ("\nleast = 50", "\nleast = 50\nmost = 40", "least is 50 and most 40"),
        ("[rules.words]", "[rules.newlines]", "newlines has no rule for its least value"),
        ("[weights.tokens]", "[weights.tokns]", "unknown weight 'tokns'"),
        ("[weights.words]\nspaced_words", "[weights.words]\nspaced_wrds", "unknown feature of words 'spaced_wrds'"),
        ("[weights.words]\nspaced_words = 1", "", "words is bounded but there are no weights"),
        ('stop_words = ["the", "of"]', "", "has no 'stop_words'"),
        ("[rules.words]", "[rules", "cannot be used"),
    ],
)
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        read(tmp_path, GOOD.replace(old, new))
    assert "en.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown language 'xx'"):
        thresholds_of("xx")


def test_a_language_without_a_file_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("polyglot_lm.corpus.quality.THRESHOLDS", tmp_path)
    thresholds_of.cache_clear()
    with pytest.raises(UserError, match=r"calibrate\.py en"):
        thresholds_of("en")
    thresholds_of.cache_clear()
