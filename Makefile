# Shortcuts; each runs in the virtual environment that scripts/setup.sh makes.
VENV ?= .venv
export VENV
BIN = $(VENV)/bin
SHELL_SCRIPTS = $(wildcard scripts/*.sh data-prep/*.sh) .ci/run

.PHONY: setup demo test lint format

setup:
	scripts/setup.sh

demo:
	scripts/demo.sh

test:
	scripts/test.sh

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck --external-sources $(SHELL_SCRIPTS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
