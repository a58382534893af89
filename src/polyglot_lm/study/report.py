"""One command from records to results: raw numbers, figures, the synergy matrix, and the results of the study's page.

Everything is a function of the records, so the same runs give the same bytes. A stage that was not run is left out, in the text
with a sentence; what stands between the page's two marks is replaced, the rest of the page belongs to who wrote it.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import UserError, atomic_text, write_json
from polyglot_lm.study import figures, further_figures
from polyglot_lm.study.arms import ARMS, Arms
from polyglot_lm.study.arms_text import (
    Findings,
    arms_text,
    contrasts,
    controller_text,
    differences_text,
    endpoints_text,
    price_text,
    shared_text,
)
from polyglot_lm.study.further_text import accounts_text, confirmations, ladder_text, search_text, transfer_text
from polyglot_lm.study.goals_text import goals_text
from polyglot_lm.study.ladder import line, rungs
from polyglot_lm.study.records import Run, read_runs, write_tables
from polyglot_lm.study.references_text import references_text
from polyglot_lm.study.search import least_probes, main_size, probe_law, probes, uniform_level
from polyglot_lm.study.transfer import correlates, matrix

START, END = "<!-- results -->", "<!-- /results -->"
SYNERGY_FILE = "synergy.json"
Section = tuple[list[str], Mapping[str, str]]  # Markdown, and pictures by name


def write_report(records: Path, out: Path, page: Path) -> list[str]:
    """Write tables, pictures and the matrix into `out` and the results into `page`; returns the primary endpoints, a line each.

    Raises UserError for a page without the two marks, and for records that cannot be compared.
    """
    runs = read_runs(records)
    before, after = around_results(page)
    found = gathered(runs)
    sections = [
        of_arms(found),
        of_transfer(runs),
        of_ladder(found),
        of_search(found),
        (goals_text(found) + accounts_text(found), {}),
    ]
    write_tables(out, runs)
    if any(run.stage == "synergy" for run in runs):
        write_json(out / SYNERGY_FILE, matrix(runs).as_json())
    place = os.path.relpath(out, page.parent)
    for _, pictures in sections:
        for name, picture in pictures.items():
            with atomic_text(out / f"{name}.svg") as file:
                file.write(picture)
    results = [part.replace("](results/", f"]({place}/") for text, _ in sections for part in text]
    with atomic_text(page) as file:
        file.write("\n".join([before + START, "", *results, END + after]))
    return [row.strip("| ").replace(" | ", "; ") for row in endpoints_text(found) if row.startswith("| P")]


def around_results(page: Path) -> tuple[str, str]:
    """Return what stands before and after the results."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if START not in text or END not in text.split(START, 1)[-1]:
        raise UserError(f"{page} has no {START} followed by {END}; put both where the results belong")
    before, rest = text.split(START, 1)
    return before, rest.split(END, 1)[1]


def gathered(runs: Sequence[Run]) -> Findings:
    """Return the arms of the main size on both test sets."""
    size = main_size(runs)
    read = {code for run in runs if run.stage == "arms" and run.size == size for code in run.bits_per_byte["test"]}
    codes = tuple(code for code in languages() if code in read)
    arms = Arms(runs, size, codes)
    kept = (*arms.values, *(run for one in arms.references.values() for run in one.runs))
    flores = Arms(runs, size, codes, "flores") if all(run.bits_per_byte.get("flores") for run in kept) else None
    return Findings(runs=runs, size=size, codes=codes, arms=arms, flores=flores)


