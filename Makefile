# Each target sets up what it needs: a venv is ready when its file `ready` is newer than the two files that describe it.

PYTHON ?= python3
TENSORFLOW ?= tensorflow-cpu
PYTEST := -m pytest -n 2 --dist worksteal -q -rs
NAME ?=
BACKEND ?= jax

export TF_CPP_MIN_LOG_LEVEL ?= 2

# Most tests compile much and run little: those of flows take half the time without XLA's optimizations, long trainings somewhat more.
test test-torch test-tensorflow coverage: export XLA_FLAGS ?= --xla_backend_optimization_level=0

.venv/ready: contents := -e '.[jax,dev,docs]'
.venv-torch/ready: contents := -e '.[torch,dev]'
.venv-tensorflow/ready: contents := $(TENSORFLOW) -e '.[dev]'
.venv-bench/ready: contents := $(TENSORFLOW) -e '.[jax,cli,sbml,bench]'

.PHONY: help tour test test-backends test-torch test-tensorflow coverage lint types docs wheel bench clean
.NOTPARALLEL:

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

tour: .venv/ready ## run the studies and write the page that shows them
	.venv/bin/partita tour

test: .venv/ready ## run the tests on JAX
	KERAS_BACKEND=jax .venv/bin/python $(PYTEST)

test-backends: test-torch test-tensorflow ## run the tests that concern Keras on PyTorch and on TensorFlow, each in a venv of its own

test-torch test-tensorflow: test-%: .venv-%/ready
	KERAS_BACKEND=$* .venv-$*/bin/python $(PYTEST)

coverage: .venv/ready ## show the lines that no test reaches on JAX, at most 5% of them
	KERAS_BACKEND=jax .venv/bin/coverage run -m pytest -q
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

lint: .venv/ready ## check style, format and spelling
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/typos

types: .venv/ready ## check types
	.venv/bin/mypy

docs: .venv/ready ## build the pages of the documentation: site/index.html
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

wheel: ## build the wheel and try it in an empty venv: make wheel BACKEND=torch (or tensorflow, or jax)
	rm -rf build dist
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/$(BACKEND)
	build/$(BACKEND)/bin/python -m pip install --quiet --no-compile -c constraints.txt "$$(echo dist/*.whl)[$(BACKEND),cli]"
	build/$(BACKEND)/bin/python -I tests/wheel.py dist/*.whl $(BACKEND)

bench: .venv-bench/ready ## list the benchmarks, or run one: make bench NAME=...
	.venv-bench/bin/python -m benchmarks $(NAME)

clean: ## remove the venvs and every cache
	rm -rf .venv* build dist site .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready .venv-torch/ready .venv-tensorflow/ready .venv-bench/ready: %/ready: pyproject.toml constraints.txt
	@echo "Setting up $*: a few minutes, once."
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet -c constraints.txt $(contents)
	@touch $@
