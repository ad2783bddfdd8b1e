# Every target sets up what it needs: a virtual environment in .venv with the locked packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_SERVE := .venv-bench-serve
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-fast check format docs docs-faults docs-hostile docs-quality \
  bench-stream bench-prepare bench-serve lock clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# torch first and by its exact pin: whatever else asks for torch then finds it there.
$(READY): pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements/dev.txt)"
	$(BIN)/pip install --quiet --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

demo: $(READY)  ## Build, serve, train, kill -9, resume and generate on the built-in corpus
	$(BIN)/python docs/examples/demo.py

test: check  ## Check, then run all tests: fast ones first, then slow ones
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/python -m pytest -m slow

test-fast: $(READY)  ## Run the fast tests
	$(BIN)/python -m pytest -m "not slow"

check: $(READY)  ## Lint, formatting and strict types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)  ## Format and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(READY)  ## Write the generated part of docs/ anew
	$(BIN)/python docs/generate.py

docs-faults: $(READY)  ## Run every fault of docs/faults.md and write its tables anew
	$(BIN)/python -m tests.faults.table

docs-hostile: $(READY)  ## Read every case of docs/hostile-inputs.md and write its tables anew
	$(BIN)/python -m tests.dataservice.prepare.hostile.table

docs-quality: $(READY)  ## Measure the filters on PROMETHEUS_CORPUS and its labels, and write docs/quality.md
	$(BIN)/python -m benchmarks.prepare.quality "$${PROMETHEUS_CORPUS:?names no corpus}"

bench-stream: $(READY)  ## Measure the stream beside its peers, and write docs/stream.md
	$(BIN)/python -m benchmarks.stream.run
	$(BIN)/python -m benchmarks.stream.report
	benchmarks/stream/work/environments/peers/bin/python -m benchmarks.stream.plots \
	  benchmarks/stream/results.json docs/images

bench-prepare: $(READY)  ## Measure preparation beside its peers, on PROMETHEUS_CORPUS, and write docs/prepare.md
	$(BIN)/python -m benchmarks.prepare.run
	$(BIN)/python -m benchmarks.prepare.scale
	$(BIN)/python -m benchmarks.prepare.report
	benchmarks/prepare/work/environments/peers/bin/python -m benchmarks.prepare.plots \
	  benchmarks/prepare/results.json docs/images

lock: $(READY)  ## Resolve pyproject.toml into requirements/ anew
	$(BIN)/pip install --quiet pip-tools
	PYTHON=$(BIN)/python requirements/compile.sh

$(BENCH_SERVE)/.ready: pyproject.toml requirements/dataservice.txt benchmarks/serve/requirements.txt
	$(PYTHON) -m venv $(BENCH_SERVE)
	$(BENCH_SERVE)/bin/pip install --quiet --requirement requirements/dataservice.txt
	$(BENCH_SERVE)/bin/pip install --quiet --requirement benchmarks/serve/requirements.txt
	$(BENCH_SERVE)/bin/pip install --quiet --no-deps --editable .
	touch $@

bench-serve: $(BENCH_SERVE)/.ready  ## Measure serving beside its peers, and write docs/serving.md
	$(BENCH_SERVE)/bin/python -m benchmarks.serve.run
	$(BENCH_SERVE)/bin/python -m benchmarks.serve.report
	$(BENCH_SERVE)/bin/python -m benchmarks.serve.plots

clean:  ## Remove what was made, the virtual environment included
	rm -rf $(VENV) $(BENCH_SERVE) benchmarks/prepare/work benchmarks/stream/work demo-run build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
