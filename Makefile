# One command each; `make help` lists them. Everything that is needed is installed under .venv and build/.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
IMAGE := build/image
# One worker for each core; a file's tests share fixtures and stay together. ARGS= adds to it: ARGS='tests/gate -n0'.
TESTS := $(RUN) -m pytest -q -n auto --maxprocesses 8 --dist loadfile
.DEFAULT_GOAL := help
.PHONY: help setup image image-docker image-programs container demo test check format lint types imports docs bench vectors redteam blindness hostile-host crash load compose-test fuzz flips mutation clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sealroom needs Python 3.11 or later; set PYTHON=" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "this Python has no venv module (on Debian: apt install python3-venv)" >&2; exit 2; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; about a minute)" >&2
	@if command -v uv >/dev/null; then uv pip install -q --python $(RUN) --require-hashes -r requirements/dev.txt; \
	  else $(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt; fi
	@$(RUN) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## install everything into .venv

image: $(STAMP) ## build the enclave image for the process launcher
	@$(RUN) -m sealroom.host.image build --out $(IMAGE) --tsm simulated

image-docker: $(STAMP) ## build the enclave image for Docker (BASE=<image@sha256:...>, or made of Debian packages)
	@deploy/build-image.sh $(BASE)

image-programs: $(STAMP) ## build the images of broker and gateway for deploy/compose (BASE as above), and print their ids
	@deploy/build-programs.sh $(BASE)

demo: image ## play bank, partner and operator on real data (DATA=<folder> SPEC=<file>, LAUNCHER=docker|process)
	@chosen=$$(deploy/launcher.sh $(IMAGE)) && $(VENV)/bin/sealroom demo $$chosen $(if $(DATA),--data $(DATA)) $(if $(SPEC),--spec $(SPEC))

container: image # the container image that tests launch, where an engine answers
	@deploy/launcher.sh $(IMAGE) >/dev/null

test: container ## run the tests
	@$(TESTS) $(ARGS)

check: format lint types imports docs container ## format, lint, types, import rules, documents, tests
	@$(TESTS) $(ARGS)

format: $(STAMP)
	@$(VENV)/bin/ruff format --check .

lint: $(STAMP)
	@$(VENV)/bin/ruff check .

types: $(STAMP)
	@$(VENV)/bin/mypy

imports: $(STAMP)
	@$(VENV)/bin/lint-imports --no-cache

docs: $(STAMP) ## refresh nothing, fail when a generated page is stale
	@$(RUN) -m tests.documents --check

bench: image ## measure; ratios go to build/bench/results.json
	@$(RUN) -m bench

vectors: $(STAMP) ## run the attestation vectors of a folder: make vectors VECTORS=<folder>
	@test -n "$(VECTORS)" || { echo "name the folder: make vectors VECTORS=<folder>" >&2; exit 2; }
	@$(RUN) -m sealroom.attestation.vectors $(VECTORS)

redteam: image ## run the hostile bundles against the jail, in a container too where there is one
	@$(RUN) -m tests.redteam

hostile-host: $(STAMP) ## play every case of the malicious host
	@$(RUN) -m tests.hostile_host.runner

blindness: $(STAMP) ## measure what the time of a run says about secrets of one size (RUNS=40)
	@$(RUN) -m tests.blindness.measure --runs $(or $(RUNS),40)

crash: image ## kill every program between any two steps of a run, then KILLS=200 at random (SEED=1, JOBS=2, goes on where it was)
	@SEALROOM_CRASH=all $(TESTS) tests/crash
	@$(RUN) -m tests.crash.random_kills --seed $(or $(SEED),1) --kills $(or $(KILLS),200) --jobs $(or $(JOBS),2)

load: image ## play RUNS=50 whole runs, eight at a time (STORE=sqlite|postgresql); counts go to build/load/results.json
	@$(RUN) -m tests.load --runs $(or $(RUNS),50) --store $(or $(STORE),sqlite)

compose-test: container ## play gateway, processor and brokers as containers by the compose files (needs root, an engine, docker-compose; minutes)
	@SEALROOM_COMPOSE=all $(TESTS) -n0 tests/e2e/test_compose.py $(ARGS)

$(VENV)/.fuzzing: requirements/fuzz.txt $(STAMP)
	@$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

fuzz: $(VENV)/.fuzzing ## fuzz every decoder (SECONDS=600 in all, ONLY='card der', EXECUTIONS=1000000 each is enough, RECORD=1 adds to docs/FUZZING.md)
	@$(RUN) -m tests.fuzz --seconds $(if $(SECONDS),$(SECONDS),600) $(if $(EXECUTIONS),--executions $(EXECUTIONS)) \
	  $(if $(RECORD),--record) $(ONLY)

flips: $(STAMP) ## flip every single bit of one document of every kind
	@SEALROOM_FLIPS=all $(TESTS) --timeout 3600 tests/flips

mutation: $(VENV)/.fuzzing ## change what guards keys, and count what the tests notice (ARGS='--record client/grants.py')
	@$(RUN) -m tests.mutation $(ARGS)

clean: ## remove what was built, keep what was installed
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
