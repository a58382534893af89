"""From raw text to clean corpora: the steps that every recipe begins with, and a recipe of them alone.

`sources` are folders (here or at an fsspec address), hub data sets (`hub:OWNER/NAME`) or web archives (`web:FOLDER`), in the
order in which copies are trusted: of equal documents the one from the first source stays.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from polyglot_lm.corpus.benchmarks import benchmarks_of
from polyglot_lm.corpus.build import build_corpus
from polyglot_lm.corpus.chromium import CATALOGUE, LICENSE, WHEEL_SHA256, extract_catalogue
from polyglot_lm.corpus.decontaminate import ID_FIELDS, NGRAM_UNITS, NgramShape, index_benchmarks
from polyglot_lm.corpus.deduplicate import deduplicate
from polyglot_lm.corpus.extra import Extra
from polyglot_lm.corpus.hub import PREFIX, HubDataset, hub_dataset
from polyglot_lm.corpus.identify import profiles
from polyglot_lm.corpus.ingest import Reading, ingest
from polyglot_lm.corpus.quality import Thresholds, lenient, thresholds_of
from polyglot_lm.corpus.report import Budget, Facts, corpus_report, known_countries
from polyglot_lm.corpus.sources import Files, files_of
from polyglot_lm.corpus.split import Split
from polyglot_lm.corpus.web import extract_web, web_files
from polyglot_lm.languages import Language, select
from polyglot_lm.masking import KINDS, check_kinds, countries_with_rules
from polyglot_lm.pipeline import Step, UserError
from polyglot_lm.recipes.further import Further
from polyglot_lm.recipes.recipe import Recipe

WEB = "web:"


def corpus(
    *,
    languages: tuple[str, ...] = ("ko", "zh", "ja", "id", "ms", "vi", "th", "en"),
    sources: tuple[str, ...],
    source_megabytes: int = 1000,
    quality: Literal["calibrated", "lenient"] = "calibrated",
    agreement: float = 0.72,
    mask_kinds: tuple[str, ...] = KINDS,
    benchmarks: tuple[str, ...] = (),
    min_hits: int = 2,
    split_key: str = "polyglot",
    held_out: float = 0.001,
    max_held_out: float = 0.1,
    max_domain_share: float = 0.01,
    lexicons: tuple[str, ...] = (),
    url_lists: tuple[str, ...] = (),
    linear_models: tuple[str, ...] = (),
    fasttext_models: tuple[str, ...] = (),
    min_scores: tuple[str, ...] = (),
    max_scores: tuple[str, ...] = (),
    rank_by: str = "",
    budget_gigabytes: int = 1000,
    num_samples: int = 3,
) -> Recipe:
    """`source_megabytes` bounds what is streamed of each hub data set in each language; folders are read whole.
    `benchmarks` are folders of evaluation sets, <task>/<split>.jsonl: a document with `min_hits` n-grams of a text of theirs goes.
    `budget_gigabytes` of English-equivalent text, in equal shares, is what the report holds the supply against.
    `held_out` is the share of each of control, select and test; it grows up to `max_held_out` until each has a megabyte.
    `lexicons`, `url_lists` and `linear_models` are NAME:FILE, `fasttext_models` NAME:FILE:LABEL, with `{code}` for the language
    where its files differ: each is a column score_NAME. `min_scores` and `max_scores` are NAME:NUMBER; `rank_by` is a NAME.
    """
    chosen = select(languages)
    further = Further(
        lexicons=lexicons,
        url_lists=url_lists,
        linear_models=linear_models,
        fasttext_models=fasttext_models,
        min_scores=min_scores,
        max_scores=max_scores,
        rank_by=rank_by,
    )
    judged = {language.code: thresholds_of(language.code) if quality == "calibrated" else mild(language) for language in chosen}
    thresholds = {code: further.bounded(each) for code, each in judged.items()}
    split = Split(
        key=split_key,
        control=held_out,
        select=held_out,
        test=held_out,
        min_bytes=1_000_000,
        max_share=max_held_out,
        max_domain_share=max_domain_share,
    )
    documents = documents_of(chosen, sources, thresholds, source_megabytes, further)
    index = index_step(benchmarks) if benchmarks else None
    corpora = corpora_of(chosen, documents, thresholds, agreement, split, mask_kinds, index, min_hits, further.ranking())
    names = tuple(source_name(source) for source in sources)
    report = report_step(chosen, names, documents, corpora, thresholds, budget_gigabytes * 10**9, num_samples)
    return Recipe(results={**{f"corpus-{code}": step for code, step in corpora.items()}, "report": report})


def report_step(
    chosen: tuple[Language, ...],
    source_names: tuple[str, ...],
    documents: Mapping[str, tuple[Step, ...]],
    corpora: Mapping[str, Step],
    thresholds: Mapping[str, Thresholds],
    english_bytes: int,
    num_samples: int,
) -> Step:
    facts = {
        language.code: Facts(
            name=language.name,
            english_name=language.english_name,
            byte_premium=language.byte_premium,
            supply_bytes=language.supply_bytes,
        )
        for language in chosen
    }
    return corpus_report.step(
        "corpus-report",
        languages=facts,
        source_names=source_names,
        documents=documents,
        corpora=corpora,
        thresholds=thresholds,
        budget=Budget(english_bytes=english_bytes, shares=dict.fromkeys(facts, 1 / len(facts))),
        num_samples=num_samples,
        mask_countries=known_countries(),
    )


def mild(language: Language) -> Thresholds:
    """Length, letters and language alone: for text that is known to be good, such as a program's own."""
    return lenient(
        language,
        min_chars=20,
        max_chars=200_000,
        min_letter_share=0.5,
        min_script_share=0.5,
        min_signature_share=0.05,
        min_language_confidence=0.3,
    )


