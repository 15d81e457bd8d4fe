#!/bin/sh
# Everything that reads the code without running it; goes on after a failure, so that one run shows all of them.
set -u
BIN=.venv/bin
failed=""

step() {
    name=$1
    shift
    "$@" || failed="$failed $name"
}

step "ruff-check" $BIN/ruff check --quiet --output-format concise .
step "ruff-format" $BIN/ruff format --check --quiet --output-format concise .
step "mypy" $BIN/mypy --strict
# shellcheck disable=SC2046 # our own scripts' names hold no blanks
step "shellcheck" $BIN/shellcheck --external-sources .ci/run $(find infra -name '*.sh' -not -path '*/node_modules/*')
step "import-rules" $BIN/lint-imports --no-logo
if [ -n "$failed" ]; then
    echo "[check] failed:$failed" >&2
    exit 1
fi
