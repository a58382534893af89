"""The recipe of a tokenizer alone: the corpora of the recipe `corpus`, the policy that was asked for, and one tiny pass."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import SENTENCES, tiny_texts

from polyglot_lm.pipeline import Runtime, Step, UserError, in_order, read_json, run_steps
from polyglot_lm.recipes import RECIPES, build
from polyglot_lm.tokenizer import Balanced, Natural, Parity, Tokenizer


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    for code in ("ko", "en"):
        (folder / code).mkdir(parents=True)
        rows = [json.dumps({"text": text}, ensure_ascii=False) for text in tiny_texts(code, 300)]
        (folder / code / "part.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "sentences.jsonl").write_text(json.dumps(SENTENCES, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder


def steps(name: str, sources: Path, *settings: str) -> dict[str, Step]:
    steer = [f"parallel={sources.parent}/sentences.jsonl"] if name == "tokenizer" else []
    given = [f"sources={sources}", "languages=ko,en", "quality=lenient", *steer, *settings]
    return {step.name: step for step in in_order(build(name, given, RECIPES).targets)}


def test_its_corpora_are_those_of_the_recipe_corpus(sources: Path) -> None:
    alone, with_report = steps("tokenizer", sources), steps("corpus", sources)
    assert {name for name in alone if name != "tokenizer"} < set(with_report)
    assert all(alone[name].address == with_report[name].address for name in alone if name != "tokenizer")


def test_what_is_asked_for_is_what_is_trained(sources: Path, tmp_path: Path) -> None:
    def trained(*settings: str) -> dict[str, Any]:
        return dict(steps("tokenizer", sources, *settings)["tokenizer"].arguments)

    assert trained("policy=premiums")["policy"] == Parity(parallel=None, plain_share=0.6)
    assert trained("policy=balanced")["policy"] == Balanced()
    assert trained("policy=natural")["policy"] == Natural()
    steered = trained("plain_share=0.5")["policy"]
    assert (steered.parallel.path, steered.plain_share) == (tmp_path / "sentences.jsonl", 0.5)
    both = trained("text_megabytes=3")
    assert both["max_english_bytes"] * sum(both["byte_premiums"].values()) == pytest.approx(3e6, rel=1e-6)
    assert both["spread"] is True


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("vocab_size=1000", "vocab_size is 1000; it must be a multiple of 128"),
        ("text_megabytes=0", "text_megabytes is 0; it must be at least 1"),
        ("plain_share=1", "plain_share is 1.0; it must be at least 0 and below 1"),
        ("policy=fair", "policy is 'fair'; it must be one of parity, premiums, balanced, natural"),
        ("parallel=", "policy is 'parity' and there is no parallel text to steer by; write --set parallel=FILE"),
        ("parallel=/nowhere.jsonl", "there is no parallel text at /nowhere.jsonl"),
        ("report_on=/nowhere.jsonl", "there is no parallel text at /nowhere.jsonl"),
    ],
)
def test_a_wrong_setting_is_said_before_anything_runs(sources: Path, setting: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        steps("tokenizer", sources, setting)
    assert message in str(caught.value)


@pytest.mark.slow
def test_a_tiny_pass_trains_and_reports(sources: Path, tmp_path: Path) -> None:
    sentences = f"{tmp_path}/sentences.jsonl"
    wanted = steps("tokenizer", sources, "vocab_size=384", f"report_on={sentences}")
    run_steps([wanted["parity"]], Runtime(root=tmp_path / "runs", workers=1))
    folders = {name: tmp_path / "runs" / wanted[name].address for name in ("tokenizer", "parity")}
    assert Tokenizer(folders["tokenizer"]).vocab_size == 384
    reported = read_json(folders["parity"] / "parity.json")["tokenizers"]
    assert [list(each["languages"]) for each in reported.values()] == [["ko", "en"]]
    assert "<svg" in (folders["parity"] / "parity.html").read_text(encoding="utf-8")
