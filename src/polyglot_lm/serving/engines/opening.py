"""What `polyglot serve MODEL` names: a folder or an address becomes an engine, or a sentence that says why not."""

from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Engine
from polyglot_lm.serving.engines.folder import is_converted, require_usable

FOLDER_KINDS = ("ctranslate2", "llama", "transformers")


def open_engine(model: str, kind: str = "ctranslate2", **options: Any) -> Engine:
    """Return the engine of a folder or of an OpenAI-compatible server's address, not started yet.

    Raises UserError for an unknown kind or a folder that cannot be served; an address is tried when the engine starts.
    """
    if model.startswith(("http://", "https://")):
        from polyglot_lm.serving.engines.upstream import UpstreamEngine

        return UpstreamEngine(model, **options)
    folder = Path(model)
    if kind not in FOLDER_KINDS:
        raise UserError(f"there is no engine {kind!r}; choose one of {', '.join(FOLDER_KINDS)}")
    require_usable(folder)
    name = folder.name or folder.resolve().name  # a link keeps its own name: `runs/quickstart/model` is `model`
    if kind == "ctranslate2":
        from polyglot_lm.serving.engines.ctranslate2 import CTranslate2Engine

        return CTranslate2Engine(folder, name=name, **options)
    if is_converted(folder):
        raise UserError(f"{model!r} is a folder for CTranslate2; give {kind} the Hugging Face folder")
    if kind == "llama":
        from polyglot_lm.serving.engines.llama import LlamaEngine

        return LlamaEngine(folder, name=name, **options)
    from polyglot_lm.serving.engines.transformers import TransformersEngine

    return TransformersEngine(folder, name=name, **options)
