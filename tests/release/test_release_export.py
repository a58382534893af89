"""The exported folder loads by transformers without options and computes what was trained; what does not is refused."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import SENTENCES
from release.tiny_chain import NAMES, run_chain
from safetensors.torch import load_file, save_file

from polyglot_lm.model.generate import Sampling, generate
from polyglot_lm.model.hf import load_hf
from polyglot_lm.pipeline import read_json, read_record
from polyglot_lm.release.export import prove
from polyglot_lm.release.proof import EXACT
from polyglot_lm.release.trained import find_trained
from polyglot_lm.tokenizer import Tokenizer

TOLERANCE = EXACT.max_logits_difference


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return run_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def theirs(folders: Mapping[str, Path]) -> Any:
    from transformers import GPTNeoXForCausalLM

    return GPTNeoXForCausalLM.from_pretrained(folders["model"]).eval()


@pytest.fixture
def copied(tmp_path: Path, folders: Mapping[str, Path]) -> Path:
    return shutil.copytree(folders["model"], tmp_path / "model")


def test_the_export_holds_weights_configuration_tokenizer_and_card(folders: Mapping[str, Path]) -> None:
    names = {path.name for path in folders["model"].iterdir()}
    loadable = {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names == loadable | {"README.md", "plots", "checksums.json", "proof.json", "step.json"}


def test_transformers_computes_the_logits_of_the_trained_model(folders: Mapping[str, Path], theirs: Any) -> None:
    trained = load_hf(folders["training"])
    tokens = torch.randint(0, 384, (2, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (trained(tokens) - theirs(tokens).logits).abs().max() < TOLERANCE


@pytest.mark.parametrize("code", NAMES)
def test_autotokenizer_cuts_text_as_our_tokenizer_does(folders: Mapping[str, Path], code: str) -> None:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(folders["model"])(SENTENCES[code])
    assert set(found) == {"input_ids", "attention_mask"}
    assert found["input_ids"] == Tokenizer(folders["model"]).encode(SENTENCES[code], parse_special=True)


def test_greedy_text_of_transformers_equals_ours(folders: Mapping[str, Path], theirs: Any) -> None:
    tokenizer, model = Tokenizer(folders["model"]), load_hf(folders["model"])
    prompt = tokenizer.encode("오늘은", parse_special=False)
    greedy = Sampling(temperature=0)
    ours = list(generate(model, prompt, max_tokens=12, end_id=tokenizer.end_id, allowed=tokenizer.vocab_size, sampling=greedy))
    given = torch.tensor([[tokenizer.end_id, *prompt]])
    found = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=12, do_sample=False)[0, given.shape[1] :]
    assert len(ours) > 0
    assert [token for token in found.tolist() if token != tokenizer.end_id] == ours


def test_the_configuration_is_read_alike_by_old_and_new_transformers(folders: Mapping[str, Path]) -> None:
    config = read_json(folders["model"] / "config.json")
    assert config["architectures"] == ["GPTNeoXForCausalLM"]
    assert config["eos_token_id"] == config["bos_token_id"] == config["pad_token_id"] == 2
    assert config["use_parallel_residual"] is True
    assert (config["rotary_pct"], config["rotary_emb_base"]) == (0.5, 10_000.0)
    rope = config["rope_parameters"]
    assert (rope["partial_rotary_factor"], rope["rope_theta"]) == (0.5, 10_000.0)
    assert config["dtype"] == config["torch_dtype"] == "float32"


def test_the_configuration_has_what_vllm_reads(folders: Mapping[str, Path]) -> None:
    """Every `config.` of vLLM's vllm/model_executor/models/gpt_neox.py (github.com/vllm-project/vllm), and what its configuration
    (vllm/config, vllm/transformers_utils/config.py) reads of any model: lengths, numbers of tokens, rotary settings, dtype."""
    model = "hidden_act hidden_size intermediate_size layer_norm_eps num_attention_heads num_hidden_layers rotary_pct"
    general = "architectures attention_bias eos_token_id max_position_embeddings model_type rope_parameters rotary_emb_base"
    config = read_json(folders["model"] / "config.json")
    wanted = f"{model} {general} tie_word_embeddings torch_dtype use_parallel_residual vocab_size".split()
    assert [name for name in wanted if name not in config] == []
    assert config["architectures"] == ["GPTNeoXForCausalLM"]  # the key of vLLM's registry


@pytest.mark.slow
def test_transformers_4_computes_the_same(folders: Mapping[str, Path], tmp_path: Path) -> None:
    """The last transformers 4, installed beside ours and put before it."""
    older = ["transformers==4.57.6", "huggingface_hub==0.36.2", "tokenizers==0.22.2"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), *older]
    subprocess.run(install, check=True)
    tokens = torch.randint(0, 384, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = load_hf(folders["training"])(tokens)
    torch.save({"tokens": tokens, "expected": expected}, tmp_path / "given.pt")
    program = f"""
