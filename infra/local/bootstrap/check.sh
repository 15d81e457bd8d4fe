#!/bin/sh
# `make check`: what reads the code and the unit tests, side by side; both have their say whatever the other found.
# The unit tests share nothing, so two processes take them in half the time; NIGHTLY=1 tries more examples of each.
set -u
found=$(mktemp)
trap 'rm -f "$found"' EXIT
sh infra/local/bootstrap/lint.sh >"$found" 2>&1 &
lint=$!
.venv/bin/python -m pytest -q -n 2 tests/unit
tested=$?
wait "$lint"
linted=$?
cat "$found"
[ $tested -eq 0 ] || exit $tested
exit $linted
