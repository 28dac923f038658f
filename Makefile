# Every target works from nothing: it makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# Where PyPI's advisories can't be reached, pip-audit skips what it can't look up, and lists it. With REQUIRE_AUDIT it
# fails instead.
AUDIT := --progress-spinner off --disable-pip --no-deps $(if $(REQUIRE_AUDIT),--strict)

# constraints.txt must install on the oldest Python that the package claims.
RESOLVE = $(BIN)/uv pip compile --quiet --python-version 3.11.0 --group dev --group sbom pyproject.toml

# A build of a commit is the same whenever it is made; that of no repository has hatchling's own time.
EPOCH = $(or $(shell git log -1 --format=%ct 2>/dev/null),1580601600)

# Of the unit tests, what meets Airflow, boto3 or aiobotocore. Of the system tests, make lowest has all in one process.
MEETING := test_boto_errors.py test_connection.py hooks links operators sensors triggers waiting

# Importing Airflow takes 2.5 s with compiled modules, and 6 s without.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED = 1

.PHONY: help demo unit test system-test aws-test soak soak-airflow upgrade-test readers screenshots lowest matrix bench bench-cluster bench-imports lint format docs wheel sbom release release-files installed constraints clean
.DEFAULT_GOAL := help

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(READY) ## Back up, plan a prune, restore, drill on real Airflow; KEEP=1 leaves it up; TABLE=… REGION=…: your own table
	$(BIN)/python -m scripts.demo --table "$(TABLE)" --region "$(REGION)" $(if $(KEEP),--keep)

unit: $(READY) ## Run the unit tests on two cores
	EXAMPLES=10 $(BIN)/python -m pytest tests/unit -m "not load" -n 2 $(ARGS)

# The state machines try the same histories each time, and others by "make soak".
test: $(READY) ## Run the whole test suite, and measure its coverage unless ARGS select some of it
ifeq ($(strip $(ARGS)),)
	SEED=$${SEED:-1} $(BIN)/python -m pytest -n 3 --dist loadgroup --cov
else
	$(BIN)/python -m pytest $(ARGS)
endif

# Most of them wait: three processes, with a cluster each, keep two cores busy.
system-test: $(READY) ## Run the tests on a cluster, in a browser and of the demo: needs postgresql, redis-server, chromium
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest tests/system tests/contract -m "cluster or browser" -n 3 --dist loadgroup -v
else
	$(BIN)/python -m pytest -m "cluster or browser" -s $(ARGS)
endif

aws-test: $(READY) ## Check what AWS does in your own account: REGION=…; asks first; docs/aws_test.rst says how
	$(BIN)/python -W ignore -m tests.contract --region "$(REGION)" --confirm "$(CONFIRM)" --also $(ALSO) $(if $(CLEAN),--clean)

soak-airflow: $(READY) ## Run Airflow under faults and kills for MINUTES=60, and keep the books; SEED=…; writes docs/soak*
	$(BIN)/python -W ignore -m tests.system.soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

soak: $(READY) ## Search for histories that break a promise, each state machine for MINUTES (30); SEED=… begins with that one
	MINUTES=$(or $(MINUTES),30) EXAMPLES=250 $(BIN)/python -m pytest -m load -n 2 -s tests/machines $(ARGS)

upgrade-test: $(READY) ## Upgrade the package while tasks wait, on real Airflow; FROM=VERSION needs the git history
	FROM="$(FROM)" $(BIN)/python -m pytest -m upgrade -s $(ARGS)

readers: $(READY) ## Follow the docs' first steps and on-call page word by word, with Airflow: 10 minutes, ports 5555 and 8080
	$(BIN)/python -m pytest -m reader -s $(ARGS)

screenshots: $(READY) ## Take the documentation's pictures of Airflow's web UI: needs chromium
	mkdir -p docs/images
	REQUIRE_CHROMIUM=1 SCREENSHOTS=docs/images $(BIN)/python -m pytest -m browser tests/system/test_web_ui.py

lowest: $(READY) ## Run whole DAGs, and what meets Airflow, boto3 or aiobotocore, on the lowest versions that are claimed
	$(BIN)/nox --session "tests(lowest-3.11)" -- tests/system --ignore tests/system/test_standalone.py \
		$(addprefix tests/unit/,$(MEETING))

matrix: $(READY) ## Run the tests on every Airflow and Python that is claimed; writes docs/versions.csv
	$(BIN)/nox --session tests write_results

bench: $(READY) ## Measure beside the ways of others (25 minutes); writes docs/benchmarks.rst and docs/*.csv
	$(BIN)/python -W ignore -m benchmarks.retention
	$(BIN)/python -W ignore -m benchmarks.coverage
	$(BIN)/python -W ignore -m benchmarks.tables
	$(BIN)/python -W ignore -m benchmarks.operators
	$(BIN)/python -W ignore -m benchmarks.waiting

bench-cluster: $(READY) ## Measure 500 waits, and one task beside 300, on a cluster (20 minutes): nothing else may run
	$(BIN)/python -m pytest tests/system -m measured -s $(ARGS)

bench-imports: $(READY) ## Measure the import of the operators beside the amazon provider's; writes docs/imports.csv
	$(BIN)/python -m benchmarks.imports

lint: $(READY) ## Check style, formatting, types, docstrings, workflows, pins, and the dependencies' known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/zizmor --offline --quiet --no-progress --persona pedantic .github
	$(RESOLVE) --constraint constraints.txt >/dev/null
	$(BIN)/pip-audit $(AUDIT) --requirement constraints.txt

format: $(READY) ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Build the documentation into docs/_build
	$(BIN)/python -m sphinx -n -W --keep-going -b html docs docs/_build/html

wheel: $(READY) ## Build the package into dist/
	SOURCE_DATE_EPOCH=$(EPOCH) UV_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m build --installer uv

sbom: $(READY) ## List what a user installs with the wheel in dist/, as CycloneDX, in build/sbom.json
	$(BIN)/python -m scripts.sbom

release-files: $(READY) ## Check that tag, version and changelog agree, build dist/, and check what a package index would
	$(BIN)/python scripts/release.py
	rm -rf dist
	$(MAKE) wheel
	$(BIN)/twine check --strict dist/*

installed: $(READY) ## Install what is in dist/ beside the oldest and the newest Airflow, and run a DAG: needs Python 3.11 and 3.13
	$(BIN)/python -m scripts.installed

release: ## All that is checked before a release: release-files, and installed
	$(MAKE) release-files
	$(MAKE) installed

constraints: $(READY) ## Pin versions that the oldest Python takes; ARGS=--upgrade: the newest of them
	$(RESOLVE) --no-header --no-annotate --no-emit-package pip --no-emit-package setuptools \
		--output-file constraints.txt $(ARGS)

clean: ## Remove what was built, and the virtual environment
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing the package, Airflow and the tools (about 1.3 GB)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@(while sleep 9 >/dev/null 2>&1; do echo "  … still installing"; done) & ticking=$$!; trap "kill $$ticking" EXIT; \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable . --group dev
	@touch $(READY)
