# Nightshift's commands. Each target creates .venv on its own when the lock file changed; nothing but Python 3.11 and make is needed.
PYTHON ?= $(firstword $(shell command -v python3.11 python3) python3.11)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Folders with wheels that the registry lacks (a CPU build of torch, say), as pip knows them.
FIND_LINKS := $(foreach place,$(PIP_FIND_LINKS),--find-links $(place))

.DEFAULT_GOAL := help
.PHONY: help install demo test soak check up bench clean

help: ## show these lines
	@grep -hE '^[a-z]+:.*## ' Makefile | awk -F':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 was asked for as '$(PYTHON)' and is not on the PATH; name it with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(FIND_LINKS) -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## two simulated markets through the whole loop, ending in a table and one report a market
	$(BIN)/nightshift demo

test: $(STAMP) ## every test, a file at a time on every core
	$(BIN)/pytest -q -n auto --dist loadfile

soak: $(STAMP) ## ten thousand simulated worlds of faults, or as many as NIGHTSHIFT_SEEDS says
	NIGHTSHIFT_SEEDS=$${NIGHTSHIFT_SEEDS:-10000} $(BIN)/pytest -q -n auto tests/simulation/test_simulation.py

check: $(STAMP) ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

up: $(STAMP) ## Prefect server, MLflow server and the served deployments; Ctrl-C stops all
	$(BIN)/nightshift up

bench: $(STAMP) ## every benchmark, side by side with its peer; results are written beside the scripts
	@for script in $$(find benchmarks -name '*.py' -not -name '_*' | sort); do echo "== $$script"; $(BIN)/python -m $$(echo $${script%.py} | tr / .) || exit 1; done

clean: ## remove run-time state (var/), never the environment
	rm -rf var
