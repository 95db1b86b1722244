# Each target sets up what it needs: a venv is ready when its file `ready` is newer than the two files that describe it.

PYTHON ?= python3
TENSORFLOW ?= tensorflow-cpu
PYTEST := -m pytest -n 2 --dist worksteal -q -rs
NAME ?=

export TF_CPP_MIN_LOG_LEVEL ?= 2

.venv/ready: contents := -e '.[jax,dev]'
.venv-torch/ready: contents := -e '.[torch,dev]'
.venv-tensorflow/ready: contents := $(TENSORFLOW) -e '.[dev]'
.venv-bench/ready: contents := $(TENSORFLOW) -e '.[jax,cli,sbml,bench]'

.PHONY: help tour test test-backends test-torch test-tensorflow coverage lint types bench clean
.NOTPARALLEL:

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

tour: .venv/ready ## run the studies and write the page that shows them
	.venv/bin/partita tour

test: .venv/ready ## run the tests on JAX
	KERAS_BACKEND=jax .venv/bin/python $(PYTEST)

test-backends: test-torch test-tensorflow ## run the same tests on PyTorch and on TensorFlow, each in a venv of its own

test-torch test-tensorflow: test-%: .venv-%/ready
	KERAS_BACKEND=$* .venv-$*/bin/python $(PYTEST)

coverage: .venv/ready ## show the lines that no test reaches on JAX
	KERAS_BACKEND=jax .venv/bin/coverage run -m pytest -q
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

lint: .venv/ready ## check style, format and spelling
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/typos

types: .venv/ready ## check types
	.venv/bin/mypy

bench: .venv-bench/ready ## list the benchmarks, or run one: make bench NAME=...
	.venv-bench/bin/python -m benchmarks $(NAME)

clean: ## remove the venvs and every cache
	rm -rf .venv* .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready .venv-torch/ready .venv-tensorflow/ready .venv-bench/ready: %/ready: pyproject.toml constraints.txt
	@echo "Setting up $*: a few minutes, once."
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet -c constraints.txt $(contents)
	@touch $@
