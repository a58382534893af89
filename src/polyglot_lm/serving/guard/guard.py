"""The guard: it reads a prompt or a completion along and says what may be shown of it, and why.

In: text, whole (`check`) or as it is written (`watch`). Out: verdicts. Nothing is let through before it is judged: a stream lags by
the sentence that is being written, at most the policy's `hold_back_chars`. A completion that is held or refused ends there; what
was sent before is what the same text, checked whole, would show up to that place. Modes: `enforce` does what the policy says,
`log` finds the same and changes nothing, `off` looks at nothing. What the guard cannot see is said by `coverage`.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyglot_lm.languages import Language, languages
from polyglot_lm.masking import KINDS, countries_with_rules, rules
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.guard.classifier import WEIGHTS, Trained, read_trained
from polyglot_lm.serving.guard.lexicon import Entry, Lexicon
from polyglot_lm.serving.guard.policy import Direction, Policy, WordList, read_policy
from polyglot_lm.serving.guard.reading import Reading
from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict

Mode = Literal["off", "log", "enforce"]
MODES = ("off", "log", "enforce")
STOPS = (Action.HOLD, Action.REFUSE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What is checked in one language: kinds of identifiers, how many listed words, and what a classifier looks for.

    `sentences` and `offensive` say what the classifier learned from.
    """

    language: str
    personal_information: tuple[str, ...]
    listed_words: int
    classifier: tuple[str, ...]
    sentences: int
    offensive: int

    def sentence(self) -> str:
        """Return it for a reader, such as `Thai: personal information and 1,640 listed words only; no classifier, ...`."""
        name = languages()[self.language].english_name
        lists = f"{name}: {'personal information and ' if self.personal_information else ''}{self.listed_words:,} listed words"
        if not self.classifier:
            return f"{lists} only; no classifier, for want of enough labelled sentences with an open licence"
        return f"{lists}, and a classifier trained on {self.sentences:,} sentences, {self.offensive:,} of them offensive"


class Guard:
    """Policy, word lists and classifiers; may be used by many threads at a time."""

    def __init__(self, policy: Policy, mode: Mode, trained: Trained) -> None:
        if mode not in MODES:
            raise UserError(f"unknown mode {mode!r} of the guard; choose of {', '.join(MODES)}")
        self.policy, self.mode, self.trained = policy, mode, trained
        own = [entry for words in policy.lists for entry in read_own(words)]
        self.lexicon = Lexicon([*own, *trained.entries])

    def reading(self, direction: Direction) -> Reading:
        return Reading(self.policy, self.lexicon, self.trained, direction)

    def check(self, text: str, direction: Direction) -> Verdict:
        """Judge a whole text; `text` of the verdict is all of it, masked where the policy masks."""
        began = time.perf_counter()
        if self.mode == "off":
            return Verdict(Action.ALLOW, text)
        reading = self.reading(direction)
        reasons = tuple(reason for found in reading.read(text, last=True) for reason in found)
        if self.mode == "log":
            return Verdict(Action.ALLOW, text, reasons, time.perf_counter() - began)
        return Verdict(strictest(reasons), reading.shown(0, len(text)), reasons, time.perf_counter() - began)

    def watch(self) -> "Watch":
        """Begin to watch one completion."""
        return Watch(self)

    def coverage(self) -> tuple[Coverage, ...]:
        """Say what is checked, language by language; for page and card."""
        listed = [entry.language for entry in self.lexicon.entries]
        facts = {code: found.facts for code, found in self.trained.classifiers.items()}
        return tuple(
            Coverage(
                language=code,
                personal_information=self.kinds_of(entry),
                listed_words=listed.count(code),
                classifier=("offence",) if code in facts else (),
                sentences=int(facts.get(code, {}).get("sentences", 0)),
                offensive=int(facts.get(code, {}).get("offensive", 0)),
            )
            for code, entry in languages().items()
        )

    def kinds_of(self, language: Language) -> tuple[str, ...]:
        """Return the kinds of identifiers that the policy's countries have rules for in a language's countries."""
        countries = [country for country in countries_with_rules(language.countries) if country in self.policy.countries]
        found = {rule.kind for country in countries for rule in rules(country)}
        return tuple(kind for kind in KINDS if kind in found)


class Watch:
    """One completion as it is written; for one thread at a time."""

    def __init__(self, guard: Guard) -> None:
        self.mode = guard.mode
        self.reading = guard.reading("completion")
        self.sent = 0
        self.ended: Action | None = None

    def feed(self, text: str) -> Verdict:
        """Take what was written; the verdict's text may be sent now. HOLD or REFUSE ends the stream: nothing is sent after."""
        return self.step(text, last=False)

    def finish(self) -> Verdict:
        """Judge the rest."""
        return self.step("", last=True)

    def step(self, text: str, *, last: bool) -> Verdict:
        began = time.perf_counter()
        if self.mode == "off":
            return Verdict(Action.ALLOW, text)
        if self.ended is not None:
            self.reading.text += text
            return Verdict(self.ended, "")
        found = self.reading.read(text, last=last)
        if self.mode == "log":
            reasons = tuple(reason for segment in found for reason in segment)
            return Verdict(Action.ALLOW, text, reasons, time.perf_counter() - began)
        reasons, settled = self.up_to_violation(found)
        shown = self.reading.shown(self.sent, settled)
        self.sent = settled
        return Verdict(strictest(reasons), shown, reasons, time.perf_counter() - began)

    def up_to_violation(self, found: Iterator[tuple[Reason, ...]]) -> tuple[tuple[Reason, ...], int]:
        """Take segments until one may not be sent; return the reasons, and up to where the text before it was settled."""
        reasons = list[Reason]()
        settled = self.sent
        for segment in found:
            reasons += segment
            if strictest(segment) in STOPS:
                self.ended = strictest(segment)
                break
            settled = self.reading.settled
        return tuple(reasons), settled

    def transcript(self) -> str:
        """Return all that was fed, sent or not, masked where the policy masks: for the curator."""
        if self.mode == "enforce":
            list(self.reading.read("", last=True))
            return self.reading.shown(0, len(self.reading.text))
        return self.reading.text


def strictest(reasons: Iterable[Reason]) -> Action:
    return max((reason.action for reason in reasons), default=Action.ALLOW)


def read_own(words: WordList) -> list[Entry]:
    try:
        lines = words.path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{words.path} cannot be read as a word list ({error}); give UTF-8, one word or phrase a line") from error
    return [Entry(line.strip(), words.category, words.language) for line in lines if line.strip() and not line.startswith("#")]


def load_guard(policy_path: Path | None = None, mode: Mode = "enforce", *, trained_path: Path | None = None) -> Guard:
    """Load policy, classifiers and word lists, those shipped with the package when none are given.

    Raises UserError for a policy or a file that cannot be used, and says how to train one.
    """
    return Guard(read_policy(policy_path), mode, read_trained(trained_path or WEIGHTS))
