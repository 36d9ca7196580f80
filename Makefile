# Two commands matter: `make run` and `make test`. Each does all its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check bench torture mutants lock generate clean

run: .make/run
	$(BIN)/imagegate serve

test: .make/dev .make/node .make/codex
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: .make/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python tools/generate.py --check

generate: .make/dev
	$(BIN)/python tools/generate.py
	$(BIN)/ruff format -q src

bench: .make/dev
	$(BIN)/python -m bench

torture: .make/dev
	$(BIN)/python -m bench.torture

mutants: .make/dev
	$(BIN)/python tools/mutants.py

# The lock files carry hashes and no index urls, so that any mirror serves them.
lock: $(VENV)
	$(BIN)/pip install -q pip-tools
	$(BIN)/pip-compile -q --upgrade --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --no-header -o requirements/run.txt pyproject.toml
	$(BIN)/pip-compile -q --upgrade --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --no-header --extra dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml

$(VENV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imagegate needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

.make/run: requirements/run.txt pyproject.toml | $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@mkdir -p .make && touch $@

.make/dev: requirements/dev.txt pyproject.toml | $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@mkdir -p .make && touch $@ .make/run

# node and npm come with the development requirements; nothing has to be on the machine.
.make/node: tests/clients/package-lock.json | .make/dev
	cd tests/clients && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p .make && touch $@

# The Codex command line: 160 MB to fetch, 400 MB on disk, 16 s. Without it its test is left out.
.make/codex: tests/clients/codex/package-lock.json | .make/dev
	cd tests/clients/codex && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p .make && touch $@

clean:
	rm -rf $(VENV) .make build dist tests/clients/node_modules tests/clients/codex/node_modules
