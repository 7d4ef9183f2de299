# On a fresh machine `make demo` and `make test` do all set-up themselves; no other step is needed.
#   make demo    draw a small collection of creatures, learn from coarse labels, find the fine classes
#   make test    the tests, less the slow ones; on real images too where LINNET_DATA names a folder of them
#   make check   lint, format, types, layers, style budget, documentation
#   make docs    the documentation as a site, in build/site
# VENV=folder sets where the environment lies, PYTHON=python3.12 what it is made with, ARGS="-k taxonomy" adds to pytest,
# WORKERS=8 shares the tests out to so many processes (two; each with one thread).

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2

BIN := $(VENV)/bin
# The environment is set up anew when what it is made of changes: its stamp carries the checksum.
KEY := $(shell sed '/^\# Lint/,$$d' pyproject.toml | cat - constraints.txt | cksum | tr ' ' '-')
STAMP := $(VENV)/.installed-$(KEY)

# This checkout is what runs, wherever an environment that several checkouts share points to.
export PYTHONPATH := $(CURDIR)

.PHONY: demo test slow docs check lint types layers style format install clean key

demo: $(STAMP)
	$(BIN)/python -m linnet demo --program $(BIN)/linnet

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(WORKERS) --dist loadfile $(ARGS)

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

check: lint types layers style docs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports --no-logo

style: $(STAMP)
	$(BIN)/python -m pytest -q tests/test_style.py tests/test_imports.py

docs: $(STAMP)
	$(BIN)/python -m linnet results > docs/results/tables.md
	@mkdir -p docs/generated
	$(BIN)/python -m typer linnet.cli.app utils docs --name linnet --output docs/generated/options.md > /dev/null
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(STAMP)

key:
	@echo $(KEY)

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build

$(STAMP):
	@echo "Setting up $(VENV); the first time this fetches some gigabytes and takes minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@rm -f $(VENV)/.installed-*
	@touch $@