import torch, transformers
given = torch.load({str(tmp_path / "given.pt")!r})
model = transformers.AutoModelForCausalLM.from_pretrained({str(folders["model"])!r})
assert transformers.__version__ == "4.57.6" and model.config.rotary_pct == 0.5 and model.generation_config.eos_token_id == 2
ids = transformers.AutoTokenizer.from_pretrained({str(folders["model"])!r})({SENTENCES["ko"]!r})
assert set(ids) == {{"input_ids", "attention_mask"}} and ids["input_ids"] == {encoded(folders, "ko")}
with torch.no_grad():
    assert (model(given["tokens"]).logits - given["expected"]).abs().max() < {TOLERANCE}
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def encoded(folders: Mapping[str, Path], code: str) -> list[int]:
    return Tokenizer(folders["model"]).encode(SENTENCES[code], parse_special=True)


def test_the_export_is_recorded_with_what_was_proved(folders: Mapping[str, Path]) -> None:
    trained = read_record(folders["training"])["counters"]
    expected = {"parameters": trained["parameters"], "largest_logit_difference_below": TOLERANCE, "languages_proved": 3}
    assert read_record(folders["model"])["counters"] == expected


def test_the_proof_measures_every_language(folders: Mapping[str, Path]) -> None:
    proof = read_json(folders["model"] / "proof.json")
    assert proof["passed"] is True and proof["failures"] == []
    assert proof["languages"].keys() == NAMES.keys()
    assert all(0 <= row["logits_difference"] < TOLERANCE and row["tokens"] > 50 for row in proof["languages"].values())


@pytest.mark.parametrize("value", [1.01, float("nan")])
def test_the_proof_refuses_weights_that_were_tampered_with(folders: Mapping[str, Path], copied: Path, value: float) -> None:
    weights = load_file(copied / "model.safetensors")
    weights["gpt_neox.layers.0.mlp.dense_4h_to_h.weight"] *= value
    weights["gpt_neox.final_layer_norm.weight"] *= value
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    (copied / "checksums.json").unlink()
    found = prove(find_trained(folders["training"]), copied, form="hf", precision="float32")
    assert len(found.failures) == len(NAMES)
    assert "logits differ by" in found.failures[0]


def test_the_proof_refuses_another_tokenizer(folders: Mapping[str, Path], copied: Path) -> None:
    path = copied / "tokenizer.json"
    path.write_text(path.read_text().replace('"NFC"', '"NFD"'))
    found = prove(find_trained(folders["training"]), copied, form="hf", precision="float32")
    assert found.failures == ["AutoTokenizer cuts 'ko' text differently"]


def test_the_card_of_the_export_tells_languages_and_size(folders: Mapping[str, Path]) -> None:
    card = (folders["model"] / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["language"] == list(NAMES)
    assert f"{read_record(folders['training'])['counters']['parameters']:,}" in card
