# `make` lists the targets.  `make demo` and `make test` work as the first command on a machine that has
# CPython 3.11-3.13, make, git and PyPI: they build .venv themselves, again whenever pyproject.toml changes.

# The newest interpreter that really runs (a pyenv shim may exist and not run), has the right version, and
# can make virtual environments.  Override with `make PYTHON=/path/to/python`.
SUITABLE = import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then echo "$$python"; break; fi; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
COVERAGE := $(BIN)/python -m coverage
JOBS ?= 2
TRIOS ?= 0.30.0 0.31.0 0.32.0 0.33.0 0.34.0 0.35.0
ARGS ?=
TYPING := $(wildcard tests/typing)

.DEFAULT_GOAL := help
.PHONY: help .venv demo test quality conformance mutations parity versions trios coverage lint format types bench docs notebooks changelog clean

help: ## this list
	@grep -E '^[a-z.]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z.]+):.*## (.*)/\1\t\2/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

.venv: $(VENV)/.stamp-dev ## the virtual environment, made or brought up to date

$(VENV)/.stamp-dev: pyproject.toml
	@if ! $(BIN)/python -c '$(SUITABLE)' >/dev/null 2>&1; then \
		python='$(PYTHON)'; \
		if [ -z "$$python" ] || ! "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then \
			echo "no suitable interpreter ($${python:-none of python3.13, python3.12, python3.11, python3, python}):" >&2; \
			echo "CPython 3.11, 3.12 or 3.13 with venv is needed; install one, or name it: make PYTHON=/path/to/python" >&2; \
			exit 2; \
		fi; \
		echo "making $(VENV) with $$("$$python" -V)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "installing lumenize_sim and its development tools into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-dev
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.stamp-notebook: $(VENV)/.stamp-dev
	@$(PIP) -e '.[notebook]'
	@touch $@

demo: .venv ## find, shrink and replay a race in a small app
	@$(BIN)/python -m lumenize_sim demo $(ARGS)

# Through `coverage run` and not `--cov`: pytest imports our own plugin before pytest-cov could watch it.
test: .venv ## every fast test, with branch coverage (ARGS="-k gate" narrows it)
	@$(COVERAGE) erase
	$(COVERAGE) run -m pytest -n $(JOBS) -m "not slow and not benchmark" $(ARGS)
	@$(COVERAGE) combine --quiet && $(COVERAGE) report || true  # a narrow run may touch no measured room

# QUICK=1: the default mix alone, few seeds; WRITE=1: write docs/quality.md and its data anew; ARGS="--only raft".
quality: .venv ## how soon planted bugs are found, what they shrink to, and whether they are explained
	@$(BIN)/python -m tests.quality.bench --jobs $(JOBS) $(if $(QUICK),--quick) $(if $(WRITE),--write) $(ARGS)

# QUICK=1: fewer schedules, and the table is not compared; WRITE=1: write the table anew.
conformance: .venv ## litmus programs against what the real runtime did, and the table in docs/fidelity.md
	@$(BIN)/python -m tests.conformance.fidelity --jobs $(JOBS) $(if $(QUICK),--quick) $(if $(WRITE),--write) $(ARGS)

# WRITE=1 as above; ARGS="--only gate" for some of them, told with what the tests said.
mutations: .venv ## flip one rule of the objects at a time: a test must notice each
	@$(BIN)/python -m tests.conformance.mutations --jobs $(JOBS) $(if $(WRITE),--write) $(ARGS)

# The plugin prints the table, and fails where a line of the original's checklist is neither tested nor explained.
parity: .venv ## the original's own tests, line by line: what stands for each here, or why nothing does
	@$(BIN)/python -m pytest -q -p tests.parity.table -m "not live" tests/auth tests/clone tests/mesh tests/parity tests/routing \
		tests/testing tests/world $(ARGS)

# Other supported interpreters get an environment with the hard dependencies only; the tests find it by its variable.
versions: .venv ## one tape, one digest, on every supported Python that is installed
	@set -e; for version in 3.11 3.12 3.13; do \
		for python in "python$$version" "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
			if "$$python" -c 'import sys, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] != "'$$version'")' >/dev/null 2>&1; then \
				[ -x $(VENV)-$$version/bin/python ] || "$$python" -m venv $(VENV)-$$version; \
				$(VENV)-$$version/bin/python -m pip install --quiet --disable-pip-version-check --no-input -e .; \
				export "LUMENIZE_PYTHON_$$(echo $$version | tr . _)=$(CURDIR)/$(VENV)-$$version/bin/python"; \
				break; \
			fi; \
		done; \
	done; \
	$(BIN)/python -m pytest tests/determinism tests/kernel/test_trio_in_handlers.py $(ARGS)

# The kernel touches private parts of Trio: every supported release is tried.
trios: .venv ## the kernel's tests on every supported release of Trio
	@set -e; for release in $(TRIOS); do \
		[ -d $(VENV)-trio/$$release ] || $(PIP) --no-deps --target $(VENV)-trio/$$release trio==$$release; \
		echo "Trio $$release"; \
		PYTHONPATH=$(VENV)-trio/$$release $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow" tests/kernel tests/world $(ARGS); \
	done

coverage: test ## the same, and fails where less than 95 % of the branches are covered
	@$(COVERAGE) report --fail-under=95 --format=total

lint: .venv ## ruff, as linter and as formatter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv ## mypy and pyright, on the package and on the typing examples
	$(BIN)/mypy --strict lumenize_sim $(TYPING)
	$(BIN)/pyright --pythonpath $(BIN)/python lumenize_sim $(TYPING)

bench: .venv ## benchmarks; the tables show each row as a ratio to the best of its group
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --benchmark-group-by=group \
		--benchmark-columns=min,median,ops,rounds $(ARGS)

docs: .venv $(VENV)/.stamp-docs ## the documentation, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

notebooks: .venv $(VENV)/.stamp-notebook ## run every notebook from top to bottom
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=300 notebooks $(ARGS)

changelog: .venv ## what the next release's notes would say
	@$(BIN)/towncrier build --draft

clean: ## remove everything that can be made again
	rm -rf $(VENV) $(VENV)-3.* $(VENV)-trio build dist docs/_build docs/reference/api htmlcov .benchmarks .coverage .coverage.* .hypothesis \
		.lumenize .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
