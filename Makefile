# From git, python3 and make alone: every target sets up .venv and the host first.
PYTHON ?= python3
PORT ?= 0
RUN := .venv/bin/python
# Host and client share the cores: threads that spin while they wait would starve one another.
export OMP_WAIT_POLICY ?= passive

.PHONY: setup demo test parity bench serve clean
.NOTPARALLEL:

setup:
	@$(PYTHON) -m dev.host.setup

demo: setup
	@$(RUN) -m dev.pictures.demo

test: setup
	$(RUN) -m ruff check .
	.venv/bin/pytest -q

parity: setup
	.venv/bin/pytest -q tests/parity

bench: setup
	@$(RUN) -m dev.bench.optical
	@$(RUN) -m dev.bench.genfocus
	@$(RUN) -m dev.bench.learn2refocus

serve: setup
	@$(RUN) -m dev.host.serve --port $(PORT)

clean:
	rm -rf .venv .host out build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
