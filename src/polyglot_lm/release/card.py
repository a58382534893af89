"""The model card: a pure function of what the steps recorded. It says what was measured and what was not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglot_lm.evaluation.table import SUMMARY_FILE, UNIT_NAMES
from polyglot_lm.pipeline import read_json, read_record


def model_card(title: str, names: Mapping[str, str], training: Path, report: Path) -> str:
    """Return the card as Markdown with the hub's front matter."""
    record = read_record(training)
    if record is None:
        raise FileNotFoundError(f"{training} has no record of a finished step")
    summary, arguments = read_json(report / SUMMARY_FILE), record["specification"]["arguments"]
    return "\n".join(
        [
            *front_matter(names),
            f"# {title}",
            "",
            f"A GPT-NeoX language model of {', '.join(names.values())}, trained with Polyglot; the languages share the reading by "
            f"{UNIT_NAMES[summary['unit']]} (see the table of shares).",
            "",
            *model_section(summary, arguments["model"]),
            *training_section(summary, arguments),
            *result_section(summary),
            *limit_section(summary),
        ]
    )


def front_matter(names: Mapping[str, str]) -> list[str]:
    languages = [f"- {code}" for code in names]
    return [
        "---",
        "language:",
        *languages,
        "license: apache-2.0",
        "library_name: transformers",
        "tags:",
        "- gpt_neox",
        "- polyglot",
        "---",
    ]


def model_section(summary: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    rows = {
        "Parameters": f"{summary['parameters']:,}",
        "Layers": model["num_layers"],
        "Width": model["width"],
        "Heads": f"{model['num_heads']} of {model['width'] // model['num_heads']}",
        "MLP width": model["mlp_width"],
        "Context": f"{model['context']} tokens",
        "Vocabulary": f"{model['vocab_size']:,}",
        "Position": f"rotary, first {model['rotary_fraction']:.0%} of each head",
    }
    return ["## Model", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), ""]


def training_section(summary: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    optim, training = arguments["optim"], arguments["training"]
    return [
        "## Training",
        "",
        f"{summary['tokens']:,} tokens in {summary['steps']:,} steps of {training['batch_windows']} windows; {optim['optimizer']}, "
        f"peak learning rate {optim['learning_rate']:g} (block matrices: {optim['matrix_learning_rate']:g}), "
        f"{optim['warmup_steps']} steps of warm-up, decay over the last {optim['decay_fraction']:.0%}; {training['precision']}, "
        f"seed {training['seed']}.",
        "",
        "| Language | Share (English-equivalent bytes) | Share (bytes) | Share (tokens) | Epochs |",
        "|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['share']['english_bytes']:.1%} | {row['share']['bytes']:.1%} | {row['share']['tokens']:.1%} "
            f"| {row['epochs']:.2f} |"
            for row in summary["languages"].values()
        ),
        "",
    ]


def result_section(summary: Mapping[str, Any]) -> list[str]:
    return [
        "## Results",
        "",
        "Bits per byte on held-out text, next to `xz -9` given the training text and to token frequencies alone. Bits per byte of "
        "different languages are not comparable; the last column, total bits of the same "
        f"{summary['parallel_documents']} parallel documents, is.",
        "",
        "| Language | Held-out bytes | Bits per byte | xz -9 | Order 0 | Bits, parallel documents |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['heldout_bytes']:,} | {row['bits_per_byte']:.3f} | {row['xz_bits_per_byte']:.3f} "
            f"| {row['order0_bits_per_byte']:.3f} | {row['parallel_bits']:,.0f} |"
            for row in summary["languages"].values()
        ),
        "",
    ]


def limit_section(summary: Mapping[str, Any]) -> list[str]:
    return [
        "## Limits",
        "",
        "The held-out text comes from the same sources as the training text; no downstream task, bias or toxicity was measured. "
        "Identifiers (national numbers, telephones, accounts, cards, e-mail, IP, passports, tax numbers) were masked by rules for "
        "the formats of the languages' countries; names and street addresses were not, and what the rules miss may be reproduced. "
        "The model continues text; it follows no instructions and states falsehoods fluently.",
        "",
    ]
