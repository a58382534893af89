"""Teach an exported model to answer: supervised fine-tuning of all weights, or of small low-rank additions to them (LoRA).

    python examples/finetune.py MODEL DATA.jsonl OUT --method lora

DATA has one {"prompt": ..., "answer": ...} a line. Only the answer and the end after it are learned; the prompt is read. OUT is a
model folder like MODEL, additions merged into the weights, so that everything that takes one (transformers, vLLM, `polyglot
generate`) takes the other; with LoRA, OUT/adapter holds the additions alone, some thousandths of the size.

MODEL may be any GPT-NeoX folder, one that `polyglot run` exported or a released Polyglot-Ko. LoRA needs `pip install peft`.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

SEPARATOR = "\n"  # between prompt and answer
IGNORED = -100  # a target that counts nothing
LAYERS = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]  # every matrix of a GPT-NeoX block
LEARNING_RATES = {"lora": 2e-4, "full": 1e-5}  # additions begin at zero and want a larger one
Example = tuple[list[int], list[int]]


def read_examples(data: Path, tokenizer: Any, context: int) -> list[Example]:
    """Return ids and targets of each example; what does not fit into the context is cut at its end."""
    found = []
    for line in data.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        prompt = tokenizer(row["prompt"] + SEPARATOR, add_special_tokens=False)["input_ids"]
        answer = [*tokenizer(row["answer"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids = [tokenizer.eos_token_id, *prompt, *answer]  # documents begin after an end, as in pretraining
        targets = [IGNORED] * (len(ids) - len(answer)) + answer
        found.append((ids[:context], targets[:context]))
    return found


def batches(examples: Sequence[Example], size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield ids, attention mask and targets of shuffled examples, padded on the right to the longest of each batch."""
    order = random.Random(seed).sample(range(len(examples)), len(examples))
    for start in range(0, len(order), size):
        chosen = [examples[number] for number in order[start : start + size]]
        longest = max(len(ids) for ids, _ in chosen)
        yield (
            torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in chosen]),
            torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in chosen]),
            torch.tensor([targets + [IGNORED] * (longest - len(targets)) for _, targets in chosen]),
        )


def with_lora(model: Any, rank: int) -> Any:
    """Freeze the model and add a trainable product of two thin matrices to every matrix of its blocks (Hu et al. 2021)."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LAYERS, task_type="CAUSAL_LM"))


def train(model: Any, examples: Sequence[Example], *, epochs: int, batch: int, learning_rate: float, seed: int) -> list[float]:
    """Train what may be trained; return the mean loss of each epoch in nats a token of the answers."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    steps = epochs * -(-len(examples) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / (0.1 * steps + 1), 1 - step / steps))
    losses = []
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for ids, mask, targets in batches(examples, batch, seed + epoch):
            ids, mask, targets = (tensor.to(model.device) for tensor in (ids, mask, targets))
            loss = model(input_ids=ids, attention_mask=mask, labels=targets).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item() * len(ids)
        losses.append(total / len(examples))
    return losses


def main(
    model: Annotated[Path, typer.Argument(help="Folder of an exported model.")],
    data: Annotated[Path, typer.Argument(help='JSON lines with "prompt" and "answer".')],
    out: Annotated[Path, typer.Argument(help="Folder of the model that answers.")],
    method: Annotated[Literal["lora", "full"], typer.Option(help="Learn small additions, or every weight.")] = "lora",
    rank: Annotated[int, typer.Option(min=1, help="Of the additions.")] = 16,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    batch: Annotated[int, typer.Option(min=1, help="Examples of a step.")] = 16,
    learning_rate: Annotated[float | None, typer.Option(help="By default 2e-4 for lora, 1e-5 for full.")] = None,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Fine-tune MODEL on DATA and write OUT."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).to(device)
    examples = read_examples(data, tokenizer, network.config.max_position_embeddings)
    if method == "lora":
        network = with_lora(network, rank)
    rate = learning_rate or LEARNING_RATES[method]
    for epoch, loss in enumerate(train(network, examples, epochs=epochs, batch=batch, learning_rate=rate, seed=seed), 1):
        print(f"epoch {epoch}: {loss:.4f} nats a token of the answers")
    if method == "lora":
        network.save_pretrained(out / "adapter")
        network = network.merge_and_unload()
    network.save_pretrained(out)
    tokenizer.save_pretrained(out)
    print(f"model  {out}")


if __name__ == "__main__":
    typer.run(main)
