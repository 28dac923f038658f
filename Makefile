# Every target works from nothing: it makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# Importing Airflow takes 2.5 s with compiled modules, and 6 s without.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED = 1

.PHONY: help demo test system-test matrix bench lint format docs constraints clean
.DEFAULT_GOAL := help

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(READY) ## Run an example on real Airflow; KEEP=1 leaves it up; TABLE=… REGION=… uses your own AWS account
	$(BIN)/python -m tests.system.demo --table "$(TABLE)" --region "$(REGION)" $(if $(KEEP),--keep)

test: $(READY) ## Run the whole test suite
	$(BIN)/python -m pytest $(ARGS)

system-test: $(READY) ## Run the tests on a cluster: needs PostgreSQL (postgresql) and Redis (redis-server)
	$(BIN)/python -m pytest -m cluster -s $(ARGS)

matrix: $(READY) ## Run the tests on every Airflow and Python that is claimed; writes docs/versions.csv
	$(BIN)/nox --session tests write_results

bench: $(READY) ## Measure beside the amazon provider's way (10 minutes); writes docs/benchmarks.rst
	$(BIN)/python -W ignore -m tests.benchmarks.waiting

lint: $(READY) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## Mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Build the documentation into docs/_build
	$(BIN)/python -m sphinx -n -W --keep-going -b html docs docs/_build/html

constraints: $(READY) ## Pin what is installed now
	$(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | grep -vE '^(pip|setuptools)==' > constraints.txt

clean: ## Remove what was built, and the virtual environment
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing the package, Airflow and the tools (about 800 MB)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable . --group dev
	@touch $(READY)
