"""The report: one command from made-up records to tables, pictures, text; verdicts that the truth deserves; a page kept whole."""

import csv
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_up_runs import CODES, CONTENT, SKEW, UNIFORM, World, write_arms
from test_study_search import write_probes
from test_study_transfer import write_pairs
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.mixture.selection import read_synergy
from polyglot_lm.pipeline import UserError
from polyglot_lm.study.canvas import Scale, diverging
from polyglot_lm.study.markdown import probability, sentence, signed
from polyglot_lm.study.report import END, START, write_report
from polyglot_lm.study.statistics import estimate

PAGE = f"# Protocol\n\nWritten before.\n\n{START}\nold\n{END}\n\nWritten by hand.\n"
PICTURES = {"pareto", "languages", "differences", "content", "controllers", "references", "synergy", "kinship", "ladder", "search"}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = World(folder=tmp_path_factory.mktemp("records"))
    write_arms(world, seeds=3)
    for seed in range(3):
        log = [{"progress": part, "shares": UNIFORM} for part in (0.2, 0.8)]
        folder = world.write("arms", "controller-from-uniform", UNIFORM, seed=seed, controller_log="controller.jsonl", resumed=1)
        (folder / "controller.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    write_probes(world, 24)
    write_pairs(world, seeds=1)
    for size in ("10m", "110m"):
        for arm, shares in (("uniform", UNIFORM), ("bloom", SKEW)):
            world.write("ladder", arm, shares, size=size)
        for code in CODES:
            world.write("references", "reference", {code: 1.0}, size=size, content=CONTENT)
    for code, more in (("en", 8), ("zh", 8), ("en", 0.25), ("zh", 4)):
        world.write("references", "reference", {code: 1.0}, content=more * CONTENT)
    for arm in ("uniform", "regression"):
        for seed in (101, 102, 103):
            world.write("search", arm, UNIFORM, seed=seed, confirmation=True)
    return world.folder


@pytest.fixture(scope="module")
def written(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs = tmp_path_factory.mktemp("docs")
    (docs / "page.md").write_text(PAGE)
    done = CliRunner().invoke(
        app,
        ["study", "report", str(records), "--out", str(docs / "results"), "--page", str(docs / "page.md")],
        catch_exceptions=False,
    )
    assert done.exit_code == 0 and "P1: worst ln r, BLOOM-like − uniform; +0." in done.output
    return docs


def test_what_stands_around_the_results_stays(written: Path) -> None:
    page = (written / "page.md").read_text()
    assert page.startswith(f"# Protocol\n\nWritten before.\n\n{START}\n") and page.endswith(f"{END}\n\nWritten by hand.\n")
    assert "old" not in page.split(START)[1].split("\n")[:3]


def test_every_picture_is_shown_and_is_valid(written: Path) -> None:
    page = (written / "page.md").read_text()
    assert {path.stem for path in (written / "results").glob("*.svg")} == PICTURES
    assert set(re.findall(r"\]\(results/(\w+)\.svg\)", page)) == PICTURES
    for path in (written / "results").glob("*.svg"):
        drawn = ElementTree.parse(path).getroot()
        width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
        for text in drawn.iter("{http://www.w3.org/2000/svg}text"):
            assert 0 <= float(text.attrib["x"]) <= width and 0 <= float(text.attrib["y"]) <= height
        for circle in drawn.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 <= float(circle.attrib["cx"]) <= width and 0 <= float(circle.attrib["cy"]) <= height
        assert "nan" not in path.read_text()


def test_the_verdicts_are_what_the_truth_deserves(written: Path) -> None:
    page = (written / "page.md").read_text()
    rows = {row.split(":")[0].strip("| "): row for row in page.splitlines() if row.startswith("| P")}
    assert set(rows) == {"P1", "P2", "P3"} and all("resolved, above 0" in row for row in rows.values())
    assert "**controller, from uniform** and **uniform** do not differ in mean ln r by as much as 1 %" in page
    assert "More bits under uniform than under BLOOM's shares: en 1" in page and "6 of 8 gain" in page
    assert "takes back 100 %" in page or "takes back 99 %" in page or "takes back 101 %" in page
    assert "On FLORES devtest sharing helps en, ko, zh, ja, id, ms, vi and th and costs none." in page
    assert "No run is excluded." in page
    assert "No mixture was found that is better than uniform by 1 %" in page


def test_goals_and_accounts_are_computed(written: Path, records: Path) -> None:
    page = (written / "page.md").read_text()
    assert re.search(r"\| mean ln r on held-out text, uniform at 110m \| −0\.10 \| −0\.\d+, (met|missed) \|", page)
    assert f"{len(list(records.rglob('run.json')))} runs" in page
    assert "| arms | 15 | 27m |" in page and "within the half point asked for" in page
    assert "en 2.2 times (reference)" in page


def test_numbers_are_there_raw_and_for_selection(written: Path, records: Path) -> None:
    rows = list(csv.DictReader((written / "results" / "runs.csv").open()))
    assert len(rows) == len(list(records.rglob("run.json")))
    synergy = read_synergy(written / "results" / "synergy.json")
    assert synergy["id"]["ms"] > synergy["th"]["ms"]


def test_the_same_records_give_the_same_bytes(written: Path, records: Path, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    lines = write_report(records, tmp_path / "results", tmp_path / "page.md")
    assert len(lines) == 3
    for path in (written / "page.md", *(written / "results").iterdir()):
        assert path.read_bytes() == (tmp_path / path.relative_to(written)).read_bytes()


def test_stages_that_were_not_run_are_said(records: Path, tmp_path: Path) -> None:
    for stage in ("arms", "references"):
        shutil.copytree(records / stage, tmp_path / "runs" / stage)
    for path in [*(tmp_path / "runs").rglob("*110m*"), *(tmp_path / "runs").rglob("*10m*")]:
        shutil.rmtree(path, ignore_errors=True)
    (tmp_path / "page.md").write_text(PAGE)
    write_report(tmp_path / "runs", tmp_path / "results", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "The pairs of languages were not run." in page and "0 mixtures were probed: too few for a law of 8 languages." in page
    assert "there is no ladder" in page and "not measured" in page
    assert not (tmp_path / "results" / "synergy.json").exists()


@pytest.mark.parametrize("text", ["no marks", f"{END} {START}", f"only {START}"])
def test_a_page_without_a_place_for_results_is_refused(records: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(UserError, match=r"page\.md has no <!-- results --> followed by <!-- /results -->"):
        write_report(records, tmp_path, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.10, 0.11, 0.09], "**a** is worse than **b** in the mean, by 10.5 %"),
        ([-0.10, -0.11, -0.09], "**a** is better than **b** in the mean, by 10.5 %"),
        ([0.001, 0.0, -0.001], "**a** and **b** do not differ in the mean by as much as 1 %"),
        ([0.1, 0.0, -0.1], "**a** and **b** cannot be told apart in the mean"),
    ],
)
def test_sentences_follow_the_interval(values: list[float], said: str) -> None:
    assert sentence("a", "b", "the mean", estimate(values)) == said


def test_figures_in_words() -> None:
    assert (signed(-0.0123), signed(0.5, 1), signed(float("nan"))) == ("−0.012", "+0.5", "·")
    assert (probability(0.00001), probability(0.0123), probability(0.51)) == ("< 0.0001", "0.0123", "0.51")


def test_colours_run_from_white_and_ticks_are_round() -> None:
    assert diverging(0.0, 0.2) == "#ffffff" and diverging(0.3, 0.2) == diverging(0.2, 0.2) != diverging(-0.2, 0.2)
    assert Scale(low=-0.11, high=0.21).ticks() == [-0.1, 0.0, 0.1, 0.2]
    assert Scale(low=0.09, high=4, log=True).ticks() == pytest.approx([0.1, 0.3, 1.0, 3.0])
