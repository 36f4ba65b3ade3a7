# All targets work in .venv, which is made on first use and brought up to date when pyproject.toml changes.

PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-all bench fuzz lint types format clean

# Serves real data from one process, fetches it from another, shows what came.
demo: $(READY)
	@$(BIN)/zbridge demo

# What a change must pass: all but the slow tests. Three at a time for two cores: many of them wait for something.
test: lint types
	$(BIN)/pytest -n 3 -m "not slow"

# The slow ones fill memory and measure it: one at a time.
test-all: test
	$(BIN)/pytest -m slow

# Against the peers: takes about ten minutes and 12 GB. Quote its numbers only from a quiet machine.
bench: $(READY)
	$(BIN)/python -m pip install --quiet --group bench-peers
	$(BIN)/python -m benchmarks --memory --clients --out benchmarks/results/$$(date -u +%Y-%m-%d).json

# Looks for inputs that break a promise, all targets together for so many seconds.
SECONDS ?= 210
fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --group fuzz
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv build dist .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks bridge tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "zbridge needs Python 3.11 or newer, and found none;" \
		"say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"  # the first that knows --group
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
