"""The verbs of mixtures and languages, in this process: what they print, write and refuse."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.pipeline import UserError, in_order
from polyglot_lm.recipes import RECIPES, build
from polyglot_lm.shards import METRICS_FILE


def run(*words: str) -> str:
    finished = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert finished.exit_code == 0, finished.output
    return finished.output


def test_a_plan_shows_text_epochs_licences_and_shortfalls(tmp_path: Path) -> None:
    shown = run("plan", "east_asian", "--root", str(tmp_path))
    assert "ms 34.3 GB 30.7 GB-eq. 7.67 B tokens 1.63 8.15 16.30" in " ".join(shown.split())
    for part in (
        "licence ODC-By-1.0",
        "MaLLaM",
        "size not stated",
        "ms lacks 192 B tokens",
        "245 B tokens in all can be shared evenly",
    ):
        assert part in shown


def test_show_before_a_run_shows_what_data_sets_state(tmp_path: Path) -> None:
    page = tmp_path / "mixture.html"
    shown = run("mixture", "show", "east_asian", "--root", str(tmp_path), "--out", str(page))
    assert shown.startswith("by the sizes that data sets state") and "4.00" in shown and f"page  {page}" in shown
    assert page.read_text().count("<svg") == 2
    with pytest.raises(UserError, match="the mixture of 'quickstart' is not made yet; bring it about with polyglot run quickstart"):
        run("mixture", "show", "quickstart", "--root", str(tmp_path))
    with pytest.raises(UserError, match="recipe 'corpus' has no mixture"):
        (tmp_path / "text").mkdir()
        (tmp_path / "text" / "ko.jsonl").write_text('{"text": "가"}\n')
        run("mixture", "show", "corpus", "--set", f"sources={tmp_path / 'text'}", "--set", "languages=ko")


def test_policies_are_listed_with_their_sources() -> None:
    assert all(part in run("mixture", "policies") for part in ("unimax", "bloom", "arXiv 2010.11934", "facebook/xglm-1.7B"))


def test_the_decisions_of_a_training_are_drawn(tmp_path: Path) -> None:
    decision = {
        "progress": 0.2, "method": "gradient", "target": None, "clamped": [], "alarm": [], "curves": {},
        "competence": {"ko": 1.0, "en": 0.9}, "wanted": {"ko": 0.6, "en": 0.4}, "shares": {"ko": 0.55, "en": 0.45},
    }  # fmt: skip
    lines = [{"step": 1, "loss": 2.0}, {"step": 2, "decision": decision}, {"step": 3, "decision": {**decision, "progress": 0.3}}]
    words = ("mixture", "controller", "quickstart", "--root", str(tmp_path), "--out", str(tmp_path / "page.html"))
    with pytest.raises(UserError, match=r"no training of 'quickstart' under .* had a controller; give it references and run it"):
        run(*words)
    training = next(step for step in in_order(build("quickstart", [], RECIPES).targets) if step.name == "training")
    (tmp_path / training.address).mkdir()
    (tmp_path / training.address / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "2 decisions; the last gives ko 55.0%, en 45.0%" in run(*words)
    assert "Relative competence" in (tmp_path / "page.html").read_text()


def test_sets_of_languages_are_ranked_and_exclusions_explained(tmp_path: Path) -> None:
    shown = run("languages", "select", "--size", "3", "--required", "ko", "--tokens-billions", "500")
    assert "left out  ms  34.3 GB: 21.7 epochs at this budget, 4 allowed" in shown and "by supply" in shown
    assert shown.splitlines()[1].startswith("ko en zh   ko        3.49    3         3        0.29")
    matrix = tmp_path / "synergy.json"
    codes = ("ko", "ja", "zh")
    matrix.write_text(json.dumps({one: {other: 0.125 for other in codes if other != one} for one in codes}))
    ranked = run("languages", "select", "--candidates", "ko,ja,zh", "--size", "2", "--rank-by", "synergy", "--synergy", str(matrix))
    assert "worst served" in ranked and "+0.125" in ranked
    with pytest.raises(UserError, match=r"amount of the budget is -1000000000\.0"):
        run("languages", "select", "--tokens-billions", "-1")


def test_premiums_are_measured_and_written(tmp_path: Path) -> None:
    parallel, out = tmp_path / "parallel.jsonl", tmp_path / "premiums.json"
    parallel.write_text(json.dumps({"en": "abcd", "ko": "가나", "xx": "ab"}, ensure_ascii=False) + "\n")
    shown = run("languages", "premium", str(parallel), "--out", str(out))
    assert "ko  1.500  table 1.199" in shown and "xx  0.500  not in the table" in shown
    assert json.loads(out.read_text()) == {"en": 1.0, "ko": 1.5, "xx": 0.5}
