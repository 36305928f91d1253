# Shortcuts; each runs in the virtual environment that scripts/setup.sh makes.
VENV ?= .venv
export VENV
BIN = $(VENV)/bin
SHELL_SCRIPTS = $(wildcard scripts/*.sh data-prep/*.sh) .ci/run

.PHONY: setup demo test lint docs format

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

# The site of docs/, in site/: warnings are errors (mkdocs.yml), and nothing is fetched.
docs: setup
	$(BIN)/python -m scripts.tables --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
