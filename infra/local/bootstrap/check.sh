#!/bin/sh
# `make check`: what reads the code and the unit tests, side by side; both have their say whatever the other found.
set -u
found=$(mktemp)
trap 'rm -f "$found"' EXIT
sh infra/local/bootstrap/lint.sh >"$found" 2>&1 &
lint=$!
.venv/bin/python -m pytest -q tests/unit
tested=$?
wait "$lint"
linted=$?
cat "$found"
[ $tested -eq 0 ] || exit $tested
exit $linted
