# `make` alone lists the commands. Each installs what it needs into .venv first, which is instant once done.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install demo test check up down bench torture migrate package infra-check

BIN := .venv/bin
ROWS ?= 1000000
# Byte code of a fresh checkout is not worth a mixed-up git status, output is worth seeing at once.
export PYTHONUNBUFFERED := 1

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

install: ## make .venv hold what the requirement files pin
	@sh infra/local/bootstrap/install.sh

demo: install ## the whole story on this machine; ONCE=1 stops everything at the end
	@$(BIN)/python -m infra.local.demo $(if $(filter-out 0,$(ONCE)),--once)

test: ## everything: install, lint, types, all tests on real PostgreSQL and Azurite
	@sh infra/local/bootstrap/test.sh

check: install ## ruff, mypy --strict, shellcheck, import rules and unit tests
	@sh infra/local/bootstrap/check.sh

up: install ## start the local stack without the story; prints its addresses and a token
	@$(BIN)/python -m infra.local.up

down: install ## stop the local stack; data stays in .local/
	@$(BIN)/python -m infra.local.stack down

torture: install ## kills, cuts and lies; NIGHTLY=1 for the long size
	@$(BIN)/python -m pytest tests/torture --durations=20

bench: install ## speed against a bare binary COPY, one JSON object a line; ROWS=1000000
	@$(BIN)/python -m tests.bench --rows $(ROWS)

migrate: install ## apply the migrations to the local stack's database, or to POSTGRES_HOST's
	@$(BIN)/python -m infra.local.migrate

package: install ## the deployable zip, dist/tributary.zip; prints its size and cold import time as JSON
	@$(BIN)/python -m infra.package

infra-check: install ## scan the Azure templates and hold them against the services' models
	@$(BIN)/python -m pytest -q tests/unit/infra_azure tests/integration/test_infrastructure.py
