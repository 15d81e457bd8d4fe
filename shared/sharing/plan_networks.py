"""Allowed addresses as sets of IPv4 networks. `None` stands for "from everywhere", as a workspace reports it."""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError, collapse_addresses
from typing import Literal

Listed = tuple[str, ...] | None
Change = Literal["same", "narrower", "wider", "mixed", "disjoint"]


def compare(old: Listed, new: Listed) -> Change:
    """How readers from anywhere fare when `new` replaces `old`."""
    if normal(old) == normal(new):
        return "same"
    common = normal(intersection(old, new))
    if common == normal(new):
        return "narrower"
    if common == normal(old):
        return "wider"
    return "mixed" if common else "disjoint"


def intersection(old: Listed, new: Listed) -> Listed:
    """What both admit, collapsed; an empty tuple where they share nothing."""
    if old is None or new is None:
        return normal(new if old is None else old)
    (networks, odd), (others, also_odd) = _parsed(old), _parsed(new)
    # Of two networks that overlap, one contains the other.
    common = {a if a.subnet_of(b) else b for a in networks for b in others if a.overlaps(b)}
    return _listed(common, odd & also_odd)


def difference(old: Listed, new: Listed) -> Listed:
    """What `new` admits and `old` does not, collapsed; () for nothing, None where it cannot be listed."""
    if old is None:
        return ()
    if new is None:
        return None
    (networks, odd), (others, also_odd) = _parsed(new), _parsed(old)
    for other in others:
        networks = {rest for network in networks for rest in _without(network, other)}
    return _listed(networks, odd - also_odd)


def normal(listed: Listed) -> Listed:
    """The same addresses in one spelling: collapsed, sorted, single addresses without a prefix."""
    return None if listed is None else _listed(*_parsed(listed))


def _without(network: IPv4Network, other: IPv4Network) -> Iterable[IPv4Network]:
    if not network.overlaps(other):
        return (network,)
    return () if network.subnet_of(other) else network.address_exclude(other)


def _parsed(listed: Iterable[str]) -> tuple[set[IPv4Network], set[str]]:
    networks, odd = set(), set()
    for text in listed:
        try:
            networks.add(IPv4Network(text, strict=False))
        except (AddressValueError, NetmaskValueError, ValueError):
            odd.add(text)  # not ours to understand: compared as it is written
    return networks, odd


def _listed(networks: Iterable[IPv4Network], odd: Iterable[str]) -> tuple[str, ...]:
    collapsed = sorted(collapse_addresses(networks))
    return (*(_spelt(network) for network in collapsed), *sorted(odd))


def _spelt(network: IPv4Network) -> str:
    return str(network.network_address) if network.prefixlen == 32 else str(network)
