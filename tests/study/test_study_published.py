"""What docs/ says of the balance study is what its records say: tables, pictures and text come out again, byte for byte."""

import shutil
import tarfile
from pathlib import Path

import pytest

from polyglot_lm.study.report import write_report

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_published_results_are_those_of_the_published_records(tmp_path: Path) -> None:
    for archive in sorted((DOCS / "results").glob("records*.tar.xz")):
        with tarfile.open(archive) as records:
            records.extractall(tmp_path / "records", filter="data")
    page = tmp_path / "balance-study.md"
    shutil.copy(DOCS / page.name, page)
    write_report(tmp_path / "records", tmp_path / "results", page)
    assert page.read_bytes() == (DOCS / page.name).read_bytes()
    made = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert made == sorted(path.name for path in (DOCS / "results").iterdir() if path.suffix != ".xz")
    for name in made:
        assert (tmp_path / "results" / name).read_bytes() == (DOCS / "results" / name).read_bytes(), name
