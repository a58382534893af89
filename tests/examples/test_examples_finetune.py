"""The fine-tuning example: it learns answers, the additions alone or every weight, and leaves a folder that is a model again."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.tokenizer import train_tokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "finetune.py"
ANSWERS = {"Which river?": "the weather", "Which day?": "today was fine", "Who walked?": "we walked slowly"}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("finetune", EXAMPLE)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["finetune"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("model")
    latin = {code: tiny_corpora[code] for code in ("en", "id", "ms")}
    train_tokenizer(out, corpora=latin, byte_premiums=dict.fromkeys(latin, 1.0), vocab_size=384, max_english_bytes=20_000)
    network = GPTNeoX(neox(vocab_size=384, context=64, num_layers=2, width=64, num_heads=4, rotary_dims=8))
    initialize(network, torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.embed_out.weight *= 20  # as large as training makes it, else no frozen head could be sure of a token
    save_hf(network, out, end_id=2)
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "answers.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt, "answer": answer}) + "\n" for prompt, answer in ANSWERS.items()))
    return path


def answer(folder: Path, prompt: str) -> str:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(prompt + "\n")["input_ids"]]])
    out = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
    return str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


def test_only_answers_and_their_end_are_learned(example: ModuleType, model: Path, data: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    for (ids, targets), text in zip(example.read_examples(data, tokenizer, 64), ANSWERS.values(), strict=True):
        learned = [target for target in targets if target != example.IGNORED]
        assert tokenizer.decode(learned[:-1]) == text and learned[-1] == tokenizer.eos_token_id
        assert ids[-len(learned) :] == learned and targets[: -len(learned)] == [example.IGNORED] * (len(ids) - len(learned))


@torch.no_grad()
def test_padding_changes_no_loss(example: ModuleType, model: Path, data: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network: Any = AutoModelForCausalLM.from_pretrained(model)
    examples = example.read_examples(data, AutoTokenizer.from_pretrained(model), 64)
    together = next(example.batches(examples, 3, seed=0))
    alone = [next(example.batches([each], 1, seed=0)) for each in examples]
    counts = [int((targets != example.IGNORED).sum()) for _, _, targets in alone]
    losses = [float(network(input_ids=i, attention_mask=m, labels=t).loss) for i, m, t in alone]
    mean = sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
    assert float(network(input_ids=together[0], attention_mask=together[1], labels=together[2]).loss) == pytest.approx(
        mean, rel=1e-5
    )


@pytest.mark.parametrize(("method", "epochs", "rate"), [("lora", "40", "0.01"), ("full", "40", "0.005")])
def test_it_learns_the_answers_and_leaves_a_model(
    example: ModuleType, model: Path, data: Path, tmp_path: Path, method: str, epochs: str, rate: str
) -> None:
    pytest.importorskip("peft")
    app = example.typer.Typer()
    app.command()(example.main)
    out = tmp_path / "out"
    words = [str(model), str(data), str(out), "--method", method, "--epochs", epochs, "--batch", "3", "--learning-rate", rate]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    losses = [float(line.split()[2]) for line in result.output.splitlines() if line.startswith("epoch")]
    assert losses[-1] < 0.05 < 2 < losses[0]
    assert {prompt: answer(out, prompt) for prompt in ANSWERS} == ANSWERS
    before, after = load_hf(model), load_hf(out)
    assert after.config == before.config
    changed = {name for name, tensor in after.state_dict().items() if not torch.equal(tensor, before.state_dict()[name])}
    matrices = {name for name in before.state_dict() if name.endswith(tuple(f"{layer}.weight" for layer in example.LAYERS))}
    assert changed == matrices if method == "lora" else changed > matrices
    assert (out / "adapter").exists() == (method == "lora")
    if method == "lora":
        assert all("lora" in name for name in load_file(out / "adapter" / "adapter_model.safetensors"))
