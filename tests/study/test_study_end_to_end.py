"""From text to results: a tiny study trains every stage on a core, and the report reads what the runner wrote."""

from pathlib import Path

import pytest
import torch
from tiny_study import StudyData, make_data, protocol

from polyglot_lm.study.report import END, START, write_report
from polyglot_lm.study.runner import Study


@pytest.mark.slow
def test_the_report_reads_what_the_runner_writes(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data, page = StudyData(make_data(tmp_path / "text")), tmp_path / "page.md"
    page.write_text(f"{START}\n{END}\n")
    study = Study(protocol=protocol(), data=data, out=tmp_path / "records", devices=[torch.device("cpu")], say=lambda _: None)
    assert study.carry_out()
    lines = write_report(tmp_path / "records", tmp_path / "results", page)
    assert [line[:2] for line in lines] == ["P1", "P2", "P3"]
    assert "uniform; +" in lines[1]  # skew is worse in the mean; two seeds need not resolve it
    assert {"pareto", "synergy", "controllers"} <= {path.stem for path in (tmp_path / "results").glob("*.svg")}
    assert "ln r at equal compute" in page.read_text()
