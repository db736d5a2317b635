# Two commands do everything on a fresh machine with Python 3.10 or newer: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# pip takes its versions from here, so that every machine gets what was tested. Modules are compiled
# when they are imported: compiling all of them takes longer than the demo.
PIP_INSTALL := $(BIN)/pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt

# The tests start many processes: compiled modules are kept, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types docs unit unit-without-torch qgis bench gpu fuzz audit clean help

help:
	@echo "make demo   set up an environment and run the main job on a simulated drive test"
	@echo "make test   set up an environment and run every check: ruff, mypy, documentation, pytest;"
	@echo "            as root on Debian it installs QGIS for the tests of the plugin"
	@echo "make docs   build the documentation: docs/_build/html/index.html"
	@echo "make unit-without-torch PYTHON=python3.12 VENV=.venv-3.12"
	@echo "            run the tests on another version of Python, without PyTorch"
	@echo "make fuzz   read thousands of altered inputs: make fuzz CASES=3000 SEED=1"
	@echo "make audit  ask a database of known faults about the versions in constraints.txt"
	@echo "make gpu    check and measure a GPU: results in gpu/ after 12 minutes at most; needs a CUDA"
	@echo "            build of PyTorch in the environment: make gpu VENV=..."
	@echo "make bench  measure start-up, reading, the pipeline, and what a city takes"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and by its exact version: a bare range would take gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) "$$(grep '^torch==' constraints.txt)"
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

# On a CPU, predicting needs no PyTorch.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[simulate]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/rm-geo demo --output demo

# Ruff, mypy and Sphinx use one core each.
test: $(STAMP)
	$(MAKE) --jobs=2 lint types docs
	$(MAKE) unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

# Warnings are errors: broken links, docstrings that are no numpydoc, pages outside the contents.
docs: $(STAMP)
	$(BIN)/python -m sphinx -b html -W --keep-going --quiet docs docs/_build/html

qgis:
	@tests/install_qgis.sh

# Examples in docstrings and tests in one go; tests/conftest.py begins with the longest files.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

unit: $(STAMP) qgis
	$(PYTEST) --doctest-modules --ignore tests/qgis_python tests rm_geo

$(VENV)/.without-torch: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@

# Tests that need PyTorch are skipped: for other versions of Python, whose PyTorch is large.
unit-without-torch: $(VENV)/.without-torch
	$(PYTEST) --ignore tests/qgis

bench: $(STAMP)
	$(BIN)/python -m benchmarks.pipeline startup job fresh demo
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/simulator.py
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.stages
	$(BIN)/python -m benchmarks.suite

gpu:
	$(BIN)/python -m benchmarks.gpu --out gpu

CASES ?= 3000
SEED ?= 1

# Inputs with faults stay in fuzz-faults.
fuzz: $(STAMP)
	$(BIN)/python -m tests.support.fuzz --cases $(CASES) --seed $(SEED)

# In an environment of its own: pip-audit needs no package of rm_geo. It needs the network.
audit:
	test -x $(VENV)-audit/bin/pip-audit || ( $(PYTHON) -m venv $(VENV)-audit && \
	  $(VENV)-audit/bin/pip install --quiet --disable-pip-version-check pip-audit )
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --desc

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/generated .mypy_cache .ruff_cache .pytest_cache
