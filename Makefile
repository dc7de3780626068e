# The one developer interface. Needs python3 (3.11 or newer), git and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP = $(VENV)/.pins-$(1)

.PHONY: help demo test coverage lint docs bench prove lock clean

help:
	@echo "make demo   both examples against the sandbox, then the app in the browser"
	@echo "make test   lint, types, contracts and all tests"
	@echo "make bench  the benchmarks, with ratios to peers; results in benchmarks/results/"
	@echo "make prove  the slow proofs (many kills, large loads)"
	@echo "make lint   lint, types and contracts only"
	@echo "make docs   write the reference pages that are generated from the code"
	@echo "make lock   resolve the pins in requirements/ again"
	@echo "make clean  remove what these commands made"

demo: $(call STAMP,demo)
	$(BIN)/fetchcast demo $(DEMO)

# The browser's driver keeps an event loop running, which no other async test can share.
test: lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n 2 -m "not slow" --ignore tests/browser $(TEST)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n 2 -m "not slow" tests/browser

coverage: $(call STAMP,test)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/coverage run -m pytest -m "not slow" --ignore tests/browser
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/coverage run -m pytest -m "not slow" tests/browser
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

lint: $(call STAMP,test)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(call STAMP,test)
	$(BIN)/python docs/generate.py

bench: $(call STAMP,bench)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/__main__.py $(BENCH)

prove: $(call STAMP,test)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -m slow --timeout 3600 $(TEST)

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "fetchcast needs Python 3.11 or newer; this is $$($(PYTHON) --version)." \
		"Say which one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$$($(PYTHON) --version) has no venv module. On Debian and Ubuntu:" \
		"apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

# A pin set is synced anew when its file changed, or when another set was synced last.
$(VENV)/.pins-%: requirements/%.txt pyproject.toml $(VENV)/.made
	VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes $<
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.pins-*
	@touch $@

COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" pyproject.toml

EXTRAS = --extra statistical --extra dask --extra s3

lock: $(VENV)/.made
	$(COMPILE) --group build --output-file requirements/demo.txt
	$(COMPILE) $(EXTRAS) --group test --output-file requirements/test.txt
	$(COMPILE) $(EXTRAS) --group bench --output-file requirements/bench.txt

clean:
	rm -rf $(VENV) fetchcast-demo .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
