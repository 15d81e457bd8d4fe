#!/bin/sh
# `make test`: installs, lints, then one pytest over everything; pytest has the last word on the screen.
set -u
BIN=.venv/bin
began=$(date +%s)
stage() { echo "[test] $* ($(($(date +%s) - began)) s so far)"; }

stage "install"
sh infra/local/bootstrap/install.sh || exit $?
$BIN/python -c 'from infra.local import azurite, paths; azurite.install(paths.LOCAL_DIR / "azurite")' || exit $?
sh infra/checks/install.sh || exit $?
stage "lint and types"
sh infra/local/bootstrap/lint.sh
linted=$?
[ $linted -eq 0 ] || stage "lint FAILED: see above. The tests run all the same, and this command will fail"
stage "tests: unit, contract, integration, runtime313, torture"
$BIN/python -m pytest -p tests.stages -n 2 --dist loadfile tests/unit tests/contract tests/integration tests/runtime313 tests/torture \
    --durations=20 --cov=shared --cov-branch --cov-report=term:skip-covered
tested=$?
[ $tested -eq 0 ] || exit $tested
exit $linted
