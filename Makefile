# Every target sets up what it needs; the machine must have Python 3.10 or newer, and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# make train DATA=mnist ARGS="--epochs 10 --seed 3"
DATA ?= builtin
ARGS ?=

# Two processes, of one thread each: a second one of BLAS or PyTorch would wait, by spinning, for the
# core that the other process has. The tests of a file run in one of them, in order: some use what
# others made.
PYTEST := env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

# All modules that are run, as experiments.<folder>.<name>; the benchmarks are one program of their
# own, `make bench`, and so is the book, `make book`, with what takes as long.
EXPERIMENTS := $(sort $(shell grep -l '^if __name__ == "__main__":' experiments/*/*.py))
EXPERIMENTS := $(filter-out experiments/benchmarks/% $(addprefix experiments/book/,__main__.py \
  results.py mnist_best.py),$(EXPERIMENTS))
EXPERIMENTS := $(subst /,.,$(basename $(EXPERIMENTS)))
# One of them needs the real MNIST: it is left out where that is not at hand.
MNIST_CONVNET := experiments.images.mnist_convnet
ifeq ($(BACKPROP_MNIST)$(wildcard $(or $(BACKPROP_DATA),data)/mnist ../shared/data/mnist),)
EXPERIMENTS := $(filter-out $(MNIST_CONVNET),$(EXPERIMENTS))
endif

.DEFAULT_GOAL := help
.PHONY: help install train quick test fuzz crash-test test-peers test-interop test-browser test-oldest test-newest gradcheck experiments book bench bench-install docs dist lint format data clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  make train takes DATA=builtin|mnist|fashion-mnist|FOLDER and ARGS="--epochs 10 ..."'

install: $(VENV)/.package  ## create .venv and install the package into it

train: $(VENV)/.package  ## train a network on digits; pictures and figures land under runs/
	$(BIN)/backprop train --data "$(DATA)" $(ARGS)

quick: $(VENV)/.test  ## run the tests of the inner loop, without those marked slow
	$(PYTEST) $(PARALLEL) -m 'not slow' $(ARGS)

test: $(VENV)/.test  ## run all tests, and list the slowest
	$(PYTEST) $(PARALLEL) --durations=10 $(ARGS)

fuzz: $(VENV)/.test  ## damage 100,000 files of all kinds that are read, in ten minutes
	$(BIN)/python -m tests.fuzz $(ARGS)

crash-test: $(VENV)/.test  ## kill 200 trainings at random moments, and go on with each, in ten minutes
	$(BIN)/python -m tests.crash $(ARGS)

test-peers: $(VENV)/.peers  ## compare all gradients with those of PyTorch, which it installs
	$(BIN)/python -m pytest tests/peers $(ARGS)

test-interop: $(VENV)/.interop  ## test what joins the package to others, which it installs
	$(PYTEST) $(PARALLEL) tests/interop $(ARGS)

# Each in an environment of its own, made anew: PYTHON=python3.10 takes the oldest Python, too. The
# newest of a package may deprecate what another one does: that is no error of ours.
test-oldest:  ## run the quick tests with the oldest versions of all packages, extras included
	$(call test-with,oldest,-W default::DeprecationWarning -W default::FutureWarning)

test-newest:  ## run the same with the newest versions
	$(call test-with,newest)

define test-with
@mkdir -p build
rm -rf build/$(1)
$(PYTHON) -m venv build/$(1)
$(PYTHON) -m tests.versions $(1) > build/$(1)/constraints.txt
build/$(1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade \
  --upgrade-strategy eager --constraint build/$(1)/constraints.txt --editable '.[interop]'
build/$(1)/bin/python -m tests.versions $(1) --installed
$(subst $(BIN),build/$(1)/bin,$(PYTEST)) $(PARALLEL) -m 'not slow' $(2) $(ARGS)
endef

test-browser: $(VENV)/.browser  ## try the pages in a browser, if chromium and chromedriver are there
	$(PYTEST) tests/browser $(ARGS)

gradcheck: $(VENV)/.test  ## print the worst errors of all gradients, as a table
	@$(BIN)/python -m tests.peers.gradient_errors

experiments: $(VENV)/.experiments  ## run every experiment; figures land under runs/experiments
	@set -e; fast=$$($(BIN)/backprop environment); for module in $(EXPERIMENTS); do \
	  echo "== $$module"; env $$fast $(BIN)/python -m $$module; done
	@$(if $(filter $(MNIST_CONVNET),$(EXPERIMENTS)),,echo \
	  "left out: $(MNIST_CONVNET) needs MNIST; $(BIN)/backprop data fetch mnist")

book: $(VENV)/.test  ## run the rows of Nielsen's book; table and figures land under runs/experiments/book
	$(BIN)/python -m experiments.book $(ARGS)

bench: $(VENV)/.package  ## measure time and memory, ours and of what peers are installed
	$(BIN)/python -m experiments.benchmarks --data "$(DATA)" $(ARGS)

bench-install: $(VENV)/.bench  ## install the peers: PyTorch, JAX, scikit-learn

# Notebooks are run and warnings are errors; `make test` runs the code of the pages.
docs: $(VENV)/.docs  ## make the documentation site, build/docs/html/index.html
	$(BIN)/python -m docs.site $(ARGS)

DIST_PIP := build/dist/venv/bin/python -m pip install --quiet --disable-pip-version-check

# The wheel is installed into an environment of its own, and passes the quick tests from a folder that
# holds all of the sdist but the package; the sdist installs the same files, to the byte.
dist: $(VENV)/.package  ## build wheel and sdist under dist/, install both, and run the quick tests
	rm -rf dist build/dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir dist .
	mkdir -p build/dist/source
	tar -xzf dist/*.tar.gz -C build/dist/source --strip-components 1
	rm -r build/dist/source/backprop
	$(PYTHON) -m venv build/dist/venv
	$(DIST_PIP) --target build/dist/wheel --no-deps --no-compile dist/*.whl
	$(DIST_PIP) --target build/dist/sdist --no-deps --no-compile dist/*.tar.gz
	diff -r --exclude RECORD --exclude direct_url.json build/dist/wheel build/dist/sdist
	$(DIST_PIP) "$$(ls dist/*.whl)[test]"
	cd build/dist/source && $(subst $(BIN),../venv/bin,$(PYTEST)) -p no:cacheprovider $(PARALLEL) \
	  -m 'not slow' $(ARGS)

lint: $(VENV)/.lint  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.lint  ## put the code into the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

data: $(VENV)/.package  ## make the built-in digits, if they are not there yet
	$(BIN)/backprop data make

clean:  ## remove what the other targets made, except data/ and runs/
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "backprop needs Python 3.10 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Editable, so that a change of the sources needs no new installation. Every set of extras comes with
# the package, and with the sets that it holds: none of these is then installed once more.
PACKAGE := $(addprefix $(VENV)/.,package test lint interop docs experiments)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
$(PACKAGE): setup.cfg pyproject.toml | $(VENV)/bin/python

$(VENV)/.package:
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.test:
	$(INSTALL) --editable '.[test]'
	@touch $(VENV)/.package $@

$(VENV)/.lint:
	$(INSTALL) --editable '.[test,lint]'
	@touch $(VENV)/.package $(VENV)/.test $@

# The extras, and what only their tests need; of PyTorch the one whose numbers are stored.
$(VENV)/.interop:
	$(INSTALL) --editable '.[interop]' torch==2.13.0
	@touch $(VENV)/.package $(VENV)/.test $(VENV)/.peers $@

$(VENV)/.docs:
	$(INSTALL) --editable '.[docs]'
	@touch $(VENV)/.package $@

$(VENV)/.experiments:
	$(INSTALL) --editable '.[experiments]'
	@touch $(VENV)/.package $@

# The other tests do without.
$(VENV)/.peers: | $(VENV)/.test
	$(INSTALL) torch==2.13.0
	@touch $@

# Not an extra: only the tests drive a browser.
$(VENV)/.browser: | $(VENV)/.test
	$(INSTALL) 'selenium >= 4.20'
	@touch $@

$(VENV)/.bench: | $(VENV)/.package
	$(INSTALL) torch==2.13.0 jax scikit-learn
	@touch $@
