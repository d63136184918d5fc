# Every target sets up what it needs in its own virtual environment (.venv), then runs. Python 3.11 or newer is enough:
# `make demo PYTHON=python3.12` picks one. WORKERS is the number of test processes.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
SLICER_VENV := .venv-slicer
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-slicer test-ray check format lint types docs wheel web clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 12

demo: $(VENV)/runtime.stamp  ## track objects in the packaged excerpt and score the result
	$(BIN)/trocar demo

test: $(VENV)/dev.stamp  ## the quick tests
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS)

test-slow: $(VENV)/dev.stamp  ## the slow tests, one after the other
	$(BIN)/python -m pytest -m slow

test-slicer: $(VENV)/dev.stamp $(SLICER_VENV)/stamp  ## the 3D Slicer module's logic on Slicer's own libraries
	PYTHONPATH=src TROCAR_PYTHON=$(abspath $(BIN)/python) $(SLICER_VENV)/bin/python -m pytest tests/slicer_extension/test_slicer_scene.py

test-ray: $(VENV)/ray.stamp  ## a batch on a Ray cluster of two nodes, of which one is killed
	$(BIN)/python -m pytest tests/cli/test_batch_ray.py

check: lint types test test-slow  ## all that must pass before a change goes in

lint: $(VENV)/dev.stamp  ## formatting and ruff's rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp  ## mypy, strict, on src
	$(BIN)/mypy

format: $(VENV)/dev.stamp  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/dev.stamp  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/dev.stamp  ## build the wheel, weights and demo data inside, into dist/
	$(BIN)/python -m build --wheel --no-isolation

web:  ## build the annotation page into src/trocar/serve/web; needs Node 20 or newer
	cd web && npm ci && npm run build

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(SLICER_VENV) web/node_modules build dist site trocar-demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("trocar needs Python 3.11 or newer, not " + sys.version.split()[0] + ": run make with PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[dev,bench,train,pretrain,serve,client,postgres,gradio]'
	@touch $@ $(VENV)/runtime.stamp

$(VENV)/ray.stamp: $(VENV)/dev.stamp
	$(PIP_INSTALL) --editable '.[ray]'
	@touch $@

# 3D Slicer's Python has neither torch nor the rest of trocar, so this environment has not either.
$(SLICER_VENV)/stamp: constraints.txt
	$(PYTHON) -m venv $(SLICER_VENV)
	$(SLICER_VENV)/bin/python -m pip install --quiet -c constraints.txt slicer-core requests pytest hypothesis
	@touch $@
