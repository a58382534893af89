"""The balance report: evaluated models side by side, as `balance.json` and a page drawn from it alone.

In go the folders that `polyglot evaluate` wrote and, if there are, monolingual references; of a model that a recipe made also
what its training wrote down: shares, epochs, bits over steps. Nothing is measured here, so the report of the same folders is
the same bytes. A figure that was not measured is absent, never 0.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from polyglot_lm.evaluation.competence import aggregates, competence, equivalent_data, gini
from polyglot_lm.evaluation.evaluate import MODEL_FILE, SCORES_FILE
from polyglot_lm.evaluation.heldout import DOCUMENTS_FILE, HELDOUT_FILE, PARALLEL_FILE
from polyglot_lm.evaluation.monolingual import read_references
from polyglot_lm.evaluation.published import REFERENCE, flores_nats, published_competence
from polyglot_lm.languages import languages
from polyglot_lm.mixture import MIXTURE_FILE, epochs
from polyglot_lm.pipeline import UserError, atomic_text, read_json, read_record, write_json
from polyglot_lm.shards import read_metrics

BALANCE_FILE, PAGE_FILE = "balance.json", "balance.html"
MAX_TOKEN_GINI, MAX_TOKEN_RATIO, MAX_WORST, MAX_EPOCHS, MAX_SHARE_ERROR = 0.05, 1.25, 1.10, 4.0, 0.005
References = tuple[dict[str, Any], dict[tuple[str, float], dict[str, float]]]


def write_balance(out: Path, folders: Sequence[Path], references: Path | None) -> list[str]:
    """Write the report and return a line for each model; raises UserError for a folder that holds no evaluation."""
    from polyglot_lm.evaluation.balance_page import balance_page

    known = read_references(references) if references else None
    models = [gathered_model(folder, known) for folder in folders]
    if len({model["name"] for model in models}) < len(models):
        raise UserError("two of the models have the same name; evaluate one into a folder of another name, and give that")
    report = {
        "languages": [code for code in languages() if any(code in covered(model) for model in models)],
        "models": models,
        "references": known[0] if known else None,
        "published": {model: {"r": r, **aggregates(r)} for model, r in published_competence().items()},
    }
    write_json(out / BALANCE_FILE, report)
    with atomic_text(out / PAGE_FILE) as file:
        file.write(balance_page(report))
    return [verdict(model) for model in models]


def covered(model: Mapping[str, Any]) -> set[str]:
    measured = {code for part in ("heldout", "parallel") for code in (model[part] or {}).get("languages", {})}
    return measured | {score["language"] for score in (model["tasks"] or {}).get("scores", [])}


def verdict(model: Mapping[str, Any]) -> str:
    found = model["competence"]
    if found:
        headline = f"mean ln r {found['mean_ln']:+.3f}, worst ln r {found['worst_ln']:+.3f} ({found['worst_language']})"
    else:
        headline = "no relative competence: give --references and held-out text"
    failed = [gate["name"] for gate in model["gates"] if not gate["passed"]]
    return f"{model['name']}: {headline}; gates: {len(model['gates']) - len(failed)} of {len(model['gates'])} passed" + (
        f", not {', '.join(failed)}" if failed else ""
    )


def gathered_model(folder: Path, references: References | None) -> dict[str, Any]:
    """Return everything the report says of one model."""
    if not (folder / MODEL_FILE).exists():
        raise UserError(f"{folder} has no {MODEL_FILE}; give a folder that `polyglot evaluate` wrote")
    about = read_json(folder / MODEL_FILE)
    read = {
        name: read_json(folder / name) if (folder / name).exists() else None for name in (HELDOUT_FILE, PARALLEL_FILE, SCORES_FILE)
    }
    training = training_facts(about)
    model = {
        **about,
        "name": folder.resolve().name,
        "model": about["name"],
        "heldout": read[HELDOUT_FILE],
        "parallel": read[PARALLEL_FILE],
        "tasks": read[SCORES_FILE],
        "training": training,
        "token_costs": token_costs(folder, read[PARALLEL_FILE]),
        "competence": compared(folder, read[HELDOUT_FILE], references, training) if references else None,
        "goldfish": against_goldfish(read[PARALLEL_FILE]),
    }
    return model | {"gates": gates(model)}


def training_facts(about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return shares, epochs and curves of a model whose training is at hand."""
    places = {name: Path(about["root"]) / place for name, place in about.get("folders", {}).items() if isinstance(place, str)}
    record = read_record(places["training"]) if "training" in places else None
    if record is None or "mixture" not in places or not (places["mixture"] / MIXTURE_FILE).exists():
        return None
    counters, mixture = record["counters"], read_json(places["mixture"] / MIXTURE_FILE)
    of_language = mixture["languages"]
    amounts = counters["amounts"]
    read_epochs = epochs(places["mixture"], counters["tokens"])
    tokens_share = mixture["shares_in"]["tokens"]
    content = {
        name: share * counters["tokens"] * mixture["per_token"][name]["english_bytes"] for name, share in tokens_share.items()
    }
    metrics = read_metrics(places["training"])
    return {
        "steps": counters["steps"],
        "tokens": counters["tokens"],
        "unit": mixture["unit"],
        "planned": summed(mixture["shares_in"][mixture["unit"]], of_language),
        "realised": {code: amount / sum(amounts.values()) for code, amount in summed(amounts, of_language).items()},
        "epochs": {
            code: max(read_epochs[name] for name, own in of_language.items() if own == code) for code in of_language.values()
        },
        "english_bytes": summed(content, of_language),
        "control": [[line["step"], line["control_bits_per_byte"]] for line in metrics if line.get("control_bits_per_byte")],
        "shares": shares_over_time(metrics, mixture, counters["steps"]),
        "commit": record["measurements"].get("commit"),
        "data": record["address"],
    }


