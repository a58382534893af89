"""Models of each architecture: loading, scoring as the harness scores, pseudo-log-likelihood, and what is refused."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from evaluation.tiny_models import TEXTS, write_model

from polyglot_lm.evaluation.content import HubScorer, lengths_by_offset, text_bits
from polyglot_lm.evaluation.harness import BenchModel, MaskedBenchModel
from polyglot_lm.evaluation.masked import pseudo_nats
from polyglot_lm.evaluation.models import BenchedModel, load_model, presets
from polyglot_lm.languages import languages
from polyglot_lm.pipeline import UserError

CAUSAL = ("gpt_neox", "bloom", "xglm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BenchedModel]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    return {kind: load_model(str(write_model(root / kind, kind)), device="cpu") for kind in (*CAUSAL, "bert")}


def requests() -> list[Any]:
    """Answers of one token and of several, the same context twice, no context, a space at its end, and one that is too long."""
    pairs = [(text[:8], text[8:20]) for text in TEXTS] + [(TEXTS[0], " 예"), (TEXTS[0], " 아니오"), ("", "walked slowly")]
    pairs += [("The weather was ", "fine today"), (" ".join(TEXTS), " so we walked")]
    return [SimpleNamespace(args=pair, request_type="loglikelihood", task_name="t") for pair in pairs]


@pytest.mark.parametrize("kind", CAUSAL)
def test_scores_are_the_harness_own(models: dict[str, BenchedModel], kind: str) -> None:
    from lm_eval.models.huggingface import HFLM

    model = models[kind]
    theirs = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=2, max_length=model.context)
    ours = BenchModel(model)
    expected = theirs.loglikelihood(requests(), disable_tqdm=True)
    found = ours.loglikelihood(requests())
    assert [answer[0] for answer in found] == pytest.approx([answer[0] for answer in expected], abs=1e-3)
    assert [answer[1] for answer in found] == [answer[1] for answer in expected]
    assert ours.truncated == 1


def test_an_answer_longer_than_the_context_is_scored_by_its_end(models: dict[str, BenchedModel]) -> None:
    model = models["gpt_neox"]
    whole = " ".join(TEXTS)
    ids = model.tokenizer(whole)["input_ids"][-model.context - 1 :]
    with torch.no_grad():
        logits = model.network(torch.tensor([ids[:-1]])).logits[0]
    expected = -float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))
    found = BenchModel(model).loglikelihood([SimpleNamespace(args=("", whole))])
    assert found[0][0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", CAUSAL)
def test_bits_are_those_of_a_loop_over_tokens(models: dict[str, BenchedModel], kind: str) -> None:
    model, scorer = models[kind], HubScorer(models[kind])
    texts = [text[:18] for text in TEXTS] + ["🧪", ""]
    bits, cut = text_bits(scorer, scorer.encode(texts), window_bytes=10_000)
    assert cut == 0
    for text, found in zip(texts, bits, strict=True):
        tokens = [scorer.start_id, *model.tokenizer(text, add_special_tokens=False)["input_ids"], scorer.end_id]
        for place in range(1, len(tokens)):
            with torch.no_grad():
                logits = model.network(torch.tensor([tokens[:place]])).logits[0, -1].double()
            expected = -float(torch.log_softmax(logits, 0)[tokens[place]]) / math.log(2)
            assert found[place - 1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", CAUSAL)
def test_the_bytes_of_the_tokens_add_up_to_the_text(models: dict[str, BenchedModel], kind: str) -> None:
    scorer = HubScorer(models[kind])
    for text, encoded in zip(TEXTS, scorer.encode(TEXTS), strict=True):
        assert len(encoded.lengths) == len(encoded.ids)
        assert encoded.lengths.sum() == len(text.encode())
        assert (encoded.lengths >= 0).all()
    assert (scorer.raw is None) == (kind == "xglm")


def test_a_token_that_is_part_of_a_character_has_its_own_bytes(models: dict[str, BenchedModel]) -> None:
    scorer = HubScorer(models["gpt_neox"])
    encoded = scorer.encode(["ས"])[0]  # not among the texts that the tokenizer was trained on: a token a byte
    assert encoded.lengths.tolist() == [1, 1, 1]


def test_lengths_by_offset_follow_the_text_where_tokens_are_not_bytes() -> None:
    assert lengths_by_offset("가나 b", [(0, 1), (1, 2), (3, 4)]).tolist() == [3, 3, 2]
    assert lengths_by_offset("가나", [(0, 1), (0, 1)]).tolist() == [3, 3]  # what no token covers goes to the last
    assert lengths_by_offset("", []).tolist() == []


@torch.no_grad()
def slow_pseudo(model: BenchedModel, tokens: list[int], first: int) -> float:
    """Hide and predict one token at a time, the later pieces of its word hidden too."""
    tokenizer, nats = model.tokenizer, 0.0
    for place in range(first, len(tokens)):
        hidden = [tokenizer.cls_token_id, *tokens, tokenizer.sep_token_id]
        for later in range(place, len(tokens)):
            if later > place and not tokenizer.convert_ids_to_tokens(tokens[later]).startswith("##"):
                break
            hidden[1 + later] = tokenizer.mask_token_id
        logits = model.network(torch.tensor([hidden])).logits[0, 1 + place].double()
        nats -= float(torch.log_softmax(logits, 0)[tokens[place]])
    return nats


def test_a_masked_model_ranks_by_pseudo_log_likelihood(models: dict[str, BenchedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    model = models["bert"]
    assert model.masked
    monkeypatch.setattr("polyglot_lm.evaluation.masked.BATCH_TOKENS", 40)  # several batches a text
    tokens = model.tokenizer(SENTENCE := "The weathering was walked", add_special_tokens=False)["input_ids"]
    assert any(piece.startswith("##") for piece in model.tokenizer.convert_ids_to_tokens(tokens))
    assert pseudo_nats(model.network, model.tokenizer, tokens, 2) == pytest.approx(slow_pseudo(model, tokens, 2), abs=1e-3)
    found = MaskedBenchModel(model).loglikelihood([SimpleNamespace(args=("", SENTENCE))])
    assert found[0] == (pytest.approx(-slow_pseudo(model, tokens, 0), abs=1e-3), False)


def test_a_masked_model_has_no_bits(models: dict[str, BenchedModel]) -> None:
    with pytest.raises(UserError, match="masked model"):
        HubScorer(models["bert"])


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, models: dict[str, BenchedModel]) -> None:
    folder = write_model(tmp_path / "model", "gpt_neox")
    bigger = load_model(models["gpt_neox"].name, device="cpu").tokenizer
    bigger.add_tokens([f"<{number}>" for number in range(40)])
    bigger.save_pretrained(folder)
    with pytest.raises(UserError, match=r"has 460 tokens, its model 420"):
        load_model(str(folder), device="cpu")


def test_what_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no model 'blom-560m'; give a folder"):
        load_model("blom-560m")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"cannot be loaded .*see that the hub is reachable"):
        load_model("bloom-560m")


def test_presets_name_languages_of_the_table() -> None:
    assert {
        "bloom-560m",
        "bloom-7b1",
        "xglm-564m",
        "xglm-7.5b",
        "polyglot-ko-1.3b",
        "polyglot-ko-12.8b",
        "mbert",
    } <= presets().keys()
    for preset in presets().values():
        assert set(preset.trained_on) <= languages().keys()
        assert preset.parameters > 1e8
    assert np.unique([preset.hub for preset in presets().values()]).size == len(presets())
