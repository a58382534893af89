"""Further scores as recipe parameters: what they become, and that each mistake ends in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from polyglot_lm.corpus.quality import Bound
from polyglot_lm.pipeline import Step, UserError
from polyglot_lm.pipeline.steps import in_order
from polyglot_lm.recipes.corpus import corpus


@pytest.fixture
def sources(tmp_path: Path) -> str:
    folder = tmp_path / "texts"
    folder.mkdir()
    for code in ("ko", "en"):
        (folder / f"{code}.jsonl").write_text('{"text": "some text"}\n')
        (tmp_path / f"bad-{code}.txt").write_text(f"bad{code}")
    (tmp_path / "urls.txt").write_text("bad.test")
    return str(folder)


def steps(sources: str, **changes: Any) -> dict[str, Step]:
    recipe = corpus(sources=(sources,), languages=("ko", "en"), **changes)
    return {step.name: step for step in in_order(recipe.targets)}


def test_parameters_become_scores_bounds_and_a_ranking(sources: str, tmp_path: Path) -> None:
    asked = {
        "lexicons": (f"bad:{tmp_path}/bad-{{code}}.txt",),
        "url_lists": (f"listed:{tmp_path}/urls.txt",),
        "min_scores": ("bad:0.001",),
        "max_scores": ("bad:0.01", "listed:0.5"),
        "rank_by": "bad",
    }
    found = steps(sources, **asked)
    for code in ("ko", "en"):
        names = [score.file.path for score in found[f"documents/{code}/texts"].arguments["further"]]
        assert names == [f"bad-{code}.txt", "urls.txt"]
        clusters = found[f"clusters/{code}"].arguments
        assert clusters["quality"] == "score_bad"
        bounds = clusters["thresholds"][code].bounds
        assert (bounds["score:bad"], bounds["score:listed"]) == (Bound(least=0.001, most=0.01), Bound(most=0.5))
        assert "num_chars" in bounds or "words" in bounds


def test_who_asks_for_none_keeps_every_address(sources: str, tmp_path: Path) -> None:
    plain, asked = steps(sources), steps(sources, lexicons=(f"bad:{tmp_path}/bad-ko.txt",))
    assert "further" not in plain["documents/ko/texts"].arguments
    assert plain["documents/ko/texts"].address != asked["documents/ko/texts"].address
    (tmp_path / "bad-ko.txt").write_text("other")
    assert (
        steps(sources, lexicons=(f"bad:{tmp_path}/bad-ko.txt",))["documents/ko/texts"].address
        != asked["documents/ko/texts"].address
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lexicons": ("bad",)}, "lexicons has 'bad'; write NAME:FILE"),
        ({"lexicons": (":x",)}, "write NAME:FILE"),
        ({"lexicons": ("bad:none.txt",)}, "'none.txt' is no file"),
        ({"lexicons": ("Bad:{folder}/urls.txt",)}, "'Bad' is not lower-case"),
        ({"lexicons": ("num_chars:{folder}/urls.txt",)}, "'num_chars' is taken"),
        ({"lexicons": ("a:{folder}/urls.txt",), "url_lists": ("a:{folder}/urls.txt",)}, "'a' is taken"),
        ({"linear_models": ("a:{folder}/urls.txt",)}, "urls.txt is no linear model"),
        ({"fasttext_models": ("a:urls.txt",)}, "write NAME:FILE:LABEL"),
        ({"fasttext_models": ("a:{folder}/urls.txt:yes",)}, "urls.txt"),
        ({"max_scores": ("bad:0.1",)}, "names the score 'bad', which is not there; none is asked for"),
        ({"rank_by": "bad"}, "rank_by names the score 'bad'"),
        ({"lexicons": ("a:{folder}/urls.txt",), "rank_by": "b"}, "give one of a"),
        ({"lexicons": ("a:{folder}/urls.txt",), "max_scores": ("a:much",)}, "max_scores has 'a:much', which gives no number"),
        ({"lexicons": ("a:{folder}/urls.txt",), "max_scores": ("a:nan",)}, "gives no number"),
        ({"lexicons": ("a:{folder}/urls.txt",), "min_scores": ("a:2",), "max_scores": ("a:1",)}, "no value lies between"),
    ],
)
def test_mistakes_end_in_one_sentence(sources: str, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    def filled(value: str) -> str:
        return value.replace("{folder}", str(tmp_path))

    placed = {name: filled(value) if isinstance(value, str) else tuple(map(filled, value)) for name, value in changes.items()}
    with pytest.raises(UserError) as caught:
        steps(sources, **placed)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
