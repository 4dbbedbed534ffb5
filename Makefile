# Every target makes the environment that it needs, and nothing outside this folder.

# The first Python that Airflow takes. On macOS, "python3" itself is too old.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
ENV = $(if $(PYTHON),$(PYTHON) demo/make_venv.py,$(error needs Python 3.10 to 3.14: none found, set PYTHON=...))

TEST = .venv-test/bin/python
COVERED = $(TEST) -m coverage run --data-file

# Tests that need no running Airflow, but those of the emulator.
UNIT = tests --ignore tests/emulator --ignore tests/chaos -m "not system"

.PHONY: help demo env test test-on chaos bench coverage lint ruff mypy clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## three prompts become three videos in a real Airflow; KEEP=1 leaves it running, PORT= fixes its port
	@$(ENV) .venv-demo
	@.venv-demo/bin/python -m demo $(if $(KEEP),--keep) $(if $(PORT),--port $(PORT)) \
		$(if $(EMULATOR_PORT),--emulator-port $(EMULATOR_PORT))

env:
	@$(ENV) .venv-test --group test --group lint --group chaos

# The emulator has its own tests and its own figure; that it is used by others' tests does not count for it.
test: env ## all tests but those of make chaos, on the newest Airflow
	$(COVERED) .coverage.emulator -m pytest tests/emulator
	$(COVERED) .coverage.package -m pytest $(UNIT)
	$(TEST) -m pytest -m system tests/system

test-on: ## the unit tests on another Airflow: make test-on AIRFLOW=2.11.2
	@$(ENV) .venv-$(AIRFLOW) --group test --with apache-airflow==$(AIRFLOW)
	.venv-$(AIRFLOW)/bin/python -m pytest tests/emulator
	.venv-$(AIRFLOW)/bin/python -m pytest $(UNIT)

chaos: env ## crash everything, see what it costs; writes docs/chaos.md, or compares with it if CHECK=1
	@$(TEST) -m tests.chaos $(if $(CHECK),--check)

bench: ## what waiting costs, beside what people use today: a table and benchmarks/results.json; QUICK=1 tries it
	@$(ENV) .venv-bench --group bench
	@.venv-bench/bin/python -m benchmarks $(if $(QUICK),--quick)

coverage: ## after "make test": 95 % of the lines, the emulator and the rest each by itself
	$(TEST) -m coverage report --data-file .coverage.emulator --fail-under 95 --skip-covered \
		--include 'airflow_provider_kling/emulator/*'
	$(TEST) -m coverage report --data-file .coverage.package --fail-under 95 --skip-covered \
		--omit 'airflow_provider_kling/emulator/*'

lint: ruff mypy ## ruff and mypy

ruff: env
	.venv-test/bin/ruff check
	.venv-test/bin/ruff format --check

mypy: env
	.venv-test/bin/mypy airflow_provider_kling demo
	@# A result that is passed from task to task is typed as what carries it, not as what arrives.
	.venv-test/bin/mypy --disable-error-code arg-type dags_examples

clean: ## remove environments, caches and what the demo made
	rm -rf .venv* .demo demo_output dist .coverage* .*_cache .hypothesis
