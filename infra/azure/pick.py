"""`pick.py PATH < JSON`: the value at a dotted path, for shell scripts; runs on any Python 3.

A list is printed one element a line, objects as JSON on one line; null and what is not there print nothing.
`pick.py --all < JSON` prints every value that way, each line behind its path and a blank.
"""

import json
import sys
from typing import Any


def pick(document: Any, path: str) -> Any:
    """The value at `path` ("" is the whole document, digits index lists), None where there is none."""
    for part in filter(None, path.split(".")):
        if isinstance(document, list):
            document = document[int(part)] if part.isdigit() and int(part) < len(document) else None
        else:
            document = document.get(part) if isinstance(document, dict) else None
    return document


def shown(value: Any) -> str:
    """As a shell script wants to read it."""
    if isinstance(value, list):
        return "\n".join(map(shown, value))
    if isinstance(value, (dict, bool)):
        return json.dumps(value)
    return "" if value is None else str(value)


def every(document: Any, path: str = "") -> str:
    """All values of nested objects with their paths."""
    if isinstance(document, dict):
        return "".join(every(value, f"{path}.{name}" if path else name) for name, value in document.items())
    return "".join(f"{path} {line}\n" for line in shown(document).splitlines())


if __name__ == "__main__":
    try:
        document = json.load(sys.stdin)
        found = every(document).rstrip() if sys.argv[1] == "--all" else shown(pick(document, sys.argv[1]))
    except json.JSONDecodeError:
        found = ""
    if found:
        print(found)
