"""The balance report: its numbers are those the steps measured, its page is whole, and both are the same on every run."""

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from release.tiny_chain import BATCH, CONTEXT, DOCUMENTS, NAMES, PREMIUMS, STEPS, run_chain

from polyglot_lm.evaluation.report import PAGE_FILE, balance_report, counters, page
from polyglot_lm.evaluation.table import read_summary, summary_table
from polyglot_lm.mixture import epochs
from polyglot_lm.pipeline import read_json, read_record
from polyglot_lm.shards import read_metrics

VOID = {"meta", "line", "polyline", "rect"}


class Balanced(HTMLParser):
    """Fails on a tag that closes another than the last opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return run_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def summary(folders: Mapping[str, Path]) -> dict[str, Any]:
    return read_summary(folders["report"])


def test_the_summary_has_every_language_with_sensible_numbers(summary: dict[str, Any]) -> None:
    assert {code: row["name"] for code, row in summary["languages"].items()} == NAMES
    assert (summary["steps"], summary["tokens"], summary["unit"]) == (STEPS, STEPS * BATCH * CONTEXT, "english_bytes")
    assert summary["parallel_documents"] == 4
    for code, row in summary["languages"].items():
        assert row["documents"] == DOCUMENTS[code]
        assert 0 < row["tokens_per_byte"] <= 1
        assert 0 < row["bits_per_byte"] < 8 and 0 < row["xz_bits_per_byte"] < 8 and 0 < row["order0_bits_per_byte"] < 8
        assert row["bits_per_english_byte"] == pytest.approx(row["bits_per_byte"] * PREMIUMS[code])
        assert row["share"]["english_bytes"] == pytest.approx(1 / 3)
    for unit in ("english_bytes", "bytes", "tokens"):
        assert sum(row["share"][unit] for row in summary["languages"].values()) == pytest.approx(1)


def test_the_summary_says_what_the_steps_measured(folders: Mapping[str, Path], summary: dict[str, Any]) -> None:
    heldout, references = read_json(folders["heldout"] / "heldout.json"), read_json(folders["references"] / "references.json")
    read = epochs(folders["mixture"], summary["tokens"])
    for code, row in summary["languages"].items():
        dataset, measured = read_json(folders[f"tokens/{code}"] / "dataset.json"), heldout["languages"][code]
        assert (row["bytes"], row["tokens"]) == (dataset["bytes"], dataset["tokens"])
        assert row["heldout_bytes"] == measured["bytes"]
        assert [row[key] for key in ("bits_per_byte", "parallel_bits")] == [measured["bits_per_byte"], measured["parallel_bits"]]
        assert [row["xz_bits_per_byte"], row["order0_bits_per_byte"]] == list(references[code].values())
        assert row["epochs"] == read[code]
    margins = {
        code: min(row["xz_bits_per_byte"], row["order0_bits_per_byte"]) / row["bits_per_byte"]
        for code, row in summary["languages"].items()
    }
    assert summary["worst_margin"] == min(margins.values()) == margins[summary["worst_margin_language"]]
    mean = sum(row["bits_per_english_byte"] for row in summary["languages"].values()) / 3
    assert summary["mean_bits_per_english_byte"] == pytest.approx(mean)


def test_the_page_is_whole_and_names_every_language(folders: Mapping[str, Path]) -> None:
    parser = Balanced()
    parser.feed((folders["report"] / PAGE_FILE).read_text())
    assert parser.open == []
    assert all(name in " ".join(parser.text) for name in NAMES.values())


def test_the_page_fetches_nothing(folders: Mapping[str, Path]) -> None:
    text = (folders["report"] / PAGE_FILE).read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert all(word not in text for word in ("http", "src=", "<script", "url("))


def test_names_on_the_page_are_escaped_everywhere(folders: Mapping[str, Path], summary: dict[str, Any]) -> None:
    names = dict.fromkeys(NAMES, "A & <b>bold</b> name")
    rows = {code: {**row, "name": names[code]} for code, row in summary["languages"].items()}
    text = page({**summary, "languages": rows}, read_metrics(folders["training"]), names)
    assert "<b>bold" not in text and "A & <" not in text


def test_a_step_that_was_left_out_is_not_drawn(folders: Mapping[str, Path], summary: dict[str, Any]) -> None:
    lines = read_metrics(folders["training"])
    skipped = {"step": 3, "skipped": "non-finite loss or gradient", "loss": None, "gradient_norm": None}
    assert page(summary, [*lines, skipped], NAMES) == page(summary, lines, NAMES)


def test_the_report_is_the_same_on_every_run(tmp_path: Path, folders: Mapping[str, Path]) -> None:
    balance_report(
        tmp_path,
        names=NAMES,
        corpora={code: folders[f"corpus/{code}"] for code in NAMES},
        tokens={code: (folders[f"tokens/{code}"],) for code in NAMES},
        mixture=folders["mixture"],
        training=folders["training"],
        references=folders["references"],
        heldout=folders["heldout"],
    )
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folders["report"] / path.name).read_bytes()


def test_a_step_without_a_record_is_named(tmp_path: Path, folders: Mapping[str, Path]) -> None:
    assert counters(folders["training"]) == read_record(folders["training"])["counters"]
    with pytest.raises(FileNotFoundError, match="has no record of a finished step"):
        counters(tmp_path)


def test_the_table_has_a_row_for_every_language(folders: Mapping[str, Path], summary: dict[str, Any]) -> None:
    table = summary_table(read_summary(folders["report"]))
    cells = [list(column.cells) for column in table.columns]
    assert table.row_count == len(NAMES)
    assert cells[0] == [f"{code} {name}" for code, name in NAMES.items()]
    bits = [f"{row['bits_per_byte']:.3f}" for row in summary["languages"].values()]
    assert any(all(value in cell for value, cell in zip(bits, column, strict=True)) for column in cells)
