"""Look a document up: its scores, what became of it and why, its cluster, and the beginning of its text.

In: a root of results, or the folder of one corpus; what to look for (an id, words, a reason). Out: findings for the command line to
print. Nothing is indexed: parts are read in order, the columns needed to find a document first, until enough are found, so an id
of a large corpus takes one pass over the ids. The thresholds in force are read from the record of the step that applied them.
Text that was removed was never masked, so it is masked here.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyglot_lm.corpus.build import build_corpus
from polyglot_lm.corpus.quality import RULES, Bound, Thresholds
from polyglot_lm.corpus.report import LATER_STORIES, excerpt, known_countries, value_of
from polyglot_lm.corpus.report_page import COPIES
from polyglot_lm.corpus.split import domain_of
from polyglot_lm.pipeline import RECORD, CorruptFileError, UserError, read_json, read_record
from polyglot_lm.shards import REASON, SCORE

SHOWN_CHARS = 600
FIRST_CHARS = 200  # of the document that stands for a cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """A finished corpus of one language, and the thresholds that decided on it."""

    folder: Path
    code: str
    decisions: Path
    thresholds: Thresholds

    def parts(self) -> list[Path]:
        return [*sorted(self.folder.glob("part-*.parquet")), *sorted(self.folder.glob("removed/part-*.parquet"))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to look for; what is None is not asked for."""

    id: str | None = None
    text_contains: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.id, self.text_contains, self.reason) == (None, None, None):
            raise UserError("nothing to look for; give --id, --text-contains or --reason")

    @property
    def columns(self) -> tuple[str, ...]:
        named = (("id", self.id), ("text", self.text_contains), (REASON.name, self.reason))
        return tuple(name for name, value in named if value is not None)

    def among(self, rows: pa.Table) -> pa.ChunkedArray:
        """Say of each row whether it is wanted."""
        asked = []
        if self.id is not None:
            asked.append(pc.equal(rows["id"], self.id))
        if self.text_contains is not None:
            asked.append(pc.match_substring(rows["text"], self.text_contains))
        if self.reason is not None:
            asked.append(pc.equal(rows[REASON.name], self.reason))
        return functools.reduce(pc.and_, asked)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A document with all that is known of it; `first` is the document that stands for its cluster, where that is another."""

    corpus: Corpus
    part: Path
    row: Mapping[str, Any]
    first: "Finding | None" = None

    @property
    def reason(self) -> str | None:
        return self.row.get(REASON.name)

    def judgement(self) -> list[tuple[str, str, float, str, float, bool]]:
        """List the rules in force: reason, measure, value, side, bound, whether the document meets it."""
        thresholds = self.corpus.thresholds
        lines: list[tuple[str, str, float, str, float, bool]] = []
        for rule in RULES:
            bound = getattr(thresholds.bounds.get(rule.measure), rule.side, None)
            if bound is not None:
                value = value_of(rule.measure, self.row, thresholds)
                fails = value < bound if rule.side == "least" else value > bound
                lines.append((rule.reason, rule.measure, value, rule.side, bound, not fails))
        return lines

    def fate(self) -> str:
        """Say in a sentence what became of the document."""
        if self.reason is None:
            return f"kept, in {self.row['split']}"
        for reason, measure, value, side, bound, _ in self.judgement():
            if reason == self.reason:
                return f"removed: {reason}; {measure} is {value:.6g} and must be at {side} {bound:.6g}"
        return f"removed: {self.reason}; {LATER_STORIES.get(self.reason, 'the rule is no longer known')}"

    def text(self, chars: int = SHOWN_CHARS) -> str:
        return excerpt(self.row["text"], known_countries(), chars)

    def masked_spans(self) -> dict[str, int] | None:
        """Return what was masked, by kind; None of a removed document, which never was."""
        return None if self.reason is not None else dict(self.row["pii_counts"] or ())


def inspect_documents(place: Path, wanted: Wanted, limit: int) -> list[Finding]:
    """Find up to `limit` documents; raises UserError when `place` holds no corpus or none of its documents is wanted."""
    corpora = find_corpora(place)
    found = list(itertools.islice((finding for corpus in corpora for finding in search(corpus, wanted)), limit))
    if not found:
        asked = ", ".join(f"{name} {getattr(wanted, name)!r}" for name in Wanted.__slots__ if getattr(wanted, name) is not None)
        raise UserError(
            f"no document with {asked} among {', '.join(corpus.code for corpus in corpora)} in {place}; check it, or run first"
        )
    return [with_first(finding, corpora) for finding in found]


def find_corpora(place: Path) -> list[Corpus]:
    """Return the corpora below a root, the newest of each name, or the one whose folder this is."""
    folders = (
        [place.resolve()] if (place / RECORD).exists() else [path.parent.resolve() for path in sorted(place.glob(f"*/*/{RECORD}"))]
    )
    newest: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        record = read_record(folder)
        if record is not None and record["stage"] == build_corpus.reference:
            started = record["measurements"]["started"]
            newest[record["name"]] = max(newest.get(record["name"], ("", folder)), (started, folder))
    if not newest:
        raise UserError(f"{place} holds no finished corpus; give a --root that `polyglot run` wrote to, or one corpus folder in it")
    return [read_corpus(folder) for _, folder in newest.values()]


def read_corpus(folder: Path) -> Corpus:
    record = read_json(folder / RECORD)
    arguments = record["specification"]["arguments"]
    root = Path(str(folder).removesuffix(record["address"]))
    decisions = root / arguments["decisions"]
    judged = read_record(decisions)
    if judged is None:
        raise UserError(f"{decisions} is gone, whose record says by which thresholds {folder} was made; run the recipe again")
    return Corpus(
        folder=folder,
        code=arguments["code"],
        decisions=decisions,
        thresholds=thresholds_from(judged["specification"]["arguments"]["thresholds"][arguments["code"]]),
    )


def thresholds_from(canonical: Mapping[str, Any]) -> Thresholds:
    """Read thresholds back from the identity of a step."""
    bounds = {name: Bound(least=bound["least"], most=bound["most"]) for name, bound in canonical["bounds"].items()}
    plain = {name: tuple(canonical[name]) for name in ("scripts", "signature", "stop_words")}
    return Thresholds(code=canonical["code"], bounds=bounds, weights=canonical["weights"], **plain)


def search(corpus: Corpus, wanted: Wanted) -> Iterator[Finding]:
    for part in corpus.parts():
        if wanted.reason is not None and part.parent == corpus.folder:
            continue  # a kept document has no reason
        try:
            with pq.ParquetFile(part, page_checksum_verification=True) as file:
                for group in range(file.num_row_groups):
                    found = wanted.among(file.read_row_group(group, wanted.columns))
                    if pc.any(found).as_py():
                        rows = file.read_row_group(group).filter(found).to_pylist()
                        yield from (Finding(corpus=corpus, part=part, row=row) for row in rows)
        except pa.ArrowException as error:
            raise CorruptFileError(part, str(error).splitlines()[0]) from error


def with_first(finding: Finding, corpora: list[Corpus]) -> Finding:
    """Add the first document of the finding's cluster, from any language of its group, where that is another.

    Parallel documents share ids, so a copy may have the very id of the document that it was removed for.
    """
    key = finding.row["cluster_id"]
    if finding.row["cluster_size"] == 1 or (key == finding.row["id"] and finding.reason not in COPIES):
        return finding
    group = [corpus for corpus in corpora if corpus.decisions == finding.corpus.decisions]
    named = (found for corpus in group for found in search(corpus, Wanted(id=key)))
    return replace(finding, first=next((found for found in named if found.reason not in COPIES), None))


def lines_of(finding: Finding) -> Iterator[str]:
    """Write a finding for the terminal."""
    row = finding.row
    where = domain_of(row["url"]) or excerpt(row["url"] or "", known_countries(), SHOWN_CHARS)  # a path may hold a number
    yield f"id        {row['id']}"
    yield f"from      {finding.corpus.code}, source {row['source']}{', ' * bool(where)}{printable(where)}"
    yield f"lies in   {finding.part}"
    yield f"fate      {finding.fate()}"
    yield from cluster_lines(finding)
    masked = finding.masked_spans()
    spans = "not masked: removed before" if masked is None else ", ".join(f"{n} {kind}" for kind, n in masked.items()) or "nothing"
    yield f"masked    {spans}"
    yield "rules"
    for reason, measure, value, side, bound, meets in finding.judgement():
        yield f"  {'  ' if meets else '! '}{reason:<26} {measure:<26} {value:>12.6g}   at {side} {bound:.6g}"
    yield "scores"
    for name in (name for name in row if name.startswith(SCORE)):
        value = row[name]
        yield f"    {name.removeprefix(SCORE):<26} {f'{value:.6g}' if isinstance(value, float) else value}"
    yield "text"
    yield from (f"    {line}" for line in printable(finding.text()).splitlines())


def cluster_lines(finding: Finding) -> Iterator[str]:
    size, first = finding.row["cluster_size"], finding.first
    if first is not None:
        yield f"cluster   one of {size}; the first is {first.row['id']} ({first.corpus.code}, {first.fate()}):"
        yield f"          {printable(' '.join(first.text(FIRST_CHARS).split()))}"
    elif finding.reason in COPIES:
        yield f"cluster   one of {size}; the first, {finding.row['cluster_id']}, lies in none of the corpora asked about"
    else:
        yield f"cluster   {'its own' if size == 1 else f'the first of {size}'}"


def printable(text: str) -> str:
    """Replace what a terminal would obey instead of showing."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)
