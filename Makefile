# Sets up its own virtual environment in .venv and runs everything in it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESOLUTION.oldest := lowest-direct
RESOLUTION.newest := highest
# Three processes for two cores: tests wait for processes that they start and end. These load what was
# compiled before, even where the variable says not to keep it.
TEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder
# Only measured beside, never imported by framemix.
PEER := $(VENV)/peer/vit_pytorch/vivit.py
# Stages and tests find this environment's python, dvc and framemix first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test test-slow test-oldest test-newest bench docs lint

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) ## make .venv with all that the project needs

# torch's range is narrow here: pip then takes the CPU build where its index offers one.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]' 'torch<2.14'
	touch $@

repro: $(READY) ## run the pipeline: what changed, from raw video to report
	dvc repro

test: $(READY) ## run the tests
	$(TEST)

test-slow: $(READY) ## run the long tests: the full sample, full-size models
	pytest -m slow

test-oldest: ## run the tests with the oldest libraries allowed (of Python 3.11)
test-newest: ## run the tests with the newest libraries allowed
test-oldest test-newest: test-%: $(READY)
	uv venv --quiet --clear --python $(BIN)/python .venv-$*
	uv pip install --quiet --python .venv-$* --resolution $(RESOLUTION.$*) --editable '.[dev]'
	PATH=$(CURDIR)/.venv-$*/bin:$$PATH $(TEST)

bench: $(READY) $(PEER) ## measure what preparing data and training cost, as ratios
	framemix bench data
	framemix bench train --vit-pytorch $(PEER)

$(PEER): | $(READY)
	$(BIN)/pip install --quiet --no-deps --target $(VENV)/peer vit-pytorch==1.2.9

docs: $(READY) ## write build/api/framemix.html: what `import framemix` offers
	python docs/write_api.py build/api

lint: $(READY) ## check style and types
	ruff check .
	ruff format --check .
	mypy
