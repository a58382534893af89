"""One model measured: held-out text, parallel sentences, tasks; a folder that `polyglot balance` sets beside others.

    model.json       what the model is, and where its training can be looked up
    heldout.json, documents.parquet     bits of held-out text        parallel.json, sentences.parquet     of parallel sentences
    tasks/, items/, scores.json         scores of tasks, their averages, and which sets were found in the training text

Of a model that a recipe made, the records lead to its corpora and its training; for others they are named. What is done for the
same weights and the same text is not measured again.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polyglot_lm.evaluation.bench import read_scores, run_bench
from polyglot_lm.evaluation.catalogue import BenchTask
from polyglot_lm.evaluation.content import HubScorer
from polyglot_lm.evaluation.heldout import HELDOUT_FILE, PARALLEL_FILE, measure_heldout, measure_parallel
from polyglot_lm.evaluation.models import BenchedModel, presets
from polyglot_lm.evaluation.scores import averages
from polyglot_lm.pipeline import Runtime, UserError, read_json, read_record, write_json, xxh3_128_file

MODEL_FILE, SCORES_FILE, IDENTITIES_FILE = "model.json", "scores.json", "measured.json"


def describe_model(out: Path, model: BenchedModel) -> dict[str, Any]:
    """Write `model.json`; a model of ours says in which folders its training, mixture, tokenizer and shards lie."""
    found: dict[str, Any] = {"name": model.name, "parameters": model.parameters, "identity": model.identity, "masked": model.masked}
    found |= {"vocab_size": model.network.config.vocab_size, "context": model.context}
    if model.name in presets():
        preset = presets()[model.name]
        found |= {"hub": preset.hub, "tokens": preset.tokens, "trained_on": list(preset.trained_on)}
    folder = Path(model.name)
    record = read_record(folder) if folder.is_dir() else None
    if record is not None:
        root = root_of(folder, record)
        arguments = record["specification"]["arguments"]
        training = read_record(root / arguments["training"])
        of_training = training["specification"]["arguments"] if training else {}
        found["root"] = str(root)
        found["folders"] = {name: of_training[name] for name in ("mixture", "tokens") if name in of_training}
        found["folders"] |= {name: arguments[name] for name in ("training", "corpora") if name in arguments}
    write_json(out / MODEL_FILE, found)
    return found


def root_of(folder: Path, record: Mapping[str, Any]) -> Path:
    """Return the folder that addresses are relative to."""
    root = folder.resolve()
    for _ in Path(record["address"]).parts:
        root = root.parent
    return root


def own_corpora(described: Mapping[str, Any], languages: Sequence[str]) -> dict[str, Path]:
    """Return the corpora that a recipe's model was made from, by language; none for another model. `described`: `model.json`."""
    own = described.get("folders", {}).get("corpora", {})
    return {code: Path(described["root"]) / place for code, place in own.items() if code in languages}


def corpora_below(root: Path, languages: Sequence[str]) -> dict[str, Path]:
    """Return the corpora in a folder by language: `ko` or `ko-1a2b3c4d`, of ROOT or of ROOT/corpus.

    Raises UserError where a language has none, or several, of which one must be chosen by its name.
    """
    place = root / "corpus" if (root / "corpus").is_dir() else root
    found: dict[str, Path] = {}
    for code in languages:
        folders = [path for path in sorted(place.glob(f"{code}*")) if re.fullmatch(rf"{code}(-[0-9a-f]{{8}})?", path.name)]
        if len(folders) != 1:
            seen = f"{len(folders)} corpora" if folders else "no corpus"
            raise UserError(f"{place} has {seen} of {code!r}; give a folder with one, or leave that language out with --languages")
        found[code] = folders[0]
    return found


