"""The balance report over a model that was really trained, measured and compared: what it says, and that it says only that."""

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from release.tiny_chain import NAMES, PREMIUMS, run_chain

from polyglot_lm.evaluation.balance import gates, shares_over_time, write_balance
from polyglot_lm.evaluation.balance_page import balance_page
from polyglot_lm.evaluation.evaluate import corpora_below, describe_model, measure_text
from polyglot_lm.evaluation.models import load_model
from polyglot_lm.evaluation.monolingual import gather_references, read_references
from polyglot_lm.evaluation.plots import heat_map, interval_chart, log_chart, lorenz, round_values, scatter
from polyglot_lm.pipeline import Runtime, UserError, write_json

ONE_THREAD = Runtime(threads=1, device="cpu")
VOID = {"meta", "line", "rect", "circle", "polyline", "br"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    torch.set_num_threads(1)
    return run_chain(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def references(chain: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References that are the model itself, so that r is 1."""
    out, keys = tmp_path_factory.mktemp("references"), {f"{code}-1-1": code for code in NAMES}
    gather_references(
        out,
        trainings=dict.fromkeys(keys, chain["training"]),
        heldouts=dict.fromkeys(keys, chain["heldout"]),
        languages=keys,
        contents=dict.fromkeys(keys, 1.0),
        rates=dict.fromkeys(keys, 1.0),
    )
    return out


@pytest.fixture(scope="module")
def measured(chain: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(chain, tmp_path_factory.mktemp("evaluations") / "tiny", window=64)


def measure(chain: Mapping[str, Path], out: Path, window: int) -> Path:
    model = load_model(str(chain["model"]), device="cpu")
    about = describe_model(out, model)
    corpora = {code: Path(about["root"]) / place for code, place in about["folders"]["corpora"].items()}
    measure_text(
        out, model, corpora=corpora, parallel=None, byte_premiums=PREMIUMS, window_english_bytes=window, runtime=ONE_THREAD
    )
    return out


@pytest.fixture(scope="module")
def report(measured: Path, references: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    out = tmp_path_factory.mktemp("balance")
    write_balance(out, [measured], references)
    return json.loads((out / "balance.json").read_text()), (out / "balance.html").read_text()


def test_a_model_against_itself_is_exactly_as_good(report: tuple[dict[str, Any], str]) -> None:
    found = report[0]["models"][0]["competence"]
    assert [row["r"] for row in found["languages"].values()] == pytest.approx([1.0] * len(NAMES), abs=1e-4)
    assert (found["mean_ln"], found["worst_ln"]) == pytest.approx((0, 0), abs=1e-4)


def test_training_is_found_by_the_records(report: tuple[dict[str, Any], str]) -> None:
    training = report[0]["models"][0]["training"]
    assert training["planned"] == pytest.approx(dict.fromkeys(NAMES, 1 / 3))
    assert sum(training["realised"].values()) == pytest.approx(1)
    assert training["steps"] == 4
    assert [step for step, _ in training["control"]] == [2, 4]
    assert set(training["english_bytes"]) == set(NAMES)


class Balanced(HTMLParser):
    """Checks that every tag is closed in its turn, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_whole_and_fetches_nothing(report: tuple[dict[str, Any], str]) -> None:
    parser = Balanced()
    parser.feed(report[1])
    assert parser.open == []
    words = " ".join(parser.text)
    assert all(name in words for name in NAMES.values())
    assert "bloom-7b1 (published)" in words and "2.401" in words
    bare = report[1].replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert all(word not in bare for word in ("http", "src=", "<script", "url("))


def test_the_same_folders_give_the_same_report(measured: Path, references: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_balance(tmp_path / name, [measured], references)
    for file in ("balance.json", "balance.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_models_stand_side_by_side(measured: Path, references: Path, tmp_path: Path) -> None:
    other = tmp_path / "other <b>"
    other.mkdir()
    write_json(other / "model.json", {"name": "x", "parameters": 5, "identity": "x", "masked": True})
    lines = write_balance(tmp_path / "out", [measured, other], references)
    assert lines[0].startswith("tiny: mean ln r ")
    assert "no relative competence" in lines[1]
    page = (tmp_path / "out" / "balance.html").read_text()
    assert "other &lt;b&gt;" in page and "other <b>" not in page


def test_windows_of_other_content_are_refused(chain: Mapping[str, Path], references: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="evaluate it with --window-bytes 64"):
        write_balance(tmp_path, [measure(chain, tmp_path / "wide", window=128)], references)


def test_what_is_measured_is_not_measured_again(chain: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure(chain, tmp_path, window=64)
    before = (tmp_path / "heldout.json").stat().st_mtime_ns
    monkeypatch.setattr("polyglot_lm.evaluation.evaluate.measure_heldout", None)
    measure(chain, tmp_path, window=64)
    assert (tmp_path / "heldout.json").stat().st_mtime_ns == before


def test_wrong_folders_are_named(chain: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no model.json; give a folder that `polyglot evaluate` wrote"):
        write_balance(tmp_path, [tmp_path], None)
    with pytest.raises(UserError, match=r"polyglot run references"):
        read_references(tmp_path)
    root = chain["training"].parent
    assert set(corpora_below(root, list(NAMES))) == set(NAMES)
    with pytest.raises(UserError, match="has no corpus of 'ja'; give a folder with one"):
        corpora_below(root, ["ja"])


def test_gates_pass_and_fail_at_their_bounds() -> None:
    training = {"planned": {"ko": 0.5}, "realised": {"ko": 0.5051}, "epochs": {"ko": 4.0}}
    costs = {"gini": 0.05, "max_over_min": 1.26}
    found = {gate["name"]: gate["passed"] for gate in gates({"training": training, "token_costs": costs, "competence": None})}
    assert found == {
        "Gini of token cost": True,
        "dearest over cheapest": False,
        "most epochs": True,
        "share, realised − planned": False,
    }


def test_shares_over_time_are_those_of_stages_or_of_the_controller() -> None:
    stages = [{"until": 0.5, "shares": {"a": 0.5, "b": 0.5}}, {"until": 1.0, "shares": {"a": 0.2, "b": 0.8}}]
    mixture = {"languages": {"a": "ko", "b": "en"}, "stages": stages}
    even, late = {"ko": 0.5, "en": 0.5}, {"ko": 0.2, "en": 0.8}
    assert shares_over_time([], mixture, 100) == [(0.0, even), (50.0, even), (50.0, late), (100.0, late)]
    assert shares_over_time([], {**mixture, "stages": stages[:1]}, 100) == []
    logged = shares_over_time([{"step": 30, "shares": {"a": 0.3, "b": 0.7}}], mixture, 100)
    assert logged == [(0.0, even), (30.0, {"ko": 0.3, "en": 0.7})]


def test_charts_of_one_point_and_of_odd_names_are_drawn(report: tuple[dict[str, Any], str]) -> None:
    hostile = '<b>"x" & y</b>'
    charts = [
        interval_chart({hostile: {hostile: (1.0, 1.0, 1.0)}}, title=hostile, centre=1.0),
        scatter({hostile: (0.0, 0.0)}, [hostile], x_label=hostile, y_label=hostile),
        lorenz({hostile: [1.0]}),
        log_chart({hostile: [(10.0, 1.0), (1000.0, 2.0)]}, {hostile: [(10.0, 1.5)]}, x_label=hostile, y_label=hostile),
        heat_map({hostile: {"ko": -1.5}}, {"ko": hostile, "en": "English"}, title=hostile),
    ]
    for chart in charts:
        parser = Balanced()
        parser.feed(chart)
        assert parser.open == [] and "<b>" not in chart
    assert round_values(3, 600) == [5, 10, 20, 50, 100, 200, 500]
    assert balance_page({**report[0], "models": []}).startswith("<!doctype html>")
