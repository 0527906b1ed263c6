# Betz: every target bootstraps its own virtual environment from python3, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDY ?=
BETZ_DATA ?= $(HOME)/.cache/betz-data
export BETZ_DATA

.PHONY: install demo test bench check lock clean help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.runtime: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.runtime ## make .venv with the betz command
	@echo "ready: $(BIN)/betz --help"

demo: $(VENV)/.runtime ## a study over DICOM to an archive, results back, measurements beside the truth (STUDY=DIR sends a real one)
	$(BIN)/betz demo $(if $(STUDY),--study "$(STUDY)")

test: $(VENV)/.dev ## every check and every test; installs the integration tests' Debian packages
	deploy/test-packages.sh
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest

bench: $(VENV)/.dev ## one row per target: name, ours, peer, ratio, goal, verdict
	deploy/test-packages.sh
	$(BIN)/python -m bench

check: $(VENV)/.dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## renew both locks (needs uv)
	uv pip compile -q --generate-hashes --no-emit-index-url --python-version 3.11 --no-annotate --no-header --universal --extra postgres --group build pyproject.toml -o requirements.lock
	uv pip compile -q --generate-hashes --no-emit-index-url --python-version 3.11 --no-annotate --no-header --universal --extra postgres --group build --group dev pyproject.toml -o requirements-dev.lock

clean: ## remove what the targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .import_linter_cache betz-demo bench/out
