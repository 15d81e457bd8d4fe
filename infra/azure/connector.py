"""What setup.sh says about connectors in JSON; runs on any Python 3.

`connector.py NAME=VALUE... < secret`       the body of a connector; the secret comes by standard input alone
`connector.py find TENANT NAME < items`     the uid of that connector among those listed, one JSON object a line
`connector.py tables < items`               what discovery found, for people
`connector.py entity SLUG < items`          the uid of that table's entity
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def body(facts: dict[str, str], secret: str) -> Json:
    """As POST and PUT /api/v1/connectors take it."""
    auth: Json = {"type": facts["auth"]}
    if facts["auth"] != "none":
        auth["secret_name"] = facts["secret_name"]
    if secret:
        auth["secret"] = secret
    stated = {name: facts[name] for name in ("name", "kind", "base_url", "tenant")}
    return {**stated, "auth": auth, "time_zone": facts["time_zone"] or None}


def first(items: Iterable[Json], member: str, **wanted: str) -> str:
    """`member` of the first item that has every wanted value, or nothing."""
    for item in items:
        if all(item.get(name) == value for name, value in wanted.items()):
            return str(item.get(member) or "")
    return ""


def tables(items: Iterable[Json]) -> str:
    """One line a table."""
    return "\n".join(f"{one['slug']:<24} {one['status']:<10} {_trouble(one)}".rstrip() for one in items)


def _trouble(item: Json) -> str:
    error: Json = item.get("error") or {}
    return error.get("message") or "; ".join(item.get("warnings") or [])


def main(arguments: list[str], text: str) -> str:
    """What the named form prints."""
    if "=" in arguments[0]:
        return json.dumps(body(dict(one.split("=", 1) for one in arguments), text))
    items = [json.loads(line) for line in text.splitlines() if line]
    if arguments[0] == "find":
        return first(items, "uid", tenant=arguments[1], name=arguments[2])
    if arguments[0] == "entity":
        return first(items, "entity_uid", slug=arguments[1])
    return tables(items)


if __name__ == "__main__":
    print(main(sys.argv[1:], sys.stdin.read()))
