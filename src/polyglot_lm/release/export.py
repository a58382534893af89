"""A trained model in a format that others run, proved on the spot.

    MODEL (a training's folder or checkpoint, an export, a folder of the hub) ─► OUT: hf | ctranslate2 | gguf, and proof.json

The proof compares what the format's own program computes with the model that was trained, on real text of every language. An
export that fails it stays for a look, says so in `proof.json`, never gets a step's record, and is not pushed.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from polyglot_lm.pipeline import Counters, Runtime, UserError, stage
from polyglot_lm.pipeline.errors import disk_full
from polyglot_lm.release import ctranslate2_folder, gguf_file, hugging_face
from polyglot_lm.release.card import gather, write_card
from polyglot_lm.release.proof import PROOF_FILE, TEXT_TOKENS, Bound, Logits, Proof, compare
from polyglot_lm.release.trained import Trained, find_trained
from polyglot_lm.release.weights import Weights
from polyglot_lm.tokenizer import Tokenizer

EXACT_WORK = 1e11  # parameters × tokens a language that an exact proof computes: 75 tokens of a 1.3B, in half a minute
CLOSE_WORK = 1e12  # agreement is a share and needs more of them
MIN_TOKENS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How a format is written, how large it is, what its own program computes with it, and what each precision must keep."""

    write: Callable[[Weights, Path, Path, str], None]
    num_bytes: Callable[[Weights, str], int]
    logits: Callable[[Path, Weights], tuple[Logits, str]]
    bounds: Mapping[str, Bound]


FORMATS: Mapping[str, Format] = {
    "hf": Format(
        write=hugging_face.write,
        num_bytes=hugging_face.num_bytes,
        logits=lambda folder, _: hugging_face.logits(folder),
        bounds=hugging_face.BOUNDS,
    ),
    "gguf": Format(
        write=gguf_file.write,
        num_bytes=gguf_file.num_bytes,
        logits=lambda folder, weights: gguf_file.logits(folder, weights.config),
        bounds=gguf_file.BOUNDS,
    ),
    "ctranslate2": Format(
        write=ctranslate2_folder.write,
        num_bytes=ctranslate2_folder.num_bytes,
        logits=lambda folder, _: ctranslate2_folder.logits(folder),
        bounds=ctranslate2_folder.BOUNDS,
    ),
}


class Unproved(Exception):  # noqa: N818  (a finding about an export, with exit code 1, no mistake of anybody's)
    """Raised for an export that does not compute what was trained."""


@stage(version=2)
def export_hf(
    out: Path,
    *,
    title: str,
    names: Mapping[str, str],
    training: Path,
    tokenizer: Path,
    corpora: Mapping[str, Path],
    report: Path,
    runtime: Runtime = Runtime(),
) -> Counters:
    """Write weights, configuration, tokenizer and card for transformers; raises Unproved when it computes other logits."""
    torch.set_num_threads(runtime.threads)
    trained = find_trained(training)
    found = write_and_prove(trained, out, form="hf", precision="float32")
    write_card(out, gather(title, names, training, report=report, proof=out / PROOF_FILE))
    counters = {"parameters": trained.weights.config.num_parameters, "languages_proved": len(found.languages)}
    return counters | {"largest_logit_difference_below": found.bound.max_logits_difference}


def export(model: Path, out: Path, *, form: str, precision: str, tokenizer: Path | None = None, text: Path | None = None) -> Proof:
    """Export a model into an empty or new folder and return the proof; raises UserError before anything is written, Unproved
    after an export that fails it."""
    if form not in FORMATS:
        raise UserError(f"there is no format {form!r}; choose {', '.join(FORMATS)}")
    if precision not in FORMATS[form].bounds:
        raise UserError(f"{form} has no precision {precision!r}; it has {', '.join(FORMATS[form].bounds)}")
    require_new(out)
    trained = find_trained(model, tokenizer=tokenizer, text=text)
    return write_and_prove(trained, out, form=form, precision=precision)


def write_and_prove(trained: Trained, out: Path, *, form: str, precision: str) -> Proof:
    chosen, weights = FORMATS[form], trained.weights
    require_space(out, chosen.num_bytes(weights, precision))
    out.mkdir(parents=True, exist_ok=True)
    try:
        chosen.write(weights, trained.tokenizer, out, precision)
    except Exception as error:
        if disk_full(error):
            raise UserError(f"the disk of {str(out)!r} is full; make room and export again into a new folder") from error
        raise
    found = prove(trained, out, form=form, precision=precision)
    found.write(out, {"parameters": weights.config.num_parameters, "model": trained.weights.folder.resolve().name})
    if found.failures:
        raise Unproved(f"{out}: {found.failures[0]}; the export is not usable")
    return found


def prove(trained: Trained, out: Path, *, form: str, precision: str) -> Proof:
    """Compare what the format's program computes with the model that was trained, on text of every language."""
    tokenizer, weights, bound = Tokenizer(trained.tokenizer), trained.weights, FORMATS[form].bounds[precision]
    work = EXACT_WORK if bound.max_logits_difference is not None else CLOSE_WORK
    budget = max(MIN_TOKENS, int(work / weights.config.num_parameters))
    documents = {code: heads(tokenizer, texts, weights.config.context, budget) for code, texts in trained.texts.items()}
    complaints = [] if form == "gguf" else hugging_face.tokenizer_complaints(out, tokenizer, trained.texts)
    languages, program = {}, form
    try:
        logits, program = FORMATS[form].logits(out, weights)
        languages = compare(weights.network(), logits, documents, tokenizer.end_id, tokenizer.vocab_size)
    except (ValueError, KeyError, RuntimeError) as error:  # of the format's own program: it cannot load or run the files
        complaints.append(f"{program} refuses it: {(str(error).splitlines() or [type(error).__name__])[0]}")
    return Proof(form=form, precision=precision, program=program, bound=bound, languages=languages, complaints=complaints)


def heads(tokenizer: Tokenizer, texts: list[str], context: int, budget: int) -> list[list[int]]:
    """Return the first tokens of each text, together about `budget`."""
    length = max(1, min(TEXT_TOKENS, context, budget) - 1)
    found = [ids[:length] for ids in tokenizer.encode_batch(texts, parse_special=True)]
    return found[: max(1, budget // (length + 1))]


def require_new(out: Path) -> None:
    """Raise UserError unless a folder is empty or not there yet."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{str(out)!r} is not empty and nothing is overwritten; name a new folder")


def require_space(out: Path, num_bytes: int) -> None:
    """Raise UserError unless the disk has room for what is to be written."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < num_bytes:
        raise UserError(
            f"the export needs {num_bytes / 1e9:.1f} GB and the disk of {str(out)!r} has {free / 1e9:.1f} GB, make room"
        )
