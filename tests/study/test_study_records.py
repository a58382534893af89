"""Records: read whole, refused in one sentence where a comparison would be false, written as raw numbers."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import CODES, CONTENT, SKEW, UNIFORM, World, write_arms

from polyglot_lm.pipeline import CorruptFileError, UserError
from polyglot_lm.study.arms import Arms
from polyglot_lm.study.documents import draw
from polyglot_lm.study.records import LANGUAGES_TABLE, RUNS_TABLE, document_bits, pardoned, read_runs, sizes, write_tables
from polyglot_lm.study.yardstick import all_frozen, frozen, ln_r


def changed(folder: Path, **fields: object) -> None:
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | fields))


def test_runs_come_by_path_and_an_unfinished_one_does_not_count(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    world.write("arms", "uniform", UNIFORM, seed=1)
    world.write("arms", "bloom", SKEW, size="110m")
    (tmp_path / "arms" / "cut-off").mkdir()
    runs = read_runs(tmp_path)
    assert [run.arm for run in runs] == ["bloom", "uniform"]
    assert sizes(runs) == ["27m", "110m"]
    assert runs[1].content == pytest.approx(8 * CONTENT) and set(runs[1].languages) == set(CODES)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run\.json lies below .*; give the folder that holds the runs of a study"):
        read_runs(tmp_path)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    folder = World(folder=tmp_path).write("arms", "uniform", UNIFORM)
    record = json.loads((folder / "run.json").read_text())
    del record["share_realised"]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run\.json lacks 'share_realised'; it is no record of this study"):
        read_runs(tmp_path)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_bits_are_refused(tmp_path: Path, value: float) -> None:
    folder = World(folder=tmp_path).write("arms", "uniform", UNIFORM)
    changed(folder, bits_per_byte={"test": {"ko": value}})
    with pytest.raises(UserError, match=rf"says {value} bits per byte of test text in 'ko'"):
        read_runs(tmp_path)


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    folder = World(folder=tmp_path).write("arms", "uniform", UNIFORM)
    shutil.copytree(folder, tmp_path / "arms" / "copy")
    with pytest.raises(UserError, match=r"uniform-.* is the same run as .*copy; keep one of them"):
        read_runs(tmp_path)


def test_a_run_of_another_corpus_is_refused(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    for seed in range(3):
        world.write("arms", "uniform", UNIFORM, seed=seed)
    changed(world.write("arms", "bloom", SKEW), corpus="other")
    with pytest.raises(UserError, match=r"bloom-.* read the corpus other, 3 other runs made-up"):
        read_runs(tmp_path)


def test_other_test_documents_are_refused(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=1)
    folder = next((tmp_path / "arms").glob("bloom*"))
    arrays = dict(np.load(folder / "documents.npz"))
    np.savez(folder / "documents.npz", **(arrays | {"ko_bytes": arrays["ko_bytes"] + 1}))
    runs = read_runs(tmp_path)
    with pytest.raises(UserError, match="scored other test documents in 'ko'"):
        draw([run for run in runs if run.stage == "arms"], all_frozen(runs, "27m", CODES))


def test_documents_cut_in_half_are_reported_as_damaged(tmp_path: Path) -> None:
    path = World(folder=tmp_path).write("arms", "uniform", UNIFORM) / "documents.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CorruptFileError, match=r"documents\.npz is damaged"):
        document_bits(read_runs(tmp_path)[0])


def test_the_reference_is_the_best_setting_of_the_selection_split_and_the_mean_of_its_seeds(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=1)
    runs = read_runs(tmp_path)
    reference = all_frozen(runs, "27m", CODES)["ko"]
    assert reference.setting == (8, 1e-3) and len(reference.runs) == 3
    assert reference.bits("test") == pytest.approx(np.mean([run.bits_per_byte["test"]["ko"] for run in reference.runs]))
    assert len(reference.sweep) == 4 and reference.edges == ["lowest rate"]
    uniform = next(run for run in runs if run.arm == "uniform")
    assert ln_r(uniform, {"ko": reference})["ko"] == pytest.approx(-0.01 * 6 - 0.05, abs=0.02)


def test_a_run_with_too_many_spikes_does_not_count_and_chooses_still(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=2)
    for folder in [*(tmp_path / "references").glob("*-ko-27m-0-8-0.001-*"), next((tmp_path / "arms").glob("uniform-*-1-64-*"))]:
        changed(folder, spikes=11)
    runs = read_runs(tmp_path)
    assert sum(run.excluded for run in runs) == 2
    reference = all_frozen(runs, "27m", CODES)["ko"]
    assert reference.setting == (8, 1e-3) and [run.seed for run in reference.runs] == [1, 2]
    assert Arms(runs, "27m", CODES).seeds_of("bloom", "uniform") == [0]
    assert Arms(pardoned(runs), "27m", CODES).seeds_of("bloom", "uniform") == [0, 1]


def test_where_all_have_spikes_the_reference_is_what_there_is(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=1)
    for folder in (tmp_path / "references").glob("*-ko-*"):
        changed(folder, spikes=11)
    assert len(all_frozen(read_runs(tmp_path), "27m", CODES)["ko"].runs) == 3


def test_references_of_more_content_are_told_by_what_they_read(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=1)
    world.write("references", "reference", {"en": 1.0}, content=8 * CONTENT)
    runs = read_runs(tmp_path)
    assert list(frozen(runs, "27m", CODES, multiple=8)) == ["en"]
    assert frozen(runs, "27m", CODES, multiple=8)["en"].bits("test") < frozen(runs, "27m", ["en"])["en"].bits("test")


def test_a_language_without_a_reference_is_named(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    write_arms(world, seeds=1)
    for folder in (tmp_path / "references").glob("*-th-*"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match="no reference of 'th' with the content of the uniform arm"):
        all_frozen(read_runs(tmp_path), "27m", CODES)


def test_the_tables_hold_every_raw_number(tmp_path: Path) -> None:
    world = World(folder=tmp_path / "runs")
    write_arms(world, seeds=2)
    runs = read_runs(tmp_path / "runs")
    write_tables(tmp_path, runs)
    rows = list(csv.DictReader((tmp_path / RUNS_TABLE).open()))
    assert len(rows) == len(runs) and {row["arm"] for row in rows} >= {"reference", "uniform", "bloom"}
    cells = list(csv.DictReader((tmp_path / LANGUAGES_TABLE).open()))
    assert len(cells) == len(runs) * len(CODES)
    uniform = next(run for run in runs if run.arm == "uniform")
    found = next(cell for cell in cells if cell["run"] == f"arms/{uniform.folder.name}" and cell["language"] == "ja")
    assert float(found["bits_per_byte_test"]) == pytest.approx(uniform.bits_per_byte["test"]["ja"], rel=1e-6)
    assert float(found["english_bytes_seen"]) == pytest.approx(CONTENT)
