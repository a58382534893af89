"""Checkpoints that transformers itself saved come in, whatever their age, and compute the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from polyglot_lm.model.hf import load_hf
from polyglot_lm.pipeline import UserError, read_json
from polyglot_lm.release.importing import import_model
from polyglot_lm.tokenizer import Tokenizer, train_tokenizer

TOKENS = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> tuple[Path, Any]:
    """Return a folder as Pythia's are, written by transformers, and the model that it holds."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    out = tmp_path_factory.mktemp("pythia")
    chosen = {code: tiny_corpora[code] for code in ("ko", "en")}
    train_tokenizer(out, corpora=chosen, byte_premiums={"ko": 1.0, "en": 1.0}, vocab_size=384, max_english_bytes=20_000)
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=390,  # not a multiple of 128
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=96,
            max_position_embeddings=32,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).eval()
    model.save_pretrained(out)
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPTNeoXTokenizer", "eos_token": "<|endoftext|>"}))
    (out / "step.json").unlink(missing_ok=True)
    return out, model


def test_an_imported_model_computes_the_same(saved: tuple[Path, Any], tmp_path: Path) -> None:
    folder, model = saved
    counted = import_model(tmp_path, source=str(folder), revision="main", precision=None)
    assert counted["precision"] == "float32" and counted["vocab_size"] == 384
    imported = load_hf(tmp_path)
    assert imported.config.vocab_size == 512
    with torch.no_grad():
        assert (imported(TOKENS)[..., :390] - model(TOKENS).logits).abs().max() < 1e-5


def test_the_end_token_is_the_tokenizers(saved: tuple[Path, Any], tmp_path: Path) -> None:
    import_model(tmp_path, source=str(saved[0]), revision="main", precision="float16")
    config = read_json(tmp_path / "config.json")
    assert config["eos_token_id"] == Tokenizer(tmp_path).end_id == 2
    assert config["torch_dtype"] == "float16"


def test_a_tokenizer_never_gives_what_the_model_cannot_take(saved: tuple[Path, Any], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    import_model(tmp_path, source=str(saved[0]), revision="main", precision=None)
    assert set(AutoTokenizer.from_pretrained(tmp_path)("오늘은")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "llama"}, "only gpt_neox models"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"attention_bias": False}, "attention_bias"),
    ],
)
def test_what_is_no_gpt_neox_of_ours_is_refused(saved: tuple[Path, Any], tmp_path: Path, change: dict[str, Any], says: str) -> None:
    shutil.copytree(saved[0], tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    path.write_text(json.dumps(read_json(path) | change))
    with pytest.raises(UserError, match=says):
        import_model(tmp_path / "out", source=str(tmp_path / "other"), revision="main", precision=None)


def test_a_name_that_is_no_folder_and_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a folder nor a model"):
        import_model(tmp_path / "out", source="no such/model/name", revision="main", precision=None)
