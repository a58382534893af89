"""A data set on the Hugging Face hub as a source, streamed up to a byte budget.

Written `hub:OWNER/NAME[:CONFIG][@REVISION]`; `{code}`, `{iso639_3}` and `{script}` in it are filled from the table of languages,
as in `hub:wikimedia/wikipedia:20231101.{code}`. Without a configuration, the one that the table names for the language and the data
set is taken (`hub:HuggingFaceFW/fineweb-2`). Without a revision the current commit is looked up once, when the recipe is built,
and becomes part of the identity.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from polyglot_lm.corpus.readers import RawDocument, Reader, Record, record_from
from polyglot_lm.languages import Language
from polyglot_lm.pipeline import UserError

PREFIX = "hub:"
ADDRESS = re.compile(r"(?P<dataset>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>\S+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDataset:
    """The first `max_bytes` of text of one configuration of a data set at one revision."""

    dataset: str
    config: str | None
    revision: str
    max_bytes: int

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes is {self.max_bytes}; it must be at least 1")

    @property
    def name(self) -> str:
        return self.dataset.rsplit("/", 1)[-1]

    def identity(self) -> Any:
        fields = ("dataset", "config", "revision", "max_bytes")
        return {field: getattr(self, field) for field in fields}

    def tasks(self) -> Sequence[Reader]:
        return (self,)

    def records(self) -> Iterator[Record]:
        """Stream the training split until the budget is spent; raises UserError without network or data set."""
        path = f"{self.dataset}@{self.revision}"
        try:
            rows = load_dataset_streaming(self.dataset, self.config, self.revision)
            read = 0
            for position, row in enumerate(rows):
                record = record_from(row, path, position)
                yield record
                read += len(record.text.encode()) if isinstance(record, RawDocument) else 0
                if read >= self.max_bytes:
                    return
        except (OSError, ValueError) as error:
            raise UserError(f"hub data set {path} cannot be read ({first_line(error)}); check its name and the network") from error


def hub_dataset(source: str, language: Language, max_bytes: int) -> HubDataset:
    """Read an address for one language; raises UserError when it is no address or its revision cannot be looked up."""
    filled = source.removeprefix(PREFIX)
    for field in ("code", "iso639_3", "script"):
        filled = filled.replace(f"{{{field}}}", getattr(language, field))
    found = ADDRESS.fullmatch(filled)
    if found is None:
        raise UserError(f"source {source!r} is no hub address; write hub:OWNER/NAME:CONFIG@REVISION")
    revision = found["revision"] or current_revision(found["dataset"])
    config = found["config"] or named_config(found["dataset"], language)
    return HubDataset(dataset=found["dataset"], config=config, revision=revision, max_bytes=max_bytes)


def named_config(dataset: str, language: Language) -> str | None:
    """Return the configuration that the table of languages names for a data set, None where it names none."""
    named = dict(source.split(":", 1) for source in language.sources)
    return named.get(dataset)


def current_revision(dataset: str) -> str:
    try:
        from huggingface_hub import HfApi

        revision = HfApi().dataset_info(dataset).sha
    except Exception as error:  # the hub's client raises its HTTP library's errors (httpx2's are no OSError)
        raise UserError(
            f"the revision of {dataset} cannot be looked up ({first_line(error)}); connect, or pin it with @REVISION"
        ) from error
    return str(revision)


def load_dataset_streaming(dataset: str, config: str | None, revision: str) -> Iterator[dict[str, Any]]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError("hub sources need the 'datasets' package; install polyglot-lm[hub]") from error
    return iter(load_dataset(dataset, config, split="train", streaming=True, revision=revision))


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
