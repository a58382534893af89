"""The house's own rules that no linter knows: small files, small functions, stories on top, no junk drawers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import polyglot_lm

SOURCE = Path(polyglot_lm.__file__).parent
REPOSITORY = SOURCE.parents[1]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
MODULES = sorted(SOURCE.rglob("*.py"))
OURS = [*MODULES, *sorted((REPOSITORY / "tests").rglob("*.py")), *sorted((REPOSITORY / "benchmarks").rglob("*.py"))]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines()) for path in OURS}
    assert {name: lines for name, lines in long.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    measured = dict(found for path in OURS for found in functions(path))
    assert {name: lines for name, lines in measured.items() if lines > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_opens_with_its_story(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_module_is_a_junk_drawer() -> None:
    assert {path.stem for path in MODULES} & {"utils", "util", "common", "misc", "helpers", "helper"} == set()


def test_no_code_asks_which_language_it_has() -> None:
    asking = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Name)
        and node.left.id in ("lang", "code", "language")
        and any(isinstance(other, ast.Constant) and isinstance(other.value, str) for other in node.comparators)
    ]
    assert asking == []
