# make run | test | lint | bench | clean. Each does all set-up it needs; the second time that takes no time.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
PROFILE ?= embedded
JARS := .jars
UV := 0.13.9
DATA := $(if $(wildcard ../shared/data/results/matches.parquet),../shared/data,data)
STAMP := $(VENV)/installed-$(shell cksum requirements.txt | cut -d' ' -f1)
COMPILED := $(VENV)/compiled-$(shell cat training/*.py training/prematch/*.py actors/domain/ratings.py | cksum | cut -d' ' -f1)
PYTHON := $(shell for p in python3.11 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && echo $$p && break; done)
PYTEST := $(PY) -m pytest -p no:cacheprovider --durations=10
CODE := actors serve_app training conf cluster bench tests
PARTS := ab cd  # of the unit tests by their first letters, each for the lane of `make test` that is done first
SOME := $(foreach part,$(PARTS),$(wildcard tests/unit/test_[$(part)]*.py))
LAST = $(foreach part,$(PARTS),{ ! mkdir $$at/$(part) 2>/dev/null || $(PYTEST) $(wildcard tests/unit/test_[$(part)]*.py); } || status=$$?;) true
LINT = $(VENV)/bin/ruff check $(CODE) && $(VENV)/bin/ruff format --check $(CODE) && $(VENV)/bin/mypy && $(PY) -m pytest tests/unit/test_architecture.py
IS_COMPILED = test $(COMPILED) -nt $(STAMP)
COMPILE = $(IS_COMPILED) || { echo "Setting up: compiling our loops (about a minute)"; \
  $(PY) -m training.compile && rm -f $(VENV)/compiled-* && touch $(COMPILED); }

export TOUCHLINE_DATA ?= $(abspath $(DATA))
export RAY_USAGE_STATS_ENABLED := 0
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO := 0
# uv leaves byte code to the first import. Where that may not be kept, each of our processes takes 8 s to import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test soak lint bench clean setup installed packages browser servers services generators

help:
	@echo "make run    set up, start Touchline with the demo matches, print where to look (ARGS='replay.speed=1' for options)"
	@echo "            PROFILE=cluster: on Kafka, Cassandra and Redis, which it starts; 'make services DO=down' ends them"
	@echo "make test   set up and run all checks and tests"
	@echo "make soak   sixteen matches at 60 times real speed with clients that come and go (nothing beside it),"
	@echo "            and a fit that is killed and goes on (ten minutes in all)"
	@echo "make lint   ruff, mypy, architecture test"
	@echo "make bench  one JSON line per result, all benches in brief; python -m bench NAME for one in full"
	@echo "make clean  remove the virtual environment and caches; the data folder stays"

run: setup $(if $(filter cluster,$(PROFILE)),services)
	@exec $(PY) -m cluster.launch profile=$(PROFILE) data.root=$(DATA) $(ARGS)

# Kafka, Cassandra and Redis on this machine: DO=up|down|status|wipe or "logs NAME".
DO ?= up
services: setup servers
	@$(PY) -m cluster.services $(DO) $(ARGS_SERVICES)

# Two lanes side by side, one per core: what plays evenings mostly waits. Three starved each other of time.
# While one compiles our loops, the other checks what needs none of them.
test: installed
ifdef ARGS
	@$(COMPILE)
	$(PY) -m pytest $(ARGS)
else
	@at=$$(mktemp -d); \
	  (status=0; { $(COMPILE); } || exit; $(PYTEST) $(filter-out $(SOME),$(wildcard tests/unit/test_*.py)) || status=$$?; \
	    $(PYTEST) tests/contract || status=$$?; $(LAST); exit $$status) >$$at/log 2>&1 & lane=$$!; \
	  status=0; { $(LINT); } || status=$$?; $(PYTEST) tests/simulation || status=$$?; \
	  until $(IS_COMPILED) || ! kill -0 $$lane 2>/dev/null; do sleep 1; done; \
	  $(PYTEST) tests/cluster || status=$$?; $(LAST); \
	  wait $$lane || status=$$?; cat $$at/log; rm -r $$at; exit $$status
endif

soak: setup
	$(PY) -m pytest -m soak tests/cluster tests/contract $(ARGS)

lint: $(STAMP)
	$(LINT)

# With the others that we are measured against, and the load generators.
bench: setup generators
	@$(PY) -m bench.environment && $(PY) -m bench $(ARGS)

generators:
	@missing=""; command -v wrk >/dev/null || missing="$$missing wrk"; command -v h2load >/dev/null || missing="$$missing nghttp2-client"; \
	  if test -n "$$missing" && test "$$(id -u)" = 0; then \
	    echo "Setting up:$$missing for the benches" >&2; apt-get -q update >/dev/null; apt-get -q install -y --no-install-recommends $$missing >/dev/null; \
	  elif test -n "$$missing"; then echo "some benches need Debian's packages$$missing and are skipped" >&2; fi

clean:
	rm -rf $(VENV) $(JARS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(COMPILED)

# Once for each state of the code; else every process of a first start would compile our loops for itself.
$(COMPILED): $(STAMP)
	@$(COMPILE)

$(STAMP): requirements.txt
	@test -n "$(PYTHON)" || { echo "Touchline needs Python 3.11 (python3.11 with its venv module); none was found on the PATH" >&2; exit 2; }
	@echo "Setting up: virtual environment and pinned packages (about 7 GB and one to five minutes the first time)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "python3.11 has no venv module: install the package python3.11-venv" >&2; exit 2; }
	@$(PY) -m pip install -q --disable-pip-version-check uv==$(UV) && $(VENV)/bin/uv pip install --python $(PY) --no-cache -r requirements.txt \
	  || { echo "uv could not install them; pip tries, which takes longer" >&2; $(PY) -m pip install -q --disable-pip-version-check -r requirements.txt; }
	@rm -f $(VENV)/installed-* && touch $@
	@echo "Set up."

# Python's packages and Debian's at the same time.
installed:
	@$(MAKE) --no-print-directory -j2 $(STAMP) packages

packages:
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory servers

browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 || { echo "the browser test needs Debian's chromium: apt-get install chromium" >&2; exit 2; }; \
	  echo "Setting up: chromium for the browser test"; apt-get -q update >/dev/null && apt-get -q install -y --no-install-recommends chromium >/dev/null; }

# What the real servers run on; without it their tests are skipped, and the test run says so (on CI it fails).
servers:
	@missing=""; command -v java >/dev/null || missing="$$missing openjdk-17-jre-headless"; \
	  command -v mvn >/dev/null || missing="$$missing maven"; command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	  if test -n "$$missing" && test "$$(id -u)" = 0; then \
	    echo "Setting up:$$missing for the real servers"; apt-get -q update >/dev/null; \
	    RUNLEVEL=1 apt-get -q install -y --no-install-recommends $$missing >/dev/null || echo "could not be installed:$$missing" >&2; \
	  elif test -n "$$missing"; then echo "the real servers need Debian's packages$$missing" >&2; fi
