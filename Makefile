# make demo and make test set up what they need in .venv; nothing else is installed or changed.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin

.PHONY: help demo test check format clean

help:
	@echo "make demo    train OSPO on the embedded sample, evaluate it, write runs/demo/report.html (about 5 minutes)"
	@echo "make test    lint, types, tests"
	@echo "make check   lint, formatting and types only"
	@echo "make format  rewrite the sources in the house format"

demo: $(VENV)/.agents
	$(BIN)/python scripts/train.py --preset demo --out runs/demo --overwrite
	$(BIN)/python scripts/evaluate.py --env OSPO-ESCI-v0 --split test --retrievers bm25,lsa \
		--policy query runs/demo/warmstart runs/demo/policy --json runs/demo/metrics.json
	$(BIN)/python scripts/report.py --run runs/demo --evaluation runs/demo/metrics.json

test: check $(VENV)/.openai-2
	OSPO_OPENAI_2=$(abspath $(VENV)/openai-2) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python 3.11 or newer is needed, this is %d.%d; set PYTHON=..." % v[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.agents: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[agents]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.agents

# The other major of openai that the endpoint works with, in a directory of its own.
$(VENV)/.openai-2: | $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --upgrade --target $(VENV)/openai-2 'openai==2.54.0'
	@touch $@

# A pretrained language model, for the tests that OSPO_SMOLLM2 names it to.
$(VENV)/smollm2: | $(VENV)/.dev
	$(BIN)/ospo model smollm2 --out $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
