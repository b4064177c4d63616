# make demo         train a small DeepLabv3 on generated data, evaluate it and draw its predictions
# make test         all tests but the slow ones
# make test-slow    the slow ones: whole programs, killed and started again
# make test-extras  all tests, with a newer PyTorch, torchvision and timm (6 GB)
# make gpu          what waits for a GPU, in calls of 9 minutes, until it says that all is done: tests,
#                   benchmarks, a training; with PYTHON alone, which has all packages: no environment
#                   is made. REHEARSE=1: on a CPU at small size
# make lint         ruff, and the walls between the rooms (import-linter)
#
# Each first makes its environment (.venv; .venv-extras) with the versions of constraints.txt or
# constraints-extras.txt, and again only when those change.
# PYTHON chooses the interpreter: make demo PYTHON=python3.12

PYTHON ?= $(shell python3.11 -c 'import sys; print(sys.executable)' 2>/dev/null || command -v python3 || echo python3)
RUN := .venv/bin/python
# Two processes of one thread each are faster than one process of two threads. With another one in
# place of one that died, xdist waits for ever at the end.
PYTEST := -m pytest -n 2 --dist loadfile --max-worker-restart 0

.PHONY: demo test test-slow test-extras gpu lint

# Waiting threads sleep: spinning ones take the cores from the loader and from other programs.
demo: .venv/installed
	OMP_WAIT_POLICY=PASSIVE $(RUN) tools/demo.py

test: .venv/installed
	OMP_NUM_THREADS=1 $(RUN) $(PYTEST) -m 'not slow'

test-slow: .venv/installed
	OMP_NUM_THREADS=1 $(RUN) $(PYTEST) -m slow

test-extras: .venv-extras/installed
	OMP_NUM_THREADS=1 .venv-extras/bin/python $(PYTEST)

# The package and what the benchmarks share, for their child processes too
gpu:
	PYTHONPATH="$(CURDIR):$(CURDIR)/tools:$$PYTHONPATH" $(PYTHON) tools/gpu.py $(if $(REHEARSE),--rehearse)

lint: .venv/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/lint-imports

.venv/installed: PINS := constraints.txt
.venv/installed: EXTRAS := lite,dev,deploy,weights,report
.venv-extras/installed: PINS := constraints-extras.txt
.venv-extras/installed: EXTRAS := lite,dev,deploy,weights,report,timm

.venv/installed: constraints.txt
.venv-extras/installed: constraints-extras.txt
.venv/installed .venv-extras/installed: setup.cfg pyproject.toml constraints-common.txt
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is no Python 3.11 or later with its venv module, which the versions in" \
	    "$(PINS) need: install one, or name yours as in: make demo PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -c $(PINS) -e '.[$(EXTRAS)]'
	touch $@
