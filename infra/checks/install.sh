#!/bin/sh
# Makes .local/checks hold what reads the templates. Instant when the requirements have not changed since.
set -eu

VENV=.local/checks
STAMP=$VENV/installed
WANTED=$(cat infra/checks/requirements.txt "$0" | cksum)

if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ]; then
    exit 0
fi
echo "[infra-check] installing into $VENV; the first time takes a minute or two"
mkdir -p .local
"$(sh infra/local/bootstrap/python.sh)" -m venv --clear "$VENV"
"$VENV/bin/python" -m pip --disable-pip-version-check install -qq -r infra/checks/requirements.txt
echo "$WANTED" >"$STAMP"
