# From git, python3 and make alone: every target sets up .venv and the host first.
PYTHON ?= python3
PORT ?= 0
FILE ?=
CASES ?= 5000
SEED ?= 0
COMFYUI ?=
FRONTEND ?=
RUN := .venv/bin/python
TEST := .venv/bin/pytest -q
# Tests side by side, one thread each, those of a file on one host.
QUICK := OMP_NUM_THREADS=1 .venv/bin/pytest -q -n 2 --dist loadfile
# Host and client share the cores: threads that spin while they wait would starve one another.
export OMP_WAIT_POLICY ?= passive

.PHONY: setup demo test test-host lint format types unit nodes host browser parity truth mutate fuzz bench hops serve clean
.NOTPARALLEL:

setup:
	@$(PYTHON) -m dev.host setup

demo: setup
	@$(RUN) -m dev.pictures demo

# Everything that must hold, the quick checks first; the browser's last, so that its host and the others share no time.
test: setup lint types
	$(QUICK) -m "not browser"
	$(QUICK) -m "browser and not slow"

# The same on another ComfyUI, of a folder that is only read: `make test-host COMFYUI=../ComfyUI`.
test-host: export RACKFOCUS_COMFYUI = $(COMFYUI)
test-host:
	@$(if $(COMFYUI),,echo "Name the folder of a ComfyUI: make test-host COMFYUI=../ComfyUI" && exit 2)
	@$(PYTHON) -m dev.host setup
	@$(RUN) -m dev.host test -q -m "not browser"
	@$(RUN) -m dev.host test -q -m "browser and not slow"

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: setup
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

types: setup
	@mkdir -p .mypy_cache && ln -sfn "$(CURDIR)" .mypy_cache/rackfocus
	$(RUN) -m mypy

# Quick: under a minute, without ComfyUI.
unit: setup
	$(QUICK) -m "unit and not slow"

# ComfyUI as a library in one process, without its server.
nodes: setup
	$(QUICK) -m "nodes and not slow"

host: setup
	$(TEST) -m host

# The host's page in Chromium, all of it; FRONTEND=newest, a version or a folder takes another front end than the host's.
browser: export RACKFOCUS_NEEDS_BROWSER = 1
browser: export RACKFOCUS_FRONTEND = $(FRONTEND)
browser: setup
	$(TEST) -m browser

parity: setup
	$(TEST) -m parity

truth: setup
	$(TEST) -m truth

# For example `make mutate FILE=pipelines/optics/focus.py`.
mutate: setup
	@$(RUN) -m dev.bench mutate $(FILE)

# For example `make fuzz CASES=300 SEED=7`; what fails is printed with the command that repeats it.
fuzz: setup
	@$(RUN) -m dev.bench fuzz --cases $(CASES) --seed $(SEED)

bench: setup
	@$(RUN) -m dev.bench all

hops: setup
	@$(RUN) -m dev.pictures hops

serve: export RACKFOCUS_FRONTEND = $(FRONTEND)
serve: setup
	@$(RUN) -m dev.host serve --port $(PORT)

clean:
	rm -rf .venv .host out build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
