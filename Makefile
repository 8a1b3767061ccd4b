# Everything from a fresh checkout: Python 3.11 or newer, make, and a package index that pip finds.

PYTHON ?= python3

# What pip has to say about itself is no news here.
PIP_FLAGS := --quiet --disable-pip-version-check

# A process for each core, each with an emulator of its own, and a file of tests never split. Four at
# most: beyond that, what depends on the clock waits for its turn.
SUITE := -m pytest --quiet --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test check docs bench soak floor clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 16

demo: .venv/installed  ## the whole story on this machine, without AWS, in ten seconds
	@.venv/bin/rds-iam demo

test: .venv/installed .venv-floor/installed  ## the suite on current and on floor versions
	.venv/bin/python $(SUITE)
	.venv-floor/bin/python $(SUITE)

floor: .venv-floor/installed  ## the suite on the oldest supported versions, without aiobotocore
	.venv-floor/bin/python $(SUITE)

check: .venv/installed  ## formatting, lint and types
	.venv/bin/python -m ruff format --check --quiet .
	.venv/bin/python -m ruff check --quiet .
	.venv/bin/python -m mypy --strict

docs: .venv/installed  ## the documentation, strictly, in build/docs
	.venv/bin/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs build/docs

bench: .venv/installed  ## every benchmark in ten minutes; results and charts in benchmarks/results
	@.venv/bin/python benchmarks/everything.py

# Seconds, each of which brings some 60 connects; what has to grow to be seen takes minutes.
SOAK_SECONDS ?= 1200

soak: .venv/installed  ## twenty minutes of load and faults, every failed connect judged
	.venv/bin/python -m pytest --quiet -m soak
	PYTHONPATH=tests:benchmarks .venv/bin/python -m soak --seconds $(SOAK_SECONDS)

clean:  ## remove what the other targets have made
	rm -rf .venv .venv-floor build/docs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find sqlalchemy_rds_iam tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: EXTRAS := dev,aiobotocore,soak,frameworks,docs
.venv-floor/installed: EXTRAS := dev
.venv-floor/installed: FLOOR := "SQLAlchemy==2.0.48" "botocore==1.34.41" "redis==5.0.1" \
  "opentelemetry-api==1.30.0" "opentelemetry-sdk==1.30.0" "prometheus-client==0.17.0" greenlet

# Written last, so that an installation that was cut short is done again.
%/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + \
	  ": make PYTHON=python3.12 ...")'
	@echo "installing into $* ..."
	@$(PYTHON) -m venv $*
	@$*/bin/python -m pip install $(PIP_FLAGS) --editable ".[$(EXTRAS)]" $(FLOOR)
	@touch $@
