"""The card: a pure function of records, read as a whole in `golden/model_card.md`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from polyglot_lm.languages import languages
from polyglot_lm.release.card import front_matter, model_card

NAMES = {"ko": "한국어", "th": "ไทย", "en": "English"}
ARGUMENTS = {
    "model": {
        "num_layers": 4,
        "width": 128,
        "num_heads": 4,
        "mlp_width": 512,
        "context": 256,
        "vocab_size": 8192,
        "rotary_fraction": 0.5,
    },
    "optim": {
        "optimizer": "muon",
        "learning_rate": 0.008,
        "matrix_learning_rate": 0.016,
        "warmup_steps": 50,
        "decay_fraction": 0.4,
    },
    "training": {"steps": 900, "batch_windows": 8, "precision": "fp32", "seed": 1},
}


def language_row(name: str, position: int) -> dict[str, Any]:
    return {
        "name": name,
        "share": {"english_bytes": 1 / 3, "bytes": 0.2 + position / 10, "tokens": 0.4 - position / 20},
        "epochs": 1.25 + position,
        "heldout_bytes": 123_456 + position,
        "bits_per_byte": 1.5 + position / 8,
        "xz_bits_per_byte": 2.25,
        "order0_bits_per_byte": 3.125,
        "parallel_bits": 98_765.4 + position,
    }


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Write the record of a training and the summary of a report, all numbers by hand."""
    training, report = tmp_path / "training", tmp_path / "report"
    record = {"name": "training", "specification": {"name": "training", "version": 1, "arguments": ARGUMENTS}, "counters": {}}
    summary = {
        "parameters": 2_891_520,
        "steps": 900,
        "tokens": 1_843_200,
        "unit": "english_bytes",
        "parallel_documents": 321,
        "languages": {code: language_row(name, position) for position, (code, name) in enumerate(NAMES.items())},
    }
    for folder, name, value in ((training, "step.json", record), (report, "summary.json", summary)):
        folder.mkdir()
        (folder / name).write_text(json.dumps(value))
    return training, report


def test_the_card_of_fixed_records_stays_what_it_is(folders: tuple[Path, Path], golden: Callable[[str, Any], None]) -> None:
    golden("model_card.md", model_card("Polyglot test", NAMES, *folders))


def test_the_front_matter_is_yaml_that_lists_the_languages(folders: tuple[Path, Path]) -> None:
    start, head, body = model_card("Polyglot test", NAMES, *folders).split("---\n", 2)
    read = yaml.safe_load(head)
    assert start == ""
    assert read["language"] == list(NAMES)
    assert read["license"] == "apache-2.0" and read["library_name"] == "transformers"
    assert body.startswith("# Polyglot test\n")


def test_every_language_of_the_table_has_a_code_that_yaml_reads_as_text() -> None:
    names = {code: language.name for code, language in languages().items()}
    assert yaml.safe_load("\n".join(front_matter(names)).strip("-\n"))["language"] == list(names)


def test_the_card_claims_the_unit_that_shared_the_reading(folders: tuple[Path, Path]) -> None:
    path = folders[1] / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unit": "tokens"}))
    assert "same content, counted in English-equivalent bytes" not in model_card("Polyglot test", NAMES, *folders)


def test_every_table_of_the_card_has_as_many_cells_in_each_row(folders: tuple[Path, Path]) -> None:
    blocks = model_card("Polyglot test", NAMES, *folders).split("\n\n")
    tables = [block.strip().splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 3
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_an_unfinished_training_has_no_card(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError, match="has no record of a finished step"):
        model_card("Polyglot test", NAMES, tmp_path, folders[1])
