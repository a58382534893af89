"""The balance report as a page: headline, gates, languages, charts, tasks, and how each number was made.

A pure function of `balance.json`. What was not measured is left out, with the command that would measure it.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polyglot_lm.evaluation.plots import interval_chart, log_chart, lorenz, scatter
from polyglot_lm.evaluation.task_page import name_of, shown, task_sections, wide, with_bounds
from polyglot_lm.languages import languages
from polyglot_lm.pages import NOTHING, figure, figures, html_page, line_chart, table

STYLE = """
.pass { color: #00846b; font-weight: 650; } section { break-inside: avoid-page; }
.wide svg { min-width: 560px; } .wide { overflow-x: auto; }
@media print { body { max-width: none; margin: 0; } .wide, .scroll { overflow: visible; } h2 { break-after: avoid; }
  table { font-size: .62rem; } th, td { padding: .2rem .25rem; } }
@media (max-width: 600px) { body { margin-top: 1.2rem; padding: 0 .9rem; } table { font-size: .8rem; } }
"""
Report = Mapping[str, Any]


def balance_page(report: Report) -> str:
    """Return the page of one or several models."""
    sections = [
        headline(report),
        *(
            section
            for part in (gate_section, aggregate_section, language_sections, competence_charts, training_charts, token_section)
            for section in part(report)
        ),
        *task_sections(report),
        method(),
    ]
    return html_page("Balance report", (f"<section>{section}</section>" for section in sections if section), style=STYLE)


def headline(report: Report) -> str:
    found = []
    for model in report["models"]:
        about = f"{html.escape(model['name'])}, {model['parameters']:,} parameters"
        competent = model["competence"]
        if competent is None:
            found.append(figure("–", about, "no references or no held-out text: no relative competence"))
            continue
        worst = f"worst ln r {competent['worst_ln']:+.3f} {bracket(competent, 'worst_ln')}: {name_of(competent['worst_language'])}"
        found.append(figure(f"{competent['mean_ln']:+.3f}", about, f"mean ln r {bracket(competent, 'mean_ln')}", worst))
    text = (
        "<p>r is a model's bits for held-out text over those of a monolingual model of the same size and content. ln r below "
        "0: better "
        "than that model; the mean says how good, the worst how balanced. Brackets are 95 % intervals over documents.</p>"
    )
    return text + figures(found)


def bracket(found: Mapping[str, Any], name: str) -> str:
    return f"[{found[f'{name}_low']:+.3f}, {found[f'{name}_high']:+.3f}]"


def gate_section(report: Report) -> Iterator[str]:
    lines = [
        [
            html.escape(model["name"]),
            gate["name"],
            f"{gate['value']:.4g}",
            f"≤ {gate['bound']:g}",
            '<span class="pass">pass</span>' if gate["passed"] else '<span class="warn">fail</span>',
        ]
        for model in report["models"]
        for gate in model["gates"]
    ]
    if lines:
        yield "<h2>Gates</h2>" + table(("model", "figure", "found", "bound", ""), lines)


def aggregate_section(report: Report) -> Iterator[str]:
    """Set models, and those of the literature by their published numbers, beside one another."""
    titles = ("model", "against", "mean r", "worst r", "", "worst / mean", "max / min", "CV", "Gini", "tilted", "r > 1.05")
    lines = [
        aggregate_line(model["name"], against, model[part])
        for model in report["models"]
        for part, against in (("competence", "our references"), ("goldfish", "Goldfish 1000 MB"))
        if model[part]
    ]
    lines += [aggregate_line(f"{name} (published)", "Goldfish 1000 MB", found) for name, found in report["published"].items()]
    note = (
        "Against our references: same size, tokenizer and content. Against Goldfish: fixed monolingual models of 125M "
        "parameters and "
        "1000 MB of equal content, on the second halves of FLORES-200 sentences; a large model falls below 1, its spread "
        "still counts. "
        "Published rows are computed from goldfish's flores_logperplexities.tsv (arXiv 2408.10441). "
        "Halves of ours are cut at half of the bytes, so these two columns compare to about a per cent."
    )
    yield f"<h2>All together</h2>{table(titles, lines)}<p class='note'>{note}</p>"


def aggregate_line(name: str, against: str, found: Mapping[str, Any]) -> list[str]:
    numbers = ("worst_over_geometric_mean", "max_over_min", "variation", "gini", "tilted")
    return [
        html.escape(name),
        against,
        f"<b>{found['mean']:.3f}</b>",
        f"<b>{found['worst']:.3f}</b>",
        html.escape(found["worst_language"]),
        *(f"{found[number]:.3f}" for number in numbers),
        str(found["much_worse"]),
    ]


def language_sections(report: Report) -> Iterator[str]:
    for model in report["models"]:
        if model["heldout"] or model["parallel"]:
            yield f"<h2>{html.escape(model['name'])}, by language</h2>" + language_table(model, report["languages"])


def language_table(model: Mapping[str, Any], codes: Sequence[str]) -> str:
    titles = (
        "",
        "n",
        "share",
        "epochs",
        "M eb",
        "tokens",
        "bits/B",
        "bits/eb",
        "r",
        "r, = compute",
        "EMD/D",
        "parity",
        "2nd half",
    )
    heldout = (model["heldout"] or {}).get("languages", {})
    parallel = (model["parallel"] or {}).get("languages", {})
    lines = [
        language_line(code, model, heldout.get(code), parallel.get(code)) for code in codes if code in heldout or code in parallel
    ]
    windows = f"{model['heldout']['window_english_bytes']} English-equivalent bytes" if model["heldout"] else "a sentence"
    cut = sum(found.get("windows_cut", 0) for found in heldout.values())
    note = (
        "n: held-out documents. share: of the reading, planned / read where they differ. eb: English-equivalent bytes; M eb: "
        "millions of them read. "
        "tokens: for the same content, over the mean of the languages. "
        f"bits/B [95 %]: in windows of {windows}{f', {cut} of them cut by the context' if cut else ''}; "
        "bits a byte of different languages do not compare. "
        "r, = compute: against a reference of equal compute. EMD/D: monolingual text that gives the same bits, over what was "
        "read. parity: English bits over the language's, for "
        "parallel "
        "sentences, whole and second half given the first; it measures form as well as meaning, so it is a diagnosis, not a goal."
    )
    return table(titles, lines) + f'<p class="note">{note}</p>'


def language_line(
    code: str, model: Mapping[str, Any], heldout: Mapping[str, Any] | None, parallel: Mapping[str, Any] | None
) -> list[str]:
    training, costs, text, halves = model["training"] or {}, model["token_costs"] or {}, heldout or {}, parallel or {}
    competent = (model["competence"] or {}).get("languages", {}).get(code, {})
    equivalent, content = competent.get("equivalent_data"), competent.get("content")
    shares = dict.fromkeys(f"{training[kind][code]:.1%}" for kind in ("planned", "realised") if code in training.get(kind, {}))
    read = training.get("english_bytes", {}).get(code)
    return [
        name_of(code),
        shown(text.get("documents"), "{:,}"),
        " / ".join(shares) or NOTHING,
        shown(training.get("epochs", {}).get(code), "{:.2f}"),
        shown(read and read / 1e6, "{:.2f}"),
        shown(costs.get("premium", {}).get(code), "{:.2f}"),
        with_bounds(text, "bits_per_byte", "bits_per_byte_low", "bits_per_byte_high"),
        shown(text.get("bits_per_english_byte"), "{:.3f}"),
        with_bounds(competent, "r", "low", "high"),
        shown(competent.get("r_equal_compute"), "{:.3f}"),
        shown(equivalent and content and equivalent / content, "{:.2f}"),
        shown(halves.get("parity"), "{:.2f}"),
        shown(halves.get("second_half_parity"), "{:.2f}"),
    ]


def competence_charts(report: Report) -> Iterator[str]:
    measured = [model for model in report["models"] if model["competence"]]
    if measured:
        codes = sorted(measured[0]["competence"]["languages"], key=lambda code: -measured[0]["competence"]["languages"][code]["r"])
        groups = {
            languages()[code].name: {
                model["name"]: (found["r"], found["low"], found["high"])
                for model in measured
                if (found := model["competence"]["languages"].get(code))
            }
            for code in codes
        }
        yield "<h2>Relative competence, worst first</h2>" + wide(interval_chart(groups, title="Relative competence", centre=1.0))
    points = {
        f"{name} (published)": (found["mean_ln"], found["worst_ln"])
        for name, found in report["published"].items()
        if found["mean_ln"] < 0.2
    }
    for model in report["models"]:
        for part, suffix in (("competence", ""), ("goldfish", " against Goldfish")):
            if model[part]:
                points[model["name"] + suffix] = (model[part]["mean_ln"], model[part]["worst_ln"])
    own = [name for name in points if not name.endswith("(published)")]
    chart = scatter(points, own, x_label="mean ln r", y_label="worst ln r")
    told = "Lower left is better. Published: against Goldfish 1000 MB, a reference that a point of ours has only where it says so."
    note = f'<p class="note">{told}</p>'
    yield "<h2>Mean and worst</h2>" + wide(chart) + note


def training_charts(report: Report) -> Iterator[str]:
    for model in report["models"]:
        training = model["training"]
        if training and training["control"]:
            yield from model_training_charts(html.escape(model["name"]), training, report["references"])


def model_training_charts(name: str, training: Mapping[str, Any], references: Mapping[str, Any] | None) -> Iterator[str]:
    codes = list(training["planned"])
    final = {
        code: found["control_bits_per_byte"]
        for code in codes
        for found in reference_rows(references, code)
        if found["content"] == 1
    }
    if final:
        over_steps = {
            languages()[code].name: [(step, bits[code] / final[code]) for step, bits in training["control"]] for code in final
        }
        chart = line_chart(
            over_steps,
            x_label="step",
            y_label="r, control text",
            high=max(2.0, 1.2 * max(line[-1][1] for line in over_steps.values())),
        )
        yield f"<h2>{name}: r over steps</h2>" + wide(chart)
    if training["shares"]:
        over_time = {languages()[code].name: [(step, 100 * found[code]) for step, found in training["shares"]] for code in codes}
        yield f"<h2>{name}: shares of the reading</h2>" + wide(line_chart(over_time, x_label="step", y_label="per cent"))
    else:
        yield f"<h2>{name}: shares of the reading</h2><p>They did not change while it trained; the table by language has them.</p>"
    lines = {
        languages()[code].name: [
            (training["english_bytes"][code] * step / training["steps"], bits[code]) for step, bits in training["control"]
        ]
        for code in codes
    }
    points = {
        languages()[code].name: [(found["amount"], found["control_bits_per_byte"]) for found in reference_rows(references, code)]
        for code in codes
    }
    chart = log_chart(lines, points, x_label="English-equivalent bytes of the language", y_label="bits/B, control text")
    yield (
        f"<h2>{name}: loss over content</h2>"
        + wide(chart)
        + '<p class="note">Lines: this model; circles: the monolingual references.</p>'
    )


def reference_rows(references: Mapping[str, Any] | None, code: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (references or {}).get("languages", {}).get(code, [])
    return found


def token_section(report: Report) -> Iterator[str]:
    costs = {model["name"]: list(model["token_costs"]["tokens"].values()) for model in report["models"] if model["token_costs"]}
    if costs:
        of = {f"{model['token_costs']['n']:,} {model['token_costs']['of']}" for model in report["models"] if model["token_costs"]}
        told = f"Tokens for the same content, {' and '.join(sorted(of))}; on the dashed line all languages pay the same."
        note = f'<p class="note">{html.escape(told)}</p>'
        yield "<h2>What the tokenizer costs</h2>" + wide(lorenz(costs)) + note


def method() -> str:
    return (
        "<h2>How the numbers were made</h2><p>Bits: −log2 of the probability of every token, the end included, in windows "
        "that hold the same "
        "English-equivalent bytes in each language and overlap by half; divided by the bytes of the raw text. Intervals: "
        "10,000 draws of documents, "
        "parallel documents together in all languages; the worst r is taken inside each draw. Tasks: lm-evaluation-harness's "
        "prompts and metrics. "
        "Only families that all languages have enter an average. Byte premiums: the table of languages (FLORES-200).</p>"
    )
