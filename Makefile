# make demo   train a small DeepLabv3 on generated data, evaluate it and draw its predictions
# make test   all tests
# make lint   ruff, and the walls between the rooms (import-linter)
#
# Each first makes .venv with the versions of constraints.txt, and again only when those change.
# PYTHON chooses the interpreter: make demo PYTHON=python3.12

PYTHON ?= $(shell python3.11 -c 'import sys; print(sys.executable)' 2>/dev/null || command -v python3 || echo python3)
RUN := .venv/bin/python
STAMP := .venv/installed

.PHONY: demo test lint

# Waiting threads sleep: spinning ones take the cores from the loader and from other programs.
demo: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(RUN) tools/demo.py

# Two processes of one thread each are faster than one process of two threads.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/lint-imports

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is no Python 3.11 or later with its venv module, which the versions in" \
	    "constraints.txt need: install one, or name yours as in: make demo PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install -c constraints.txt -e '.[lite,dev]'
	touch $@
