# Everything installs into .venv from requirements.lock; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

# Hours of work. SHARE=0.1 makes a tenth of the faults.
SHARE ?= 1

.PHONY: demo test torture lint type bench lock format

demo: $(STAMP)
	@$(BIN)/otzyv demo

test: $(STAMP)
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

torture: $(STAMP)
	@$(BIN)/python -m tests.faults --share $(SHARE)

lint: $(STAMP)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports --no-logo --no-cache

format: $(STAMP)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

type: $(STAMP)
	@$(BIN)/mypy

bench: $(STAMP)
	@$(BIN)/python -m tests.bench

# fasttext does not build in isolation: it needs pybind11 and an older setuptools beside it.
$(STAMP): requirements.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about three minutes, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check $$(grep -E '^(setuptools|wheel|pybind11|pip)==' requirements.lock)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

# Compiles every transitive pin; no index address is written into it.
lock: $(STAMP)
	@$(BIN)/pip-compile --quiet --extra dev --strip-extras --allow-unsafe --no-build-isolation --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	@sed -i 's/^torch==\(.*\)+cpu$$/torch==\1/' requirements.lock
