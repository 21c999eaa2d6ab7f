# Everything lives in .venv; the only tools needed are python3 (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# The tests start the service a hundred times: it should be compiled once.
unexport PYTHONDONTWRITEBYTECODE

# What talks to the engine; `make upgrade COMPOSE='docker compose -f docker-compose.real.yml'` for the real upstream.
COMPOSE ?= docker compose

.PHONY: demo run test test-node test-containers test-pythons image upgrade bench fmt lock openapi python-client rules chart sbom clean

demo: .venv/run
	@$(BIN)/tallygate demo

run: .venv/run
	@$(BIN)/tallygate serve

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --maxfail=10 --numprocesses=3 --dist=loadfile --no-loadscope-reorder

# The TypeScript client, what is generated from the document, and streams through nginx. It installs Node, Chromium and nginx if they are missing.
test-node: .venv/dev
	clients/typescript/scripts/prepare.sh
	npm ci --silent --prefix clients/typescript
	npm test --silent --prefix clients/typescript
	$(BIN)/pytest --timeout=200 -p no:cacheprovider tests/clients/passage.py

# The compose files in a Docker engine of its own. It needs root, and installs what it lacks.
test-containers: .venv/dev
	tests/containers/prepare.sh build/containers
	WORK=build/containers $(BIN)/pytest --timeout=100 -p no:cacheprovider tests/containers/chart.py tests/containers/ending.py
	tests/containers/engine.sh build/containers $(BIN)/pytest --timeout=300 -p no:cacheprovider \
		tests/containers/running.py tests/containers/front.py tests/containers/confined.py

# The service's unit tests with each further Python: this machine's own, or else that of a Debian release, which needs
# root and Debian. Its last lines name what neither has.
test-pythons: .venv/dev
	tests/pythons/each.sh $(BIN)/python build

image:
	docker build --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) \
		--build-arg SOURCE=$$(git config --get remote.origin.url || echo unknown) -t tallygate:0.1.0 .

upgrade:
	@deploy/upgrade.sh $(COMPOSE)

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

python-client: .venv/dev
	$(BIN)/python -m tests.support.write_sync_client
	$(BIN)/ruff format --quiet clients/python

# `make rules RUNBOOK=https://wiki.example.org/runbook.md` leads the alerts to where your runbook is.
rules: deploy/prometheus/rules.yml
	$(if $(RUNBOOK),sed -i 's|https://[^#]*/runbook.md|$(RUNBOOK)|' $<)
	printf '%s\n' '# Made from $< by `make rules`.' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' \
		'metadata:' '  name: tallygate' 'spec:' >k8s/components/monitoring/rules.yaml
	sed '/^#/d;s/^/  /' $< >>k8s/components/monitoring/rules.yaml

# The Helm chart is made from the production overlay; make test compares them.
chart: .venv/dev
	mkdir -p build
	$(BIN)/kubectl kustomize k8s/overlays/production >build/production.yaml
	$(BIN)/python -m release.chart <build/production.yaml

sbom: .venv/run
	@$(BIN)/python -m release.sbom <requirements.lock

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
