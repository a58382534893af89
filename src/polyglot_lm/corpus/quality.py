"""Which documents are refused, and why: score columns and a language's thresholds in, one code of a reason a document out.

There is one kind of rule: a measure with a least or a greatest value. All rules look at columns that ingest wrote, never at
text, so changed thresholds cost seconds. `RULES` lists them, cheap and telling ones first; the first that fails names the
reason, and a rule without a bound is off. A value that is missing (NaN) fails no rule. After them come bounds on further scores
(`extra`): the measure `score:<name>` is the column `score_<name>`, and its reason is the name.

Bounds are data: `thresholds/<code>.toml`, calibrated so that our rules remove what datatrove's filters remove under FineWeb2's
bounds (benchmarks/corpus/calibrate.py writes the files; each rule has both bounds and the agreement measured). Those bounds
are about *words* of segmenters that read 0.06 to 0.35 MB/s. We count letters, symbols and pieces and estimate words from them
by weights of the language, fitted in the same calibration: Thai has about one word in five letters, whatever the words are.
"""

import functools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polyglot_lm.languages import Language, language
from polyglot_lm.pipeline import UserError

THRESHOLDS = Path(__file__).with_name("thresholds")
TOKEN_COUNTS = (  # columns of corpus.kernels.tokens, named here so that numba is not imported
    *("spaced_words", "spaced_numbers", "symbols_between", "symbols_after", "symbols_before", "symbols_alone", "symbols_repeated"),
    *("pieces_with_letters", "pieces_with_digits", "pieces_of_symbols"),
)
SCORED = "score:"  # a further score, as a measure
MAX_SCORED = 64  # with the rules' reasons, fewer than the 127 that a dictionary of int8 holds
KEPT = 0  # the code of a document that no rule refuses
Columns = Mapping[str, np.ndarray[Any, Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.uint8]]
Side = Literal["least", "most"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """Least and greatest value that is kept; None: no bound on that side."""

    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least is {self.least} and most {self.most}; no value lies between")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """What a document of one language must be.

    bounds: by measure, see MEASURES, or `score:<name>`; a measure that is not there is not asked for. weights: of each feature of
    FEATURES in the number of `tokens`, `alphabetic` tokens and `words`. stop_words: those that the column `stop_words` counted.
    """

    code: str
    scripts: tuple[str, ...]
    signature: tuple[str, ...]
    bounds: Mapping[str, Bound]
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    stop_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ruled = {name: bound for name, bound in self.bounds.items() if not name.startswith(SCORED)}
        check_names(self.code, "bound", ruled, MEASURES)
        if len(self.bounds) - len(ruled) > MAX_SCORED:
            raise ValueError(f"{self.code}: {len(self.bounds) - len(ruled)} further scores have bounds; give at most {MAX_SCORED}")
        check_names(self.code, "weight", self.weights, ESTIMATES)
        for estimate, weights in self.weights.items():
            check_names(self.code, f"feature of {estimate}", weights, FEATURES)
        for name, bound in ruled.items():
            for side in ("least", "most"):
                if getattr(bound, side) is not None and (name, side) not in RULED:
                    raise ValueError(f"{self.code}: {name} has no rule for its {side} value; take the bound out")
            if name in ESTIMATED and set(self.weights) < set(ESTIMATES):
                raise ValueError(f"{self.code}: {name} is bounded but there are no weights for words; calibrate the language first")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One reason to refuse a document: the measure is below its least or above its greatest value."""

    reason: str
    measure: str
    side: Side
    story: str  # what such a document is


def rule(reason: str, measure: str, side: Side, story: str) -> Rule:
    return Rule(reason=reason, measure=measure, side=side, story=story)


TOP_SIZES, DUPLICATE_SIZES = (2, 3, 4), (5, 6, 7, 8, 9, 10)
RULES: tuple[Rule, ...] = (
    rule("empty", "num_visible", "least", "nothing but white space"),
    rule("too_short", "num_chars", "least", "fewer characters than asked for"),
    rule("too_long", "num_chars", "most", "more characters than asked for"),
    rule("few_letters", "letter_share", "least", "mostly digits, punctuation and symbols"),
    rule("wrong_script", "script_share", "least", "letters of scripts the language is not written in"),
    rule("no_signature", "signature_share", "least", "none of the letters that tell the language from its neighbours"),
    rule("wrong_language", "language_confidence", "least", "another language, or nobody knows which"),
    rule("few_words", "words", "least", "fewer words than asked for"),
    rule("many_words", "words", "most", "more words than asked for"),
    rule("short_words", "word_length", "least", "words shorter on average than the language's"),
    rule("long_words", "word_length", "most", "words longer on average than the language's"),
    rule("many_hashes", "hashes", "most", "hash signs for words"),
    rule("many_ellipses", "ellipses", "most", "ellipses for words: teasers cut off"),
    rule("bullets", "bullet_lines", "most", "a list and nothing else"),
    rule("cut_lines", "ellipsis_lines", "most", "lines cut off by an ellipsis"),
    rule("few_alphabetic_words", "alphabetic_words", "least", "tables, code, numbers"),
    rule("few_stop_words", "stop_words", "least", "no running text: its commonest words are missing"),
    rule("unended_lines", "line_punctuation", "least", "lines that end in no punctuation: menus and tables"),
    rule("many_lines", "newlines", "most", "a line break every few words"),
    rule("repeated_line_characters", "duplicate_line_characters", "most", "characters in lines seen before"),
    rule("repeated_lines", "duplicate_lines", "most", "lines seen before"),
    *(rule(f"frequent_{n}gram", f"top_{n}gram", "most", f"one sequence of {n} units again and again") for n in TOP_SIZES),
    *(rule(f"repeated_{n}gram", f"duplicate_{n}gram", "most", f"sequences of {n} units seen before") for n in DUPLICATE_SIZES),
)
REASONS: tuple[str | None, ...] = (None, *(each.reason for each in RULES))  # by code; further scores follow
RULED = {(each.measure, each.side) for each in RULES}


def scored(thresholds: Thresholds) -> list[str]:
    """Return the names of the further scores that have bounds, in the order of their codes."""
    return sorted(name.removeprefix(SCORED) for name in thresholds.bounds if name.startswith(SCORED))


def reasons_of(thresholds: Thresholds) -> tuple[str | None, ...]:
    """Return all reasons that `decide` may give under these thresholds, by code."""
    return (*REASONS, *scored(thresholds))


def of(columns: Columns, name: str) -> Floats:
    if name not in columns:
        raise KeyError(
            f"no column {name!r} among {', '.join(columns)}; quality rules need the columns of corpus.kernels.statistics"
        )
    return columns[name].astype(np.float64)


def tokens(columns: Columns) -> Floats:
    return np.maximum(1, of(columns, "num_units") + of(columns, "num_symbols"))


def script(columns: Columns, *names: str) -> Floats:
    """Return how many letters are of these scripts."""
    return np.asarray(np.round(script_share(columns, names) * of(columns, "num_letters")))


FEATURES: Mapping[str, Callable[[Columns], Floats]] = {  # what words are estimated from, each a count
    **{name: functools.partial(of, name=name) for name in TOKEN_COUNTS},
    "spaced_letters": lambda c: of(c, "num_letters") - script(c, "Hani", "Hira", "Kana", "Thai", "Hang"),
    "hangul": lambda c: script(c, "Hang"),
    "han": lambda c: script(c, "Hani"),
    "hiragana": lambda c: script(c, "Hira"),
    "katakana": lambda c: script(c, "Kana"),
    "thai": lambda c: script(c, "Thai"),
}
ESTIMATES = ("tokens", "alphabetic", "words")  # words and symbols; those of them with a letter; those that are no symbols
ESTIMATED = ("words", "word_length", "hashes", "ellipses", "alphabetic_words", "newlines")  # measures that need the weights


def estimate(columns: Columns, thresholds: Thresholds, name: str) -> Floats:
    """Estimate how many tokens, alphabetic tokens or words a segmenter of the language would find, at least 1."""
    weighted = [weight * FEATURES[feature](columns) for feature, weight in thresholds.weights[name].items()]
    return np.asarray(np.maximum(1.0, np.sum(weighted, axis=0)))


def script_share(columns: Columns, scripts: Sequence[str]) -> Floats:
    """Return the share of letters in these scripts; 1 where none is asked for."""
    if not scripts:
        return np.ones(len(columns["num_chars"]))
    return np.asarray(np.sum([of(columns, f"script_{name}") for name in scripts], axis=0))


def language_confidence(columns: Columns, code: str) -> Floats:
    """Return the identifier's confidence where it names the language, 0 where it names another."""
    return np.where(columns["language"] == code, of(columns, "language_confidence"), 0.0)


def per_token(column: str) -> Callable[[Columns, Thresholds], Floats]:
    """A count that the kernel gives per unit or symbol, per estimated token instead."""
    return lambda columns, thresholds: of(columns, column) * tokens(columns) / estimate(columns, thresholds, "tokens")


def column(name: str) -> Callable[[Columns, Thresholds], Floats]:
    return lambda columns, _: of(columns, name)


MEASURES: Mapping[str, Callable[[Columns, Thresholds], Floats]] = {
    **{name: column(name) for name in ("num_visible", "num_chars", "letter_share", "stop_words")},
    "script_share": lambda columns, thresholds: script_share(columns, thresholds.scripts),
    "signature_share": lambda columns, thresholds: script_share(columns, thresholds.signature),
    "language_confidence": lambda columns, thresholds: language_confidence(columns, thresholds.code),
    "words": lambda columns, thresholds: estimate(columns, thresholds, "words"),
    "word_length": lambda columns, thresholds: (
        (of(columns, "num_letters") + of(columns, "num_digits")) / estimate(columns, thresholds, "words")
    ),
    "hashes": per_token("hash_ratio"),
    "ellipses": per_token("ellipsis_ratio"),
    "bullet_lines": column("bullet_line_ratio"),
    "ellipsis_lines": column("ellipsis_line_ratio"),
    "alphabetic_words": lambda columns, thresholds: (
        estimate(columns, thresholds, "alphabetic") / estimate(columns, thresholds, "tokens")
    ),
    "line_punctuation": column("ended_line_ratio"),
    "newlines": lambda columns, thresholds: of(columns, "num_newlines") / estimate(columns, thresholds, "tokens"),
    "duplicate_line_characters": column("line_char_duplicates"),
    "duplicate_lines": column("dup_line_frac"),
    **{f"top_{n}gram": column(f"top_{n}_gram") for n in TOP_SIZES},
    **{f"duplicate_{n}gram": column(f"dup_{n}_gram") for n in DUPLICATE_SIZES},
}


def decide(columns: Columns, thresholds: Thresholds) -> Codes:
    """Return for each document the code of the first rule it fails, uint8: 0 is kept, `reasons_of` names the others.

    columns: those of `corpus.kernels.statistics`, and `language` with `language_confidence` where that rule is on; equal lengths.
    Raises UserError where a further score has a bound and no column.
    """
    codes = np.zeros(len(columns["num_chars"]), np.uint8)
    measured: dict[str, Floats] = {}
    for code, each in enumerate(RULES, 1):
        bound = getattr(thresholds.bounds.get(each.measure), each.side, None)
        if bound is None:
            continue
        if each.measure not in measured:
            measured[each.measure] = MEASURES[each.measure](columns, thresholds)
        value = measured[each.measure]
        fails = value < bound if each.side == "least" else value > bound
        codes[fails & (codes == KEPT)] = code
    for code, name in enumerate(scored(thresholds), len(REASONS)):
        if name not in columns:
            raise UserError(f"score {name!r} has a bound, but the documents do not have it; add the score or drop the bound")
        value, bound = of(columns, name), thresholds.bounds[SCORED + name]
        fails = (value < (-np.inf if bound.least is None else bound.least)) | (
            value > (np.inf if bound.most is None else bound.most)
        )
        codes[fails & (codes == KEPT)] = code
    return codes


def check_names(code: str, kind: str, names: Mapping[str, object], known: object) -> None:
    for name in names:
        if name not in known:  # type: ignore[operator]
            raise ValueError(f"{code}: unknown {kind} {name!r}; known are {', '.join(known)}")  # type: ignore[arg-type]


@functools.cache
def thresholds_of(code: str) -> Thresholds:
    """Read a language's thresholds; raises UserError when there are none or the file does not say what it should."""
    entry = language(code)
    path = THRESHOLDS / f"{code}.toml"
    if not path.exists():
        raise UserError(
            f"language {code!r} has no thresholds; write {path.name} with `python benchmarks/corpus/calibrate.py {code}`"
        )
    return read_thresholds(path, entry)


def read_thresholds(path: Path, entry: Language) -> Thresholds:
    """Read a thresholds file for a language; raises UserError that names the file and the value."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
        return Thresholds(
            code=entry.code,
            scripts=entry.scripts,
            signature=entry.signature,
            bounds={name: read_bound(name, values) for name, values in fields["rules"].items()},
            weights={name: dict(values) for name, values in fields.get("weights", {}).items()},
            stop_words=tuple(fields["stop_words"]),
        )
    except KeyError as error:
        raise UserError(f"{path} has no {error}; it must have stop_words and rules, as the other languages' files") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be used: {error}") from error


def read_bound(name: str, values: Mapping[str, Any]) -> Bound:
    """Take a rule's own bound of what its table says; the measurements beside it are for people."""
    check_names(name, "key", values, ("least", "most", "oracle"))
    sides = {side: values[side] for side in ("least", "most") if side in values}
    wrong = next((value for value in sides.values() if isinstance(value, bool) or not isinstance(value, int | float)), None)
    if wrong is not None:
        raise ValueError(f"the bound of {name} is {wrong!r}; give a number")
    return Bound(**sides)


def lenient(
    entry: Language,
    *,
    min_chars: int,
    max_chars: int,
    min_letter_share: float,
    min_script_share: float,
    min_signature_share: float,
    min_language_confidence: float,
) -> Thresholds:
    """Return thresholds that ask for length, letters and language alone: no words, lines or repetitions are judged."""
    bounds = {
        "num_visible": Bound(least=1),
        "num_chars": Bound(least=min_chars, most=max_chars),
        "letter_share": Bound(least=min_letter_share),
        "script_share": Bound(least=min_script_share),
        "signature_share": Bound(least=min_signature_share),
        "language_confidence": Bound(least=min_language_confidence),
    }
    return Thresholds(code=entry.code, scripts=entry.scripts, signature=entry.signature, bounds=bounds)
