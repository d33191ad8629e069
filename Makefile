# `make demo` shows the application, `make test` checks everything. Both work in an empty clone.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# SQLAlchemy 2.0, laid over the version that is installed.
OLDER := $(VENV)/sqlalchemy-2.0

.PHONY: help demo run test lint types suite suite-2.0 clean

help:
	@echo "make demo    set up, make and seed the development database, say what to open"
	@echo "make run     serve the application on 127.0.0.1:5000"
	@echo "make test    lint, types and all tests, in parallel and in random order;"
	@echo "             what depends on SQLAlchemy, with 2.0 as well as 2.1"
	@echo "make clean   delete what these commands have made in this folder"

demo: $(INSTALLED)
	@$(BIN)/flask seed demo --if-empty
	@echo
	@echo "Now run:   make run"
	@echo "and open:  http://127.0.0.1:5000/"

run: $(INSTALLED)
	@$(BIN)/flask run

test: lint types suite suite-2.0

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# In parallel, each time in another order, whose seed is printed. Many tests wait for a server or a
# process, so two cores are busy with three workers.
WORKERS ?= 3

suite: $(INSTALLED)
	$(BIN)/pytest -n $(WORKERS)

# What depends on the ways of SQLAlchemy, with its other release.
suite-2.0: $(OLDER)
	PYTHONPATH=$(OLDER) $(BIN)/python -c \
	  'import sqlalchemy; v = sqlalchemy.__version__; print("SQLAlchemy", v); assert v[:4] == "2.0."'
	PYTHONPATH=$(OLDER) $(BIN)/pytest -n $(WORKERS) tests/isolation/scenarios tests/sandbox/test_binds.py \
	  $(addprefix tests/pytest_plugin/test_,modes.py queries.py requests.py)

$(OLDER): requirements-sqlalchemy-2.0.txt $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target $(OLDER) -r requirements-sqlalchemy-2.0.txt
	@touch $(OLDER)

$(INSTALLED): requirements.txt requirements-testing.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Installing into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-testing.txt
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) instance .mypy_cache .pytest_cache .ruff_cache
