# make run      set everything up and start the server with the built-in model
# make test     set everything up and run the tests
# make lint types bench clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: run test lint types bench clean

run: $(VENV)/.run
	$(BIN)/liveglass $(ARGS)

test: $(VENV)/.test node_modules/.ok
	@./scripts/install-test-tools
	$(BIN)/pytest $(ARGS)

lint: $(VENV)/.test node_modules/.ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	npm run --silent types

# Type checkers do not follow the mapping of folders to package names, so they look at an installed copy.
types: $(VENV)/.test
	rm -rf build
	$(PIP) install --no-deps --target build/types .
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p liveglass

bench: $(VENV)/.test
	$(BIN)/liveglass bench $(ARGS)

clean:
	rm -rf build dist *.egg-info node_modules $(VENV)

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[openvino]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

node_modules/.ok: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	@touch $@
