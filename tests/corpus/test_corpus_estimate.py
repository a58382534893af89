"""Estimates: a sample falls evenly on the bytes of its files, and what a pilot took is scaled to the whole."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import tiny_texts
from hypothesis import given
from hypothesis import strategies as st
from stages import write
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.corpus import estimate
from polyglot_lm.corpus.estimate import Measured, Slice, ratio_error, run_pilot, sample, scaled, slices_of, spread, text_per_byte
from polyglot_lm.corpus.sources import RawDocument, files_of
from polyglot_lm.corpus.web import extract_web, web_files
from polyglot_lm.pipeline import Counters, UserError, stage
from polyglot_lm.pipeline.progress import SILENT
from polyglot_lm.recipes.corpus import corpus


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30), st.integers(1, 200))
def test_turns_fall_evenly_on_bytes(sizes: list[int], count: int) -> None:
    slices = [Slice(reader=number, file_bytes=size) for number, size in enumerate(sizes)]
    found = {each.reader: times for each, times in spread(slices, count)}
    if not sum(sizes):
        assert found == {}
        return
    assert sum(found.values()) == count
    for number, size in enumerate(sizes):
        assert abs(found.get(number, 0) - count * size / sum(sizes)) <= 1 + 1e-6


def raw(folder: Path, files: int = 6) -> Path:
    for number in range(files):
        write(folder / f"ko/{number}.jsonl", tiny_texts("ko", 40, seed=number))
    texts = tiny_texts("ko", 50, seed=99)
    pq.write_table(pa.table({"text": texts}), folder / "ko/rows.parquet", row_group_size=10, use_dictionary=False)
    return folder


def text_of(source: Any) -> int:
    records = [record for reader in source.tasks() for record in reader.records()]
    return sum(len(record.text.encode()) for record in records if isinstance(record, RawDocument))


def test_the_text_of_the_whole_is_estimated_and_a_sample_is_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MIN_BYTES", 2000)
    monkeypatch.setattr(estimate, "PIECE_BYTES", 500)
    source = files_of(raw(tmp_path), "ko", slice_bytes=3000)
    found = sample(source, 0.001)
    whole = text_of(source)
    assert found.total_bytes == pytest.approx(whole, rel=0.05)
    assert found.num_slices == len(source.tasks()) > 7
    assert 2000 <= text_of(found) < 0.3 * whole
    assert len(found.pieces) == 4
    assert text_of(sample(source, 1.0)) > text_of(found)


def test_probes_of_some_slices_stand_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = slices_of(files_of(raw(tmp_path), "ko", slice_bytes=1000))
    every = text_per_byte(slices)
    monkeypatch.setattr(estimate, "PROBES", 12)
    assert text_per_byte(slices) == pytest.approx(every, rel=0.15)


def test_an_empty_source_has_an_empty_sample(tmp_path: Path) -> None:
    write(tmp_path / "ko.jsonl", [])
    found = sample(files_of(tmp_path, "ko"), 0.5)
    assert (found.total_bytes, found.pieces) == (0, ())


def test_the_error_is_none_for_pieces_that_agree_and_that_of_a_ratio_for_others() -> None:
    assert ratio_error([(1, 1.0), (2, 2.0), (4, 4.0)]) == pytest.approx(0)
    assert ratio_error([(1, 1.0), (1, 1.0)]) is None
    assert ratio_error([(1, 0.0), (1, 2.0), (1, 1.0), (1, 1.0)]) == pytest.approx((4 / 3 * 2) ** 0.5 / 4)


@stage(version=1)
def read(out: Path, *, source: Any) -> Counters:
    return {}


@stage(version=1)
def join(out: Path, *, documents: Any) -> Counters:
    return {}


def took(seconds: float, text: int = 0) -> Measured:
    return Measured(
        text_bytes=text, cpu_seconds=seconds, error=None, read_bytes=text, written_bytes=text, disk_bytes=text, peak_bytes=1
    )


def test_what_tasks_cost_anyway_is_scaled_by_slices_and_the_rest_by_bytes(tmp_path: Path) -> None:
    source = files_of(raw(tmp_path, 10), "ko")
    steps = [read.step("documents/ko/raw", source=source)]
    steps.append(join.step("clusters/ko", documents={"ko": (steps[0],)}))
    pieces = tuple(estimate.Opening(reader=reader, max_bytes=1) for reader in source.tasks()[:2])
    samples = {id(source): estimate.Sample(name="s", pieces=pieces, total_bytes=1_000_100, file_bytes=500, num_slices=20)}
    small, large = [took(1.0, 100), took(0.5)], [took(3.0, 1100), took(1.5)]
    for number, (fixed, slope) in enumerate([(1.0, 2.0), (0.5, 1.0)]):
        found = scaled(number, steps, small, large, samples)
        assert found.core_hours == pytest.approx((fixed * 20 / 2 + slope * 1_000_000 / 1000) / 3600)
        assert found.text_bytes == 1_000_100
    assert scaled(0, steps, small, large, samples).moved_bytes == 500 + 100 * 10 + 1000 * 1000


def test_a_pilot_estimates_every_step_of_a_recipe(tmp_path: Path) -> None:
    for code in ("id", "ms"):
        write(tmp_path / f"raw/{code}.jsonl", tiny_texts(code, 60))
    recipe = corpus(languages=("id", "ms"), sources=(str(tmp_path / "raw"),), quality="lenient")
    found = run_pilot(recipe.targets, 0.5, SILENT)
    names = [step.name for step in found.steps]
    assert set(names) == {"documents/id/raw", "documents/ms/raw", "clusters/id+ms", "corpus/id", "corpus/ms"}
    text = {step.name: step.text_bytes for step in found.steps}
    whole = sum(len(json.loads(line)["text"].encode()) for line in (tmp_path / "raw/ms.jsonl").read_text().splitlines())
    assert text["documents/ms/raw"] == text["corpus/ms"] == pytest.approx(whole, rel=0.01)
    assert text["clusters/id+ms"] == text["documents/id/raw"] + text["documents/ms/raw"]
    assert found.fraction == pytest.approx(1, rel=0.05)  # so little text is read whole
    assert all(step.disk_bytes > 0 for step in found.steps)
    assert found.core_hours > 0


def test_the_command_line_prints_a_table_and_a_price_only_when_asked(tmp_path: Path) -> None:
    write(tmp_path / "raw/ko.jsonl", tiny_texts("ko", 30))
    arguments = ["plan", "corpus", "--set", f"sources={tmp_path / 'raw'}", "--set", "languages=ko", "--set", "quality=lenient"]
    shown = CliRunner().invoke(app, [*arguments, "--pilot", "0.001", "--workers", "7"])
    assert shown.exit_code == 0, shown.output
    assert "documents/ko/raw" in shown.stdout
    assert re.search(r"wall hours .* with 7 workers", shown.stdout)
    assert "$" not in shown.stdout
    assert "$" in CliRunner().invoke(app, [*arguments, "--pilot", "0.001", "--core-hour-price", "0.05"]).stdout
    states = CliRunner().invoke(app, [*arguments, "--root", str(tmp_path / "runs")])
    assert "state" in states.stdout
    assert not (tmp_path / "runs").exists()


def test_a_share_that_is_none_and_a_recipe_without_a_corpus() -> None:
    with pytest.raises(UserError, match=r"the pilot's share is 1\.5"):
        run_pilot([], 1.5, SILENT)
    with pytest.raises(UserError, match="no step of a corpus"):
        run_pilot([], 0.5, SILENT)


def test_web_archives_must_be_extracted_first(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"WARC/1.0\r\n")
    steps = [extract_web.step("source/web", files=web_files(tmp_path), max_page_bytes=1, max_page_seconds=1.0)]
    with pytest.raises(UserError, match="reads web archives"):
        run_pilot(steps, 0.5, SILENT)
