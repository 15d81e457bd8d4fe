#!/bin/sh
# Prints the Python to build the environment with: PYTHON if set, else the first of 3.11 to 3.13 on PATH that runs.
set -eu

fits() {
    # pyenv's shims exist for versions they refuse to run, so each candidate is tried, not only found.
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13}; do
    if fits "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
echo "install: no Python 3.11, 3.12 or 3.13 found (tried ${PYTHON:-python3 python3.12 python3.11 python3.13});" \
    "install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
exit 1
