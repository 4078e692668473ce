# Every target sets up .venv by itself, with uv when it is there and with python3 -m venv when not.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check bench peers target docs mutate build clean

demo: $(READY)
	$(BIN)/liteq demo

test: $(READY)
	$(BIN)/pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(MAKE) test

bench: $(READY)
	$(BIN)/python -m benchmarks --json build/bench.json

peers: .venv-peers/.ready
	.venv-peers/bin/python -m benchmarks peers --json build/peers.json

target: $(READY)
	$(BIN)/python -m benchmarks.target

docs: $(READY)
	$(BIN)/python -m docs.generate

mutate: $(READY)
	$(BIN)/python -m tests.mutate

build: $(READY)
	$(BIN)/python -m pip wheel --no-deps -w dist .

clean:
	rm -rf .venv .venv-peers build dist

$(READY): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --seed --allow-existing --python $(PYTHON) .venv && \
	    uv pip install --quiet --python $(BIN)/python --editable . --group dev; \
	else \
	    $(PYTHON) -m venv .venv && \
	    $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" && \
	    $(BIN)/python -m pip install --quiet --editable . --group dev; \
	fi
	@touch $@

.venv-peers/.ready: pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --seed --allow-existing --python $(PYTHON) .venv-peers && \
	    uv pip install --quiet --python .venv-peers/bin/python --editable . --group peers; \
	else \
	    $(PYTHON) -m venv .venv-peers && \
	    .venv-peers/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
	    .venv-peers/bin/python -m pip install --quiet --editable . --group peers; \
	fi
	@.venv-peers/bin/python -m pip install --quiet --only-binary honker --group honker 2>/dev/null \
	    || echo "honker has no wheel for this system"
	@touch $@
