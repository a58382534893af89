"""The card: a pure function of records, read as a whole in `golden/model_card.md`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import UserError
from polyglot_lm.release.card import Story, front_matter, gather, model_card, plots, write_card
from polyglot_lm.release.metadata import metadata_complaints

NAMES = {"ko": "한국어", "th": "ไทย"}
SHAPE = {
    "num_layers": 4,
    "width": 128,
    "num_heads": 4,
    "mlp_width": 512,
    "context": 256,
    "vocab_size": 8192,
    "rotary_fraction": 0.5,
}
FOUND = {"pii_tell": 41, "pii_email": 1}
OPTIM = {"type": "OptimConfig", "optimizer": "muon", "learning_rate": 0.008, "clip_norm": 1.0}


def record(root: Path, address: str, function: str, arguments: dict[str, Any], parents: list[str], **counters: Any) -> Path:
    """Write a step's folder, its numbers by hand."""
    folder = root / address
    folder.mkdir(parents=True)
    name = address[: address.rindex("-")]
    told = {"name": name, "address": address, "stage": f"polyglot_lm.somewhere:{function}", "parents": parents}
    measured = {"measurements": {"wall_seconds": 5400.0, "commit": "0123456789ab", "torch": "2.13.0"}}
    specification = {"name": name, "version": 1, "arguments": arguments}
    (folder / "step.json").write_text(json.dumps(told | measured | {"specification": specification, "counters": counters}))
    return folder