def measure_text(
    out: Path,
    model: BenchedModel,
    *,
    corpora: Mapping[str, Path],
    parallel: Path | None,
    byte_premiums: Mapping[str, float],
    window_english_bytes: int,
    runtime: Runtime,
) -> None:
    """Measure what is not measured yet: held-out text where corpora are given, and a parallel file."""
    scorer = HubScorer(model)
    common = {"model": model.identity, "window": window_english_bytes}
    heldout = common | {"corpora": {code: text_identity(folder) for code, folder in corpora.items()}}
    if corpora and not measured(out, HELDOUT_FILE, heldout):
        premiums = {code: byte_premiums[code] for code in corpora}
        measure_heldout(out, scorer, corpora, premiums, window_english_bytes, runtime)
        remember(out, HELDOUT_FILE, heldout)
    if parallel is None:
        return
    if not parallel.is_file():
        raise UserError(f"no file {str(parallel)!r}; give one of parallel sentences, a JSON object a line, compressed by zstd")
    sentences = common | {"file": xxh3_128_file(parallel), "languages": list(byte_premiums)}
    if not measured(out, PARALLEL_FILE, sentences):
        measure_parallel(out, scorer, parallel, byte_premiums, window_english_bytes, runtime)
        remember(out, PARALLEL_FILE, sentences)


def text_identity(folder: Path) -> str:
    record = read_record(folder)
    return str(record["address"]) if record else "+".join(xxh3_128_file(path) for path in sorted(folder.glob("part-*.parquet")))


def measured(out: Path, file: str, identity: Mapping[str, Any]) -> bool:
    known = read_json(out / IDENTITIES_FILE) if (out / IDENTITIES_FILE).exists() else {}
    return (out / file).exists() and known.get(file) == identity


def remember(out: Path, file: str, identity: Mapping[str, Any]) -> None:
    known = read_json(out / IDENTITIES_FILE) if (out / IDENTITIES_FILE).exists() else {}
    write_json(out / IDENTITIES_FILE, {**known, file: identity})


def measure_tasks(
    out: Path,
    model: BenchedModel,
    tasks: Sequence[BenchTask],
    *,
    data: Path | None,
    shots: Sequence[int],
    limit: int | None,
    languages: Sequence[str],
    corpora: Mapping[str, Path],
    runtime: Runtime,
) -> dict[str, str]:
    """Run tasks and write `scores.json`; return the reasons of those that failed."""
    failed: dict[str, str] = {}
    for count in shots:
        found = run_bench(out, model, tasks, data=data, shots=count, limit=limit, progress=runtime.progress)
        failed |= {f"{name} ({count} shots)" if count else name: reason for name, reason in found.items()}
    hits = contamination(corpora)
    scores = [score | {"contamination": told(hits, score["name"], score["split"])} for score in read_scores(out)]
    by_shots = {str(count): averages([s for s in scores if s["shots"] == count], languages) for count in shots}
    write_json(out / SCORES_FILE, {"scores": scores, "averages": by_shots, "failed": failed})
    return failed


def contamination(corpora: Mapping[str, Path]) -> dict[tuple[str, str], Counter[str]] | None:
    """Count, by task and split, the items found in training text: `removed` with the document that held them, or `left`, in too
    small parts. None where no corpus was searched."""
    items: dict[tuple[str, str], dict[int, bool]] = {}
    searched = False
    for folder in corpora.values():
        record = read_record(folder)
        searched |= bool(record and record["specification"]["arguments"].get("contamination"))
        for path in sorted((folder / "hits").glob("part-*.parquet")):
            for row in pq.read_table(path, columns=["task", "split", "item", "contaminates"]).to_pylist():
                found = items.setdefault((row["task"], row["split"]), {})
                found[row["item"]] = found.get(row["item"], False) or row["contaminates"]
    if not searched:
        return None
    return {key: Counter("removed" if removed else "left" for removed in found.values()) for key, found in items.items()}


def told(hits: Mapping[tuple[str, str], Counter[str]] | None, task: str, split: str) -> dict[str, int] | None:
    if hits is None:
        return None
    found = hits.get((task, split), Counter())
    return {"items_removed": found["removed"], "items_left": found["left"]}
