# Everything lives in .venv; the only tools needed are python3 (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# The tests start the service a hundred times: it should be compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test test-node bench fmt lock openapi rules clean

demo: .venv/run
	@$(BIN)/tallygate demo

run: .venv/run
	@$(BIN)/tallygate serve

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --maxfail=10 --numprocesses=3 --dist=loadfile --no-loadscope-reorder

# The TypeScript client and what is generated from the document. It needs Node 20 or later.
test-node: .venv/dev
	npm ci --silent --prefix clients/typescript
	npm test --silent --prefix clients/typescript

bench: .venv/dev
	test ! -x "$$(command -v npm)" || npm ci --silent --no-audit --no-fund --prefix bench/peers/fastify
	$(BIN)/python -m bench.hot
	$(BIN)/python -m bench.many
	$(BIN)/python -m bench.mixed
	$(BIN)/python -m bench.health
	$(BIN)/python -m bench.startup

fmt: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/run
	$(PIP) uv
	$(COMPILE) --upgrade --group build -o requirements.lock pyproject.toml
	$(COMPILE) --upgrade --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml

openapi: .venv/dev
	$(BIN)/python -m tests.support.write_document clients/openapi.json

rules: deploy/prometheus/rules.yml
	printf '%s\n' '# Made from $< by `make rules`.' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' \
		'metadata:' '  name: tallygate' 'spec:' >k8s/components/monitoring/rules.yaml
	sed '/^#/d;s/^/  /' $< >>k8s/components/monitoring/rules.yaml

clean:
	rm -rf .venv build *.egg-info

.venv/run: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	touch $@
