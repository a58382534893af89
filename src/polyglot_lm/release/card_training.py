"""The part of the card that tells what the model is and what it was made from: shape, data, shares, masking, training."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from polyglot_lm.evaluation.table import UNIT_NAMES
from polyglot_lm.release.records import Record, made_by

if TYPE_CHECKING:
    from polyglot_lm.release.card import Story

NOT = "not recorded"
CURVE_POINTS = 8


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def model_section(story: "Story") -> Iterator[str]:
    model = story.training["specification"]["arguments"]["model"]
    parameters = story.training["counters"].get("parameters")
    rows = {
        "Parameters": NOT if parameters is None else f"{parameters:,}",
        "Layers": model["num_layers"],
        "Width": model["width"],
        "Heads": f"{model['num_heads']} of {model['width'] // model['num_heads']}",
        "MLP width": model["mlp_width"],
        "Context": f"{model['context']:,} tokens",
        "Vocabulary": f"{model['vocab_size']:,}, byte-level BPE",
        "Position": f"rotary, first {model['rotary_fraction']:.0%} of each head",
    }
    yield from ("## Model", "", *table(("", ""), ((name, str(value)) for name, value in rows.items())))


def data_section(story: "Story") -> Iterator[str]:
    """Tell each language's sources, in bytes and English-equivalent bytes, and their licences."""
    yield from ("## Data", "")
    encoded = made_by(story.records, "encode_corpus")
    if not encoded:
        yield from (f"Sources: {NOT}.", "")
        return
    yield "What was read of each source after cleaning, deduplication and masking; test text is held out. English-equivalent bytes "
    yield "count content: bytes divided by how many the language needs to say what English says in one."
    yield ""
    documents = {record["name"]: record for record in story.records}
    titles = ("Language", "Source", "Documents", "Bytes", "English-equivalent bytes", "Licence")
    yield from table(titles, [source_row(record, documents, story.names) for record in encoded])


def source_row(record: Record, known: Mapping[str, Record], names: Mapping[str, str]) -> list[str]:
    arguments, counted = record["specification"]["arguments"], record["counters"]
    ingested = known.get(f"documents/{arguments['language']}/{arguments['source']}")
    licence = ingested["specification"]["arguments"].get("license") if ingested else None
    numbers = (counted["documents"], counted["bytes"], round(counted["english_bytes"]))
    code = arguments["language"]
    return [names.get(code, code), arguments["source"], *(f"{number:,}" for number in numbers), licence or NOT]


def share_section(story: "Story") -> Iterator[str]:
    yield from ("## Languages", "")
    if story.mixture is None:
        yield from (f"Shares: {NOT}.", "")
        return
    units = [unit for unit in ("english_bytes", "bytes", "tokens") if unit in story.mixture["shares_in"]]
    read = story.training["counters"].get("amounts", {})
    yield f"The languages share the reading by {UNIT_NAMES[story.mixture['unit']]}."
    yield ""
    rows = []
    for code, name in story.names.items():
        own = [source for source, language in story.mixture["languages"].items() if language == code]
        shares = [f"{sum(story.mixture['shares_in'][unit][source] for source in own):.1%}" for unit in units]
        amount = f"{sum(read[source] for source in own):,.0f}" if own and all(source in read for source in own) else NOT
        summary = (story.summary or {"languages": {}})["languages"].get(code, {})
        rows.append([name, *shares, amount, f"{summary['epochs']:.2f}" if "epochs" in summary else NOT])
    titles = [
        "Language",
        *(f"Share ({UNIT_NAMES[unit]})" for unit in units),
        f"Read ({UNIT_NAMES[story.mixture['unit']]})",
        "Epochs",
    ]
    yield from table(titles, rows)


def masking_section(story: "Story") -> Iterator[str]:
    """Tell what was masked, how often, and how well the masker finds it on labelled sentences."""
    yield from ("## Personal information", "")
    corpora = made_by(story.records, "build_corpus")
    if not corpora:
        yield from (f"Masking: {NOT}.", "")
        return
    yield "Identifiers were replaced by one token each before the text was split. Recall is that of the same rules on labelled "
    yield "sentences of the countries' formats; names and street addresses are not masked, and what the rules miss may come out."
    yield ""
    rows = []
    for record in corpora:
        arguments, counted = record["specification"]["arguments"], record["counters"]
        countries, kinds = arguments.get("mask_countries", []), arguments.get("mask_kinds")
        masked = sum(number for name, number in counted.items() if name.startswith("pii_"))
        code = arguments["code"]
        told = (", ".join(countries), ", ".join(kinds) if kinds else NOT, f"{masked:,}", recall(story.masking, countries))
        rows.append([story.names.get(code, code), *told])
    yield from table(("Language", "Formats of", "Kinds", "Masked", "Recall"), rows)


def recall(report: Mapping[str, Any] | None, countries: Sequence[str]) -> str:
    """Return the share of labelled identifiers of these countries that the masker found."""
    rows = [row for row in (report or {}).get("by_country_and_kind", []) if row["country"] in countries]
    labels = sum(row["labels"] for row in rows)
    return f"{sum(row['recall'] * row['labels'] for row in rows) / labels:.1%} of {labels:,}" if labels else NOT


def training_section(story: "Story") -> Iterator[str]:
    counted, measured = story.training["counters"], story.training.get("measurements", {})
    yield from ("## Training", "")
    told = {name: f"{counted[name]:,}" if name in counted else NOT for name in ("tokens", "steps")}
    yield f"{told['tokens']} tokens in {told['steps']} steps; "
    yield f"code {measured.get('commit', NOT)}, torch {measured.get('torch', NOT)}."
    yield ""
    arguments = story.training["specification"]["arguments"]
    rows = [(f"{part}.{name}", written(value)) for part, name, value in settings(arguments)]
    yield from table(("Setting", "Value"), rows)
    curve = [line for line in story.metrics if {"tokens", "loss"} <= line.keys()]
    if not curve:
        yield from (f"Training curve: {NOT}.", "")
        return
    places = sorted({round(n * (len(curve) - 1) / (CURVE_POINTS - 1)) for n in range(CURVE_POINTS)})
    chosen = [curve[place] for place in places]
    yield from table(
        ("Step", "Tokens", "Loss (nats per token)"), [(f"{c['step']:,}", f"{c['tokens']:,}", f"{c['loss']:.3f}") for c in chosen]
    )
    yield from ("![Training loss](plots/loss.svg)", "")


def settings(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the fields of every configuration a training was given, but for the model's shape, which has its own table."""
    for part, value in arguments.items():
        if isinstance(value, Mapping) and "type" in value and part != "model":
            for name, setting in value.items():
                if name != "type":
                    yield part, name, setting


def written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value).replace("|", "\\|")
