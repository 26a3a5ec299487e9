# What people type. `make run` works on a fresh machine: it makes .venv first, with the newest Python from 3.11 to 3.14
# that is installed (or `make PYTHON=python3.12 ...`), or with one that uv brings.
export PYTHON
export UV := 0.13.8
BIN := .venv/bin
STAMP := .venv/.installed
# Python keeps compiled modules: without them, each process that imports Dagster compiles for a second first.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run dev test test-servers test-account check deploy-check bench install requirements clean
.DEFAULT_GOAL := help

help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 14

run: $(STAMP) ## The demo city's day on this machine: SFTP to marts, and the accounts.
	$(BIN)/data-platform run

dev: $(STAMP) ## Dagster's UI on the same data, with sensors and schedules running.
	$(BIN)/data-platform dev

test: $(STAMP) ## The tests that need no server.
	$(BIN)/pytest -m "not server and not end_to_end and not cdk" -n 3 $(ARGS)

test-servers: $(STAMP) ## The tests that start real servers, and those of the whole platform (Chromium, sftp).
	$(BIN)/python -m data_platform_tests.server_suites $(ARGS)

check: $(STAMP) ## Formatting, lints, types, import rules, every defs.yaml, Dockerfile and compose.yaml.
	$(BIN)/ruff check data_platform data_platform_tests deploy
	$(BIN)/ruff format --check data_platform data_platform_tests deploy
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/data-platform check
	$(BIN)/data-platform dbt-sources --check
	$(BIN)/sqlfluff lint dbt_project
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/deploy.yaml

test-account: $(STAMP) ## The contract tests of the local Snowflake, on a real account; names those that differ.
	@$(BIN)/python -m data_platform_tests.account $(ARGS)

deploy-check: $(STAMP) ## Synthesize the AWS stacks of every environment and check them: policies, cdk-nag, cfn-lint.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/deploy.txt
	$(BIN)/pytest -m cdk data_platform_tests/deploy/stacks

bench: $(STAMP) ## The benchmarks, beside their peers, which it installs; writes docs/benchmarks.md.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	$(BIN)/python -m data_platform_tests.benchmarks $(ARGS)

install: $(STAMP) ## Make .venv with exactly the packages of requirements/dev.txt.

$(STAMP): requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || sh requirements/venv.sh
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(STAMP)

HASHED := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make requirements"
COMPILE := $(HASHED) pyproject.toml

requirements: $(STAMP) ## Compile requirements/*.txt anew from pyproject.toml: production, `local`, `dev`, `bench`, the build.
	$(COMPILE) --extra local --extra dev --output-file requirements/dev.txt
	$(COMPILE) --extra local --constraint requirements/dev.txt --output-file requirements/local.txt
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/base.txt
	$(COMPILE) --extra local --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt
	$(COMPILE) --extra deploy --constraint requirements/dev.txt --output-file requirements/deploy.txt
	$(HASHED) --group build --output-file requirements/build.txt

clean: ## Stop the local cloud and remove everything that was made, .venv included.
	-test -x $(BIN)/data-platform && $(BIN)/data-platform reset --yes
	rm -rf .venv .uv .local dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
