"""Metrics: JSON lines that survive a kill."""

from pathlib import Path

import pytest

from polyglot_lm.shards import METRICS_FILE, Metrics, read_metrics

LINES = [{"step": 10, "loss": 3.5}, {"step": 20, "loss": 3.0}, {"step": 20, "control": {"ko": 2.0, "en": 1.5}}]


def write(folder: Path, until_step: int = 0) -> Metrics:
    metrics = Metrics(folder, until_step=until_step, writes=True)
    for line in LINES:
        metrics.write(**line)
    return metrics


def test_lines_come_back_and_the_newest_value_of_a_field_is_found(tmp_path: Path) -> None:
    metrics = write(tmp_path)
    assert read_metrics(tmp_path) == metrics.lines == LINES
    assert (metrics.last("loss"), metrics.last("control"), metrics.last("speed")) == (3.0, {"ko": 2.0, "en": 1.5}, None)


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    write(tmp_path)
    assert Metrics(tmp_path, until_step=15, writes=True).lines == LINES[:1] == read_metrics(tmp_path)


def test_a_process_that_does_not_write_leaves_the_file_alone(tmp_path: Path) -> None:
    write(tmp_path)
    metrics = Metrics(tmp_path, until_step=15, writes=False)
    metrics.write(step=16)
    assert metrics.lines == [LINES[0], {"step": 16}]
    assert read_metrics(tmp_path) == LINES
    assert read_metrics(tmp_path / "nowhere") == []


@pytest.mark.parametrize("torn", [1, 2, 3, 30])
def test_a_line_that_was_torn_by_a_kill_is_left_out(tmp_path: Path, torn: int) -> None:
    write(tmp_path)
    path = tmp_path / METRICS_FILE
    path.write_bytes(path.read_bytes()[: -1 - torn])
    assert read_metrics(tmp_path) == LINES[:2]
    assert Metrics(tmp_path, until_step=20, writes=True).lines == LINES[:2]
    assert path.read_text().count("\n") == 2
