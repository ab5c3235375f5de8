# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Where the environment forbids bytecode, every server that is started would be compiled anew: seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test again check soak bench lock sbom audit format clean

# `make demo DEMO="--kubeconfig FILE"` deploys to a cluster in place of the sandbox.
demo: $(READY)
	$(BIN)/stellwerk demo $(DEMO)

# Two processes: the tests wait more than they compute. A file's tests stay together (tests/conftest.py).
test: $(READY)
	$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadgroup --durations 25

# What failed in the last run, one after the other on a machine with nothing else to do: tells a fault from a crowd.
again: $(READY)
	$(BIN)/python -m pytest -m "not soak" --last-failed --last-failed-no-failures none

check: $(READY)
	$(BIN)/ruff format --check src tests bench examples
	$(BIN)/ruff check src tests bench examples
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(READY)
	$(BIN)/python -m pytest -m soak --timeout 3600

bench: $(READY)
	$(BIN)/python -m bench

# What a release is made of, as CycloneDX.
sbom: $(READY)
	mkdir -p dist
	$(BIN)/python .ci/sbom.py > dist/stellwerk.cdx.json

# Asks the package index for known weaknesses of what the lock names, so it needs one. In an environment of its own,
# because what checks the lock should not be locked by it. Strict: a package that nothing is known of is not one without weaknesses.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

format: $(READY)
	$(BIN)/ruff check --fix src tests bench examples
	$(BIN)/ruff format src tests bench examples

# The lock names versions and hashes only; `uv` comes from the environment that the lock itself made or from PATH.
lock:
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url -o requirements.lock
	uv pip compile tests/e2e/published/requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url -o tests/e2e/published/requirements.lock
	uv pip compile bench/peers/requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url -o bench/peers/requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) .venv-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
