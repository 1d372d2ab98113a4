# `make run` and `make test` start from a bare machine with Python and make; the second time they start at once.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Tests gain more from processes than from threads: each file runs in one of a few, on one thread.
WORKERS := $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2); echo $$((n > 4 ? 4 : n)))
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test lint bench pretrain gpu-check

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: .venv/.setup ## make .venv with all the app needs, the embedded LLM included
	@:
.venv/.setup: pyproject.toml .ci/setup
	@bash .ci/setup app

setup-test: .venv/.setup-test ## add what the tests need: pytest and friends, Debian's chromium and data
	@bash .ci/setup debian
.venv/.setup-test: .venv/.setup
	@bash .ci/setup test

run: setup ## start the app on http://127.0.0.1:7860
	@$(BIN)/artwright $(ARGS)

test: setup-test ## run the tests; ARGS="tests/test_cli.py -k train" narrows them
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: .venv/.setup-test ## ruff, its formatter as a check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

PEERS := .venv/peers
# What models are measured beside, with what these need and Artwright does not.
RIVALS := scipy cloudpickle pythae markovify unidecode hmmlearn scikit-learn joblib threadpoolctl narwhals emcee blackjax \
  jax jaxlib ml_dtypes opt_einsum fastprogress jaxopt optax chex toolz absl-py
BFCL := .venv/bfcl
BENCHES := routing.py latency.py abilities.py valid_calls.py calibration.py injections.py "bfcl.py --data $(BFCL)" \
  "images.py --pythae $(PEERS)" "markov.py --peers $(PEERS)" "hmm.py --peers $(PEERS)" "mcmc.py --peers $(PEERS)" \
  must_include.py sequences.py functions.py blanks.py invented_names.py memory.py \
  "generation.py --family gpt lstm"
bench: setup-test ## measure: routing, latency, tool calling, models against rivals; names what misses its target
	@[ -d $(PEERS)/absl ] || $(BIN)/python -m pip install -q --no-deps --target $(PEERS) $(RIVALS) || true
	@ls $(BFCL)/bfcl_eval-*.whl >/dev/null 2>&1 || \
	  $(BIN)/python -m pip download -q --no-deps --only-binary :all: --dest $(BFCL) bfcl-eval==2026.3.23 || true
	@missed=; for bench in $(BENCHES); do echo "== tests/bench/$$bench"; \
	  $(BIN)/python tests/bench/$$bench || missed="$$missed $${bench%% *}"; done; \
	[ -z "$$missed" ] || { echo "below their targets or failed:$$missed"; exit 1; }

pretrain: setup-test ## train the shipped models again, from their sources
	@$(BIN)/python -m generators.pretrain
	@echo "The embedded LLM's adapter is trained by: $(BIN)/python -m chains.tuning train --help"

gpu-check: setup ## where there is a GPU: train, sample and route on it
	@$(BIN)/python tests/gpu_check.py