def of_arms(found: Findings) -> Section:
    """Tell the arms: endpoints first, then levels, differences, who pays, the controller, the references."""
    pictures = {
        "pareto": figures.pareto(found.arms),
        "languages": figures.heat(found.arms),
        "references": figures.sweeps(found.arms.references),
    }
    if differences := contrasts(found.arms):
        pictures["differences"] = figures.forest(differences)
    if {"uniform", "bloom"} <= found.arms.runs.keys():
        pictures["content"] = figures.content_and_loss(found.arms)
    if decisions := {ARMS[arm]: log for arm in found.arms.runs if (log := decided(found.arms.runs[arm]))}:
        pictures["controllers"] = figures.controllers(decisions)
    text = [
        f"## Results, {found.size} parameters",
        "",
        *endpoints_text(found),
        *shown(pictures, "pareto", "Mean and worst ln r of every arm"),
        *arms_text(found),
        *shown(pictures, "languages", "ln r of every arm and language"),
        *differences_text(found),
        *shown(pictures, "differences", "Differences between arms with intervals"),
        *shared_text(found),
        *price_text(found),
        *shown(pictures, "content", "ln r over the content that was read"),
        *controller_text(found),
        *shown(pictures, "controllers", "Shares that the controllers decided"),
        *references_text(found),
        *shown(pictures, "references", "Sweeps of the references"),
    ]
    return text, pictures


def shown(pictures: Mapping[str, str], name: str, words: str) -> list[str]:
    return [f"![{words}](results/{name}.svg)", ""] if name in pictures else []


def decided(runs: Mapping[int, Run]) -> list[dict[str, Any]]:
    """Return the decisions of an arm's controller with its first seed, none where it had none."""
    first = runs[min(runs)]
    if first.controller_log is None:
        return []
    return [orjson.loads(row) for row in (first.folder / first.controller_log).read_text(encoding="utf-8").splitlines()]


def of_transfer(runs: Sequence[Run]) -> Section:
    if not any(run.stage == "synergy" for run in runs):
        return ["### Who helps whom", "", "The pairs of languages were not run.", ""], {}
    transfer = matrix(runs)
    correlations = correlates(transfer)
    pictures = {"synergy": further_figures.synergy_map(transfer), "kinship": further_figures.kinship(transfer, correlations)}
    text = transfer_text(transfer, correlations)
    return [
        *text,
        *shown(pictures, "synergy", "Directed transfer"),
        *shown(pictures, "kinship", "Transfer over distance"),
    ], pictures


def of_ladder(found: Findings) -> Section:
    ladder = {arm: own for arm in ("uniform", "bloom") if len(own := rungs(found.runs, arm, found.codes)) > 1}
    if "uniform" not in ladder:
        return ["### The ladder", "", "Fewer than two sizes have arms and references: there is no ladder.", ""], {}
    lines = {
        (arm, goal): line([(rung.parameters, getattr(rung, goal)) for rung in own])
        for arm, own in ladder.items()
        for goal in ("mean", "worst")
    }
    pictures = {"ladder": further_figures.rungs_figure(ladder, lines)}
    return [*ladder_text(ladder, lines, found.runs), *shown(pictures, "ladder", "ln r over parameters")], pictures


def of_search(found: Findings) -> Section:
    tried = probes(found.runs)
    if len(tried) < least_probes(len(found.codes)):
        return [
            "### The search",
            "",
            f"{len(tried)} mixtures were probed: too few for a law of {len(found.codes)} languages.",
            "",
        ], {}
    law = probe_law(found.runs)
    measured = np.log([[run.bits_per_byte["select"][code] for code in law.codes] for run in tried])
    start = law(np.full((1, len(law.codes)), 1 / len(law.codes)))[0]
    changed, level = measured - start, uniform_level(found.runs, law.codes)
    confirmed = confirmations(found)
    again = {name: (mean.mean, worst.mean) for name, (mean, worst) in confirmed.items()}
    assert law.left_out is not None
    told = list(zip(law.left_out.mean(axis=1).tolist(), measured.mean(axis=1).tolist(), strict=True))
    worst = (level + changed).max(axis=1) - level.max()
    moved = {run.arm: (float(row.mean()), float(one)) for run, row, one in zip(tried, changed, worst, strict=True)}
    pictures = {"search": further_figures.search_figure(moved, told, again)}
    return [
        *search_text(law, measured, found, confirmed),
        *shown(pictures, "search", "Probes and what the law said of them"),
    ], pictures
