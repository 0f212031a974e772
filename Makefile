# Van Allen: `make help` lists what can be done. Every target sets up what it needs in $(VENV).

VENV ?= .venv
PYTHON ?=
ARGS ?=
WORKERS ?= logical
# Stories wait for processes more than they compute.
STORIES ?= 3

PY := $(VENV)/bin/python
PIP_HERE := python -m pip --disable-pip-version-check -qq
INSTALL_HERE := $(PIP_HERE) install --no-deps --require-hashes
PIP := $(VENV)/bin/$(PIP_HERE)
INSTALL := $(VENV)/bin/$(INSTALL_HERE)
HAS_CC := $(shell command -v cc || command -v gcc || command -v clang)
RUN_LOCK := requirements/$(if $(HAS_CC),run,run-zig).txt
PACKAGES := $(wildcard icd flight hal sim_hw ground)
CODE := $(PACKAGES) tools tests $(wildcard benchmarks examples)
LISTED := --only-listed-skips tests/skips.txt
# Too heavy for `make test`: tests marked heavy("NAME") run as test-NAME, in an environment made of dev.txt and
# a lock of its own (requirements/LOCK.txt makes $(VENV)-LOCK). What cannot be installed or run there fails.
HEAVY = $(LISTED) --heavy
# Run apart, the longest first. Coverage sees nothing of stories: they are other processes.
APART := $(if $(filter yes,$(COVER)),story,story or slow)
COVERED := --cov --cov-report= --cov-report=json:build/coverage.json

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help run test test-cuda-compile test-zig test-arm lint bench coverage ratchet matrix blas-matrix lock format pages clean same-python

help: ## Show this list.
	@sed -n 's/^\([a-z][a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) \
	  | while IFS="$$(printf '\t')" read -r target text; do printf '  make %-18s %s\n' "$$target" "$$text"; done
	@echo '  Variables: ARGS="..." (passed on), PYTHON=python3.12 (else found), VENV=.venv, WORKERS=logical (test processes)'

run: $(VENV)/.run ## Fly the first pass: an emulated H100 payload trains a small GPT on an uplinked text.
	@$(PY) -m examples.first_pass $(ARGS)

ifeq ($(strip $(ARGS)),)
test: $(VENV)/.dev ## Run every suite; with ARGS, pytest with just these. COVER=yes: hold coverage to its ratchet.
	@mkdir -p build
	$(PY) -m pytest tests -m "not ($(APART))" -n $(WORKERS) $(LISTED) $(if $(filter yes,$(COVER)),$(COVERED))
	$(if $(filter yes,$(COVER)),@$(PY) tools/check_coverage.py build/coverage.json coverage.ratchet)
	$(PY) -m pytest tests -m "$(APART)" -n $(STORIES) --dist loadgroup $(LISTED)
else
test: $(VENV)/.dev
	$(PY) -m pytest $(ARGS)
endif

test-cuda-compile: $(VENV)-cuda12/.made $(VENV)-cuda13/.made ## Compile the CUDA kernels for a GPU that is not here, with CUDA 12 and 13.
	$(VENV)-cuda12/bin/python -m pytest tests benchmarks/test_edac_cuda.py -n 0 $(HEAVY) cuda-compile
	$(VENV)-cuda13/bin/python -m pytest tests benchmarks/test_edac_cuda.py -n 0 $(HEAVY) cuda-compile

test-zig: $(VENV)-run-zig/.made ## Build the emulated library as a machine without a C compiler does.
	$(VENV)-run-zig/bin/python -m pytest tests -n 0 $(HEAVY) zig

test-arm: $(VENV)/.dev ## Run the portable tests on emulated aarch64 processors (as root, on Debian; about twenty minutes).
	$(PY) -m tools.arm_tests build/arm $(ARGS)

lint: $(VENV)/.dev ## Check style, types, imports, requirements and names; changes nothing.
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PY) tools/check_determinism.py flight
	$(PY) tools/check_requirements.py docs/requirements.md tests
	$(PY) tools/check_names.py
	$(PY) -m tools.check_folders

format: $(VENV)/.dev ## Let ruff rewrite what it can.
	$(VENV)/bin/ruff check --fix $(CODE)
	$(VENV)/bin/ruff format $(CODE)

