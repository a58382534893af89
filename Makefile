# Two commands set everything up: `make quickstart` and `make test`. Each makes its own virtual environment.
PYTHON ?= python3
ROOT ?= runs
SET ?=
ROOM ?= quickstart

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: quickstart test test-slow lint golden bench clean

quickstart: $(VENV)/installed
	$(BIN)/polyglot run quickstart --root $(ROOT) $(foreach pair,$(SET),--set $(pair))

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "not slow and not gpu" --numprocesses 2 --dist loadfile

test-slow: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "slow and not gpu"

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "not slow and not gpu" --regenerate

bench: $(VENV)/installed-test
	$(BIN)/python benchmarks/$(ROOM)/run.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Polyglot needs Python 3.11 or newer; name one with make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing (torch and transformers are large: some minutes the first time)"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing with test tools (torch and transformers are large: some minutes the first time)"
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/installed