def shares_over_time(
    metrics: Sequence[Mapping[str, Any]], mixture: Mapping[str, Any], steps: int
) -> list[tuple[float, dict[str, float]]]:
    """Return (step, shares by language) at every change: a controller's as they were logged, else the ends of planned stages."""
    of_language = mixture["languages"]
    stages = mixture.get("stages") or []
    starts = [0.0, *(stage["until"] * steps for stage in stages[:-1])]
    planned = [
        (step, summed(stage["shares"], of_language))
        for start, stage in zip(starts, stages, strict=False)
        for step in (start, stage["until"] * steps)
    ]
    logged = [(float(line["step"]), summed(line["shares"], of_language)) for line in metrics if "shares" in line]
    return planned[:1] + logged if logged else planned if len(stages) > 1 else []


def summed(values: Mapping[str, float], of_language: Mapping[str, str]) -> dict[str, float]:
    """Add sources up by language."""
    totals: dict[str, float] = {}
    for name, value in values.items():
        totals[of_language[name]] = totals.get(of_language[name], 0.0) + value
    return totals


def token_costs(folder: Path, parallel: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return tokens for the same content by language, over their mean, and how unequal they are."""
    if parallel:
        counted = {code: found["num_tokens"] / parallel["sentences"] for code, found in parallel["languages"].items()}
        of, count = "parallel sentences", parallel["sentences"]
    elif (folder / DOCUMENTS_FILE).exists():
        rows = pq.read_table(folder / DOCUMENTS_FILE, columns=["id", "lang", "num_tokens"]).to_pylist()
        by_language: dict[str, dict[str, int]] = {}
        for row in rows:
            by_language.setdefault(row["lang"], {})[row["id"]] = row["num_tokens"]
        common = set.intersection(*map(set, by_language.values()))
        if not common:
            return None
        counted = {code: sum(found[key] for key in common) / len(common) for code, found in by_language.items()}
        of, count = "parallel documents", len(common)
    else:
        return None
    values = np.array(list(counted.values()))
    return {
        "of": of,
        "n": count,
        "tokens": counted,
        "premium": {code: float(tokens / values.mean()) for code, tokens in counted.items()},
        "gini": gini(values),
        "max_over_min": float(values.max() / values.min()),
    }


def compared(
    folder: Path, heldout: Mapping[str, Any] | None, references: References, training: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return r over the languages that model and references share; with r of equal compute and equivalent data where known.

    Raises UserError when the two were measured in windows of different content.
    """
    if heldout is None:
        return None
    described, reference_bits = references
    if heldout["window_english_bytes"] != described["window_english_bytes"]:
        raise UserError(
            f"{folder} was measured in windows of {heldout['window_english_bytes']} English-equivalent bytes, the references in "
            f"{described['window_english_bytes']}; evaluate it with --window-bytes {described['window_english_bytes']}"
        )
    ours: dict[str, dict[str, float]] = {}
    for row in pq.read_table(folder / DOCUMENTS_FILE, columns=["id", "lang", "bits"]).to_pylist():
        ours.setdefault(row["lang"], {})[row["id"]] = row["bits"]
    codes = [code for code in ours if (code, 1.0) in reference_bits]
    if not codes:
        return None
    found = competence({code: paired(ours[code], reference_bits[code, 1.0], code) for code in codes})
    for code in codes:
        row = found["languages"][code]
        if (code, float(len(ours))) in reference_bits:
            _, model, reference = paired(ours[code], reference_bits[code, float(len(ours))], code)
            row["r_equal_compute"] = float(model.sum() / reference.sum())
        amounts = [(each["amount"], each["bits_per_byte"]) for each in described["languages"][code]]
        row["reference_amounts"] = [amount for amount, _ in amounts]
        row["equivalent_data"] = equivalent_data(heldout["languages"][code]["bits_per_byte"], amounts)
        if training and code in training["english_bytes"]:
            row["content"] = training["english_bytes"][code]
    return found


def paired(ours: Mapping[str, float], theirs: Mapping[str, float], code: str) -> tuple[list[str], Any, Any]:
    ids = sorted(ours.keys() & theirs.keys())
    if len(ids) < len(ours):
        raise UserError(
            f"the references lack {len(ours) - len(ids)} held-out documents of {code!r}; measure both on the same corpora"
        )
    return ids, np.array([ours[key] for key in ids]), np.array([theirs[key] for key in ids])


def against_goldfish(parallel: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return r against the published Goldfish models on second halves; right only if the parallel file is FLORES-200."""
    if not parallel:
        return None
    nats = {code: found["second_half_bits"] * math.log(2) / parallel["sentences"] for code, found in parallel["languages"].items()}
    ratios = {code: value / flores_nats()[REFERENCE][code] for code, value in nats.items() if code in flores_nats()[REFERENCE]}
    return {"r": ratios, **aggregates(ratios)} if ratios else None


def gates(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the suggested bounds with what was found; one that cannot be checked is left out."""
    found: list[tuple[str, float, float]] = []
    if costs := model["token_costs"]:
        found += [
            ("Gini of token cost", costs["gini"], MAX_TOKEN_GINI),
            ("dearest over cheapest", costs["max_over_min"], MAX_TOKEN_RATIO),
        ]
    if competent := model["competence"]:
        found.append(("worst r over geometric mean", competent["worst_over_geometric_mean"], MAX_WORST))
    if training := model["training"]:
        error = max(abs(training["realised"][code] - share) for code, share in training["planned"].items())
        found += [
            ("most epochs", max(training["epochs"].values()), MAX_EPOCHS),
            ("share, realised − planned", error, MAX_SHARE_ERROR),
        ]
    return [{"name": name, "value": value, "bound": bound, "passed": bool(value <= bound)} for name, value, bound in found]
