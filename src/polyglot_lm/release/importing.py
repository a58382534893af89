"""Any GPT-NeoX checkpoint (Polyglot-Ko, Pythia, a folder) as a folder of ours, from which training, evaluation and serving start.

    hub name or folder ─► safetensors or pytorch_model.bin ─► the folder that `hugging_face.write` describes

What comes in is checked tensor by tensor before anything is written. Buffers of old checkpoints are left behind, the vocabulary is
padded to a multiple of 128, the end token is the tokenizer's (Polyglot-Ko's first configurations named another), and
tokenizer settings that GPT-NeoX cannot take are set right. The numbers stay as they are unless another precision is asked for.
"""

from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import Counters, UserError, stage
from polyglot_lm.release import hugging_face
from polyglot_lm.release.extras import required
from polyglot_lm.release.weights import Weights
from polyglot_lm.tokenizer import Tokenizer

METADATA = ("*.json", "*.txt")


@stage(version=1)
def import_model(out: Path, *, source: str, revision: str, precision: str | None) -> Counters:
    """Write a hub's checkpoint or a folder's into `out`; `precision` None keeps the stored one.

    Raises UserError for another architecture, a tokenizer that is not byte-level BPE, or what the hub does not give out.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = download(source, revision)
    weights, tokenizer = Weights(folder), Tokenizer(folder)
    chosen = precision or weights.dtype
    if chosen not in hugging_face.PRECISIONS:
        raise UserError(f"precision is {chosen!r}; choose {', '.join(hugging_face.PRECISIONS)}")
    hugging_face.write(weights, folder, out, chosen)
    return {"parameters": weights.config.num_parameters, "vocab_size": tokenizer.vocab_size, "precision": chosen}


def download(name: str, revision: str, api: Any = None, cache: Path | None = None) -> Path:
    """Fetch a checkpoint into the hub's cache, weights once: safetensors where there are any."""
    api = api or required("huggingface_hub").HfApi()
    try:
        names = api.list_repo_files(name, revision=revision)
        weights = "*.safetensors" if any(file.endswith(".safetensors") for file in names) else "pytorch_model*.bin"
        patterns = [*METADATA, weights]
        return Path(api.snapshot_download(name, revision=revision, allow_patterns=patterns, cache_dir=cache))
    except (OSError, ValueError) as error:  # the hub's errors are all one of these
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name!r} at {revision!r} is neither a folder nor a model that the hub gives out: {reason}") from error
