"""Further scores as a recipe's parameters say them: `NAME:FILE` and `NAME:NUMBER`, in; scores and thresholds of a language, out.

`{code}` in a path stands for the language's code.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from polyglot_lm.corpus.extra import Extra, FastText, UrlList, check_scores
from polyglot_lm.corpus.lexicon import Lexicon
from polyglot_lm.corpus.linear import LinearModel
from polyglot_lm.corpus.lists import given
from polyglot_lm.corpus.quality import SCORED, Bound, Thresholds
from polyglot_lm.languages import Language
from polyglot_lm.pipeline import UserError

Make = Callable[[list[str], str], Extra]
MAKERS: Mapping[str, tuple[str, Make]] = {  # by parameter: its form, and what makes a score of its parts and a language's code
    "lexicons": ("NAME:FILE", lambda parts, code: Lexicon(name=parts[0], file=given(parts[1].replace("{code}", code)))),
    "url_lists": ("NAME:FILE", lambda parts, code: UrlList(name=parts[0], file=given(parts[1].replace("{code}", code)))),
    "linear_models": ("NAME:FILE", lambda parts, code: LinearModel(name=parts[0], file=given(parts[1].replace("{code}", code)))),
    "fasttext_models": (
        "NAME:FILE:LABEL",
        lambda parts, code: FastText(name=parts[0], file=given(parts[1].replace("{code}", code)), label=parts[2]),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Further:
    """What a recipe asks for, each as written on the command line."""

    lexicons: tuple[str, ...] = ()
    url_lists: tuple[str, ...] = ()
    linear_models: tuple[str, ...] = ()
    fasttext_models: tuple[str, ...] = ()
    min_scores: tuple[str, ...] = ()
    max_scores: tuple[str, ...] = ()
    rank_by: str = ""

    def scores(self, language: Language) -> tuple[Extra, ...]:
        """Return the scores of a language, their files opened once; raises UserError for what cannot be used."""
        made = tuple(
            make(parts_of(parameter, value, form), language.code)
            for parameter, (form, make) in MAKERS.items()
            for value in getattr(self, parameter)
        )
        if made:
            check_scores(made)
        return made

    def bounded(self, thresholds: Thresholds) -> Thresholds:
        """Add the bounds on further scores; raises UserError for one on a score that is not asked for, or that keeps nothing."""
        least, most = (self.numbers(parameter) for parameter in ("min_scores", "max_scores"))
        bounds = dict(thresholds.bounds)
        for name in least | most:
            try:
                bounds[SCORED + name] = Bound(least=least.get(name), most=most.get(name))
            except ValueError as error:
                raise UserError(f"score {name!r}: {error}; lower min_scores or raise max_scores") from error
        return dataclasses.replace(thresholds, bounds=bounds)

    def numbers(self, parameter: str) -> dict[str, float]:
        found = dict[str, float]()
        for value in getattr(self, parameter):
            name, number = parts_of(parameter, value, "NAME:NUMBER")
            self.check_asked(parameter, name)
            try:
                found[name] = float(number)
            except ValueError:
                found[name] = float("nan")
            if not abs(found[name]) < float("inf"):
                raise UserError(f"{parameter} has {value!r}, which gives no number; write NAME:NUMBER such as {name}:0.01")
        return found

    def ranking(self) -> str | None:
        """Return the column that documents are ranked by, None for none."""
        if not self.rank_by:
            return None
        self.check_asked("rank_by", self.rank_by)
        return f"score_{self.rank_by}"

    def check_asked(self, parameter: str, name: str) -> None:
        names = [value.split(":")[0] for each in MAKERS for value in getattr(self, each)]
        if name not in names:
            known = f"give one of {', '.join(names)}" if names else f"none is asked for; add one with {', '.join(MAKERS)}"
            raise UserError(f"{parameter} names the score {name!r}, which is not there; {known}")


def parts_of(parameter: str, value: str, form: str) -> list[str]:
    """Split a value of a parameter; a colon inside the path stays."""
    name, _, rest = value.partition(":")
    parts = [name, *(rest.rsplit(":", 1) if form.count(":") == 2 else [rest])]
    if len(parts) != form.count(":") + 1 or not all(parts):
        raise UserError(f"{parameter} has {value!r}; write {form}, several with commas between")
    return parts