def language_row(name: str, position: int) -> dict[str, Any]:
    bits = {"bits_per_byte": 1.5 + position / 8, "xz_bits_per_byte": 2.25, "order0_bits_per_byte": 3.125}
    return {"name": name, "epochs": 1.25 + position, "heldout_bytes": 123_456, "parallel_bits": 98_765.4 + position, **bits}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write all that a recipe leaves of two languages, and one evaluation."""
    for code, licence in (("ko", "CC-BY-SA-4.0"), ("th", None)):
        record(tmp_path, f"documents/{code}/wiki-00000000", "ingest", {"license": licence}, [], bytes=900_000)
        masking = {"code": code, "mask_countries": ["kr" if code == "ko" else "th"], "mask_kinds": ["tell", "email"]}
        record(
            tmp_path,
            f"corpus/{code}-00000000",
            "build_corpus",
            masking,
            [f"documents/{code}/wiki-00000000"],
            pii_tell=41,
            pii_email=1,
        )
        counted = {"documents": 600, "tokens": 90_000, "bytes": 500_000, "english_bytes": 400_000.4}
        encoded = {"language": code, "source": "wiki"}
        record(tmp_path, f"tokens/{code}/wiki-00000000", "encode_corpus", encoded, [f"corpus/{code}-00000000"], **counted)
    mixture = record(tmp_path, "mixture-00000000", "plan_mixture", {}, [f"tokens/{code}/wiki-00000000" for code in NAMES])
    half = dict.fromkeys(NAMES, 0.5)
    shares: dict[str, Any] = {"unit": "english_bytes", "languages": {code: code for code in NAMES}, "shares": half}
    (mixture / "mixture.json").write_text(
        json.dumps(shares | {"shares_in": {"english_bytes": half, "tokens": {"ko": 0.4, "th": 0.6}}})
    )
    arguments = {
        "mixture": "mixture-00000000",
        "model": SHAPE,
        "optim": OPTIM,
        "training": {"type": "TrainingConfig", "steps": 900},
    }
    counted = {"parameters": 2_891_520, "steps": 900, "tokens": 1_843_200, "amounts": {"ko": 5e6, "th": 5e6}}
    training = record(tmp_path, "training-00000000", "train", arguments, ["mixture-00000000"], **counted)
    lines = [{"step": 10 * n, "tokens": 20_480 * n, "loss": 9 - n / 20} for n in range(1, 91)]
    (training / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = record(tmp_path, "report-00000000", "balance_report", {}, ["training-00000000"])
    rows = {code: language_row(name, position) for position, (code, name) in enumerate(NAMES.items())}
    (report / "summary.json").write_text(json.dumps({"parallel_documents": 321, "unit": "english_bytes", "languages": rows}))
    (tmp_path / "evaluation" / "tasks").mkdir(parents=True)
    (tmp_path / "evaluation" / "model.json").write_text("{}")
    score = {"name": "kobest_copa", "language": "ko", "shots": 5, "n": 1000, "metric": "f1", "at_chance": True}
    score["metrics"] = {"f1": {"value": 0.5023, "low": 0.47, "high": 0.53}}
    (tmp_path / "evaluation" / "tasks" / "kobest_copa-5.json").write_text(json.dumps(score))
    gates = [{"name": "most epochs", "value": 2.25, "bound": 4.0, "passed": True}]
    competence = {"mean_ln": 0.125, "worst_ln": 0.25, "worst_language": "th"}
    balance = {"models": [{"name": "tiny", "competence": competence, "gates": gates}]}
    (tmp_path / "balance.json").write_text(json.dumps(balance))
    labelled = [{"country": "kr", "kind": kind, "recall": recall, "labels": 100} for kind, recall in (("tell", 1.0), ("rrn", 0.99))]
    (tmp_path / "masking.json").write_text(json.dumps({"by_country_and_kind": labelled}))
    proof = {"passed": True, "failures": [], "format": "hf", "precision": "float32", "program": "transformers 5.23.0"}
    (tmp_path / "proof.json").write_text(json.dumps(proof | {"languages": {"ko": {"logits_difference": 1.5e-5, "top1": 1.0}}}))
    return tmp_path


def story(root: Path) -> Story:
    return gather(
        "Polyglot test",
        NAMES,
        root / "training-00000000",
        report=root / "report-00000000",
        proof=root / "proof.json",
        evaluations=[root / "evaluation"],
        balance=root / "balance.json",
        masking=root / "masking.json",
    )


def test_the_card_of_fixed_records_stays_what_it_is(root: Path, golden: Callable[[str, Any], None]) -> None:
    golden("model_card.md", model_card(story(root)))


def test_the_hub_would_take_the_card(root: Path) -> None:
    card = model_card(story(root))
    assert metadata_complaints(card) == []
    read = yaml.safe_load(card.split("---\n")[1])
    assert read["language"] == list(NAMES) and read["pipeline_tag"] == "text-generation"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("- ko", "- Korean"), "language 'Korean' is no ISO 639 code"),
        (("license: apache-2.0", "license: Apache 2"), "license 'Apache 2' is not one of the hub's identifiers"),
        (("pipeline_tag: text-generation", "pipeline_tag: talking"), "pipeline_tag 'talking'"),
        (("tags:", "datasets:\n- a/b/c\ntags:"), "datasets has 'a/b/c'"),
        (("license: apache-2.0", "license: [apache-2.0"), "the front matter cannot be read"),
    ],
)
def test_metadata_that_the_hub_refuses_is_found_before_it_is_asked(root: Path, change: tuple[str, str], says: str) -> None:
    card = model_card(story(root)).replace(*change, 1)
    assert [complaint for complaint in metadata_complaints(card) if says in complaint]
    assert metadata_complaints("no front matter") == ["the card has no front matter"]


def test_every_language_of_the_table_has_a_code_that_yaml_reads_as_text() -> None:
    names = {code: language.name for code, language in languages().items()}
    assert yaml.safe_load("\n".join(front_matter(names)).strip("-\n"))["language"] == list(names)


def test_every_table_of_the_card_has_as_many_cells_in_each_row(root: Path) -> None:
    blocks = model_card(story(root)).split("\n\n")
    tables = [block.strip().splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 10
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_what_has_no_record_is_said_to_have_none(root: Path) -> None:
    for path in [*root.glob("*/*/*/step.json"), *root.glob("corpus/*/step.json"), root / "mixture-00000000" / "mixture.json"]:
        path.unlink()
    (root / "training-00000000" / "metrics.jsonl").unlink()
    bare = model_card(gather("Bare", NAMES, root / "training-00000000"))
    for field in ("Sources", "Shares", "Masking", "Training curve", "Bits per byte", "Downstream tasks", "Proof against", "gates"):
        assert re.search(rf"{field}[^|\n]*: not recorded", bare), field
    assert "2,891,520" in bare and "svg" not in bare


def test_numbers_come_from_the_records(root: Path) -> None:
    card = model_card(story(root))
    assert "| 한국어 | kr | tell, email | 42 | 99.5% of 200 |" in card
    assert "| ไทย | th | tell, email | 42 | not recorded |" in card  # no labelled sentences of that country
    assert "| 한국어 | wiki | 600 | 500,000 | 400,000 | CC-BY-SA-4.0 |" in card
    assert "| ไทย | wiki | 600 | 500,000 | 400,000 | not recorded |" in card
    assert "| **Polyglot test** (measured) | 0.5023 | not recorded |" in card
    assert "| polyglot-ko-1.3b | 0.7193 |" in card  # the published row of the same number of examples


def test_pictures_are_files_that_stand_alone(root: Path) -> None:
    found = plots(story(root))
    assert set(found) == {"loss.svg", "balance.svg"}
    assert all("xmlns" in drawing and "currentColor" not in drawing for drawing in found.values())


def test_a_page_that_somebody_wrote_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_card(out, story(root))
    write_card(out, story(root))  # its own page is
    (out / "README.md").write_text("mine")
    with pytest.raises(UserError, match="was not generated by polyglot card"):
        write_card(out, story(root))
    assert (out / "README.md").read_text() == "mine"


def test_an_unfinished_training_has_no_card(root: Path) -> None:
    (root / "training-00000000" / "step.json").unlink()
    with pytest.raises(UserError, match="has no record of a finished step"):
        story(root)


def test_a_folder_without_an_evaluation_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"has no model\.json"):
        gather("Bare", NAMES, root / "training-00000000", evaluations=[root])
