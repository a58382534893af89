"""Ask llama.cpp itself about GGUF exports, where llama-cpp-python is installed (it compiles for an hour on two cores).

    python benchmarks/release/llama.py MODEL EXPORT...

MODEL is what the exports were made from. Prints, for each export, the largest difference of logits, the share of tokens whose
likeliest successor is the same in the worst language, and how many texts llama.cpp cuts into the same tokens.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from llama_cpp import Llama

from polyglot_lm.release.proof import compare
from polyglot_lm.release.trained import find_trained
from polyglot_lm.tokenizer import Tokenizer

TOKENS = 100  # of each text its head


def main() -> None:
    trained = find_trained(Path(sys.argv[1]))
    tokenizer, network = Tokenizer(trained.tokenizer), trained.weights.network()
    documents = {code: tokenizer.encode_batch(texts, parse_special=True) for code, texts in trained.texts.items()}
    heads = {code: [ids[:TOKENS] for ids in texts] for code, texts in documents.items()}
    for folder in map(Path, sys.argv[2:]):
        (file,) = folder.glob("*.gguf")
        llama = Llama(str(file), n_ctx=TOKENS + 1, logits_all=True, verbose=False, n_threads=torch.get_num_threads())

        def computed(tokens_BT: torch.Tensor, llama: Llama = llama) -> torch.Tensor:
            rows = []
            for tokens in tokens_BT.tolist():
                llama.reset()
                llama.eval(tokens)
                rows.append(torch.tensor(np.array(llama.scores[: len(tokens)])))
            return torch.stack(rows)

        found = compare(network, computed, heads, tokenizer.end_id, tokenizer.vocab_size).values()
        alike = [
            ids == llama.tokenize(text.encode(), add_bos=False, special=True)
            for code, texts in trained.texts.items()
            for text, ids in zip(texts, documents[code], strict=True)
        ]
        print(
            f"{file.name:<18} logits {max(row.logits_difference for row in found):.2g}  top 1 {min(row.top1 for row in found):.2%} "
            f" bits {max(row.bits_increase for row in found):+.3%}  texts cut alike {sum(alike)} of {len(alike)}"
        )
        llama.close()


if __name__ == "__main__":
    main()
