"""The part of the balance report that tells of tasks.

What is at chance, averages or why there are none, every score with what it rests on, and the published number of the same model
beside it.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polyglot_lm.evaluation.plots import heat_map
from polyglot_lm.evaluation.published import published_tasks
from polyglot_lm.evaluation.scores import chance_verdict
from polyglot_lm.languages import languages
from polyglot_lm.pages import NOTHING, table


def task_sections(report: Mapping[str, Any]) -> Iterator[str]:
    names = {code: languages()[code].name for code in report["languages"]}
    for model in report["models"]:
        if not (model["tasks"] and model["tasks"]["scores"]):
            continue
        scores = model["tasks"]["scores"]
        rows: dict[str, dict[str, float]] = {}
        pale = set[tuple[str, str]]()
        for score in scores:
            rows.setdefault(score["family"] + (f", {score['shots']} shots" if score["shots"] else ""), {})[score["language"]] = (
                score["normalised"]
            )
        verdict = f"<p><b>{html.escape(chance_verdict(scores))}</b></p>{average_sentence(model['tasks'], names)}"
        chart = wide(heat_map(rows, names, title="Tasks by language", pale=pale))
        about = "(accuracy − chance) / (1 − chance): 0 is guessing, 1 is all right; not cut off below 0. Without colour: at chance."
        yield f"<h2>{html.escape(model['name'])}: tasks</h2>{verdict}{chart}<p class='note'>{about}</p>"
        yield "<h3>Every score</h3>" + score_table(model, scores)


def average_sentence(tasks: Mapping[str, Any], names: Mapping[str, str]) -> str:
    told = []
    for shots, found in tasks["averages"].items():
        if found["mean"] is None:
            told.append(f"No task is there in all of {len(names)} languages ({shots} shots), so there is no average.")
        else:
            by_language = ", ".join(f"{names[code]} {value:+.3f}" for code, value in found["by_language"].items())
            told.append(f"Average over {', '.join(found['families'])} ({shots} shots): {found['mean']:+.3f} ({by_language}).")
    if tasks["failed"]:
        told.append(f"Failed: {', '.join(f'{name} ({reason})' for name, reason in tasks['failed'].items())}.")
    return f"<p>{html.escape(' '.join(told))}</p>"


def score_table(model: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> str:
    titles = "task,,shots,n,metric,score [95 %],accuracy,chance,commonest,normalised,in training text,published".split(",")
    lines = [score_line(model, score) for score in scores]
    about = (
        "commonest: accuracy of always giving the commonest right answer; at chance: the interval of the accuracy reaches down to "
        "chance or to that. in training text: items found by the corpus stage and taken out with their document / left in part. "
        "Intervals: items drawn again, 2,000 times."
    )
    cut = {score["name"]: score["answers_cut"] for score in scores if score["answers_cut"]}
    notes = list(dict.fromkeys(f"{score['family']}: {score['note']}" for score in scores if score["note"]))
    if cut:
        notes.append(
            f"Answers that lost the beginning of their prompt to the context: {', '.join(f'{n} {c:,}' for n, c in cut.items())}."
        )
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return table(titles, lines) + f'<p class="note">{about}</p><ul class="note">{items}</ul>'


def score_line(model: Mapping[str, Any], score: Mapping[str, Any]) -> list[str]:
    first = score["metrics"].get(score["metric"]) or next(iter(score["metrics"].values()))
    accuracy = score["metrics"].get("acc") or score["metrics"].get("exact_match")
    found = score["contamination"]
    published = published_tasks().get((model["model"], score["shots"]), {}).get(score["name"])
    kind = "" if score["scored_by"] == "log-likelihood" else f" ({score['scored_by']})"
    return [
        html.escape(score["name"]),
        name_of(score["language"]),
        str(score["shots"]),
        f"{score['n']:,}",
        html.escape({"f1": "macro-F1", "acc": "accuracy"}.get(score["metric"], score["metric"]) + kind),
        with_bounds(first, "value", "low", "high"),
        f"{accuracy['value']:.3f}",
        f"{score['chance']:.3f}",
        shown(score["commonest_answer"], "{:.3f}"),
        "at chance" if score["at_chance"] else f"<b>{score['normalised']:+.3f}</b>",
        "not looked for" if found is None else f"{found['items_removed']:,} / {found['items_left']:,}",
        shown(published, "{:.3f}"),
    ]


def name_of(code: str) -> str:
    return html.escape(languages()[code].name) if code in languages() else html.escape(code)


def shown(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)


def with_bounds(found: Mapping[str, Any], *names: str) -> str:
    """Write a value with its interval, whose names are given in this order."""
    if not found:
        return NOTHING
    value, low, high = (found[name] for name in names)
    return f"<b>{value:.3f}</b> <span class='quiet'>[{low:.3f}, {high:.3f}]</span>"


def wide(chart: str) -> str:
    return f'<div class="wide">{chart}</div>'
