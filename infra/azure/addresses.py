"""`addresses.py ADDRESS|CIDR...`: prints them as the template's allowedIpRanges; runs on any Python 3."""

import ipaddress
import json
import sys
from collections.abc import Iterable


def ranges(texts: Iterable[str]) -> list[dict[str, str]]:
    """One range for each; raises ValueError for what is no IPv4 address or network."""
    networks = [ipaddress.IPv4Network(text, strict=False) for text in texts]
    return [
        {"name": f"allowed-{i}", "from": str(network[0]), "to": str(network[-1]), "cidr": str(network)}
        for i, network in enumerate(networks, start=1)
    ]


if __name__ == "__main__":
    try:
        print(json.dumps(ranges(sys.argv[1:])))
    except ValueError as error:
        sys.exit(f"addresses: {error}")