pages: $(VENV)/.dev ## Write what the pages say of the code anew: tables of components, list of folders.
	$(PY) -m tools.component_pages --write
	$(PY) -m tools.check_folders --write

bench: $(VENV)/.dev $(VENV)-reference/.made ## Run the benchmarks, beside PyTorch (installs it apart; REFERENCE=no leaves it out).
	@mkdir -p build
	VANALLEN_REFERENCE_PYTHON=$(if $(filter no,$(REFERENCE)),,$(abspath $(VENV)-reference/bin/python)) \
	  $(PY) -m pytest benchmarks -n 0 --benchmark-json=build/benchmarks.json $(ARGS)

coverage: $(VENV)/.dev ## Measure branch coverage and list the lines that no test reached.
	@mkdir -p build
	$(PY) -m pytest tests -m "not story" -n $(WORKERS) $(COVERED) --cov-report=term-missing:skip-covered
	@$(PY) tools/check_coverage.py build/coverage.json coverage.ratchet

ratchet: $(VENV)/.dev ## Write the last measured coverage into coverage.ratchet.
	@$(PY) tools/check_coverage.py build/coverage.json coverage.ratchet --write

matrix: ## Run the tests on the oldest and on the newest Python, each in its own environment; both must be there.
	@for wanted in 3.10 3.13; do \
	  python=$$(sh tools/find_python.sh python$$wanted) \
	  && $(MAKE) test VENV=.venv-$$wanted PYTHON=$$python || exit 1; done

blas-matrix: $(VENV)/.dev ## Run the numerical suites under every kernel of OpenBLAS and target of Numba that works here.
	$(PY) tools/blas_matrix.py build/blas-matrix -- tests -m "numerical and not story" -n $(WORKERS) $(ARGS)

lock: $(VENV)-lock/.made ## Write the lock files anew after a change of pyproject.toml (ARGS=--upgrade chooses newer versions).
	sh tools/lock.sh $(VENV)-lock/bin/uv $(ARGS)

clean: ## Remove the environments, caches and build outputs made here.
	rm -rf $(VENV) $(addprefix $(VENV)-,lock reference cuda12 cuda13 run-zig) .venv-3.1? build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks .coverage*
	find $(PACKAGES) tools tests $(wildcard benchmarks examples) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: | $(if $(PYTHON),same-python)
	@python=$$(sh tools/find_python.sh $(PYTHON)) && echo "making $(VENV) with $$python" \
	  && "$$python" -m venv $(VENV) && touch $@

$(VENV)/.run: $(VENV)/.made $(RUN_LOCK) requirements/text.txt pyproject.toml
	@echo "installing $(RUN_LOCK) into $(VENV) (about half a minute, once)"
	@$(INSTALL) -r $(RUN_LOCK)
	@$(INSTALL) --ignore-requires-python -r requirements/text.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "installing requirements/dev.txt into $(VENV) (once)"
	@$(INSTALL) -r requirements/dev.txt
	@touch $@

$(VENV)-lock/.made: requirements/lock.txt
	@python=$$(sh tools/find_python.sh $(PYTHON)) && "$$python" -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r requirements/lock.txt
	@touch $@

$(VENV)-reference/.made: $(VENV)/.made
ifneq ($(REFERENCE),no)
	@echo "installing PyTorch into $(VENV)-reference to compare with (large; make bench REFERENCE=no leaves it out)"
	@$(PY) -m venv $(VENV)-reference
	@$(VENV)-reference/bin/python -m pip --disable-pip-version-check -qq install '.[reference]'
	@touch $@
endif

$(VENV)-%/.made: requirements/%.txt requirements/dev.txt pyproject.toml | $(VENV)/.made
	@echo "installing requirements/dev.txt and requirements/$*.txt into $(VENV)-$* (large, once)"
	@$(PY) -m venv $(VENV)-$*
	@$(VENV)-$*/bin/$(INSTALL_HERE) -r requirements/dev.txt
	@$(VENV)-$*/bin/$(INSTALL_HERE) -r requirements/$*.txt
	@$(VENV)-$*/bin/$(PIP_HERE) install --no-deps --no-build-isolation --editable .
	@touch $@

# A PYTHON that differs from the one $(VENV) was made with is a mistake to name, not to ignore.
same-python:
	@test ! -x $(PY) || sh tools/find_python.sh --same $(PY) $(PYTHON)