def documents_of(
    chosen: tuple[Language, ...],
    sources: tuple[str, ...],
    thresholds: Mapping[str, Thresholds],
    source_megabytes: int,
    further: Further = Further(),
) -> dict[str, tuple[Step, ...]]:
    """One ingest step a language and source."""
    if not sources:
        raise UserError("no source given; write --set sources=FOLDER or hub:OWNER/NAME, several with commas between")
    scores = {language.code: further.scores(language) for language in chosen}
    shared = {source: step for source in sources if (step := shared_step(source, chosen)) is not None}
    return {
        language.code: tuple(
            ingest_step(
                language,
                source,
                thresholds[language.code],
                shared.get(source) or found(source, language, source_megabytes),
                scores[language.code],
            )
            for source in sources
        )
        for language in chosen
    }


def shared_step(source: str, chosen: tuple[Language, ...]) -> Step | None:
    """Return the step that makes documents of all languages out of a source, where it needs one."""
    if source == CATALOGUE:
        codes = tuple(language.code for language in chosen)
        return extract_catalogue.step("source/chromium", languages=codes, segments_per_document=16, sha256=WHEEL_SHA256)
    if source.startswith(WEB):
        files = web_files(source.removeprefix(WEB))
        return extract_web.step(f"source/{source_name(source)}", files=files, max_page_bytes=10_000_000, max_page_seconds=5.0)
    return None


def found(source: str, language: Language, megabytes: int) -> HubDataset | Files:
    if source.startswith(PREFIX):
        return hub_dataset(source, language, megabytes * 1_000_000)
    return files_of(source, language.code)


def ingest_step(language: Language, source: str, thresholds: Thresholds, documents: object, scores: tuple[Extra, ...] = ()) -> Step:
    return ingest.step(
        f"documents/{language.code}/{source_name(source)}",
        source=documents,
        source_name=source_name(source),
        license=LICENSE if source == CATALOGUE else None,
        reading=Reading(
            code=language.code,
            stop_words=thresholds.stop_words,
            shingle_units=language.shingle_units,
            languages=profiles(language.code),
        ),
        **({"further": scores} if scores else {}),  # so that who asks for none keeps the documents of before
    )


def source_name(source: str) -> str:
    """A name for folders and ids: the catalogue's, the last part of a hub name, or the folder's."""
    if source.startswith(PREFIX):
        return source.removeprefix(PREFIX).split(":")[0].split("@")[0].rsplit("/", 1)[-1]
    name = source if source == CATALOGUE else Path(source.removeprefix(WEB)).expanduser().resolve().name
    if not name:
        raise UserError(f"source {source!r} has no name; give a folder below the root")
    return name


def index_step(benchmarks: tuple[str, ...]) -> Step:
    """Index the evaluation sets: 13-grams as is the field's custom (Brown et al. 2020), runs of equal content in other scripts."""
    return index_benchmarks.step(
        "contamination",
        benchmarks=benchmarks_of(*(Path(folder).expanduser() for folder in benchmarks)),
        shape=NgramShape(units=NGRAM_UNITS, whole_percent=60),
        excluded_fields=ID_FIELDS,
        max_items=32,
        max_texts=8,
    )


def corpora_of(
    chosen: tuple[Language, ...],
    documents: Mapping[str, tuple[Step, ...]],
    thresholds: Mapping[str, Thresholds],
    agreement: float | None,
    split: Split,
    mask_kinds: tuple[str, ...],
    contamination: Step | None = None,
    min_hits: int = 2,
    ranking: str | None = None,
) -> dict[str, Step]:
    """One deduplication step a group of languages, one corpus a language; raises UserError for an unknown kind of identifier."""
    check_kinds(mask_kinds)
    groups: dict[str, list[str]] = {}
    for language in chosen:
        groups.setdefault(language.group, []).append(language.code)
    decisions = {
        code: deduplicate.step(
            f"clusters/{'+'.join(codes)}",
            documents={code: documents[code] for code in codes},
            thresholds={code: thresholds[code] for code in codes},
            agreement=agreement,
            split=split,
            quality=ranking,
        )
        for codes in groups.values()
        for code in codes
    }
    return {
        language.code: build_corpus.step(
            f"corpus/{language.code}",
            documents=documents[language.code],
            decisions=decisions[language.code],
            code=language.code,
            mask_countries=countries_with_rules(language.countries),
            mask_kinds=mask_kinds,
            contamination=contamination,
            min_hits=min_hits,
        )
        for language in chosen
    }
