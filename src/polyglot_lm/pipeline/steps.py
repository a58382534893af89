"""Stages and steps: a plain function, and one call of it that has a name and an address.

A stage is a function whose first argument is its output folder. Its other keywords say what it computes; one named
`runtime`, if it has it, is filled by the runner and never part of the identity. A step is a stage with a readable name
and arguments; a step among the arguments arrives as that step's folder. Every stage can be called in a test with
`tmp_path` and no pipeline at all.

    corpus = build_corpus.step("corpus/ko", documents=documents, code="ko")
    corpus.address     # corpus/ko-1a2b3c4d
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline.identity import canonical, fingerprint

Counters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A function of a folder, its version (raise it when the same arguments give other bytes) and how it may be run."""

    function: Callable[..., Counters]
    version: int
    resumable: bool
    distributed: bool

    def __call__(self, out: Path, /, **arguments: Any) -> Counters:
        return self.function(out, **arguments)

    def step(self, name: str, /, **arguments: Any) -> "Step":
        return Step(name=name, stage=self, arguments=arguments)

    @property
    def reference(self) -> str:
        """`module:name`, by which another process finds this stage."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    @property
    def wants_runtime(self) -> bool:
        return "runtime" in inspect.signature(self.function).parameters


def stage(*, version: int, resumable: bool = False, distributed: bool = False) -> Callable[[Callable[..., Counters]], Stage]:
    """Mark a function as a stage. A resumable one finds what an earlier attempt left; others find an empty folder.

    A distributed one may be started once a rank, under torchrun, on the same folder.
    """

    def mark(function: Callable[..., Counters]) -> Stage:
        return Stage(function=function, version=version, resumable=resumable, distributed=distributed)

    return mark


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of a stage. Raises TypeError at once when the arguments do not fit the stage."""

    name: str
    stage: Stage
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        if "runtime" in self.arguments:
            raise TypeError(f"step {self.name}: where a step runs is not part of what it computes; drop 'runtime'")
        inspect.signature(self.stage.function).bind(Path(), **self.arguments)
        _ = self.address

    @functools.cached_property
    def specification(self) -> dict[str, Any]:
        """What decides the address: name, version and arguments, parents by their addresses."""
        arguments = {key: canonical(value, f"{self.name}: {key}") for key, value in self.arguments.items()}
        return {"name": self.name, "version": self.stage.version, "arguments": dict(sorted(arguments.items()))}

    @functools.cached_property
    def address(self) -> str:
        return f"{self.name}-{fingerprint(self.specification)}"

    def identity(self) -> str:
        return self.address

    @functools.cached_property
    def parents(self) -> tuple["Step", ...]:
        return tuple({step.address: step for step in find_steps(self.arguments.values())}.values())

    def __hash__(self) -> int:
        return hash(self.address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and other.address == self.address


def find_steps(values: Iterable[Any]) -> Iterator[Step]:
    for value in values:
        if isinstance(value, Step):
            yield value
        elif isinstance(value, Mapping):
            yield from find_steps(value.values())
        elif isinstance(value, (tuple, list)):
            yield from find_steps(value)


def resolve(value: Any, root: Path) -> Any:
    """Replace every step inside an argument by its folder."""
    if isinstance(value, Step):
        return root / value.address
    if isinstance(value, Mapping):
        return {key: resolve(item, root) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(resolve(item, root) for item in value)
    return value


def in_order(targets: Iterable[Step]) -> list[Step]:
    """Return the targets and all they need, each once, parents first."""
    ordered: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.address not in ordered:
            for parent in step.parents:
                visit(parent)
            ordered[step.address] = step

    for target in targets:
        visit(target)
    return list(ordered.values())
