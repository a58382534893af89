"""Try a model: `generate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def generate(
    model: Annotated[Path, typer.Argument(help="Folder of an exported model.")],
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Stop after so many tokens.")] = 100,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens of this total probability.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="Draw from so many likeliest tokens; 0 from all.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> None:
    """Continue a prompt, streaming the text."""
    from polyglot_lm.model.generate import Sampling, stream_text
    from polyglot_lm.model.generate import generate as new_tokens
    from polyglot_lm.model.hf import load_hf
    from polyglot_lm.tokenizer import Tokenizer

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    network, tokenizer = load_hf(model), Tokenizer(model)
    tokens = new_tokens(
        network,
        tokenizer.encode(prompt, parse_special=False),
        max_tokens=max_tokens,
        end_id=tokenizer.end_id,
        allowed=tokenizer.vocab_size,
        sampling=sampling,
    )
    sys.stdout.write(prompt)
    for text in stream_text(tokenizer.token_bytes[token] for token in tokens):
        sys.stdout.write(text)
        sys.stdout.flush()
    sys.stdout.write("\n")
