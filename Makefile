# Each target does what it needs first. `make demo` and `make test` are the two a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
# One more than two cores: many tests wait.
WORKERS ?= 3
# uv does not read pip's configuration: hand over where wheels are kept, if anywhere.
LINKS = $${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$($(BIN)/pip config get global.find-links 2>/dev/null)}}

.PHONY: setup demo test check attacks bench soak clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     play a scripted agent on this machine (no GPU, no Docker, no data to download)"
	@echo "make test     every test and check"
	@echo "make check    formatting, lint, types and layering only"
	@echo "make attacks  every attack on the numbers, also the variants that make test leaves out"
	@echo "make soak     faults at random moments for MINUTES (20) on each database; SEED has a run again"
	@echo "make bench    speed, as ratios measured in one run"
	@echo "make setup    the virtual environment in .venv, which all of them use"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet uv==0.13.8; }
	@echo "Installing into .venv (a minute on a cold machine)"
	@UV_FIND_LINKS="$(LINKS)" UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python \
		-c constraints.txt -e '.[trainer,dev]'
	@touch $@

demo: setup
	@$(BIN)/ringfence demo

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 12

attacks: setup
	@$(BIN)/pytest -q -m 'not gpu' tests/attacks

MINUTES ?= 20
SEED ?= $$(date +%s)
soak: setup
	@SOAK_SEED=$(SEED) SOAK_MINUTES=$(MINUTES) $(BIN)/pytest -p no:xdist -q -s tests/faults/test_soak.py

# With RINGFENCE_BENCH_BASE naming another checkout that was set up, edits are measured beside that one's too.
bench: setup
	@$(BIN)/pytest -p no:xdist -q -s --timeout 900 -o "norecursedirs=.*" tests/bench

clean:
	rm -rf .venv .ringfence
